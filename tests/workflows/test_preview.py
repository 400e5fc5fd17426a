from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tiny_run import TinyRun
from tfclassify.data.index import Index, make_frame
from tfclassify.recipe.loading import load_recipe
from tfclassify.recipe.schema import AugmentRecipe
from tfclassify.workflows.preview import (
    PreviewRequest,
    choose_images,
    list_preview,
    preview_recipe,
)


def test_the_sheet_opens_and_grows_with_what_it_shows(tiny_run: TinyRun, tmp_path: Path) -> None:
    sizes = []
    for images, versions in ((2, 1), (4, 3)):
        out = tmp_path / f"{images}.png"
        request = PreviewRequest(tiny_run.recipe, (), out, images, versions)
        drawn = preview_recipe(request)
        with Image.open(out) as sheet:
            sheet.load()
            assert sheet.format == "PNG"
            assert sheet.size == drawn.size
            sizes.append(sheet.size)
    # Columns: the original and the versions; a cell is at least 160 pixels wide.
    assert sizes[1][0] - sizes[0][0] >= 2 * 160
    assert sizes[1][1] - sizes[0][1] >= 2 * 160


def test_tensorflow_is_started_quietly_before_it_is_imported(
    tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "tfclassify.pipeline.preview", raising=False)

    def stop() -> None:
        raise NotImplementedError("tfclassify.pipeline.preview" in sys.modules)

    monkeypatch.setattr("tfclassify.workflows.preview.start_tensorflow", stop)
    with pytest.raises(NotImplementedError, match="False"):
        preview_recipe(PreviewRequest(tiny_run.recipe))


def test_every_class_is_shown_before_one_comes_twice() -> None:
    labels = ["a"] * 6 + ["b"] * 2 + ["c"]
    names = [f"{number}.png" for number in range(len(labels))]
    index = Index(make_frame(names, names, label=labels), ("a", "b", "c"), "made")
    chosen = choose_images(index, 5, seed=1).frame["label"].tolist()
    assert sorted(chosen[:3]) == ["a", "b", "c"]
    assert sorted(chosen[3:]) == ["a", "b"]
    assert choose_images(index, 99, seed=1).frame["label"].value_counts()["a"] == 6


def test_the_page_shows_nothing_where_nothing_is_augmented(tiny_run: TinyRun) -> None:
    recipe = load_recipe(tiny_run.recipe)
    nothing = Index(make_frame([], []), ("a", "b"), "empty")
    plain = recipe.model_copy(update={"augment": AugmentRecipe()})
    assert list_preview(plain, nothing) == ()
    phases = tuple(
        phase.model_copy(update={"augment": False, "mix": False}) for phase in recipe.phases
    )
    assert list_preview(recipe.model_copy(update={"phases": phases}), nothing) == ()


@pytest.mark.parametrize("side", [16, 224])
def test_the_pictures_of_the_page_are_small(tiny_run: TinyRun, tmp_path: Path, side: int) -> None:
    recipe = load_recipe(tiny_run.recipe, (f"data.image_size={side}",))
    names = [f"{number}.png" for number in range(4)]
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 256, (300, 300, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    frame = make_frame(names, [str(tmp_path / name) for name in names], label="a", split="train")
    rows = list_preview(recipe, Index(frame, ("a", "b"), "noise"))
    assert len(rows) == 4
    for row in rows:
        assert row.original.titles == ("a",)
        assert [photo.name for photo in row.versions] == [f"epoch {n}" for n in range(1, 7)]
    pictures = [photo.thumbnail for row in rows for photo in (row.original, *row.versions)]
    assert {(each.width, each.height) for each in pictures} == {(min(side, 160),) * 2}
    # Noise is the worst that JPEG can meet.
    assert sum(len(each.data_uri) for each in pictures) < 1_000_000
