"""Places under the roof, worked by hand: a machine of 10 GFLOP/s and 2 GB/s."""

from __future__ import annotations

import pytest

from tfclassify.profiler.results import LayerProfile, fold_layers
from tfclassify.profiler.roofline import Roof, join_rated, rate

ROOF = Roof(gflops=10.0, gbytes=2.0)


def test_what_takes_longer_binds() -> None:
    # 20 million operations need 2 ms, 2 million bytes 1 ms.
    computing = rate(20_000_000, 2_000_000, 4.0, ROOF)
    assert (computing.bound, computing.least_ms, computing.share) == ("compute", 2.0, 0.5)
    assert (computing.gflops, computing.gbytes) == (5.0, 0.5)
    # 5 million operations need 0.5 ms.
    moving = rate(5_000_000, 2_000_000, 4.0, ROOF)
    assert (moving.bound, moving.least_ms, moving.share) == ("memory", 1.0, 0.25)


def test_moving_alone_has_a_roof_and_caches_may_beat_it() -> None:
    padding = rate(0, 4_000_000, 1.0, ROOF)
    assert (padding.bound, padding.gflops, padding.share) == ("memory", 0.0, 2.0)


def test_what_was_not_timed_or_does_nothing_has_no_place() -> None:
    assert rate(5, 5, 0.0, ROOF) is None
    assert rate(0, 0, 1.0, ROOF) is None
    assert join_rated([]) is None


def test_several_layers_as_one() -> None:
    computing = rate(20_000_000, 2_000_000, 4.0, ROOF)
    moving = rate(5_000_000, 2_000_000, 1.0, ROOF)
    joined = join_rated([computing, moving])
    assert (joined.latency_ms, joined.flops, joined.moved_bytes) == (5.0, 25_000_000, 4_000_000)
    assert (joined.least_ms, joined.bound, joined.share) == (3.0, "compute", 0.6)
    layers = [
        LayerProfile(("block", "a"), "Conv2D", latency_ms=4.0, rated=computing),
        LayerProfile(("block", "b"), "Add", latency_ms=1.0, rated=moving),
        LayerProfile(("block", "c"), "ReLU", latency_ms=0.0),
    ]
    (block,) = fold_layers(layers, 1)
    assert block.rated == joined
    assert block.to_dict(0)["roofline"] == {
        "flops": 25_000_000,
        "moved_bytes": 4_000_000,
        "gflops_per_s": pytest.approx(5.0),
        "gbytes_per_s": pytest.approx(0.8),
        "bound": "compute",
        "share_of_roof": pytest.approx(0.6),
    }
