"""Every recipe in the folder recipes loads, and says what a reader needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfclassify.recipe.loading import dump_recipe, load_recipe, parse_recipe

FOLDER = Path(__file__).parents[2] / "recipes"
SHIPPED = sorted(FOLDER.glob("*.yaml"))


def test_the_shipped_recipes_are_there() -> None:
    assert {"quickstart", "plants", "plants_lite", "clothing_lite"} <= {
        path.stem for path in SHIPPED
    }


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_recipe_loads_and_survives_a_dump(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert recipe.description
    assert parse_recipe(dump_recipe(recipe)) == recipe
    is_builtin = recipe.data.source.startswith("builtin:")
    assert is_builtin or recipe.data.download_from, "says where the data can be had"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_header_gives_the_command_and_the_score(path: Path) -> None:
    header = [line for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
    assert f"#   tfclassify train recipes/{path.name}" in header
    assert any(line.startswith("# measured: ") for line in header)


def test_plants_is_the_published_winner() -> None:
    recipe = load_recipe(FOLDER / "plants.yaml")
    head, whole = recipe.phases
    assert recipe.model.backbone == "convnext_large"
    assert recipe.data.image_size == (96, 96)
    assert recipe.data.validation == 0.125
    assert recipe.model.head.dense == (1024, 512)
    assert (recipe.model.head.dropout, recipe.model.head.final_dropout) == (0.39, 0.33)
    assert (recipe.model.head.pool, recipe.model.head.l1) == ("flatten", 0.001)
    assert (head.train, head.learning_rate, whole.train, whole.learning_rate) == (
        "head",
        1e-3,
        "all",
        5.2e-5,
    )
    patience = [phase.early_stopping.patience for phase in recipe.phases if phase.early_stopping]
    assert patience == [19, 23]
    assert (recipe.augment.mix.cutmix, recipe.augment.mix.mixup) == (0.5, 0.5)
    assert recipe.augment.rotate == (-0.35, 0.35)
    assert recipe.augment.zoom == (0.0, 0.15)
    assert recipe.class_weights == "balanced"
    assert recipe.tta is not None
    assert recipe.tta.shift == 0.1


def test_clothing_keeps_senders_together_and_has_17_classes_left() -> None:
    data = load_recipe(FOLDER / "clothing_lite.yaml").data
    assert data.columns.group == "sender_id"
    assert data.drop_labels == ("Not sure", "Other", "Skip")


@pytest.mark.parametrize("name", ["plants_lite", "plants_custom", "plants_stack"])
def test_the_views_of_plants_are_the_eight_ways_to_lay_a_photo(name: str) -> None:
    tta = load_recipe(FOLDER / f"{name}.yaml").tta
    assert tta is not None
    assert (tta.flips, tta.rotations, tta.combine) == (("horizontal", "vertical"), (90,), "product")
    assert (tta.shift, tta.zoom) == (0.0, ()), "shifts of plants.yaml are not inherited"


def test_school_items_small_is_the_network_of_the_sequel() -> None:
    recipe = load_recipe(FOLDER / "school_items_small.yaml")
    assert recipe.model.colour == "grey"
    assert [layer.conv for layer in recipe.model.layers] == [8, 16, 32, 64, 128]
    assert recipe.model.head.dense == (100,)
    photos = load_recipe(FOLDER / "school_items_small.yaml", ["data.source=photos"])
    assert (photos.data.source, photos.data.table) == ("photos", None)
