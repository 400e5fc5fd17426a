"""A network that trains for 8 bits says what its int8 artefact says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.builders import WHOLE, make_recipe, make_trainer, score_now
from tfclassify.errors import RecipeError, TrainingError
from tfclassify.export.litert_file import write_litert
from tfclassify.export.saved_model import Graph
from tfclassify.inference.views import build_view_model
from tfclassify.training.quantising import Quantiser, choose_calibration, round_weights
from tfclassify.training.steps import ForwardPass

L = keras.layers


def make_network() -> keras.Model:
    """Make convolutions of all kinds with BatchNorms and a sum."""
    image = keras.Input((16, 16, 3))
    x = L.Rescaling(1 / 127.5, -1.0)(image)
    x = L.Conv2D(8, 3, 2, padding="same", use_bias=False)(x)
    x = L.ReLU()(L.BatchNormalization()(x))
    y = L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same")(x))
    y = L.BatchNormalization()(L.Conv2D(8, 1)(L.Activation("relu6")(y)))
    x = L.Add()([x, y])
    x = L.Conv2D(12, 3, activation="relu")(x)
    x = L.Dropout(0.5)(L.GlobalAveragePooling2D()(x))
    network = keras.Model(image, L.Dense(4)(x))
    draw = np.random.default_rng(0)
    for weight in network.weights:
        values = draw.normal(0, 0.5, weight.shape)
        weight.assign(np.abs(values) + 0.1 if "variance" in weight.path else values)
    return network


def open_store(count: int = 40) -> Any:
    """Return images of all brightnesses, each with black and white in it."""
    images = np.random.default_rng(1).integers(0, 64, (count, 16, 16, 3))
    images += np.linspace(0, 190, count).astype(int)[:, None, None, None]
    images[:, 0, 0], images[:, 0, 1] = 0, 255
    pixels = images.astype(np.uint8)

    class Store:
        def __len__(self) -> int:
            return count

        def read(self, rows: np.ndarray) -> np.ndarray:
            return pixels[rows]

    return Store()


def test_weights_are_rounded_channel_by_channel() -> None:
    """Steps of 1/127 and of 2/127: 0.3 is 38.1 steps, 1.0 is 63.5, rounded to the even 64."""
    kernel = tf.constant([[1.0, -2.0], [0.3, 1.0]])
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        rounded = round_weights(kernel, (0,))
        loss = tf.reduce_sum(rounded * [[1.0, 2.0], [3.0, 4.0]])
    expected = [[1.0, -2.0], [38 / 127, 2 * 64 / 127]]
    np.testing.assert_allclose(rounded, expected, atol=1e-6)
    np.testing.assert_array_equal(tape.gradient(loss, kernel), [[1, 2], [3, 4]])


def test_an_empty_channel_stays_empty() -> None:
    np.testing.assert_array_equal(round_weights(tf.zeros((3, 2)), (0,)), np.zeros((3, 2)))


@pytest.mark.parametrize(("images", "chosen"), [(3, 3), (128, 128), (10_000, 128)])
def test_ranges_are_taken_from_images_of_all_places(images: int, chosen: int) -> None:
    rows = choose_calibration(images)
    assert (len(rows), rows[0], rows[-1]) == (chosen, 0, images - 1)


def test_it_says_what_the_int8_file_says(tmp_path: Path) -> None:
    """LiteRT's own quantisation of the network is the oracle."""
    from ai_edge_litert.interpreter import Interpreter

    network, store = make_network(), open_store()
    quantiser = Quantiser(network, store, "phases[0]")
    quantiser.measure()
    images = store.read(np.arange(40)).astype(np.float32)
    before = network(images, training=False).numpy()
    rounded = ForwardPass(network, quantiser.active)(images).numpy()
    np.testing.assert_array_equal(network(images, training=False), before)  # all is put back

    views = build_view_model(network, None)
    write_litert(tmp_path / "m.tflite", Graph(views, 1), {}, precision="int8", calibration=images)
    interpreter = Interpreter(str(tmp_path / "m.tflite"))
    interpreter.allocate_tensors()
    said = []
    for image in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        said.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    errors, foreseen = (np.array(said) - before).ravel(), (rounded - before).ravel()
    assert np.corrcoef(errors, foreseen)[0, 1] > 0.8
    # Within two steps of the answer's own 255.
    assert np.abs(errors - foreseen).max() < 2.5 * np.ptp(before) / 255


def test_gradients_reach_every_weight_and_leave_batch_norm_alone() -> None:
    network, store = make_network(), open_store()
    for layer in network.layers:
        layer.trainable = not isinstance(layer, L.BatchNormalization)
    quantiser = Quantiser(network, store, "phases[0]")
    quantiser.measure()
    norms = [w.numpy() for w in network.weights if "batch_norm" in w.path]
    with tf.GradientTape() as tape, quantiser.active():
        loss = tf.reduce_sum(network(store.read(np.arange(8)).astype(np.float32)) ** 2)
    gradients = tape.gradient(loss, [v.value for v in network.trainable_variables])
    assert all(bool(tf.reduce_any(gradient != 0)) for gradient in gradients)
    after = [w.numpy() for w in network.weights if "batch_norm" in w.path]
    for one, other in zip(norms, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_layer_that_is_called_twice_has_one_range() -> None:
    image = keras.Input((16, 16, 3))
    shared = L.Conv2D(3, 1)
    network = keras.Model(image, L.GlobalAveragePooling2D()(shared(shared(image))))
    quantiser = Quantiser(network, open_store(), "phases[0]")
    quantiser.measure()
    low, high = np.array(quantiser._ranges)[0]
    images = open_store().read(np.arange(40)).astype(np.float32)
    once = shared(images)
    outputs = np.stack([once, shared(once)])
    assert (low, high) == pytest.approx((min(outputs.min(), 0.0), outputs.max()), rel=1e-5)


def test_a_hub_module_is_refused() -> None:
    from tfclassify.backbones.hub_layer import HubFeatures

    hub = HubFeatures.__new__(HubFeatures)
    network = SimpleNamespace(layers=[hub])
    with pytest.raises(TrainingError, match=r"phases\[1\]\.quantise: the network runs a hub"):
        Quantiser(network, open_store(), "phases[1]")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ema": 0.9}, r"phases\[0\]\.ema: averages weights, which does not go with quantise"),
        ({"swa": 2, "keep_best": None}, r"phases\[0\]\.swa: averages weights"),
        (
            {"features": {"views": 1}, "train": "head"},
            r"phases\[0\]\.features: skips the network that is rounded",
        ),
    ],
)
def test_what_does_not_go_with_it(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make_recipe([WHOLE | {"quantise": True} | changes])
    with pytest.raises(RecipeError, match="before the pruning or the rounding; use last"):
        make_recipe([WHOLE | {"quantise": True}], keep_phase="best")


def test_a_phase_is_judged_as_rounded(tmp_path: Path) -> None:
    """Its validation differs from the same phase's without rounding, and its BatchNorm stays."""
    phases = [WHOLE | {"epochs": 1}, WHOLE | {"name": "rounded", "epochs": 1, "quantise": True}]
    trainer = make_trainer(make_recipe(phases), tmp_path / "photos", tmp_path / "state")
    first, second = trainer.run()
    assert first.validation["loss"] != second.validation["loss"]
    plain = score_now(trainer)
    assert plain["loss"] == pytest.approx(second.validation["loss"], abs=0.2)
    norms = [layer for layer in trainer.classifier.extractor.layers if "bn" in layer.name]
    assert norms
    assert not any(layer.trainable for layer in norms)
