"""The plan of EfficientNet-Lite is the published one."""

from __future__ import annotations

import itertools

import pytest

from tfclassify.backbones.efficientnet_lite import build_lite, plan_blocks

# From the released checkpoints: blocks in each stage, channels that leave each stage.
PUBLISHED = {
    (1.0, 1.0): ([1, 2, 2, 3, 3, 4, 1], [16, 24, 40, 80, 112, 192, 320]),
    (1.0, 1.1): ([1, 3, 3, 4, 4, 5, 1], [16, 24, 40, 80, 112, 192, 320]),
    (1.1, 1.2): ([1, 3, 3, 4, 4, 5, 1], [16, 24, 48, 88, 120, 208, 352]),
}


@pytest.mark.parametrize("multipliers", PUBLISHED)
def test_stages_have_the_published_size(multipliers: tuple[float, float]) -> None:
    blocks = plan_blocks(*multipliers)
    repeats, channels = PUBLISHED[multipliers]
    stages = [[block for block in blocks if block.name[5] == str(n)] for n in range(1, 8)]
    assert [len(stage) for stage in stages] == repeats
    assert [stage[-1].output_channels for stage in stages] == channels
    assert [stage[0].stride for stage in stages] == [1, 2, 2, 2, 1, 2, 1]
    assert all(block.stride == 1 for stage in stages for block in stage[1:])
    assert [stage[0].kernel for stage in stages] == [3, 3, 5, 3, 5, 5, 3]
    assert blocks[0].expansion == 1
    assert {block.expansion for block in blocks[1:]} == {6}


def test_blocks_fit_one_another() -> None:
    blocks = plan_blocks(1.1, 1.2)
    assert blocks[0].input_channels == 32
    for block, following in itertools.pairwise(blocks):
        assert following.input_channels == block.output_channels


def test_an_odd_size_is_rounded_up_at_each_halving() -> None:
    # 97 -> 49 -> 25 -> 13 -> 7 -> 4 and 64 -> 32 -> 16 -> 8 -> 4 -> 2
    assert build_lite((97, 64), 1.0, 1.0, "lite").output_shape == (None, 4, 2, 1280)
