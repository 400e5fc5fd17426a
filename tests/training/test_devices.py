from __future__ import annotations

import socket
from pathlib import Path

import keras
import pytest
import tensorflow as tf

from tests.hub_modules import make_hub_module
from tests.training.builders import WHOLE, make_recipe, make_trainer
from tfclassify.backbones.hub_layer import HubFeatures, module_folders
from tfclassify.errors import RequestError, TrainingError
from tfclassify.training import devices
from tfclassify.training.devices import (
    check_phase,
    check_recipe,
    join_processes,
    open_replicas,
)
from tfclassify.training.replicas import ONE, Replicas
from tfclassify.training.workers import Workers


@pytest.fixture
def two_devices() -> Replicas:
    replicas = Replicas()
    replicas.count = 2
    return replicas


@pytest.mark.parametrize("strategy", ["none", "auto"])
def test_a_machine_without_several_gpus_is_one_device(strategy: str) -> None:
    assert open_replicas(make_recipe([WHOLE], runtime={"strategy": strategy})) is ONE


def test_mirrored_needs_several_devices() -> None:
    with pytest.raises(RequestError, match="got CPU:0 alone; use auto"):
        open_replicas(make_recipe([WHOLE], runtime={"strategy": "mirrored"}))


def test_auto_leaves_several_gpus_alone_only_where_they_are_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "_list_devices", lambda: ["GPU:0"])
    assert open_replicas(make_recipe([WHOLE])) is ONE


def test_xla_is_for_one_device(two_devices: Replicas) -> None:
    recipe = make_recipe([WHOLE], runtime={"jit": True})
    with pytest.raises(RequestError, match="for one device, got 2; use jit: false, or strategy"):
        check_recipe(two_devices, recipe)


def test_several_processes_augment_by_address(two_devices: Replicas) -> None:
    recipe = make_recipe([WHOLE], augment={"engine": "keras", "flip": ["horizontal"]})
    check_recipe(two_devices, recipe)  # made once, for both devices
    two_devices.workers = 2
    with pytest.raises(RequestError, match=r"augment.engine: keras draws anew .* use native"):
        check_recipe(two_devices, recipe)


def test_processes_are_joined_before_tensorflow_works() -> None:
    tf.zeros(1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        workers = Workers(("127.0.0.1:1", "127.0.0.1:2"), 0, listener)
        with pytest.raises(RequestError, match=r"worker 1 of 2 .* worked in this process already"):
            join_processes(workers)


def raising(error: Exception) -> object:
    def fail(*_: object) -> object:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("Timeout waiting for the cluster"), "cannot be reached .Timeout .* firewall"),
        (tf.errors.UnavailableError(None, None, "Socket closed"), "stopped or .*Socket closed"),
    ],
)
def test_processes_that_cannot_be_reached(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", raising(error))
    monkeypatch.setattr(devices, "CollectiveAllReduceExtended", type("Extended", (), {}))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        workers = Workers(("127.0.0.1:1", "127.0.0.1:2"), 0, listener)
        monkeypatch.setattr(
            devices.context.context(), "configure_coordination_service", lambda service_type: None
        )
        with pytest.raises(TrainingError, match=f"worker 1 of 2 .*{said}"):
            join_processes(workers)


def test_a_batch_has_an_image_for_each_device(tmp_path: Path, two_devices: Replicas) -> None:
    recipe = make_recipe([WHOLE], batch_size=1)
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "s", replicas=two_devices)
    with pytest.raises(TrainingError, match=r"phases\[0\]: a batch of 1 images .* 2 devices"):
        trainer.run()


def test_a_hub_module_in_training_mode_is_refused(tmp_path: Path, two_devices: Replicas) -> None:
    make_hub_module(tmp_path)
    with module_folders({"m": tmp_path}):
        layer = HubFeatures("m", (1, 1, 4))
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, layer(inputs))
    check_phase(two_devices, [model], 8, "phases[1]")  # its statistics stay: nothing to add up
    layer.keeps_statistics = False
    check_phase(ONE, [model], 8, "phases[1]")
    with pytest.raises(TrainingError, match=r"phases\[1\]: the hub module 'm' .*batch_norm: froz"):
        check_phase(two_devices, [model], 8, "phases[1]")
