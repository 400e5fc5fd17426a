"""ImageNet weights come from Keras' cache, or from the network, or there is a way out."""

from __future__ import annotations

import dataclasses
import socket
import sys
import time
import urllib.error
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tfclassify.backbones import imagenet_weights
from tfclassify.backbones.building import build_backbone
from tfclassify.backbones.catalog import get_backbone
from tfclassify.backbones.imagenet_weights import build_pretrained, construct
from tfclassify.backbones.origins import KerasNetwork
from tfclassify.errors import WeightsError

CONFIG = "keras.src.utils.file_utils.config.keras_home"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give Keras an empty cache, and no network."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(CONFIG, lambda: str(tmp_path))

    def refuse(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def origin_of(name: str) -> KerasNetwork:
    origin = get_backbone(name).origin
    assert isinstance(origin, KerasNetwork)
    return origin


def test_without_a_network_there_are_three_ways_out(cache: Path) -> None:
    start = time.monotonic()
    with pytest.raises(WeightsError) as caught:
        build_backbone("mobilenet_025", (96, 96))
    assert time.monotonic() - start < 20
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

    monkeypatch.setattr(imagenet_weights, "construct", speak)
    with pytest.raises(WeightsError, match="broken"):
        build_pretrained(origin_of("vgg16"), (32, 32), "vgg16")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "10%" in printed.err
    assert sys.stdout is not sys.stderr


def test_the_width_is_passed_on() -> None:
    wide = dataclasses.replace(origin_of("mobilenet_025"), alpha=0.5)
    assert construct(wide, (32, 32), None).output_shape == (None, 1, 1, 512)
