"""A phase trains the layers that it names, and a frozen BatchNorm stays as it was."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest

from tests.model.classifiers import make_images, make_lite, make_tiny, take_steps
from tfclassify.errors import ModelError
from tfclassify.model.assembly import Classifier, build_classifier
from tfclassify.model.freezing import apply_freezing, list_leaves
from tfclassify.recipe.schema import ModelRecipe, TrainPartRecipe

# The tiny network: 3x3x3x4 + 4, BatchNorm of 4; 3x3x4x6 + 6, BatchNorm of 6; 3x3x6x8 + 8;
# head 8x3 + 3. A BatchNorm trains two numbers a channel and keeps two.
CONV1, CONV2, CONV3, HEAD = 112, 222, 440, 27
BN1, BN2 = 8, 12
TOTAL = CONV1 + CONV2 + CONV3 + HEAD + 2 * (BN1 + BN2)


def list_changed(classifier: Classifier, size: tuple[int, int] = (16, 24)) -> set[str]:
    """Return the names of the layers whose weights training changed."""
    layers = [layer for layer in list_leaves(classifier.network) if layer.weights]
    before = {layer.name: layer.get_weights() for layer in layers}
    take_steps(classifier, size=size)
    return {
        layer.name
        for layer in layers
        if any(
            not np.array_equal(old, new)
            for old, new in zip(before[layer.name], layer.get_weights(), strict=True)
        )
    }


BACKBONE = {"block1_conv", "block1_bn", "block2_conv", "block2_bn", "block3_conv"}


@pytest.mark.parametrize(
    ("train", "trainable", "layers", "changed"),
    [
        ("head", HEAD, 1, set()),
        ("all", TOTAL - BN1 - BN2, 6, BACKBONE),
        (TrainPartRecipe(last_blocks=1), HEAD + CONV3, 2, {"block3_conv"}),
        (
            TrainPartRecipe(last_blocks=2),
            HEAD + CONV3 + CONV2 + BN2,
            4,
            {"block3_conv", "block2_conv", "block2_bn"},
        ),
        (TrainPartRecipe(last_blocks=3), TOTAL - BN1 - BN2, 6, BACKBONE),
        # extractor.layers[:2] are the input and block1_conv
        (
            TrainPartRecipe(freeze_layers=2),
            TOTAL - BN1 - BN2 - CONV1,
            5,
            BACKBONE - {"block1_conv"},
        ),
    ],
)
def test_exactly_the_named_layers_change(
    train: Any, trainable: int, layers: int, changed: set[str]
) -> None:
    classifier = make_tiny()
    assert apply_freezing(classifier, train, "trained") == trainable
    trained = [layer for layer in list_leaves(classifier.network) if layer.trainable_variables]
    assert len(trained) == layers
    assert list_changed(classifier) == changed | {"logits"}


def test_an_earlier_phase_is_forgotten() -> None:
    classifier = make_tiny()
    first = apply_freezing(classifier, "all", "trained")
    for train in ("head", TrainPartRecipe(last_blocks=1), TrainPartRecipe(freeze_layers=6)):
        apply_freezing(classifier, train, "frozen")
    assert apply_freezing(classifier, "all", "trained") == first


def test_a_frozen_batch_norm_survives_real_steps_unchanged() -> None:
    classifier = make_lite(dense=(8,), batch_norm=True)
    apply_freezing(classifier, "all", "auto")
    norms = [
        layer
        for layer in list_leaves(classifier.extractor)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert len(norms) == 49
    changed = list_changed(classifier, (32, 32))
    assert not changed & {norm.name for norm in norms}
    convolutions = {layer.name for layer in classifier.extractor.layers if "_conv" in layer.name}
    assert convolutions <= changed
    assert "dense1_bn" in changed  # the head's own is trained


def test_training_mode_does_not_change_what_a_frozen_batch_norm_gives() -> None:
    classifier, images = make_lite(), make_images(4, (32, 32))
    apply_freezing(classifier, "all", "auto")
    asked, plain = (classifier.backbone(images, training=mode) for mode in (True, False))
    assert np.array_equal(asked, plain)
    apply_freezing(classifier, "all", "trained")
    assert not np.allclose(classifier.backbone(images, training=True), plain, atol=1e-3)


@pytest.mark.parametrize(
    ("batch_norm", "is_pretrained", "is_frozen"),
    [
        ("auto", True, True),
        ("auto", False, False),
        ("frozen", False, True),
        ("trained", True, False),
    ],
)
def test_who_decides_on_batch_norm(batch_norm: Any, is_pretrained: bool, is_frozen: bool) -> None:
    tiny = make_tiny()
    member = dataclasses.replace(tiny.members[0], is_pretrained=is_pretrained)
    classifier = dataclasses.replace(tiny, members=(member,))
    apply_freezing(classifier, "all", batch_norm)
    assert ({"block1_bn", "block2_bn"} <= list_changed(classifier)) == (not is_frozen)


def test_a_trained_batch_norm_in_a_frozen_block_stays_frozen() -> None:
    classifier = make_tiny()
    apply_freezing(classifier, TrainPartRecipe(last_blocks=2), "trained")
    assert "block1_bn" not in list_changed(classifier)


def test_layers_inside_nested_models_are_frozen_and_thawed() -> None:
    # ConvNeXt keeps its stem and its downsampling in models of their own.
    model = ModelRecipe(backbone="convnext_tiny", weights="none")
    classifier = build_classifier(model, 2, (32, 32), seed=0)
    stem = classifier.extractor.get_layer("convnext_tiny_stem").layers[0]
    apply_freezing(classifier, "head", "auto")
    assert not stem.trainable
    assert classifier.backbone.trainable_variables == []
    apply_freezing(classifier, TrainPartRecipe(last_blocks=3), "auto")
    assert not stem.trainable
    names = {layer.name for layer in classifier.extractor.layers if layer.trainable_variables}
    blocks = {"_".join(name.split("_")[2:6]) for name in names}
    assert {"stage_3_block_0", "stage_3_block_1", "stage_3_block_2"} <= blocks
    assert len(blocks) == 4  # and the normalisation behind the last block
    apply_freezing(classifier, "all", "auto")
    assert stem.trainable
    assert len(stem.trainable_variables) == 2


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (TrainPartRecipe(last_blocks=4), "last_blocks: got 4, but custom_cnn has 3 blocks"),
        (
            TrainPartRecipe(freeze_layers=99),
            r"freeze_layers: got 99, but custom_cnn has \d+ layers",
        ),
    ],
)
def test_more_than_there_is_is_refused(train: TrainPartRecipe, message: str) -> None:
    with pytest.raises(ModelError, match=rf"phases\[\]\.train\.{message}; use at most"):
        apply_freezing(make_tiny(), train, "auto")
