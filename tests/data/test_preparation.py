from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from tests.builders import make_photo
from tests.data.builders import (
    Listener,
    encode,
    make_recipe,
    make_scene,
    write_images,
    zip_folder,
)
from tfclassify.data.preparation import (
    PreparedData,
    prepare_data,
    prepare_labelled,
    survey_source,
)
from tfclassify.data.splits import make_folds
from tfclassify.data.statistics import describe_index, pick_per_class
from tfclassify.errors import DataError, IntegrityError, SourceError
from tfclassify.recipe.schema import DataRecipe


def prepare(source: Path, observer: Listener | None = None, **keys: Any) -> PreparedData:
    recipe = make_recipe(DataRecipe(source=str(source), **keys))
    return prepare_data(recipe, observer=observer or Listener())


def kinds(prepared: PreparedData) -> set[tuple[str, str]]:
    return {(row.kind, row.image) for row in prepared.integrity.rows}


def test_from_a_zip_to_a_split(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "made", {"a": 20, "b": 10})
    listener = Listener()
    prepared = prepare(zip_folder(folder, tmp_path / "x.zip"), listener, test=0.1)
    table = pd.crosstab(prepared.index.frame["label"], prepared.index.frame["split"])
    assert table.loc["a"].to_dict() == {"test": 2, "train": 14, "validation": 4}
    assert table.loc["b"].to_dict() == {"test": 1, "train": 7, "validation": 2}
    assert (prepared.integrity.images, prepared.integrity.quarantined) == (30, 0)
    assert listener.warnings == []


def spoil(root: Path) -> Path:
    write_images(root, {"a": 8, "b": 8, "c": 3})
    (root / "a" / "empty.png").touch()
    (root / "a" / "zeros.png").write_bytes(bytes(100))
    (root / "b" / "copy.png").write_bytes((root / "b" / "0.png").read_bytes())
    (root / "b" / "liar.png").write_bytes((root / "a" / "0.png").read_bytes())
    (root / "b" / "grey.png").write_bytes(encode(make_photo(99).convert("L")))
    return root


def test_bad_images_are_quarantined_and_told(tmp_path: Path) -> None:
    listener = Listener()
    prepared = prepare(spoil(tmp_path), listener)
    assert kinds(prepared) == {
        ("empty", "a/empty.png"),
        ("not_an_image", "a/zeros.png"),
        ("label_conflict", "a/0.png"),
        ("label_conflict", "b/liar.png"),
        ("duplicate", "b/copy.png"),
        ("greyscale", "b/grey.png"),
        ("few_images", ""),
    }
    assert prepared.integrity.quarantined == 4
    assert len(prepared.index.usable()) == 20
    assert f"{tmp_path}: 1 empty file (quarantined): a/empty.png" in listener.warnings
    assert (
        f"{tmp_path}: 1 class with few images: class 'c' has 3 usable images" in listener.warnings
    )
    assert listener.notes == [f"{tmp_path}: 1 greyscale: b/grey.png"]
    splits = prepared.index.frame.set_index("image")["split"]
    assert splits["b/copy.png"] == splits["b/0.png"]


def test_strict_makes_an_error_of_them(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"4 of 24 images cannot be used(.|\n)*a/empty\.png"):
        prepare(spoil(tmp_path), strict=True)


def test_strict_does_not_mind_what_is_merely_unusual(tmp_path: Path) -> None:
    write_images(tmp_path, {"a": 8, "b": 2})
    (tmp_path / "b" / "grey.png").write_bytes(encode(make_photo(99).convert("L")))
    assert prepare(tmp_path, strict=True).integrity.counts == {"greyscale": 1, "few_images": 1}


def test_copies_across_the_sources_own_split(tmp_path: Path) -> None:
    write_images(tmp_path, {"train/a": 5, "train/b": 5, "test/a": 5, "test/b": 5})
    (tmp_path / "train/a/copy.png").write_bytes((tmp_path / "test/a/1.png").read_bytes())
    prepared = prepare(tmp_path)
    found = prepared.integrity.of_kind("straddling")
    assert [(row.image, row.detail) for row in found] == [
        ("train/a/copy.png", "same bytes as test/a/1.png")
    ]
    with pytest.raises(IntegrityError, match="training copy of a held-out image: train/a/copy"):
        prepare(tmp_path, strict=True)


