from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import make_photo_folder
from tests.tiny_run import make_labelled_photos
from tfclassify.data.preparation import prepare_data
from tfclassify.errors import DataError, RecipeError, RequestError, SourceError
from tfclassify.recipe.loading import load_recipe, parse_recipe
from tfclassify.workflows.create import CreateRequest, create_recipe, draft_recipe, parse_columns


@pytest.fixture
def photos(in_tmp: Path) -> str:
    make_photo_folder(in_tmp / "my photos", images_per_class=8)
    return "my photos"


def test_the_recipe_that_is_written_loads(photos: str, in_tmp: Path) -> None:
    out = create_recipe(CreateRequest("colours", photos, in_tmp / "sub" / "colours.yaml"))
    recipe = load_recipe(out)
    assert recipe.name == "colours"
    assert recipe.data.source == photos
    assert "#" in out.read_text("utf-8")


def test_what_is_there_is_not_overwritten(photos: str, in_tmp: Path) -> None:
    out = in_tmp / "colours.yaml"
    out.write_text("precious", "utf-8")
    with pytest.raises(RequestError, match=r"is there already .* name another with --out"):
        create_recipe(CreateRequest("colours", photos, out))
    assert out.read_text("utf-8") == "precious"


def test_images_beside_a_table_get_a_hint(in_tmp: Path) -> None:
    folder = make_labelled_photos(in_tmp / "photos")
    flat = in_tmp / "flat"
    flat.mkdir()
    for file in sorted(folder.rglob("*.png"))[:4]:
        file.rename(flat / f"{file.parent.name}{file.name}")
    (folder / "labels.csv").rename(flat / "labels.csv")
    with pytest.raises(RequestError, match=r"table is not understood: .*labels\.csv: no column"):
        create_recipe(CreateRequest("flat", "flat", in_tmp / "flat.yaml"))


def test_one_class_is_not_enough(photos: str, in_tmp: Path) -> None:
    with pytest.raises(RequestError, match="fewer than 2 classes"):
        create_recipe(CreateRequest("one", "my photos/red", in_tmp / "one.yaml"))


def test_a_bad_name_or_source_writes_nothing(photos: str, in_tmp: Path) -> None:
    with pytest.raises(RecipeError, match="name"):
        create_recipe(CreateRequest("no good/", photos, in_tmp / "a.yaml"))
    with pytest.raises(SourceError, match="no such file or folder"):
        create_recipe(CreateRequest("fine", "absent", in_tmp / "b.yaml"))
    assert not list(in_tmp.glob("*.yaml"))


def test_a_problem_cites_the_source_and_no_line_that_nobody_wrote(
    photos: str, in_tmp: Path
) -> None:
    with pytest.raises(RecipeError) as caught:
        create_recipe(CreateRequest("my flowers", photos, in_tmp / "a.yaml"))
    assert str(caught.value) == (
        "a recipe 'my flowers' for my photos: 1 problem\n  name: must start with a letter or "
        "digit and continue with letters, digits, '.', '_' or '-', got 'my flowers'"
    )


def test_images_that_cannot_be_read_make_no_recipe(in_tmp: Path) -> None:
    for name in ("red", "green"):
        (in_tmp / "bad" / name).mkdir(parents=True)
        (in_tmp / "bad" / name / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of its 2 images can be read"):
        create_recipe(CreateRequest("bad", "bad", in_tmp / "bad.yaml"))


def test_columns_as_a_user_writes_them() -> None:
    assert parse_columns("file=Id, label=Genre,group=") == {
        "file": "Id",
        "label": "Genre",
        "group": None,
    }
    with pytest.raises(RequestError, match=r"must be KEY=NAME parts, .* got 'Genre'"):
        parse_columns("file=Id,Genre")
    with pytest.raises(RequestError, match=r"got ''"):
        parse_columns("")


def test_a_table_of_marks_becomes_a_recipe_that_says_what_was_taken(in_tmp: Path) -> None:
    folder = make_photo_folder(in_tmp / "photos", images_per_class=8) / "labels.csv"
    names = sorted(
        path.relative_to(folder.parent).as_posix() for path in folder.parent.rglob("*.png")
    )
    lines = [
        f"{name},{int('red' in name)},{number},{int('red' not in name)},{number % 2}"
        for number, name in enumerate(names)
    ]
    folder.write_text("\n".join(["Id,red,year,other,odd", *lines]), "utf-8")
    text = draft_recipe("x", "photos/labels.csv")
    assert "\n#   red, other and odd: one column of 0 and 1 a class, 3 classes\n" in text
    recipe = parse_recipe(text)
    assert (recipe.task, recipe.data.columns.one_hot, recipe.metric) == (
        "multi_label",
        "rest",
        "map",
    )
    index = prepare_data(recipe).index
    assert index.classes == ("red", "other", "odd")
    single = draft_recipe("x", "photos/labels.csv", columns={"one_hot": "red+other"})
    index = prepare_data(parse_recipe(single)).index
    assert not index.is_multi_label
    assert index.classes == ("red", "other")
    with pytest.raises(DataError, match=r"exactly one class an image, got .* set task"):
        prepare_data(parse_recipe(single, "x", ["data.columns.one_hot=rest"]))


def test_digits_are_not_mirrored_and_photos_are(in_tmp: Path) -> None:
    digits = parse_recipe(draft_recipe("digits", "builtin:digits"))
    assert (digits.augment.flip, digits.tta.flips) == ((), ())
    assert digits.data.test == digits.data.validation == 0.15
    assert digits.keep_phase == "best"
    make_photo_folder(in_tmp / "photos", images_per_class=8)
    photos = parse_recipe(draft_recipe("photos", "photos"))
    assert photos.augment.flip == photos.tta.flips == ("horizontal",)
    assert photos.data.test == 0.0
