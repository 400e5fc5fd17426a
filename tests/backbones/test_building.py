"""A name, a size and a word for weights give the network asked for, or say why not."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from tfclassify.backbones.building import build_backbone
from tfclassify.backbones.catalog import BACKBONES
from tfclassify.errors import ModelError, RequestError
from tfclassify.recipe.schema import LayerRecipe


def test_the_seed_decides_what_is_not_pretrained() -> None:
    def weights(seed: int) -> list[np.ndarray]:
        network = build_backbone("mobilenet_v3_small", (32, 32), weights="none", seed=seed)
        return network.get_weights()

    first, again, other = weights(3), weights(3), weights(4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("name", ["xception", "inception_v3", "vgg16", "efficientnet_lite0"])
def test_too_small_an_image_is_refused(name: str) -> None:
    least = BACKBONES[name].min_size
    with pytest.raises(ModelError, match=rf"{name} needs at least {least} .* got {least - 1}x300"):
        build_backbone(name, (least - 1, 300), weights="none")


def test_the_least_size_does_work() -> None:
    network = build_backbone("efficientnet_lite0", (32, 32), weights="none")
    assert network.output_shape == (None, 1, 1, 1280)


def test_blocks_are_for_the_custom_network_only() -> None:
    with pytest.raises(ModelError, match="only custom_cnn takes blocks, got 1 for vgg16"):
        build_backbone("vgg16", (64, 64), weights="none", layers=[LayerRecipe(conv=2)])


def test_the_custom_network_has_no_imagenet_weights() -> None:
    with pytest.raises(ModelError, match="custom_cnn has no ImageNet weights, got 'imagenet'"):
        build_backbone("custom_cnn", (64, 64), layers=[LayerRecipe(conv=2)])


def test_an_unknown_name_is_the_requests_fault() -> None:
    with pytest.raises(RequestError, match="did you mean 'resnet50'"):
        build_backbone("resnt50", (64, 64))


def test_weights_can_come_from_a_file(tmp_path: Path) -> None:
    layers = [LayerRecipe(conv=2), LayerRecipe(conv=3)]
    source = build_backbone("custom_cnn", (16, 16), weights="none", layers=layers, seed=1)
    path = tmp_path / "mine.weights.h5"
    source.save_weights(path)
    target = build_backbone("custom_cnn", (16, 16), weights=str(path), layers=layers, seed=2)
    for got, expected in zip(target.get_weights(), source.get_weights(), strict=True):
        assert np.array_equal(got, expected)


def test_mixed_precision_leaves_the_weights_in_float32() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        network = build_backbone("mobilenet_025", (32, 32), weights="none")
    finally:
        keras.config.set_dtype_policy(before)
    assert {str(weight.dtype) for weight in network.weights} == {"float32"}
    assert str(network.output.dtype) == "float16"
