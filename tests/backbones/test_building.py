"""A name, a size and a word for weights give the network asked for, or say why not."""

from __future__ import annotations

import dataclasses
import random
import socket
import sys
import urllib.error
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tfclassify.backbones import building
from tfclassify.backbones.building import (
    build_backbone,
    build_pretrained,
    construct,
    seeded_construction,
)
from tfclassify.backbones.catalog import BACKBONES, get_backbone
from tfclassify.backbones.origins import KerasNetwork
from tfclassify.errors import ModelError, RequestError, WeightsError
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


CONFIG = "keras.src.utils.file_utils.config.keras_home"


@pytest.fixture
def refused() -> list[Any]:
    """Hold the addresses that were looked up in vain."""
    return []


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: list[Any]) -> Path:
    """Give Keras an empty cache, and no network."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(CONFIG, lambda: str(tmp_path))

    def refuse(*given: Any, **__: Any) -> Any:
        refused.append(given)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def origin_of(name: str) -> KerasNetwork:
    origin = get_backbone(name).origin
    assert isinstance(origin, KerasNetwork)
    return origin


def test_without_a_network_there_are_three_ways_out(cache: Path, refused: list[Any]) -> None:
    with pytest.raises(WeightsError) as caught:
        build_backbone("mobilenet_025", (96, 96))
    assert len(refused) == 1  # nobody waits for one try after another
    message = str(caught.value)
    file = cache / "mobilenet_2_5_224_tf_no_top.h5"
    assert "no ImageNet weights for 'mobilenet_025': they are not on this machine" in message
    assert "Name or service not known" in message
    assert f"put Keras' file mobilenet_2_5_224_tf_no_top.h5 at {file}" in message
    assert "weights: <path of that file>" in message
    assert "efficientnet_lite0, whose weights need no download, or weights: none" in message
    assert not file.exists()


def test_a_file_in_the_cache_needs_no_network(cache: Path) -> None:
    source = construct(origin_of("mobilenet_025"), (224, 224), None)
    source.save(cache.parent / "unused.keras")
    write_legacy_weights(source, cache / "mobilenet_2_5_224_tf_no_top.h5")
    # Of another size than the weights' own: 224's are used at every size.
    network = build_backbone("mobilenet_025", (96, 64))
    assert network.input_shape == (None, 96, 64, 3)
    for got, expected in zip(network.get_weights(), source.get_weights(), strict=True):
        assert np.array_equal(got, expected)


def write_legacy_weights(network: keras.Model, path: Path) -> None:
    """Write a weight file of the kind that keras.applications is published in."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)


def test_a_damaged_file_in_the_cache_is_told(cache: Path) -> None:
    origin = origin_of("vgg16")  # Keras knows its checksum, so it tries to download it again
    origin.weights_path().write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="the cached file was damaged or of another version"):
        build_pretrained(origin, (32, 32), "vgg16")


@pytest.mark.parametrize(
    "failure",
    [
        urllib.error.URLError(TimeoutError("timed out")),
        urllib.error.HTTPError("https://example.org", 403, "Forbidden", None, None),  # type: ignore[arg-type]
    ],
    ids=["timeout", "forbidden"],
)
def test_a_failing_download_says_why(
    cache: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", fail)
    with pytest.raises(WeightsError, match=r"could not be downloaded \(.*(timed out|Forbidden)"):
        build_backbone("mobilenet_025", (96, 96))


def test_the_download_is_kerass_own_with_its_checksum(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    waits: list[float | None] = []

    def deliver(url: str, path: str, *_: Any) -> None:
        asked.append(url)
        waits.append(socket.getdefaulttimeout())
        Path(path).write_bytes(b"not what was published")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", deliver)
    with pytest.raises(WeightsError, match=r"Incomplete or corrupted|hash"):
        build_backbone("vgg16", (32, 32))
    assert len(asked) == 1
    assert asked[0].endswith("/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5")
    assert waits == [20.0]
    assert socket.getdefaulttimeout() is None


def test_progress_stays_off_standard_output(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def speak(*_: Any) -> None:
        print("10%")
        raise OSError("broken")

    monkeypatch.setattr(building, "construct", speak)
    with pytest.raises(WeightsError, match="broken"):
        build_pretrained(origin_of("vgg16"), (32, 32), "vgg16")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "10%" in printed.err
    assert sys.stdout is not sys.stderr


def test_the_width_is_passed_on() -> None:
    wide = dataclasses.replace(origin_of("mobilenet_025"), alpha=0.5)
    assert construct(wide, (32, 32), None).output_shape == (None, 1, 1, 512)


def draw(seed: int, part: str) -> np.ndarray:
    with seeded_construction(seed, part):
        layer = keras.layers.Dense(4)
        layer.build((None, 3))
    return np.asarray(layer.kernel)


def test_the_same_seed_and_part_give_the_same_weights() -> None:
    assert np.array_equal(draw(1, "head"), draw(1, "head"))
    assert not np.array_equal(draw(1, "head"), draw(2, "head"))
    assert not np.array_equal(draw(1, "head"), draw(1, "backbone"))


def test_two_layers_of_a_part_differ() -> None:
    with seeded_construction(1, "head"):
        layers = [keras.layers.Dense(4), keras.layers.Dense(4)]
        for layer in layers:
            layer.build((None, 3))
    assert not np.array_equal(layers[0].kernel, layers[1].kernel)


def test_the_global_generator_goes_on_as_before() -> None:
    random.seed(5)
    expected = random.random()
    random.seed(5)
    draw(1, "head")
    assert random.random() == expected
