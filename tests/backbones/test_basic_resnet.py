"""ResNet18 and ResNet34 have the published sizes."""

from __future__ import annotations

import pytest

from tests.backbones.networks import built
from tfclassify.backbones.basic_resnet import build_basic_resnet
from tfclassify.backbones.blocks import split_blocks
from tfclassify.backbones.catalog import BACKBONES

#: torchvision's documentation: parameters with the classifier of 1,000 classes.
PUBLISHED = {"resnet18": 11_689_512, "resnet34": 21_797_672}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_parameters_are_the_published(name: str) -> None:
    network = built(name)
    statistics = sum(int(v.shape[0]) for v in network.non_trainable_variables)
    top = 512 * 1000 + 1000
    assert network.count_params() - statistics + top == PUBLISHED[name]
    assert network.count_params() == BACKBONES[name].parameters


def test_sizes_halve_as_torch_halves_them() -> None:
    network = build_basic_resnet((50, 33), (1, 1, 1, 1), "small")
    # 50 -> 25 by the stem, 13 by the pool, 7, 4, 2; 33 -> 17, 9, 5, 3, 2.
    assert network.output_shape == (None, 2, 2, 512)
    assert network.get_layer("stem_conv").output.shape[1:3] == (25, 17)
    assert network.get_layer("stem_pool").output.shape[1:3] == (13, 9)


def test_blocks_are_the_residual_ones() -> None:
    blocks = split_blocks(built("resnet34"), BACKBONES["resnet34"].blocks)
    assert len(blocks) == 1 + 3 + 4 + 6 + 3
    assert blocks[-1][0].name == "layer4_block3_1_pad"
    assert blocks[0][-1].name == "stem_pool"
