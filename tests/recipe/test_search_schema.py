"""The search section: its forms, its named spaces, and every fault at once."""

from __future__ import annotations

import pytest

from tfclassify.errors import RecipeError
from tfclassify.recipe.loading import dump_recipe, parse_recipe
from tfclassify.recipe.search_schema import find_space, put_value

BASE = """\
name: flowers
data: {source: photos}
model: {backbone: efficientnet_lite0}
phases:
  - {name: head, train: head, epochs: 3}
  - {name: whole, epochs: 2}
"""


def find_problems(search: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(BASE + "search:\n" + search)
    return str(caught.value).splitlines()[1:]


def test_the_forms_of_a_dimension() -> None:
    recipe = parse_recipe(
        BASE
        + """\
search:
  model.backbone: [efficientnet_lite0, mobilenet_v2]
  model.head.dense: [[], [128], [256, 64]]
  phases[1].learning_rate: {log: [1.0e-5, 1.0e-3]}
  phases[0].epochs: {int: [1, 9], step: 2}
  model.head.dropout: {range: [0.0, 0.5], when: {model.backbone: mobilenet_v2}}
  data.image_size: [96, 128]
"""
    )
    space = find_space(recipe)
    assert space["model.head.dense"].choices == ((), (128,), (256, 64))
    assert space["phases[1].learning_rate"].bounds == (1e-5, 1e-3)
    assert space["phases[0].epochs"].list_extremes() == [1, 9]
    assert parse_recipe(dump_recipe(recipe)) == recipe


@pytest.mark.parametrize("name", ["head", "augment", "whole"])
@pytest.mark.parametrize("task", ["multi_class", "multi_label"])
def test_every_named_space_fits(name: str, task: str) -> None:
    text = (
        BASE
        if task == "multi_class"
        else BASE.replace("photos}", "photos, table: t.csv, label_separator: ';'}")
    )
    recipe = parse_recipe(text + f"search: {name}\ntask: {task}\n")
    assert len(find_space(recipe)) >= 3


def test_without_a_search_the_whole_is_searched() -> None:
    plain = parse_recipe(BASE)
    assert find_space(plain) == find_space(parse_recipe(BASE + "search: whole\n"))


def test_all_faults_at_once() -> None:
    problems = find_problems(
        """\
  model.backbone: [efficientnet_lite0, mobilnet_v2]
  phases[1].learning_rate: {log: [1.0e-5, 1000.0]}
  phases[7].epochs: {int: [1, 9]}
  model.head.drop: {range: [0.0, 0.5]}
  data.source: [here, there]
  phases[0].epochs: {int: [-3, 9]}
  model.head.dropout: {range: [0.0, 0.5], when: {model.backbone: resnet50, loss.kind: focal}}
"""
    )
    text = "\n".join(problems)
    for part in (
        "line 8   search.\"model.backbone\".choices[1]: unknown backbone 'mobilnet_v2'; did you "
        "mean 'mobilenet_v2'?",
        'search."phases[1].learning_rate".log[1]: must be above 0 and at most 100, got 1000.0',
        'search."phases[7].epochs": phases[7] is not in the recipe',
        'search."model.head.drop".range[0]: unknown key',
        "search.\"data.source\": 'data' cannot be searched",
        'search."phases[0].epochs".int[0]: must be at least 1, got -3',
        "when.\"model.backbone\": is never 'resnet50'; its choices are",
        'when."loss.kind": is not searched itself',
    ):
        assert part in text, text
    assert len(problems) == 8


@pytest.mark.parametrize(
    ("dimension", "message"),
    [
        ("{}", "give exactly one of choices, range, log and int"),
        ("{range: [0, 1], log: [1, 2]}", "give exactly one of choices, range, log and int"),
        ("{range: [0.5, 0.1]}", "must rise from the first to the second number"),
        ("{log: [0.0, 0.1]}", "must begin above 0"),
        ("{int: [1.5, 3]}", "must be two whole numbers"),
        ("{log: [0.1, 0.2], step: 0.1}", "must stand beside range or int"),
        ("[]", "must have at least one item"),
    ],
)
def test_a_wrong_dimension(dimension: str, message: str) -> None:
    assert message in find_problems(f"  model.head.dropout: {dimension}\n")[0]


def test_a_condition_must_come_first_and_have_choices() -> None:
    later = find_problems(
        "  model.head.dropout: {range: [0.0, 0.5], when: {loss.label_smoothing: 0.1}}\n"
        "  loss.label_smoothing: [0.0, 0.1]\n"
    )
    assert "must stand before 'model.head.dropout' in the search" in later[0]
    number = find_problems(
        "  loss.label_smoothing: {range: [0.0, 0.1]}\n"
        "  model.head.dropout: {range: [0.0, 0.5], when: {loss.label_smoothing: 0.1}}\n"
    )
    assert "is a number between bounds; a condition needs a key with choices" in number[0]


def test_a_key_that_cannot_be_read() -> None:
    assert "cannot be read from character" in find_problems("  phases[: [1]\n")[0]


def test_putting_a_value() -> None:
    content = {"phases": [{"epochs": 1}, {"epochs": 2}]}
    changed = put_value(content, ("phases", 1, "epochs"), 5)
    assert changed == {"phases": [{"epochs": 1}, {"epochs": 5}]}
    assert content == {"phases": [{"epochs": 1}, {"epochs": 2}]}
    assert put_value(content, ("model", "head", "dense"), (3,))["model"] == {"head": {"dense": [3]}}
    for path in (("phases", 2), ("phases", 2, "epochs"), ("phases", "epochs"), ("phases", 0, 1)):
        with pytest.raises(ValueError, match="is not in the recipe"):
            put_value(content, path, 5)
