"""``weights: <path>`` reads arrays that fit, and nothing else."""

from __future__ import annotations

import contextlib
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from tests.hostile.cases import flip_bits
from tfclassify.backbones.building import build_backbone
from tfclassify.backbones.weight_files import load_weight_file
from tfclassify.errors import WeightsError
from tfclassify.recipe.schema import LayerRecipe

OFFICIAL = (
    Path(__file__).parents[2].parent / "shared" / "weights" / "mobilenet_2_5_224_tf_no_top.h5"
)
BLOCKS = (LayerRecipe(conv=2, batch_norm=True), LayerRecipe(conv=3))


def make_network(seed: int = 0, blocks: tuple[LayerRecipe, ...] = BLOCKS) -> keras.Model:
    return build_backbone("custom_cnn", (12, 12), weights="none", layers=blocks, seed=seed)


def add_top(network: keras.Model) -> keras.Model:
    pooled = keras.layers.GlobalAveragePooling2D()(network.output)
    return keras.Model(network.input, keras.layers.Dense(7)(pooled))


def write_legacy(network: keras.Model, path: Path) -> Path:
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    return path


def assert_same(got: keras.Model, expected: keras.Model) -> None:
    for mine, theirs in zip(got.get_weights(), expected.get_weights(), strict=True):
        assert np.array_equal(mine, theirs)


@pytest.mark.skipif(not OFFICIAL.is_file(), reason="the official file is not beside the project")
def test_an_official_file_loads_as_keras_loads_it() -> None:
    expected = keras.applications.MobileNet(
        alpha=0.25, include_top=False, weights=str(OFFICIAL), input_shape=(96, 96, 3)
    )
    got = build_backbone("mobilenet_025", (96, 96), weights=str(OFFICIAL))
    assert_same(got, expected)
    images = np.random.default_rng(0).uniform(-1, 1, (1, 96, 96, 3)).astype(np.float32)
    assert np.array_equal(got(images), expected(images))


@pytest.mark.skipif(not OFFICIAL.is_file(), reason="the official file is not beside the project")
def test_an_official_file_of_another_network_is_refused() -> None:
    with pytest.raises(
        WeightsError, match=r"not the weights of mobilenet_1\.00_96: .*'conv1' has the shapes"
    ):
        build_backbone("mobilenet", (96, 96), weights=str(OFFICIAL))


@pytest.mark.parametrize("with_top", [False, True], ids=["features", "whole network"])
@pytest.mark.parametrize("ending", [".weights.h5", ".h5"])
def test_both_kinds_load_with_and_without_the_top(
    ending: str, with_top: bool, tmp_path: Path
) -> None:
    source, path = make_network(seed=1), tmp_path / f"file{ending}"
    stored = add_top(source) if with_top else source
    if ending == ".h5":
        write_legacy(stored, path)
    else:
        stored.save_weights(path)
    target = make_network(seed=2)
    load_weight_file(target, path)
    assert_same(target, source)


def test_names_cut_into_pieces_are_joined(tmp_path: Path) -> None:
    source = make_network(seed=1)
    path = write_legacy(source, tmp_path / "file.h5")
    with h5py.File(path, "r+") as file:
        names = list(file.attrs["layer_names"])
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:3], names[3:]
    target = make_network(seed=2)
    load_weight_file(target, path)
    assert_same(target, source)


def test_the_published_normalisation_of_efficientnet_is_undone(tmp_path: Path) -> None:
    # The published files hold the deviation as variance, and Keras divides by its root
    # once more where it loads weights="imagenet": in all, by the deviation itself.
    deviation = np.array([0.229, 0.224, 0.225])
    source = build_backbone("efficientnet_b0", (32, 32), weights="none")
    normalization = next(x for x in source.layers if isinstance(x, keras.layers.Normalization))
    normalization.set_weights([np.array([0.485, 0.456, 0.406]), deviation, np.array(0)])
    path = write_legacy(source, tmp_path / "efficientnetb0_notop.h5")
    target = build_backbone("efficientnet_b0", (32, 32), weights=str(path))
    scaled = keras.Model(
        target.input,
        next(x for x in target.layers if isinstance(x, keras.layers.Normalization)).output,
    )
    images = np.full((1, 32, 32, 3), 51.0, np.float32)
    expected = (0.2 - np.array([0.485, 0.456, 0.406])) / deviation
    np.testing.assert_allclose(np.asarray(scaled(images))[0, 0, 0], expected, rtol=1e-5)


def test_a_missing_file_is_told() -> None:
    with pytest.raises(WeightsError, match=r"there is no file 'nowhere\.h5'; give imagenet, none"):
        load_weight_file(make_network(), Path("nowhere.h5"))


def test_a_file_of_another_format_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    path.write_bytes(b"PK\x03\x04 not HDF5")
    with pytest.raises(WeightsError, match=r"not a readable HDF5 file"):
        load_weight_file(make_network(), path)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_whole_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    make_network().save(path)
    with pytest.raises(WeightsError, match="a whole model in HDF5, which is not loaded for safety"):
        load_weight_file(make_network(), path)


