"""What is not on the list is not loaded, whatever Keras would have said of it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from tests.backbones.networks import built
from tests.model.classifiers import make_tiny
from tfclassify.backbones.catalog import BACKBONES
from tfclassify.errors import BundleError
from tfclassify.model.safety import check_model_file

#: One network of each module; ``test_bundle`` saves more of them.
KINDS = [
    "mobilenet_v3_small",
    "vgg16",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in (
            "convnext_tiny",
            "densenet121",
            "efficientnet_b0",
            "efficientnet_v2_b0",
            "efficientnet_v2_s",
            "inception_resnet_v2",
            "inception_v3",
            "mobilenet_v2",
            "nasnet_mobile",
            "xception",
        )
    ),
]


def rewrite(path: Path, change: Callable[[Any], Any]) -> Path:
    """Change the description in a saved model."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = json.dumps(change(json.loads(members["config.json"]))).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def saved(model: keras.Model, folder: Path) -> Path:
    model.save(folder / "model.keras")
    return folder / "model.keras"


@pytest.mark.parametrize("name", KINDS)
def test_every_backbone_with_its_preprocessing_is_allowed(name: str, tmp_path: Path) -> None:
    images = keras.Input((96, 96, 3))
    x = images
    for layer in BACKBONES[name].contract.as_layers():
        x = layer(x)
    # The description is what is looked at: no need to write hundreds of megabytes.
    config = json.loads(keras.Model(images, built(name)(x)).to_json())
    path = saved(make_tiny().network, tmp_path)
    check_model_file(rewrite(path, lambda _: config))


def test_every_head_is_allowed(tmp_path: Path) -> None:
    for pool in ("average", "max", "flatten"):
        classifier = make_tiny(
            pool=pool, dropout=0.1, dense=(4,), batch_norm=True, l1=0.1, l2=0.1, final_dropout=0.1
        )
        check_model_file(saved(classifier.network, tmp_path))


def test_a_lambda_is_refused(tmp_path: Path) -> None:
    images = keras.Input((4,))
    model = keras.Model(images, keras.layers.Lambda(lambda x: x * 2, output_shape=(4,))(images))
    with pytest.raises(BundleError, match=r"holds 'Lambda' of 'keras\.layers'.* can run code"):
        check_model_file(saved(model, tmp_path))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras.layers", "TFSMLayer"),
        ("keras.layers", "TorchModuleWrapper"),
        ("os", "system"),
        ("builtins", "eval"),
        ("keras.utils", "get_file"),
        ("keras.src.models.functional", "Sequential"),
        ("tfclassify.backbones.preprocessing", "keras"),
        ("elsewhere", "ReverseChannels"),
        (None, "__lambda__"),
        (None, "function"),
        (None, "Dense"),
    ],
)
@pytest.mark.parametrize("place", ["layer", "deep"])
def test_any_other_object_is_refused_wherever_it_stands(
    module: str | None, name: str, place: str, tmp_path: Path
) -> None:
    hostile = {"module": module, "class_name": name, "config": {}, "registered_name": None}

    def plant(config: dict[str, Any]) -> dict[str, Any]:
        layers = config["config"]["layers"]
        if place == "layer":
            layers.append(hostile)
        else:
            layers[-1]["config"]["more"] = [[{"activation": hostile}]]
        return config

    path = rewrite(saved(make_tiny().network, tmp_path), plant)
    with pytest.raises(BundleError, match=f"holds '{name}' of "):
        check_model_file(path)


def test_more_files_than_there_should_be_are_refused(tmp_path: Path) -> None:
    path = saved(make_tiny().network, tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/../../escape", b"")
    with pytest.raises(BundleError, match=r"holds \['assets/\.\./\.\./escape'"):
        check_model_file(path)


def test_a_description_beyond_reason_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfclassify.model.safety._LARGEST_CONFIG", 100)
    with pytest.raises(BundleError, match="its description is over 100 bytes"):
        check_model_file(saved(make_tiny().network, tmp_path))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"\x89HDF\r\n\x1a\n"])
def test_a_file_of_another_format_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(BundleError, match="not a readable Keras model"):
        check_model_file(path)
