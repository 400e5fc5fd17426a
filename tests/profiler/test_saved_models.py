from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import keras
import pytest
import tensorflow as tf

from tests.hostile import saved_model_attacks as attacks
from tests.profiler.networks import L, build_objects50
from tfclassify.backbones.hub_modules import fetch_module
from tfclassify.errors import ModelError, ProfileError, RequestError
from tfclassify.profiler import saved_models
from tfclassify.profiler.keras_profile import profile_model
from tfclassify.profiler.saved_models import open_saved_model, profile_saved, time_saved


def export_convolution(folder: Path, *, rank_is_known: bool = True, is_callable: bool = True):
    """Export a module without signatures: a 3x3 convolution of step 2, and a ReLU."""
    module = tf.Module()
    module.kernel = tf.Variable(tf.ones((3, 3, 3, 4)), name="kernel")
    spec = tf.TensorSpec((None, None, None, 3) if rank_is_known else None, tf.float32)
    if is_callable:
        module.__call__ = tf.function(
            lambda x: tf.nn.relu(tf.nn.conv2d(x, module.kernel, 2, "SAME")), input_signature=[spec]
        )
    tf.saved_model.save(module, str(folder))


def test_an_export_costs_what_its_model_costs(tmp_path: Path) -> None:
    image = keras.Input((16, 16, 4))
    x = L.Conv2D(8, 3, padding="same", groups=2, activation="relu", name="grouped")(image)
    x = L.BatchNormalization(name="bn")(x)
    x = L.DepthwiseConv2D(3, name="depthwise")(x)
    model = keras.Model(image, L.Dense(3, name="logits")(L.Flatten()(x)), name="m")
    model.export(tmp_path / "saved", verbose=False)
    expected = profile_model(model, [(16, 16, 4)], title="", target="")
    saved = open_saved_model(tmp_path / "saved", None)
    profile = profile_saved(saved, title="saved", target="saved")
    assert profile.cost == expected.cost
    assert profile.params == expected.params
    assert profile.trainable_params == expected.trainable_params
    assert profile.weight_bytes == expected.weight_bytes
    assert sum(layer.macs for layer in profile.layers) == profile.macs
    assert sum(layer.params for layer in profile.layers) == profile.params
    assert not profile.cost.uncounted
    by_scope = {layer.path[-1].removesuffix("_1"): layer for layer in profile.layers}
    assert (
        by_scope["grouped"].macs
        + sum(layer.macs for layer in profile.layers if "grouped" in layer.path[:-1])
        == 16 * 16 * 8 * 9 * 2
    )
    assert by_scope["logits"].params == 14 * 14 * 8 * 3 + 3


def test_a_module_without_signature_is_given_a_size(tmp_path: Path) -> None:
    export_convolution(tmp_path / "m")
    profile = profile_saved(open_saved_model(tmp_path / "m", (10, 8)), title="m", target="m")
    assert profile.macs == 5 * 4 * 4 * 27
    assert profile.receptive_field.to_dict()["size"] == 3
    with pytest.raises(RequestError, match="has no fixed size; give one with --image-size"):
        open_saved_model(tmp_path / "m", None)


def test_a_fixed_size_is_kept(tmp_path: Path) -> None:
    build_objects50().export(tmp_path / "m", verbose=False)
    with pytest.raises(RequestError, match="its input is fixed at 64x64 pixels"):
        open_saved_model(tmp_path / "m", (32, 32))


def test_a_saved_model_is_timed_by_its_scopes(tmp_path: Path) -> None:
    export_convolution(tmp_path / "m")
    saved = open_saved_model(tmp_path / "m", (16, 16))
    profile = profile_saved(saved, title="m", target="m")
    timed = time_saved(profile, saved, 2, "cpu:0")
    assert timed.latency.batch.batch_size == 2
    assert timed.latency.batch.median_ms > 0
    assert timed.latency.parts_ms == pytest.approx(
        sum(layer.latency_ms for layer in timed.layers if layer.latency_ms is not None)
    )
    assert 0 < timed.latency.parts_share <= 1
    busiest = max(timed.layers, key=lambda layer: layer.latency_ms or 0)
    assert busiest.macs > 0
    assert busiest.rated.flops == 2 * busiest.flops
    assert busiest.read_weight_bytes >= busiest.weight_bytes > 0
    assert busiest.rated.moved_bytes == 2 * busiest.moved_bytes + busiest.read_weight_bytes


def test_saved_models_that_cannot_be_used(tmp_path: Path) -> None:
    export_convolution(tmp_path / "silent", is_callable=False)
    with pytest.raises(ProfileError, match="has no signature and cannot be called"):
        open_saved_model(tmp_path / "silent", None)
    export_convolution(tmp_path / "any", rank_is_known=False)
    with pytest.raises(ProfileError, match="which cannot be given a size"):
        open_saved_model(tmp_path / "any", (8, 8))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "saved_model.pb").write_bytes(b"no")
    with pytest.raises(ProfileError, match="is not a readable SavedModel"):
        open_saved_model(tmp_path / "broken", None)
    export_convolution(tmp_path / "lame")
    (tmp_path / "lame" / "variables" / "variables.index").write_bytes(b"no")
    with pytest.raises(ProfileError, match="TensorFlow cannot load the SavedModel"):
        open_saved_model(tmp_path / "lame", None)


