from __future__ import annotations

from pathlib import Path

import pytest

from tfclassify.errors import RequestError, TargetError
from tfclassify.workflows.profile import (
    ProfileRequest,
    describe_network,
    parse_sizes,
    profile_targets,
)


def request(**changes) -> ProfileRequest:
    return ProfileRequest(**{"targets": ("mobilenet_025",), "has_latency": False, **changes})


def test_one_target_at_several_sizes() -> None:
    small, large = profile_targets(request(image_sizes=((32, 32), (64, 64))))
    assert small.profile.input_shapes == ((32, 32, 3),)
    # Four times the positions but for the 1000-class layer, 256 x 1000.
    head = 256_000
    assert (large.profile.macs - head) == 4 * (small.profile.macs - head)


def test_layers_are_sorted_cut_and_folded() -> None:
    (found,) = profile_targets(request(image_sizes=((32, 32),), sort="params", top=3))
    counts = [layer.params for layer in found.layers]
    assert counts == sorted((x.params for x in found.profile.layers), reverse=True)[:3]
    (found,) = profile_targets(request(image_sizes=((32, 32),), depth=1))
    assert len(found.layers) < len(found.profile.layers)
    network = describe_network(found)
    assert sum(layer.macs for layer in network.layers) == network.macs
    assert len(describe_network(found, is_whole=True).layers) == network.layer_count


def test_times_reach_the_report() -> None:
    (found,) = profile_targets(request(image_sizes=((32, 32),), has_latency=True, batch_size=2))
    network = describe_network(found)
    assert [row.batch_size for row in network.latency] == [1, 2]
    facts = dict(network.latency_facts)
    assert {"device", "precision", "speed", "sum of the parts", "the rest"} <= facts.keys()
    bounds = [facts[name] for name in ("compute bound", "memory bound") if name in facts]
    assert bounds
    assert all(" % of the time; " in text and text.split()[-1] != "of" for text in bounds)
    # A terminal is 80 columns wide.
    assert all(18 + len(text) <= 80 for text in (*bounds, facts["the rest"]))
    rated = [layer for layer in network.layers if layer.share_of_roof is not None]
    assert all(layer.bound in ("compute", "memory") and layer.latency_ms for layer in rated)


def test_a_run_and_its_recipe_cost_the_same(tiny_run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_run.home)
    recipe, run, newest = (
        profile_targets(request(targets=targets))[0].profile
        for targets in ((str(tiny_run.recipe),), (str(tiny_run.run),), ())
    )
    assert recipe.macs == run.macs == newest.macs > 0
    assert recipe.params == run.params
    assert run.cost.elementwise["Softmax"] == 5 * 3 - 2
    assert recipe.remarks == ()


def test_requests_that_make_no_sense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RequestError, match="--sort: got 'size', allowed are macs"):
        profile_targets(request(sort="size"))
    with pytest.raises(RequestError, match="nothing is timed under --no-latency"):
        profile_targets(request(sort="latency"))
    with pytest.raises(RequestError, match="TensorFlow sees no 'gpu:9' here"):
        profile_targets(request(device="gpu:9"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetError, match="there is no finished run to profile yet"):
        profile_targets(request(targets=()))


def test_sizes() -> None:
    assert parse_sizes(None, None) == ()
    assert parse_sizes("96", None) == ((96, 96),)
    assert parse_sizes("96x128", None) == ((96, 128),)
    assert parse_sizes(None, "image_size=96,128x64") == ((96, 96), (128, 64))
    with pytest.raises(RequestError, match="--image-size: got 'big', a size is one number"):
        parse_sizes("big", None)
    with pytest.raises(RequestError, match="--sweep: got 'batch=1', write it as image_size=96"):
        parse_sizes(None, "batch=1")
    with pytest.raises(RequestError, match="sets the image size, and so does --image-size"):
        parse_sizes("96", "image_size=96")
