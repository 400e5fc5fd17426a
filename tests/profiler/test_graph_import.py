"""A hub module inside a model is counted as if its layers were the model's own."""

from __future__ import annotations

from pathlib import Path

import keras

from tests.hub_modules import make_hub_module
from tfclassify.backbones.hub_layer import build_hub
from tfclassify.profiler.graph_import import expand_calls
from tfclassify.profiler.keras_profile import profile_model
from tfclassify.profiler.tracing import trace_model


def test_a_module_is_counted_operation_by_operation(tmp_path: Path) -> None:
    make_hub_module(tmp_path, is_map=True)
    module = build_hub(tmp_path, (16, 16), "hub:m")
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(3, 1, use_bias=False, name="before")(image)
    x = keras.layers.Conv2D(5, 3, use_bias=False, name="after")(module(x))
    profile = profile_model(keras.Model(image, x), [(16, 16, 3)], title="", target="")
    macs = {layer.name: layer.macs for layer in profile.layers if layer.macs}
    # 8x8 positions of 4 filters over 3x3x3; then 6x6 of 5 over 3x3x4.
    expected = [16 * 16 * 3 * 3, 8 * 8 * 4 * 27, 6 * 6 * 5 * 36]
    assert list(macs.values()) == expected
    assert profile.macs == sum(expected)
    assert not profile.cost.uncounted
    assert profile.params == 9 + 27 * 4 + 4 + 4 + 36 * 5
    # 1x1, then 3x3 of step 2, then 3x3 on that: 3 + 2 * 2.
    assert profile.receptive_field.to_dict()["size"] == 7
    shapes = {layer.name: layer.output_shape for layer in profile.layers}
    assert (8, 8, 4) in shapes.values()


def test_a_model_without_modules_keeps_its_trace() -> None:
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Conv2D(2, 3)(image))
    trace = trace_model(model, [(1, 8, 8, 3)])
    assert expand_calls(trace, [(1, 8, 8, 3)]) is trace
