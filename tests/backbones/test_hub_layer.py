"""A hub module as a Keras layer: its numbers, its variables, its two modes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.hub_modules import PENALTY, apply_module, make_hub_module
from tfclassify.backbones.hub_layer import (
    HubFeatures,
    build_hub,
    list_module_files,
    load_module,
    module_folders,
    name_module,
)
from tfclassify.errors import ModelError

IMAGES = np.random.default_rng(5).uniform(0, 1, (3, 16, 16, 3)).astype(np.float32)


def save(folder: Path, function: Any, **signatures: Any) -> Path:
    """Write a module that is a plain function of images of 16x16."""
    module = tf.Module()
    if function is not None:
        spec = tf.TensorSpec((None, 16, 16, 3), tf.float32)
        module.__call__ = tf.function(function, input_signature=[spec])
    tf.saved_model.save(module, str(folder), signatures=signatures or None)
    return folder


@pytest.mark.parametrize("has_training", [True, False])
@pytest.mark.parametrize("is_reusable", [True, False])
def test_features_are_those_of_the_module(
    has_training: bool, is_reusable: bool, tmp_path: Path
) -> None:
    values = make_hub_module(tmp_path, has_training=has_training, is_reusable=is_reusable)
    network = build_hub(tmp_path, (16, 16), "hub:m")
    assert network.output_shape == (None, 1, 1, 4)
    got = np.asarray(network(IMAGES))[:, 0, 0]
    np.testing.assert_allclose(got, apply_module(values, IMAGES), rtol=1e-5, atol=1e-6)
    assert np.array_equal(network.predict(IMAGES, verbose=0)[:, 0, 0], got)
    shapes = {variable.name.rpartition("_")[0]: variable for variable in network.variables}
    assert {name: tuple(v.shape) for name, v in shapes.items()} == {
        "net_kernel": (3, 3, 3, 4),
        "net_scale": (4,),
        "net_mean": (4,),
    }
    assert [v.name.rpartition("_")[0] for v in network.non_trainable_variables] == ["net_mean"]


def test_a_map_keeps_its_height_and_width(tmp_path: Path) -> None:
    values = make_hub_module(tmp_path, is_map=True, size=(None, None))
    network = build_hub(tmp_path, (16, 24), "hub:m")
    assert network.output_shape == (None, 8, 12, 4)
    images = np.random.default_rng(0).uniform(0, 1, (2, 16, 24, 3)).astype(np.float32)
    got = np.asarray(network(images)).mean((1, 2))
    np.testing.assert_allclose(got, apply_module(values, images), rtol=1e-5, atol=1e-6)


def test_training_reaches_the_module_only_when_it_is_let(tmp_path: Path) -> None:
    values = make_hub_module(tmp_path)
    network = build_hub(tmp_path, (16, 16), "hub:m")
    layer = network.layers[1]
    plain = np.asarray(network(IMAGES))
    mean = layer.non_trainable_variables[0]
    assert np.array_equal(network(IMAGES, training=True), plain)  # statistics are kept
    layer.keeps_statistics = False
    assert np.array_equal(network(IMAGES, training=False), plain)
    layer.trainable = False
    assert np.array_equal(network(IMAGES, training=True), plain)
    layer.trainable = True
    np.testing.assert_array_equal(mean, values["mean"])
    assert not np.allclose(network(IMAGES, training=True), plain)
    assert not np.allclose(mean, values["mean"])


def test_a_gradient_step_changes_the_module_itself(tmp_path: Path) -> None:
    values = make_hub_module(tmp_path)
    network = build_hub(tmp_path, (16, 16), "hub:m")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(IMAGES) ** 2)
    variables = network.trainable_variables
    keras.optimizers.SGD(0.01).apply_gradients(
        zip(tape.gradient(loss, [v.value for v in variables]), variables, strict=True)
    )
    changed = {v.name.rpartition("_")[0].removeprefix("net_"): np.asarray(v) for v in variables}
    assert not np.allclose(changed["kernel"], values["kernel"])
    got = np.asarray(network(IMAGES))[:, 0, 0]
    np.testing.assert_allclose(got, apply_module(values | changed, IMAGES), rtol=1e-4, atol=1e-5)


def test_the_penalty_counts_while_the_module_is_trained(tmp_path: Path) -> None:
    values = make_hub_module(tmp_path)
    network = build_hub(tmp_path, (16, 16), "hub:m")
    (penalty,) = network.losses
    assert float(penalty) == pytest.approx(PENALTY * (values["kernel"] ** 2).sum(), rel=1e-5)
    network.layers[1].trainable = False
    assert network.losses == []


def test_a_signature_serves_where_there_is_no_call(tmp_path: Path) -> None:
    double = tf.function(
        lambda images: {"features": tf.reduce_mean(images, [1, 2]) * 2},
        input_signature=[tf.TensorSpec((None, 16, 16, 3), tf.float32, name="images")],
    )
    save(tmp_path, None, serving_default=double)
    network = build_hub(tmp_path, (16, 16), "hub:m")
    np.testing.assert_allclose(
        np.asarray(network(IMAGES))[:, 0, 0], IMAGES.mean((1, 2)) * 2, rtol=1e-5
    )


def test_a_saved_layer_finds_its_module_by_name_only(tmp_path: Path) -> None:
    make_hub_module(tmp_path / "m")
    network = build_hub(tmp_path / "m", (16, 16), "hub:m")
    layer = network.layers[1]
    layer.trainable_variables[0].assign(layer.trainable_variables[0] * 2)
    expected = np.asarray(network(IMAGES))
    network.save(tmp_path / "network.keras")
    assert str(tmp_path) not in network.to_json()
    (tmp_path / "m").rename(tmp_path / "moved")
    with module_folders({layer.module: tmp_path / "moved"}):
        again = keras.models.load_model(tmp_path / "network.keras")
    assert np.array_equal(again(IMAGES), expected)
    with pytest.raises(Exception, match="this layer's SavedModel lies in a bundle"):
        keras.models.load_model(tmp_path / "network.keras")
    with pytest.raises(ModelError, match="hub_x: this layer's SavedModel lies in a bundle"):
        HubFeatures("hub_x", (1, 1, 4))


def test_the_name_is_made_of_the_content(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        make_hub_module(tmp_path / name, seed=seed)
    files = list_module_files(tmp_path / "a")
    assert {"saved_model.pb", "variables/variables.index"} <= set(files)
    (tmp_path / "a" / "notes.txt").write_text("no part of it")
    assert list_module_files(tmp_path / "a") == files
    first, second = name_module(tmp_path / "a"), name_module(tmp_path / "b")
    assert first != second
    assert len(first) == len("hub_") + 12


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: {"a": x, "b": x}, r"gives several outputs, \['a', 'b'\], none of which is 'def"),
        (lambda x: (x, x), "gives a tuple, not one tensor"),
        (lambda x: tf.reduce_sum(x), r"'hub:m' gives \(\) for 2 images; features are \(2, c\)"),
        (lambda x: tf.reduce_sum(x, [0, 1]), r"gives \(16, 3\) for 2 images"),
    ],
)
def test_modules_that_give_no_features(function: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        build_hub(save(tmp_path, function), (16, 16), "hub:m")


@pytest.mark.parametrize("outputs", [("default", "other"), ("only",)])
def test_of_several_outputs_the_default_is_taken(outputs: tuple[str, ...], tmp_path: Path) -> None:
    def several(x: Any) -> Any:
        return {name: tf.reduce_mean(x, [1, 2]) + n for n, name in enumerate(outputs)}

    network = build_hub(save(tmp_path, several), (16, 16), "hub:m")
    got = np.asarray(network(IMAGES))[:, 0, 0]
    np.testing.assert_allclose(got, IMAGES.mean((1, 2)), rtol=1e-5)


def test_images_of_another_size_or_kind(tmp_path: Path) -> None:
    make_hub_module(tmp_path / "fixed")
    message = "takes images of 16x16 pixels, got 24x24; set data.image_size: 16"
    with pytest.raises(ModelError, match=message):
        build_hub(tmp_path / "fixed", (24, 24), "hub:m")
    module = tf.Module()
    module.__call__ = tf.function(
        lambda text: tf.strings.length(text), input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, str(tmp_path / "text"))
    with pytest.raises(ModelError, match="cannot be run on float32 images of 16x16x3"):
        build_hub(tmp_path / "text", (16, 16), "hub:m")


def test_saved_models_that_cannot_be_called(tmp_path: Path) -> None:
    message = "can neither be called with images nor has it a signature of one input"
    with pytest.raises(ModelError, match=message):
        load_module(save(tmp_path / "silent", None))
    make_hub_module(tmp_path / "lame")
    (tmp_path / "lame" / "variables" / "variables.index").write_bytes(b"no")
    with pytest.raises(ModelError, match="TensorFlow cannot load the SavedModel"):
        load_module(tmp_path / "lame")


def test_lists_that_are_none_are_refused(tmp_path: Path) -> None:
    make_hub_module(tmp_path)
    graph = tmp_path / "saved_model.pb"
    content = graph.read_bytes()
    assert b"trackable_list_wrapper" in content
    graph.write_bytes(content.replace(b"trackable_list_wrapper", b"trackable_lost_wrapper"))
    with pytest.raises(ModelError, match="the SavedModel is damaged, what it names is not of its"):
        load_module(tmp_path)
