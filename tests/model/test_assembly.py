"""A classifier's parts are one network, and scaling is inside it."""

from __future__ import annotations

import gc
import resource
import weakref
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.model.classifiers import make_images, make_lite, make_recipe, make_tiny
from tfclassify.errors import ModelError, RequestError
from tfclassify.model.assembly import build_classifier, list_uses, replace_head
from tfclassify.recipe.schema import HeadRecipe, LayerRecipe, ModelRecipe


def test_the_network_is_backbone_then_head() -> None:
    classifier, images = make_tiny(dense=(5,)), make_images(2)
    features = classifier.backbone(images)
    assert features.shape == (2, 8, 12, 8)
    assert np.array_equal(classifier.network(images), classifier.head(features))
    assert classifier.network.output_shape == (None, 3)
    assert classifier.network.layers[-1] is classifier.head
    assert classifier.head.layers[-1].name == "logits"


def test_scaling_is_inside() -> None:
    classifier, images = make_tiny(), make_images(2)
    inside = np.asarray(classifier.extractor(images / 255))
    np.testing.assert_allclose(classifier.backbone(images), inside, rtol=1e-5, atol=1e-6)


def test_a_network_that_rescales_itself_gets_nothing_before_it() -> None:
    model = ModelRecipe(backbone="mobilenet_v3_small", weights="none")
    classifier = build_classifier(model, 2, (32, 32), seed=0)
    images = make_images(1, (32, 32))
    assert np.array_equal(classifier.backbone(images), classifier.extractor(images))


def test_all_parts_share_their_weights() -> None:
    classifier, images = make_tiny(), make_images(1)
    before = np.asarray(classifier.network(images))
    kernel = classifier.extractor.get_layer("block1_conv").kernel
    kernel.assign(kernel * 2)
    assert not np.array_equal(classifier.network(images), before)
    ids = {id(weight) for weight in classifier.network.weights}
    assert ids == {id(weight) for weight in classifier.backbone.weights + classifier.head.weights}


def test_the_same_seed_gives_the_same_network() -> None:
    images = make_images(2)
    first, again, other = make_tiny(seed=1), make_tiny(seed=1), make_tiny(seed=2)
    assert np.array_equal(first.network(images), again.network(images))
    assert not np.array_equal(first.network(images), other.network(images))
    assert np.array_equal(
        first.network(images, training=True), again.network(images, training=True)
    )


def test_another_head_leaves_the_backbone_as_it_was() -> None:
    plain, deep = make_tiny(seed=1), make_tiny(seed=1, dense=(9,))
    for mine, theirs in zip(plain.backbone.get_weights(), deep.backbone.get_weights(), strict=True):
        assert np.array_equal(mine, theirs)


