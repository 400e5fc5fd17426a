from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recipe.strategies import quick
from tfclassify.errors import RecipeError
from tfclassify.recipe.loading import parse_recipe
from tfclassify.recipe.starter import SourceFacts, choose_image_size, write_starter


def make_facts(**changes: Any) -> SourceFacts:
    facts: dict[str, Any] = {
        "source": "data/pets",
        "counts": {"cat": 60, "dog": 60},
        "size": (300, 300),
    }
    return SourceFacts(**{**facts, **changes})


def test_a_starter_is_short_says_what_was_found_and_loads() -> None:
    text = write_starter("pets", make_facts())
    assert text.startswith(
        "# 120 images in 2 classes of 60 images, typically 300 pixels high and 300"
    )
    assert len(text.splitlines()) < 50
    recipe = parse_recipe(text)
    assert recipe.name == "pets"
    assert recipe.data.source == "data/pets"
    assert recipe.data.image_size == (224, 224)
    assert recipe.data.resize == "stretch"
    assert recipe.class_weights == "none"
    assert [phase.name for phase in recipe.phases] == ["head", "whole"]
    assert recipe.phases[0].features is not None


def test_uneven_classes_are_weighed_and_judged_evenly() -> None:
    text = write_starter("pets", make_facts(counts={"cat": 30, "dog": 75}))
    assert "2 classes of 30 to 75 images" in text
    assert "2.5 times" in text
    recipe = parse_recipe(text)
    assert (recipe.class_weights, recipe.metric) == ("balanced", "balanced_accuracy")


def test_a_table_keeps_its_columns_and_odd_names() -> None:
    facts = make_facts(
        data={
            "table": "my table.csv",
            "columns": {"file": "1e-3", "group": "no"},
            "separator": ";",
        },
        has_groups=True,
        size=(400, 300),
    )
    text = write_starter("pets", facts)
    assert "images of one group stay on one side" in text
    recipe = parse_recipe(text)
    assert recipe.data.table == "my table.csv"
    assert (recipe.data.columns.file, recipe.data.columns.group) == ("1e-3", "no")
    assert recipe.data.separator == ";"
    assert recipe.data.resize == "letterbox"


def test_a_source_with_its_own_split_gets_no_share() -> None:
    assert "validation:" not in write_starter("pets", make_facts(has_split=True))


def test_more_images_need_fewer_views_and_epochs() -> None:
    recipes = [
        parse_recipe(write_starter("x", make_facts(counts={"a": n, "b": n}))) for n in (40, 40_000)
    ]
    views = [recipe.phases[0].features.views for recipe in recipes if recipe.phases[0].features]
    assert views == [8, 1]
    assert [recipe.phases[1].epochs for recipe in recipes] == [20, 4]
    assert [recipe.data.validation for recipe in recipes] == [0.2, 0.1]
    assert [recipe.data.test for recipe in recipes] == [0.0, 0.1]


@pytest.mark.parametrize(
    ("size", "side"),
    [((8, 8), 64), ((64, 90), 64), ((65, 90), 96), ((500, 200), 224), ((193, 900), 224)],
)
def test_the_image_size_follows_the_shorter_side(size: tuple[int, int], side: int) -> None:
    assert choose_image_size(size) == side


@pytest.mark.parametrize("name", ["my pets", "", "a/b", "a\nb: 1"])
def test_a_name_that_no_folder_may_have(name: str) -> None:
    with pytest.raises(RecipeError, match="problem"):
        write_starter(name, make_facts())


@quick
@given(
    source=st.text(min_size=1).map("data/".__add__),
    counts=st.dictionaries(st.text(), st.integers(0, 10**6), max_size=5),
    size=st.tuples(st.integers(1, 10**4), st.integers(1, 10**4)),
    has_split=st.booleans(),
)
def test_whatever_is_found_the_starter_loads(
    source: str, counts: dict[str, int], size: tuple[int, int], has_split: bool
) -> None:
    recipe = parse_recipe(
        write_starter("x", SourceFacts(source, counts, size, has_split=has_split))
    )
    assert recipe.data.source.startswith("data/")


def test_many_images_spare_a_test_part() -> None:
    few = parse_recipe(write_starter("x", make_facts(counts={"a": 480, "b": 19})))
    assert (few.data.validation, few.data.test) == (0.2, 0.0)
    many = parse_recipe(write_starter("x", make_facts(counts={"a": 480, "b": 20})))
    assert (many.data.validation, many.data.test) == (0.15, 0.15)


def test_epochs_fit_the_machine() -> None:
    slow = make_facts(counts={"a": 2_000, "b": 2_000}, images_per_second=10.0)
    text = write_starter("x", slow)
    assert "    epochs: 9  # as many as fit into about an hour" in text  # 3600 s / 400 s
    assert (
        parse_recipe(write_starter("x", make_facts(images_per_second=10.0))).phases[1].epochs == 20
    )


def test_several_labels_an_image() -> None:
    data = {"table": "t.csv", "columns": {"file": "f", "one_hot": "rest"}}
    facts = make_facts(
        task="multi_label", data=data, remarks=("f: the\nfile",), counts={"a": 9, "b": 90}
    )
    text = write_starter("x", facts)
    assert text.startswith("# 99 labels in 2 classes")
    assert "\n#   f: the file\n" in text
    recipe = parse_recipe(text)
    assert (recipe.task, recipe.metric, recipe.class_weights) == ("multi_label", "map", "none")