def test_without_validation_the_sources_own_is_trained_on_and_told(tmp_path: Path) -> None:
    write_images(tmp_path, {"train/a": 5, "train/b": 5, "val/a": 2, "val/b": 1})
    listener = Listener()
    prepared = prepare(tmp_path, listener, validation=0.0)
    assert len(prepared.index.in_split("train")) == 13
    assert "so its 3 validation images are trained on too" in listener.notes[0]


def test_near_copies_across_a_split_are_told(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(5):
            seed = 100 * len(name) + 10 * ord(name[-1]) + number + (name[0] == "t")
            make_scene(seed + 1000 * (name[1] == "e")).save(tmp_path / name / f"{number}.png")
    with Image.open(tmp_path / "train/a/0.png") as opened:
        again = Image.open(BytesIO(encode(opened, "JPEG", quality=50)))
    again.save(tmp_path / "test/a/again.jpg")
    found = prepare(tmp_path).integrity.of_kind("near_duplicate")
    assert [row.image for row in found] == ["test/a/again.jpg"]
    assert "train/a/0.png in training" in found[0].detail


def test_near_copies_across_folds_are_told_once(tmp_path: Path) -> None:
    scenes = {f"{label}/{n}.png": 10 * k + n for k, label in enumerate("ab") for n in range(6)}
    for name, seed in scenes.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        make_scene(seed).save(tmp_path / name)
        make_scene(seed).resize((40, 30)).save(tmp_path / name.replace(".png", "-small.png"))
    recipe = make_recipe(DataRecipe(source=str(tmp_path), validation=0.25))
    prepared = prepare_data(recipe, folds=3)
    # Every image can be validated, whatever data.validation says.
    assert set(prepared.index.frame["split"]) == {"train"}
    parts: dict[str, str] = {}
    for number, fold in enumerate(make_folds(prepared.index, folds=3, seed=recipe.seed)):
        held = fold.in_split("test").frame["image"]
        parts |= dict.fromkeys(held, f"fold {number}")
    apart = {
        image
        for name in scenes
        for image in (name, name.replace(".png", "-small.png"))
        if parts[name] != parts[name.replace(".png", "-small.png")]
    }
    found = [row.image for row in prepared.integrity.of_kind("near_duplicate")]
    assert apart
    assert sorted(found) == sorted(apart)


def test_groups_and_classes_on_one_side_are_told(tmp_path: Path) -> None:
    write_images(tmp_path, {".": 18})
    lines = [f"{n}.png,{'ab'[n % 2]},g{n % 6}" for n in range(12)]
    lines += [f"{n}.png,c,only" for n in range(12, 18)]
    (tmp_path / "l.csv").write_text("\n".join(["file,label,who", *lines]))
    columns = {"file": "file", "label": "label", "group": "who"}
    prepared = prepare(tmp_path / "l.csv", columns=columns, validation=0.3)
    assert (
        prepared.integrity.of_kind("not_held_out")[0].detail == "class 'c' has no validation images"
    )
    assert prepared.index.frame.groupby("group")["split"].nunique().max() == 1


def test_unlabelled_images_cannot_be_trained_on(tmp_path: Path) -> None:
    write_images(tmp_path, {".": 3})
    with pytest.raises(DataError, match=r"at least 2 classes, got 0 \(images without labels\)"):
        prepare(tmp_path)
    with pytest.raises(DataError, match=r"got 1 \('a'\)"):
        prepare(write_images(tmp_path / "one", {"a": 2}), classes=("a", "b"))


def test_what_was_prepared_is_kept_on_disk(tmp_path: Path) -> None:
    prepared = prepare(spoil(tmp_path / "data"))
    paths = (tmp_path / "index.csv", tmp_path / "integrity.json")
    prepared.save(*paths)
    back = PreparedData.load(*paths)
    pd.testing.assert_frame_equal(back.index.frame, prepared.index.frame)
    assert back.integrity == prepared.integrity
    paths[1].write_text("{")
    with pytest.raises(DataError, match="the integrity report cannot be read"):
        PreparedData.load(*paths)


def test_a_survey_takes_unlabelled_images_and_does_not_split(tmp_path: Path) -> None:
    write_images(tmp_path / "flat", {".": 3})
    survey = survey_source(DataRecipe(source=str(tmp_path / "flat")))
    assert survey.index.frame["width"].tolist() == [16] * 3
    assert survey.integrity.rows == ()
    survey = survey_source(DataRecipe(source=str(spoil(tmp_path / "classes")), strict=True))
    assert set(survey.index.frame["split"]) == {""}
    assert survey.integrity.quarantined == 4


def test_other_images_are_read_for_a_trained_model(tmp_path: Path) -> None:
    write_images(tmp_path, {"b": 2, "a": 1, "odd": 1})
    (tmp_path / "a" / "bad.png").touch()
    recipe = make_recipe(
        DataRecipe(source="gone.zip", sha256="0" * 64, table="gone.csv", drop_labels=("odd",))
    )
    listener = Listener()
    prepared = prepare_labelled(recipe, str(tmp_path), ("b", "a", "z"), observer=listener)
    assert prepared.index.classes == ("b", "a", "z")
    assert prepared.index.usable().targets().argmax(axis=1).tolist() == [1, 0, 0]
    assert prepared.integrity.quarantined == 1
    assert listener.warnings == [f"{tmp_path}: 1 empty file (quarantined): a/bad.png"]
    strict = recipe.model_copy(update={"data": recipe.data.model_copy(update={"strict": True})})
    with pytest.raises(IntegrityError, match="1 of 4 images"):
        prepare_labelled(strict, str(tmp_path), ("b", "a", "z"))


def test_other_images_need_labels_that_the_model_knows(tmp_path: Path) -> None:
    recipe = make_recipe(DataRecipe(source="gone.zip"))
    write_images(tmp_path / "flat", {".": 2})
    with pytest.raises(DataError, match=r"no labels to judge by; .* `tfclassify predict`"):
        prepare_labelled(recipe, str(tmp_path / "flat"), ("a", "b"))
    write_images(tmp_path / "new", {"a": 1, "tulp": 1})
    with pytest.raises(SourceError, match=r"'tulp' is not among the 2 declared .* 'tulip'"):
        prepare_labelled(recipe, str(tmp_path / "new"), ("a", "tulip"))


def test_real_plants(shared_data: Path) -> None:
    prepared = prepare(shared_data / "plants.zip", validation=0.125)
    frame = prepared.index.frame
    assert frame["split"].value_counts().to_dict() == {"train": 2712, "validation": 388}
    assert set(zip(frame["width"], frame["height"], strict=True)) == {(96, 96)}
    assert prepared.integrity.quarantined == 0


def test_real_clothing(shared_data: Path) -> None:
    prepared = prepare(
        shared_data / "clothing.zip",
        table="images.csv",
        images="images",
        extension=".jpg",
        columns={"file": "image", "label": "label", "group": "sender_id"},
        drop_labels=("Not sure", "Other", "Skip"),
    )
    frame = prepared.index.usable().frame
    held = frame["split"] == "validation"
    assert len(prepared.index.classes) == 17
    assert frame.groupby("group")["split"].nunique().max() == 1
    assert abs(held.mean() - 0.2) < 0.01
    assert (held.groupby(frame["label"]).mean() - 0.2).abs().max() < 0.1


def test_labels_of_labellers_with_marks_and_coarse_classes(tmp_path: Path) -> None:
    write_images(tmp_path, {".": 12})
    labels = ["pen", "pencil", "ruler", "set square", "rubber", "rubber"] * 2
    lines = [
        f"{number}.png;{label};;{bits};ann"
        for number, (label, bits) in enumerate(zip(labels, [0, 1, 16, 6, 0, 0] * 2, strict=True))
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["Name;Label;Sublabel;Extra;Author", *lines]))
    prepared = prepare(
        tmp_path,
        table="labels.csv",
        separator=";",
        columns={"file": "Name", "label": "Label", "flags": "Extra"},
        flags={"broken": 1, "blurred": 2, "dark": 4, "lamp": 8, "hard": 16},
        drop_flags=("broken",),
        flag_weights={"hard": 2.0},
        merge_classes={
            "writing tool": ("pen", "pencil"),
            "measuring tool": ("ruler", "set square"),
        },
        validation=0.0,
    )
    frame = prepared.index.frame
    assert prepared.index.classes == ("measuring tool", "rubber", "writing tool")
    # Both pencils are broken, so that only the pens write.
    assert frame["label"].value_counts().to_dict() == {
        "measuring tool": 4,
        "rubber": 4,
        "writing tool": 2,
    }
    assert frame["weight"][frame["flags"] == "hard"].tolist() == [2.0, 2.0]
    assert frame["weight"].sum() == 12.0