def test_a_head_on_a_backbone_that_was_there_is_that_of_a_network_built_whole() -> None:
    first, whole = make_tiny(dense=(5,), dropout=0.0), make_tiny(dense=(7, 4), dropout=0.3)
    head = HeadRecipe(dense=(7, 4), dropout=0.3)
    shared = replace_head(first, head, 3, seed=0)
    assert shared.backbone is first.backbone
    pairs = zip(shared.network.weights, whole.network.weights, strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    images = make_images(2)
    for training in (False, True):  # dropout draws alike too
        outputs = [each.network(images, training=training) for each in (shared, whole)]
        assert np.array_equal(*outputs)


def test_a_backbone_whose_uses_are_cut_back_holds_no_head() -> None:
    first = make_tiny(dense=(5,))
    before = [len(uses) for uses in list_uses(first)]
    held = []
    for _ in range(2):
        other = replace_head(first, HeadRecipe(dense=(7,)), 3, seed=0)
        keras.Model(first.backbone.input, other.head(first.backbone.output))
        held.append(weakref.ref(other.head.get_layer("dense1")))
        del other
    gc.collect()
    assert all(each() is not None for each in held)  # what is cut is what holds them
    for uses, own in zip(list_uses(first), before, strict=True):
        assert len(uses) >= own
        while len(uses) > own:
            uses.pop()
    keras.backend.clear_session()
    gc.collect()
    assert [each() for each in held] == [None, None]
    assert first.network(make_images(1)).shape == (1, 3)


def test_a_head_beyond_the_memory_is_refused_before_it_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # 60,000 x 60,000 weights of 4 bytes are 14.4 GB.
    monkeypatch.setattr("tfclassify.backbones.footprint.total_memory", lambda: 8 << 30)
    with pytest.raises(ModelError, match=r"model\.head: needs about .* use fewer units"):
        replace_head(make_tiny(), HeadRecipe(dense=(60_000, 60_000)), 3, seed=0)


def test_pretrained_is_what_came_with_weights(tmp_path: Path) -> None:
    tiny = make_tiny()
    assert not tiny.members[0].is_pretrained
    assert make_lite().members[0].is_pretrained
    path = tmp_path / "mine.weights.h5"
    tiny.extractor.save_weights(path)
    recipe = make_recipe(weights=str(path))
    assert (
        build_classifier(recipe.model, 3, recipe.data.image_size, seed=1).members[0].is_pretrained
    )


def test_logits_are_float32_under_mixed_precision() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        classifier = make_tiny()
    finally:
        keras.config.set_dtype_policy(before)
    assert str(classifier.backbone.output.dtype) == "float16"
    assert str(classifier.network.output.dtype) == "float32"


def test_the_published_custom_network_is_exactly_that() -> None:
    # Five blocks of conv, BatchNorm, ReLU and padded pooling on 64 pixels: 33-17-9-5-3.
    block = {"batch_norm": True, "pool": 2, "pool_padding": 1}
    filters = (32, 64, 128, 256, 512)
    model = ModelRecipe(
        backbone="custom_cnn",
        weights="none",
        layers=tuple(LayerRecipe(conv=count, **block) for count in filters),
        head=HeadRecipe(pool="flatten", dense=(512,), final_dropout=0.6),
    )
    classifier = build_classifier(model, 50, (64, 64), seed=0)
    assert classifier.backbone.output_shape == (None, 3, 3, 512)
    convolutions = sum(
        9 * incoming * outgoing + outgoing + 4 * outgoing
        for incoming, outgoing in zip((3, *filters), filters, strict=False)
    )
    dense = 3 * 3 * 512 * 512 + 512 + 512 * 50 + 50
    assert classifier.network.count_params() == convolutions + dense


def test_fewer_than_two_classes_are_refused() -> None:
    with pytest.raises(ModelError, match="needs at least 2 classes, got 1; check data"):
        make_tiny(classes=1)


def test_an_unknown_backbone_is_refused() -> None:
    with pytest.raises(RequestError, match="did you mean 'xception'"):
        build_classifier(ModelRecipe(backbone="xceptoin"), 2, (32, 32), seed=0)


@pytest.mark.parametrize(
    ("size", "head"),
    [((60_000, 60_000), {}), ((16, 24), {"dense": (2_000_000_000, 2_000_000_000)})],
)
def test_a_network_beyond_the_memory_is_refused_before_it_is_built(
    size: tuple[int, int], head: dict[str, Any]
) -> None:
    """These two took over 9 GB before anything was said."""
    model = make_recipe().model.model_copy(update={"head": HeadRecipe.model_construct(**head)})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        ModelError, match=r"model: needs about [\d.]+ [GT]B of memory .* or fewer units"
    ):
        build_classifier(model, 3, size, seed=0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB


def test_a_grey_network_sees_one_channel() -> None:
    layers = (LayerRecipe(conv=4, batch_norm=True),)
    model = ModelRecipe(backbone="custom_cnn", weights="none", layers=layers, colour="grey")
    classifier = build_classifier(model, 3, (8, 12), seed=0)
    assert classifier.network.input_shape == (None, 8, 12, 3)
    assert classifier.extractor.input_shape == (None, 8, 12, 1)
    assert classifier.extractor.layers[1].kernel.shape == (3, 3, 1, 4)
    images = make_images(2, (8, 12))
    # ITU-R 601: what Pillow's "L" and most cameras mean by grey.
    grey = images @ np.array([0.299, 0.587, 0.114], np.float32)
    same = np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_allclose(classifier.network(images), classifier.network(same), atol=1e-3)
    inside = classifier.extractor(grey[..., None] / 255)
    np.testing.assert_allclose(classifier.backbone(images), inside, atol=1e-3)
