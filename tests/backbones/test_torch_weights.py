"""Weights of torchvision's files in the Keras network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.backbones.safetensors_files import write_safetensors
from tests.backbones.torch_files import write_state
from tests.backbones.torch_resnet import make_state, torch_features
from tfclassify.backbones.building import build_backbone, build_network
from tfclassify.backbones.catalog import BACKBONES
from tfclassify.backbones.torch_weights import find_published_weights, load_torch_weights
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