def test_links_to_other_files_are_refused(tmp_path: Path) -> None:
    path = write_legacy(make_network(), tmp_path / "file.h5")
    with h5py.File(path, "r+") as file:
        file["block1_conv/kernel"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(WeightsError, match="block1_conv/kernel is a link; a weight file holds"):
        load_weight_file(make_network(), path)


def test_arrays_that_lie_in_other_files_are_refused(tmp_path: Path) -> None:
    path = write_legacy(make_network(), tmp_path / "file.h5")
    secret = tmp_path / "secret"
    secret.write_bytes(b"0123")
    with h5py.File(path, "r+") as file:
        file.create_dataset("stolen", (1,), "f4", external=[(str(secret), 0, 4)])
    with pytest.raises(WeightsError, match="/stolen is not a plain array of numbers"):
        load_weight_file(make_network(), path)


def test_text_is_refused(tmp_path: Path) -> None:
    path = write_legacy(make_network(), tmp_path / "file.h5")
    with h5py.File(path, "r+") as file:
        file["note"] = "text"
    with pytest.raises(WeightsError, match="/note is not a plain array of numbers"):
        load_weight_file(make_network(), path)


def test_hard_links_in_a_ladder_or_a_circle_end(tmp_path: Path) -> None:
    """Forty steps of two links each would be a million million ways to one array."""
    path, network = write_legacy(make_network(), tmp_path / "file.h5"), make_network()
    with h5py.File(path, "r+") as file:
        group = file.create_group("ladder")
        for _ in range(40):
            group["a"] = group["b"] = step = group.create_group("step")
            group = step
        group["circle"] = file["ladder"]
    load_weight_file(network, path)
    for own, other in zip(network.weights, make_network().weights, strict=True):
        assert own.shape == other.shape


def test_an_array_larger_than_the_file_is_refused(tmp_path: Path) -> None:
    path = write_legacy(make_network(), tmp_path / "file.h5")
    with h5py.File(path, "r+") as file:
        file.create_dataset("bomb", (1 << 40,), "f4", chunks=(1 << 10,))
    with pytest.raises(WeightsError, match=r"declares 4398\d+ bytes of arrays in \d+ bytes"):
        load_weight_file(make_network(), path)


@pytest.mark.parametrize(
    ("blocks", "detail"),
    [
        ((LayerRecipe(conv=2, batch_norm=True),), "2 layers with weights, the network 3"),
        ((*BLOCKS, *(LayerRecipe(conv=1),) * 4), "7 layers with weights, the network 3"),
        ((LayerRecipe(conv=2, batch_norm=True), LayerRecipe(conv=4)), r"'block2_conv' has the"),
    ],
)
def test_an_older_file_of_another_network_is_refused(
    blocks: tuple[LayerRecipe, ...], detail: str, tmp_path: Path
) -> None:
    path = write_legacy(make_network(blocks=blocks), tmp_path / "file.h5")
    target = make_network(seed=2)
    before = target.get_weights()
    with pytest.raises(WeightsError, match=rf"not the weights of custom_cnn: .*{detail}"):
        load_weight_file(target, path)
    # Nothing was set halfway.
    assert all(np.array_equal(a, b) for a, b in zip(before, target.get_weights(), strict=True))


def test_a_present_file_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.weights.h5"
    make_network(blocks=(LayerRecipe(conv=2),)).save_weights(path)
    with pytest.raises(WeightsError, match=r"not the weights of custom_cnn: Keras says:"):
        load_weight_file(make_network(), path)


def test_a_present_file_under_an_older_name_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file.weights.h5"
    make_network().save_weights(path)
    renamed = path.rename(tmp_path / "file.h5")
    with pytest.raises(WeightsError, match=r"name it \*\.weights\.h5"):
        load_weight_file(make_network(), renamed)


def test_damage_to_a_present_file_never_gives_another_error(tmp_path: Path) -> None:
    # Older files are left out: HDF5 itself may not come back from a damaged attribute.
    network = make_network()
    network.save_weights(tmp_path / "good.weights.h5")
    good = (tmp_path / "good.weights.h5").read_bytes()
    path = tmp_path / "bad.weights.h5"
    for seed in range(60):
        path.write_bytes(flip_bits(good, seed, 1 + seed % 20))
        with contextlib.suppress(WeightsError):
            load_weight_file(network, path)


def test_an_older_file_that_lists_what_it_lacks_is_told(tmp_path: Path) -> None:
    path = write_legacy(make_network(), tmp_path / "old.h5")
    with h5py.File(path, "a") as file:
        file.attrs["layer_names"] = [b"nowhere"]
    with pytest.raises(WeightsError, match=r"old\.h5: not a readable HDF5 file: .*nowhere"):
        load_weight_file(make_network(), path)