def test_a_saved_model_that_does_more_than_compute_is_refused(tmp_path: Path) -> None:
    module = tf.Module()
    module.__call__ = tf.function(
        lambda x: x + tf.cast(tf.strings.length(tf.io.read_file("f")), tf.float32),
        input_signature=[tf.TensorSpec((None, 8, 8, 3), tf.float32)],
    )
    tf.saved_model.save(module, str(tmp_path))
    with pytest.raises(ProfileError, match=r"was not loaded: ReadFile \(1x\)"):
        open_saved_model(tmp_path, None)


def test_a_module_from_the_cache_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = "https://tfhub.dev/example/tiny/1"
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    export_convolution(tmp_path / hashlib.sha1(handle.encode()).hexdigest())
    assert open_saved_model(fetch_module(handle), (8, 8)).shapes == ((8, 8, 3),)


def profile_export(model: keras.Model, folder: Path):
    """Profile a model as it is, and its export."""
    model.export(folder, verbose=False)
    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    expected = profile_model(model, shapes, title="", target="")
    return expected, profile_saved(open_saved_model(folder, None), title="", target="")


@pytest.mark.parametrize("recurrent", [L.LSTM(4), L.Bidirectional(L.GRU(4)), L.SimpleRNN(4)])
def test_an_exported_recurrent_network_costs_what_it_costs_in_keras(
    recurrent: keras.Layer, tmp_path: Path
) -> None:
    image = keras.Input((7, 5))
    model = keras.Model(image, L.Dense(3)(recurrent(image)))
    expected, profile = profile_export(model, tmp_path / "m")
    assert profile.cost == expected.cost
    assert profile.params == expected.params == model.count_params()
    assert not profile.cost.uncounted
    if isinstance(recurrent, L.LSTM):
        # 7 steps of four gates of 5 + 4 inputs and 4 outputs, then 4 x 3.
        assert profile.macs == 7 * 4 * (5 + 4) * 4 + 4 * 3


def save_call(folder: Path, call, size: tuple[int, ...], **variables) -> None:
    module = tf.Module()
    for name, value in variables.items():
        setattr(module, name, tf.Variable(value))
    spec = tf.TensorSpec((None, *size), tf.float32)
    module.__call__ = tf.function(lambda x: call(module, x), input_signature=[spec])
    tf.saved_model.save(module, str(folder))


def test_branches_and_loops_of_a_module_are_counted(tmp_path: Path) -> None:
    def call(module, x):
        def convolve():
            return tf.nn.conv2d(x, module.kernel, 1, "SAME")

        y = tf.cond(tf.reduce_mean(x) > 0, convolve, lambda: x[..., :1] * tf.ones(4))
        rows = tf.reshape(y, (-1, 4))
        loop = lambda n, rows: (n + 1, tf.matmul(rows, module.square))  # noqa: E731
        rows = tf.while_loop(lambda n, _: n < 5, loop, (0, rows))[1]
        return tf.reshape(rows, (-1, 8, 8, 4))

    save_call(tmp_path, call, (8, 8, 3), kernel=tf.ones((3, 3, 3, 4)), square=tf.ones((4, 4)))
    profile = profile_saved(open_saved_model(tmp_path, None), title="", target="")
    assert profile.macs == 8 * 8 * 4 * 27 + 5 * (8 * 8 * 4 * 4)
    assert not profile.cost.uncounted
    assert profile.params == 3 * 3 * 3 * 4 + 16


def test_a_loop_whose_items_grow_is_not_counted_as_if_they_did_not(tmp_path: Path) -> None:
    def call(_, x):
        free = (tf.TensorShape(()), tf.TensorShape((None, None)))
        return tf.while_loop(
            lambda n, _: n < 2, lambda n, r: (n + 1, tf.concat([r, tf.exp(r)], 1)), (0, x), free
        )[1]

    save_call(tmp_path, call, (4,))
    profile = profile_saved(open_saved_model(tmp_path, None), title="", target="")
    assert "Exp" not in profile.cost.elementwise
    assert profile.cost.uncounted


@pytest.mark.parametrize("attack", [attacks.never_end, attacks.call_too_often])
def test_a_module_without_end_is_counted_or_refused(attack, tmp_path: Path, monkeypatch) -> None:
    attack(tmp_path / "m")
    monkeypatch.setattr(
        saved_models, "bounded_run", functools.partial(saved_models.bounded_run, seconds=0.5)
    )

    def profile_all() -> None:
        saved = open_saved_model(tmp_path / "m", None)
        time_saved(profile_saved(saved, title="", target="m"), saved, 1, "cpu:0")

    with pytest.raises((ModelError, ProfileError), match=r"took over 0 s|when written out"):
        profile_all()
