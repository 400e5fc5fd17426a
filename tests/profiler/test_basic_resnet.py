"""ResNet18 and ResNet34 cost what is published of them."""

from __future__ import annotations

import math

import pytest

from tfclassify.backbones.building import build_backbone
from tfclassify.profiler.keras_profile import profile_model
from tfclassify.profiler.subjects import load_subject
from tfclassify.profiler.targets import find_target

#: name: products of convolutions and classifier (torchvision's documentation gives 1.81 and
#: 3.66 G); the sum that is often quoted, which adds two operations for each value that a
#: BatchNorm gives; parameters in millions.
PUBLISHED = {
    "resnet18": (1_814_073_344, 1.82, 11.69),
    "resnet34": (3_663_761_408, 3.67, 21.80),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_macs_and_parameters_are_the_published(name: str) -> None:
    macs, quoted, millions = PUBLISHED[name]
    subject = load_subject(find_target(name), (224, 224))
    profile = profile_model(subject.model, subject.shapes, title="", target="")
    assert profile.macs == macs
    normalised = sum(
        math.prod(layer.output_shape)
        for layer in profile.layers
        if layer.kind == "BatchNormalization"
    )
    assert round((macs + 2 * normalised) / 1e9, 2) == quoted
    assert round(profile.trainable_params / 1e6, 2) == millions


def test_the_field_of_the_stem_is_the_papers() -> None:
    network = build_backbone("resnet18", (224, 224), weights="none")
    profile = profile_model(network, [(224, 224, 3)], title="", target="")
    fields = {layer.name: layer.receptive_field for layer in profile.layers}
    # 7x7 of step 2, then 3x3 of step 2: 7 + 2 * 2.
    assert fields["stem_pool"].to_dict()["size"] == 11
