from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tfclassify.errors import RecipeError
from tfclassify.recipe.document import Place, read_document
from tfclassify.recipe.loading import load_recipe
from tfclassify.recipe.overrides import Override, apply_override, parse_override

TEXT = """\
name: x
data: {source: photos}
model: {backbone: vgg16}
phases:
  - {name: head, epochs: 3, schedule: cosine, early_stopping: null}
  - {name: whole, epochs: 4}
"""


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("phases[1].epochs=3", ("phases", 1, "epochs"), 3),
        ("phases[-1].learning_rate=1e-3", ("phases", -1, "learning_rate"), 0.001),
        ("augment.flip=[horizontal, vertical]", ("augment", "flip"), ["horizontal", "vertical"]),
        ("tta={shift: 0.1}", ("tta",), {"shift": 0.1}),
        ("data.source=https://x.y/?a=b", ("data", "source"), "https://x.y/?a=b"),
        ("description=", ("description",), None),
        ('class_weights."a=b.c"=2', ("class_weights", "a=b.c"), 2),
        (" seed =7", ("seed",), 7),
    ],
)
def test_an_override_is_a_path_and_a_yaml_value(text: str, path: Any, value: Any) -> None:
    assert parse_override(text) == Override(path, value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed", r"--set  must be KEY=VALUE, such as phases\[0\].epochs=3, got 'seed'"),
        ("=3", "must be KEY=VALUE"),
        ("a..b=3", r"the key 'a..b' cannot be read from character 3 on; write it as phases\[0\]"),
        (" =3", "the key '' cannot be read from character 1 on"),
        ("data.source=[a", r"--set  data.source: not valid YAML: .*, got '\[a'"),
        ("seed=*x", "seed: anchors and aliases are not allowed"),
        ("base=other.yaml", "base: cannot be set here; it belongs in a recipe file"),
    ],
)
def test_an_override_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_override(text)


def apply(text: str) -> Any:
    document = read_document(TEXT)
    apply_override(document, parse_override(text))
    return document


def test_a_key_is_changed_and_its_place_is_the_command_line() -> None:
    document = apply("phases[-1].epochs=9")
    assert document.content["phases"][1]["epochs"] == 9
    assert document.locate(("phases", 1, "epochs")) == Place(None)
    assert document.locate(("phases", 1, "name")) == Place(6)


def test_mappings_on_the_way_are_made() -> None:
    assert apply("augment.mix.cutmix=0.5").content["augment"] == {"mix": {"cutmix": 0.5}}
    # null is what an absent section looks like
    stopping = apply("phases[0].early_stopping.patience=2").content["phases"][0]["early_stopping"]
    assert stopping == {"patience": 2}
    document = apply("tta.shift=3")
    assert document.locate(("tta",)) == Place(None)


def test_an_item_of_a_list_is_changed() -> None:
    assert apply("phases[0]={name: a, epochs: 1}").content["phases"][0] == {
        "name": "a",
        "epochs": 1,
    }


def test_places_below_a_replaced_value_are_forgotten() -> None:
    document = apply("phases=[{name: a}]")
    assert document.locate(("phases", 0, "epochs")) == Place(None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("phases[2].epochs=1", r"phases\[2\]: phases has 2 items; positions are 0 to 1, got 2"),
        ("phases[-3]=1", r"phases\[-3\]: phases has 2 items; positions are 0 to 1, got -3"),
        (
            "phases.epochs=1",
            r"phases is a list, not a mapping; choose an item, such as phases\[0\]",
        ),
        ("name.x=1", r"name.x: name is 'x', not a mapping"),
        ("phases[0].schedule.final=1", r"phases\[0\].schedule is 'cosine', not a mapping"),
        ("data[0]=1", r"data\[0\]: data is a mapping, not a list"),
        ("name[0]=1", r"name\[0\]: name is 'x', not a list"),
        ("[0]=1", r"\[0\]: the recipe is a mapping, not a list"),
        ("augment.flip[0]=horizontal", r"augment.flip is not in the recipe; set the whole list: "),
    ],
)
def test_a_path_that_leads_nowhere(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        apply(text)


def test_an_empty_list_says_so() -> None:
    document = read_document("phases: []")
    with pytest.raises(RecipeError, match=r"phases has 0 items; it is empty, got 0"):
        apply_override(document, parse_override("phases[0].epochs=1"))


def test_overrides_are_checked_like_the_file_and_all_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(TEXT, "utf-8")
    recipe = load_recipe(path, ["phases[0].epochs=7", "seed=1", "seed=2", "tta.shift=0.1"])
    assert (recipe.phases[0].epochs, recipe.seed) == (7, 2)
    overrides = ["phases[1].epoch=1", "seed=-1", "phases[9].epochs=1", "junk", "phases[0].epochs=x"]
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    assert str(caught.value) == (
        f"{path}: 5 problems\n"
        "  --set  phases[9]: phases has 2 items; positions are 0 to 1, got 9\n"
        "  --set  must be KEY=VALUE, such as phases[0].epochs=3, got 'junk'\n"
        "  --set  seed: must be at least 0 and below 2147483648, got -1\n"
        "  --set  phases[0].epochs: must be a whole number of at least 1, got 'x'\n"
        "  --set  phases[1].epoch: unknown key 'epoch'; did you mean 'epochs'?"
    )


def test_every_item_of_a_list_is_changed(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(TEXT, "utf-8")
    loaded = load_recipe(recipe, ["phases[].epochs=7", "phases[1].epochs=8"])
    assert [phase.epochs for phase in loaded.phases] == [7, 8]
    with pytest.raises(RecipeError, match="layers: is no list of the recipe, so"):
        load_recipe(recipe, ["model.layers[].conv=3"])
