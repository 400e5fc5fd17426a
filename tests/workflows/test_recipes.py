from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.builders import make_photo_folder
from tests.tiny_run import TinyRun, make_labelled_photos, write_recipe
from tfclassify.errors import RecipeError, RequestError, TargetError
from tfclassify.recipe.loading import load_recipe
from tfclassify.workflows.recipes import _name_source, list_overrides, open_recipe


def test_a_recipe_file_and_what_it_holds_are_the_same_recipe(in_tmp: Path) -> None:
    make_labelled_photos(in_tmp / "photos")
    path = write_recipe(in_tmp)
    recipe = load_recipe(path)
    assert open_recipe(path) == recipe
    assert open_recipe(recipe) == recipe
    assert open_recipe(recipe.model_dump(mode="json")) == recipe
    assert open_recipe(recipe, ["seed=9", "phases[].epochs=7"]).seed == 9
    assert [phase.epochs for phase in open_recipe(path, ["phases[].epochs=7"]).phases] == [7, 7]


def test_images_get_a_recipe_that_fits_them(in_tmp: Path) -> None:
    make_photo_folder(in_tmp / "my photos", images_per_class=8)
    recipe = open_recipe("my photos", ["model.backbone=mobilenet_v2", "phases[].epochs=2"])
    assert (recipe.name, recipe.data.source) == ("my_photos", "my photos")
    assert recipe.model.backbone == "mobilenet_v2"
    assert {phase.epochs for phase in recipe.phases} == {2}
    assert not any(in_tmp.glob("*.yaml"))


def test_what_is_wrong_in_a_mapping_is_told(in_tmp: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean 'backbone'"):
        open_recipe(
            {
                "name": "a",
                "data": {"source": "x"},
                "model": {"backbne": "resnet50"},
                "phases": [{"name": "a", "epochs": 1}],
            }
        )


def test_what_is_not_there_names_what_is_near(in_tmp: Path) -> None:
    make_photo_folder(in_tmp / "photos")
    with pytest.raises(
        TargetError, match="phtos: there is no such file or folder; did you mean 'photos'"
    ):
        open_recipe("phtos")
    with pytest.raises(RecipeError, match=r"photos: 1 problem\n +--set +model.backbone: unknown"):
        open_recipe("photos", ["model.backbone=resnt50"])


def test_a_run_is_not_trained_anew_by_mistake(tiny_run: TinyRun) -> None:
    with pytest.raises(RequestError, match="is a run; resume it with `tfclassify train --resume"):
        open_recipe(tiny_run.run)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("photos/", "photos"),
        ("../data/plants.zip", "plants"),
        ("a b.tar.gz", "a_b"),
        ("builtin:digits", "digits"),
        ("https://x.org/v1/flowers.zip", "flowers"),
        ("C:\\my\\images.csv", "images"),
        ("çà", "images"),
    ],
)
def test_runs_are_named_after_their_source(source: str, name: str) -> None:
    assert _name_source(source) == name


@pytest.mark.parametrize(
    ("changes", "shorthands", "texts"),
    [
        ({}, {"image_size": 96}, ("data.image_size=96",)),
        ({}, {"image_size": "96"}, ("data.image_size=96",)),
        ((), {"image_size": (96, 128)}, ("data.image_size=[96, 128]",)),
        (["seed=1"], {"backbone": "resnet50"}, ("model.backbone=resnet50", "seed=1")),
        ("seed=1", {"epochs": 3}, ("phases[].epochs=3", "seed=1")),
        ({"tta": None, "data.source": "a: b"}, {}, ("tta=null", 'data.source="a: b"')),
    ],
)
def test_changes_are_texts(changes: Any, shorthands: dict[str, Any], texts: tuple[str]) -> None:
    assert list_overrides(changes, **shorthands) == texts


def test_errors_of_a_draft_cite_no_line_of_a_file_that_nobody_wrote(in_tmp: Path) -> None:
    make_photo_folder(in_tmp / "photos", images_per_class=6)
    with pytest.raises(RecipeError) as caught:
        open_recipe("photos", ["phases[0].epochs=x", "phases[0].learning_rate=0"])
    assert str(caught.value) == (
        "photos: 2 problems\n"
        "  --set  phases[0].epochs: must be a whole number of at least 1, got 'x'\n"
        "  --set  phases[0].learning_rate: must be above 0 and at most 100, got 0"
    )
