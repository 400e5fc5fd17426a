"""A stack: several backbones on the same image under one head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.hub_modules import apply_module, make_hub_module
from tests.model.classifiers import make_images, make_recipe, take_steps
from tfclassify.backbones.preprocessing import make_preprocessing
from tfclassify.errors import ModelError
from tfclassify.model.assembly import Classifier, build_classifier
from tfclassify.model.bundle import build_probability_model, load_bundle, save_bundle
from tfclassify.model.freezing import apply_freezing, list_leaves
from tfclassify.recipe.schema import ModelRecipe, TrainPartRecipe
from tfclassify.training.sources import split_at_pooling

SIZE = (32, 32)


def make_stack(*members: Any, **options: Any) -> ModelRecipe:
    return ModelRecipe(stack=members, **options)


def build(*members: Any, classes: int = 3, **options: Any) -> Classifier:
    return build_classifier(make_stack(*members, **options), classes, SIZE, seed=0)


@pytest.fixture(scope="module")
def pair() -> Classifier:
    """Two small networks of different contracts, both without weights."""
    return build(
        {"backbone": "mobilenet_025", "weights": "none"},
        {"backbone": "resnet18", "weights": "none"},
    )


#: What pooling leaves of 256 channels of 2x2 and 512 of 2x2.
LENGTHS = {"average": 768, "max": 768, "flatten": 4 * 768}


@pytest.mark.parametrize("pool", LENGTHS)
def test_features_are_those_of_the_members_end_to_end(pool: Any) -> None:
    members = [{"backbone": name, "weights": "none"} for name in ("mobilenet_025", "resnet18")]
    size = (64, 64)
    stack = build_classifier(make_stack(*members, head={"pool": pool}), 3, size, seed=0)
    assert stack.backbone.output_shape == (None, 1, 1, LENGTHS[pool])
    images = make_images(2, size)
    parts = []
    for member in stack.members:
        x = images
        for layer in make_preprocessing(member.spec.contract):
            x = layer(x)
        features = np.asarray(member.extractor(x))
        flat = {
            "average": features.mean((1, 2)),
            "max": features.max((1, 2)),
            "flatten": features.reshape(len(features), -1),
        }
        parts.append(flat[pool])
    got = np.asarray(stack.backbone(images))[:, 0, 0]
    np.testing.assert_allclose(got, np.concatenate(parts, axis=1), rtol=1e-4, atol=1e-5)


def test_two_of_a_kind_start_differently() -> None:
    twin = {"backbone": "mobilenet_025", "weights": "none"}
    first, second = (member.extractor for member in build(twin, twin).members)
    kernels = [np.asarray(network.get_layer("conv1").kernel) for network in (first, second)]
    assert not np.allclose(*kernels)
    alone = build_classifier(ModelRecipe(**twin), 3, SIZE, seed=0)
    assert np.array_equal(alone.extractor.get_layer("conv1").kernel, kernels[0])


def test_freezing_counts_in_each_member(pair: Classifier) -> None:
    assert apply_freezing(pair, "head", "auto") == 768 * 3 + 3
    apply_freezing(pair, TrainPartRecipe(last_blocks=1), "trained")
    trained = [
        {layer.name for layer in list_leaves(member.extractor) if layer.trainable_variables}
        for member in pair.members
    ]
    assert trained[0] == {"conv_dw_13", "conv_dw_13_bn", "conv_pw_13", "conv_pw_13_bn"}
    assert trained[1] == {f"layer4_block2_{n}_{kind}" for n in (1, 2) for kind in ("conv", "bn")}
    with pytest.raises(ModelError, match="got 12, but resnet18 has 9 blocks"):
        apply_freezing(pair, TrainPartRecipe(last_blocks=12), "auto")
    apply_freezing(pair, "all", "frozen")
    assert not any("bn" in v.path for v in pair.backbone.trainable_variables)


def test_each_member_decides_on_its_batch_norm() -> None:
    stack = build("efficientnet_lite0", {"backbone": "mobilenet_025", "weights": "none"})
    apply_freezing(stack, "all", "auto")
    pretrained, fresh = (
        [
            variable.path
            for variable in member.extractor.trainable_variables
            if "_bn" in variable.path
        ]
        for member in stack.members
    )
    assert not pretrained
    assert fresh


def test_cached_features_give_the_same_logits(pair: Classifier) -> None:
    images = make_images(2, SIZE)
    body, head = split_at_pooling(pair)
    features = body(images)
    assert features.shape == (2, 768)
    np.testing.assert_allclose(head(features), pair.network(images), rtol=1e-5, atol=1e-6)


def test_a_stack_with_a_module_comes_back_from_its_bundle(tmp_path: Path) -> None:
    values = make_hub_module(tmp_path / "m", size=SIZE)
    stack = make_stack(
        {"backbone": "mobilenet_025", "weights": "none"},
        {"backbone": f"hub:{tmp_path / 'm'}", "input_range": (0, 1)},
    )
    classifier = build_classifier(stack, 3, SIZE, seed=0)
    images = make_images(2, SIZE)
    ours = np.asarray(classifier.backbone(images))[:, 0, 0, -4:]
    np.testing.assert_allclose(ours, apply_module(values, images / 255), rtol=1e-4, atol=1e-5)
    apply_freezing(classifier, "all", "trained")
    take_steps(classifier, 1, SIZE)
    expected = np.asarray(build_probability_model(classifier)(images))
    recipe = make_recipe().model_copy(update={"model": stack})
    data = recipe.data.model_copy(update={"image_size": SIZE})
    recipe = recipe.model_copy(update={"data": data})
    save_bundle(tmp_path / "bundle", classifier, classes=("a", "b", "c"), recipe=recipe)
    (tmp_path / "m").rename(tmp_path / "gone")
    assert np.array_equal(load_bundle(tmp_path / "bundle").model(images), expected)
