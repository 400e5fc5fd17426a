"""A SavedModel that could do more than compute is refused before it is loaded."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.hostile import saved_model_attacks as attacks
from tests.hub_modules import make_hub_module
from tfclassify.backbones import hub_layer, saved_models
from tfclassify.backbones.hub_layer import build_hub, load_module
from tfclassify.backbones.saved_models import check_saved_model, load_saved_model
from tfclassify.errors import ModelError


def save(folder: Path, function: Callable[[Any], Any]) -> Path:
    module = tf.Module()
    module.__call__ = tf.function(function, input_signature=[tf.TensorSpec((None, 4), tf.float32)])
    tf.saved_model.save(module, str(folder))
    return folder


def read(x: Any) -> Any:
    return x + tf.cast(tf.strings.length(tf.io.read_file("secret")), tf.float32)


def write(x: Any) -> Any:
    with tf.control_dependencies([tf.io.write_file("ran", tf.strings.as_string(x[0, 0]))]):
        return x * 2


def run_python(x: Any) -> Any:
    return tf.numpy_function(lambda y: y, [x], tf.float32)


def print_to_file(x: Any) -> Any:
    tf.print(x, output_stream="file://ran")
    return x


def list_files(x: Any) -> Any:
    return x + tf.cast(tf.size(tf.io.matching_files("*")), tf.float32)


def map_file(x: Any) -> Any:
    region = tf.raw_ops.ImmutableConst(dtype=tf.float32, shape=(4,), memory_region_name="/f")
    return x + region


def read_records(x: Any) -> Any:
    return tf.data.TFRecordDataset("f").reduce(x, lambda state, _: state)


@pytest.mark.parametrize(
    ("function", "operation"),
    [
        (read, "ReadFile"),
        (write, "WriteFile"),
        (run_python, "PyFunc"),
        (print_to_file, "PrintV2"),
        (list_files, "MatchingFiles"),
        (map_file, "ImmutableConst"),
        (read_records, "TFRecordDataset"),
    ],
)
def test_what_does_more_than_compute_is_refused(
    function: Callable[[Any], Any], operation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = save(tmp_path / "m", function)
    with pytest.raises(ModelError, match=rf"was not loaded: .*{operation} \(1x\)"):
        load_module(folder)
    assert not (tmp_path / "ran").exists()


def test_it_is_found_however_deep_it_lies(tmp_path: Path) -> None:
    @tf.function
    def inner(x: Any) -> Any:
        return tf.cond(tf.reduce_sum(x) > 1e30, lambda: write(x), lambda: x)

    def outer(x: Any) -> Any:
        return tf.while_loop(lambda y: tf.reduce_sum(y) < 0, lambda y: (inner(y),), (x,))[0]

    with pytest.raises(ModelError, match=r"WriteFile \(1x\)"):
        check_saved_model(save(tmp_path, outer))


def test_it_is_found_in_a_function_that_is_offered_but_not_called(tmp_path: Path) -> None:
    module = tf.Module()
    spec = tf.TensorSpec((None, 4), tf.float32)
    module.__call__ = tf.function(lambda x: x, input_signature=[spec])
    module.regularization_losses = [tf.function(lambda: tf.io.read_file("x"), input_signature=[])]
    tf.saved_model.save(module, str(tmp_path))
    with pytest.raises(ModelError, match=r"ReadFile \(1x\)"):
        check_saved_model(tmp_path)


def test_what_only_computes_is_allowed(tmp_path: Path) -> None:
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(np.arange(3, dtype=np.int64), np.ones(3, np.float32)),
        0.0,
    )
    module = tf.Module()
    module.table = table
    module.scale = tf.Variable(2.0)

    def compute(x: Any) -> Any:
        x = tf.nn.dropout(x, 0.1) + tf.random.normal(tf.shape(x))
        x = tf.while_loop(lambda y: tf.reduce_sum(y) < 0, lambda y: (y + 1,), (x,))[0]
        module.scale.assign_add(1.0)
        return module.scale * x + table.lookup(tf.argmax(x, axis=1))[:, None]

    spec = tf.TensorSpec((None, 4), tf.float32)
    module.__call__ = tf.function(compute, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path / "all"))
    check_saved_model(tmp_path / "all")
    make_hub_module(tmp_path / "hub")
    check_saved_model(tmp_path / "hub")


def test_a_file_in_the_old_format_is_refused_whatever_it_names(tmp_path: Path) -> None:
    """TensorFlow's loader of this format runs ``restore_op_name``: the file was copied."""
    secret = tmp_path / "secret"
    secret.write_text("top secret")
    attacks.copy_while_restoring(tmp_path / "copies", secret, tmp_path / "ran")
    attacks.read_as_saving(tmp_path / "reads", secret)
    attacks.call_the_saver(tmp_path / "hides", tmp_path / "ran")
    attacks.make_old_format(tmp_path / "hides")
    for name in ("copies", "reads", "hides"):
        with pytest.raises(ModelError, match="TensorFlow 1's format, whose loader runs whatever"):
            load_module(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "attack",
    [
        attacks.write_while_initialising,
        attacks.write_by_gradient,
        attacks.call_the_saver,
        attacks.call_the_saver_by_another_name,
        attacks.name_the_saver_as_an_operation,
    ],
)
def test_functions_are_looked_at_whoever_names_them(
    attack: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    attack(tmp_path / "m", tmp_path / "ran")
    with pytest.raises(ModelError, match=r"was not loaded: .*\(\dx\)"):
        load_module(tmp_path / "m")
    assert not (tmp_path / "ran").exists()


def test_an_export_of_keras_is_loaded(tmp_path: Path) -> None:
    images = keras.Input((8, 8, 3))
    rows = keras.layers.Reshape((8, 24))(keras.layers.Conv2D(3, 3, padding="same")(images))
    x = keras.layers.Bidirectional(keras.layers.GRU(4))(rows)
    model = keras.Model(images, keras.layers.BatchNormalization()(x))
    model.export(tmp_path / "m", verbose=False)
    served = load_saved_model(tmp_path / "m").signatures["serving_default"]
    pixels = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    (answer,) = served(tf.constant(pixels)).values()
    np.testing.assert_allclose(answer, model(pixels), rtol=1e-5, atol=1e-6)


def test_files_that_are_no_saved_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"saved_model\.pb: is not a readable SavedModel"):
        check_saved_model(tmp_path)
    graph = tmp_path / "saved_model.pb"
    for content, reason in ((b"", "it holds no graph"), (b"\xff" * 9, "is not a readable")):
        graph.write_bytes(content)
        with pytest.raises(ModelError, match=reason):
            check_saved_model(tmp_path)
    monkeypatch.setattr("tfclassify.backbones.saved_models._LARGEST_GRAPH", 3)
    with pytest.raises(ModelError, match="it is over 3 bytes"):
        check_saved_model(tmp_path)


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (attacks.call_too_often, r"calls are 15,032,385,538 operations when written out, 34 deep"),
        (lambda folder: attacks.call_too_often(folder, 101), "allowed are 1,000,000 and 100"),
        (attacks.call_itself, "functions call one another without end"),
    ],
)
def test_calls_are_counted_before_they_are_made(
    attack: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    attack(tmp_path / "m")
    with pytest.raises(ModelError, match=message):
        load_module(tmp_path / "m")


def test_a_module_that_never_ends_or_fills_the_memory_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attacks.never_end(tmp_path / "endless")
    attacks.fill_memory(tmp_path / "large")
    run = functools.partial(saved_models.bounded_run, seconds=0.5)
    monkeypatch.setattr(hub_layer, "bounded_run", run)
    with pytest.raises(ModelError, match=r"model\.backbone: 'one': one image took over 0 s"):
        build_hub(tmp_path / "endless", attacks.SIZE, "one")
    monkeypatch.undo()
    with pytest.raises(ModelError, match="'two': one image takes more memory than this machine"):
        build_hub(tmp_path / "large", attacks.SIZE, "two")
    assert float(tf.reduce_sum(tf.ones(9))) == 9  # nothing stays cancelled or limited
