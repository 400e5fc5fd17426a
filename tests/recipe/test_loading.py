from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recipe.strategies import damaged_recipes, quick, recipes
from tfclassify.errors import Problem, RecipeError
from tfclassify.recipe.loading import dump_recipe, load_recipe, parse_recipe
from tfclassify.recipe.validation import validate
from tfclassify.recipe.writing import render_yaml

#: The example of the design, whose two problems it shows.
DESIGN = """\
name: plants
data:
  source: data/plants.zip
  image_size: 96
  validation: 0.125
augment:
  flip: [horizontal, vertical]
model:
  backbone: convnext_lrge
  weights: imagenet
class_weights: balanced
phases:
  - {name: head, train: head, epochs: 200, learning_rate: 1e-3, early_stopping: {patience: 19}}
  - {name: whole, train: all, epochs: -3, learning_rate: 5.2e-5}
"""


def test_all_problems_come_at_once_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "plants.yaml"
    path.write_text(DESIGN, "utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value) == (
        f"{path}: 2 problems\n"
        "  line 9   model.backbone: unknown backbone 'convnext_lrge'; did you mean "
        "'convnext_large'?\n"
        "  line 14  phases[1].epochs: must be at least 1, got -3"
    )
    assert caught.value.exit_code == 2


def test_a_right_recipe_is_loaded_with_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "plants.yaml"
    path.write_text(DESIGN.replace("lrge", "large").replace("epochs: -3", "epochs: 3"), "utf-8")
    recipe = load_recipe(str(path), ["data.image_size=[64, 32]"])
    assert recipe.data.image_size == (64, 32)
    assert recipe.phases[1].learning_rate == 5.2e-5
    assert recipe.batch_size == 32


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"recipe: 1 problem\n  line 1  the recipe is empty; `tfclassify new` writes one"),
        ("# only this", "the recipe is empty"),
        ("\n- a", r"line 2  must be a mapping of keys, got \['a'\]"),
        ("hello", "line 1  must be a mapping of keys, got 'hello'"),
        ("a: [", "not valid YAML"),
        ("name: x\nname: y", "line 2  name: the key is given twice, first on line 1"),
    ],
)
def test_what_is_no_recipe_at_all(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe(text)


@quick
@given(recipes())
def test_a_recipe_written_out_in_full_is_the_same_recipe(content: dict[str, Any]) -> None:
    recipe, faults = validate(content)
    assert recipe is not None, faults
    text = dump_recipe(recipe)
    again = parse_recipe(text)
    assert again == recipe
    assert dump_recipe(again) == text
    # The short form, through the file format, is it too.
    assert parse_recipe(render_yaml(content)) == recipe


def test_a_dump_names_every_key_of_the_schema() -> None:
    recipe, _ = validate(
        {
            "name": "x",
            "data": {"source": "photos", "validation": 0},
            "model": {"backbone": "vgg16"},
            "phases": [{"name": "a", "epochs": 1}],
        }
    )
    assert recipe is not None
    text = dump_recipe(recipe)
    assert "keep_best: null" in text
    assert "image_size: [224, 224]" in text
    assert text.startswith("name: x\n")


@quick
@given(damaged_recipes())
def test_damage_is_a_recipe_error_on_a_line_of_the_file(content: dict[str, Any]) -> None:
    text = render_yaml(content)
    problems: tuple[Problem, ...] = ()
    try:
        parse_recipe(text)
    except RecipeError as error:
        problems = error.problems
    for problem in problems:
        assert problem.line is not None
        assert 1 <= problem.line <= len(text)


@quick
@given(st.text())
def test_no_text_raises_anything_else(text: str) -> None:
    with pytest.raises(RecipeError):
        parse_recipe(text)


def test_loading_does_not_wait_for_heavy_libraries() -> None:
    probe = (
        "import sys, tfclassify.recipe.loading, tfclassify.recipe.reference; "
        "print(sorted({'tensorflow', 'keras', 'numpy', 'pandas', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"


def test_of_very_many_problems_the_first_hundred_are_told() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(DESIGN + "".join(f"key{number}: 1\n" for number in range(3_000)))
    messages = [problem.message for problem in caught.value.problems]
    assert len(messages) == 101
    # Beside the keys there are the two problems that the example has; one is a check's.
    assert any("there are at least 2,901 more problems" in message for message in messages)


def test_of_very_many_faults_of_checks_the_first_hundred_are_told() -> None:
    weights = ", ".join(f"w{number}: 1.0" for number in range(3_000))
    text = DESIGN.replace("balanced", f"{{{weights}}}").replace("epochs: -3", "epochs: 3")
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text.replace("lrge", "large").replace("data:", "data:\n  classes: [a, b]"))
    assert len(caught.value.problems) == 100
