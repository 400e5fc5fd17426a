"""Operators of exported files are counted as the layers that they were made of."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest

from tests.export.networks import CLASSES, make_bundle, make_recipe
from tests.export.parity import SMALL
from tfclassify.errors import RequestError
from tfclassify.export.operators import Operator, profile_artefact
from tfclassify.model.bundle import save_model
from tfclassify.profiler.keras_profile import profile_model
from tfclassify.workflows.export import ExportRequest, export_run
from tfclassify.workflows.profile import ProfileRequest, profile_targets

#: By hand: 16x16 outputs of 6 filters over 3x3x3, and 6 features for each of 5 classes.
SMALL_MACS = 16 * 16 * 6 * 27 + 6 * 5


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = make_bundle(tmp_path_factory.mktemp("operators") / "bundle", SMALL, 32)
    export_run(ExportRequest(bundle, ("onnx", "litert"), batch=2))
    export_run(ExportRequest(bundle, ("litert", "onnx"), precision="int8-dynamic"))
    return bundle / "export"


@pytest.mark.parametrize("name", ["onnx", "litert", "onnx-int8-dynamic", "litert-int8-dynamic"])
def test_macs_are_those_counted_by_hand(exported: Path, name) -> None:
    profile = profile_artefact(exported / name, name)
    assert profile.macs == SMALL_MACS
    assert not profile.cost.uncounted
    assert profile.macs == sum(layer.macs for layer in profile.layers)
    # BatchNorm lies within the kernels: 3*3*3*6 + 6, 6*5 + 5; the rest is a few shapes.
    assert 203 <= profile.params <= 203 + 40


def test_every_product_is_counted_as_in_keras(tmp_path) -> None:
    images = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(images)
    x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = keras.layers.SeparableConv2D(8, 3, padding="same")(x)
    x = keras.layers.Conv2D(8, 3, groups=8, padding="same")(x)
    x = keras.layers.Add()([x, keras.layers.Conv2D(8, 1)(x)])
    x = keras.layers.Reshape((36, 8))(x)
    x = keras.layers.MultiHeadAttention(2, 4)(x, x)
    x = keras.layers.Flatten()(x)
    model = keras.Model(images, keras.layers.Dense(5, activation="softmax")(x))
    expected = profile_model(model, [(12, 12, 3)], title="x", target="x").macs
    bundle = tmp_path / "bundle"
    recipe = make_recipe(SMALL, 12)
    save_model(bundle, model, classes=CLASSES, recipe=recipe)
    export_run(ExportRequest(bundle, ("onnx", "litert")))
    for name in ("onnx", "litert"):
        assert profile_artefact(bundle / "export" / name, name).macs == expected


def test_unknown_shapes_are_never_zero() -> None:
    for operator in (
        Operator("a", "Conv", ((1, 3, 8, 8), (4, 3, 5, 5)), None),
        Operator("b", "MatMul", ((1, 3), None), (1, 4)),
    ):
        assert operator.count().uncounted == {operator.kind: 1}
    assert Operator("c", "Relu", ((1, 3),), (1, 3)).count().elementwise == {"Relu": 3}
    assert Operator("d", "Gemm", ((1, 7), (4, 7)), (1, 4), True).count().macs == 28
    assert Operator("e", "BATCH_MATMUL", ((9, 7), (4, 7)), (9, 4), True).count().macs == 252


def test_profile_takes_every_artefact(exported: Path) -> None:
    export_run(ExportRequest(exported.parent, ("savedmodel",)))
    names = ("onnx", "litert", "savedmodel")
    targets = tuple(str(exported / name) for name in names)
    found = profile_targets(ProfileRequest(targets, has_latency=False))
    assert [each.profile.macs for each in found] == [SMALL_MACS] * 3
    (timed,) = profile_targets(ProfileRequest(targets[:1], batch_size=3))
    assert timed.profile.latency.batch.batch_size == 3
    with pytest.raises(RequestError, match="its input is fixed at 32x32"):
        profile_targets(ProfileRequest(targets[:1], image_sizes=((33, 33),)))