class TestWhatIsLeftAfterLooking:
    """Training never goes on with less than was meant without a word."""

    def break_all(self, folder: Path) -> None:
        for path in folder.glob("*.png"):
            path.write_bytes(path.read_bytes()[:40])

    @pytest.mark.parametrize("broken", [("a",), ("a", "b")])
    def test_classes_that_are_wholly_broken(self, tmp_path: Path, broken: tuple[str, ...]) -> None:
        root = write_images(tmp_path, {"a": 6, "b": 6})
        for name in broken:
            self.break_all(root / name)
        match = (
            rf"of 12 images {12 - 6 * len(broken)} can be used, in {2 - len(broken)} of 2 classes; "
            rf"training needs 2\. None is left of '{broken[0]}'.*\n  .* truncated"
        )
        with pytest.raises(DataError, match=match):
            prepare(root)

    @pytest.mark.parametrize("split", ["train", "validation"])
    def test_a_split_of_the_source_that_is_wholly_broken(self, tmp_path: Path, split: str) -> None:
        root = write_images(
            tmp_path, {f"{part}/{name}": 6 for part in ("train", "validation") for name in "ab"}
        )
        for name in "ab":
            self.break_all(root / split / name)
        with pytest.raises(DataError, match=rf"none of the 12 images .* names as {split} can be"):
            prepare(root)
        if split == "validation":  # where all is trained on, none is asked for
            assert len(prepare(root, validation=0.0).index.in_split("train")) == 12

    def test_a_weight_of_a_class_that_is_not_there(self, tmp_path: Path) -> None:
        root = write_images(tmp_path, {"rose": 6, "tulip": 6})
        match = r"class_weights\.tulp: .* has no class 'tulp'; it has 2: rose, tulip; did you mean"
        with pytest.raises(DataError, match=match):
            prepare_data(make_recipe(DataRecipe(source=str(root)), class_weights={"tulp": 2.0}))

    def test_a_survey_of_one_class_says_so(self, tmp_path: Path) -> None:
        root = write_images(tmp_path, {"photos/rose": 6, "photos/none": 0})
        survey = survey_source(DataRecipe(source=str(root / "photos")))
        told = [row.detail for row in survey.integrity.of_kind("one_class")]
        assert told == ["'rose' is the only class; training needs 2 or more"]

    def test_a_survey_of_one_folder_says_so(self, tmp_path: Path) -> None:
        root = write_images(tmp_path, {"photos/rose": 6})
        survey = survey_source(DataRecipe(source=str(root / "photos")))
        told = [row.detail for row in survey.integrity.of_kind("one_class")]
        assert told == ["'rose' is the only class; training needs 2 or more"]
        loose = survey_source(DataRecipe(source=str(root / "photos" / "rose")))
        assert not loose.integrity.of_kind("one_class")

    def test_a_survey_of_broken_images_alone(self, tmp_path: Path) -> None:
        root = write_images(tmp_path, {"a": 2, "b": 2})
        self.break_all(root / "a")
        self.break_all(root / "b")
        index = survey_source(DataRecipe(source=str(root))).index
        assert pick_per_class(index, 3, seed=0) == {"a": [], "b": []}
        assert describe_index(index).colours.images == 0
