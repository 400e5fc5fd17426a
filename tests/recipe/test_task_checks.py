"""Which losses and thresholds go with which task."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from tests.recipe.test_problems import describe, make_recipe
from tfclassify.recipe.schema import LossRecipe, Recipe
from tfclassify.recipe.task_checks import LOSS_KINDS
from tfclassify.recipe.validation import validate

#: One of the ways to say how several labels of an image are written.
SETS = {"data__source": "t.csv", "data__label_separator": "|"}

CASES: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"loss": {"kind": "binary_cross_entropy"}},
        [
            "loss.kind: 'binary_cross_entropy' does not go with task 'multi_class'; allowed are "
            "auto, cross_entropy and focal"
        ],
    ),
    (
        {"task": "multi_label", "loss": {"kind": "cross_entropy"}, **SETS},
        [
            "loss.kind: 'cross_entropy' does not go with task 'multi_label'; allowed are auto, "
            "binary_cross_entropy, focal and asymmetric"
        ],
    ),
    (
        {"loss": {"gamma": 1.0, "clip": 0.1}},
        [
            "loss.gamma: belongs to focal, got 1.0 with kind 'auto'",
            "loss.clip: belongs to asymmetric, got 0.1 with kind 'auto'",
        ],
    ),
    ({"loss": {"kind": "focal", "gamma": 1.0}}, []),
    ({"task": "multi_label", "loss": {"kind": "asymmetric", "gamma_negative": 2.0}, **SETS}, []),
    (
        {"thresholds": 0.4},
        [
            "thresholds: belong to task 'multi_label', got 0.4 with 'multi_class', which takes "
            "the likeliest class; remove them"
        ],
    ),
    ({"task": "multi_label", "thresholds": "per_class", **SETS}, []),
    (
        {"task": "multi_label", "thresholds": "one", "data__validation": 0, **SETS},
        [
            "thresholds: 'one' needs validation images to search on, but data.validation is 0; "
            "write a number such as 0.5, or hold some out"
        ],
    ),
    ({"task": "multi_label", "thresholds": 0.4, "data__validation": 0, **SETS}, []),
    ({"task": "multi_label", "metric": "accuracy", **SETS}, ["metric: unknown metric 'accuracy'"]),
]


@pytest.mark.parametrize(("changes", "expected"), CASES)
def test_faults(changes: dict[str, Any], expected: list[str]) -> None:
    found = describe(make_recipe(**changes))
    assert len(found) == len(expected)
    for text, start in zip(found, expected, strict=True):
        assert text.startswith(start)


def test_every_kind_of_loss_goes_with_some_task() -> None:
    kinds = get_args(LossRecipe.model_fields["kind"].annotation)
    assert {kind for allowed in LOSS_KINDS.values() for kind in allowed} == set(kinds)


def settle(**changes: Any) -> Recipe:
    recipe, faults = validate(make_recipe(**changes))
    assert not faults
    assert recipe is not None
    return recipe


def test_without_validation_images_the_threshold_is_a_half() -> None:
    assert settle(task="multi_label", data__validation=0, **SETS).thresholds == 0.5
    assert settle(task="multi_label", **SETS).thresholds == "one"
    assert settle(data__validation=0).thresholds == "one"


def test_a_recipe_of_label_sets_is_headed_by_average_precision() -> None:
    assert settle(task="multi_label", **SETS).metric == "map"
    assert settle(task="multi_label", metric="iou", **SETS).metric == "iou"
