from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.builders import write_images
from tfclassify.data.folders import read_folder, unwrap
from tfclassify.data.listing import Listing
from tfclassify.errors import SourceError


def summarise(listing: Listing) -> set[tuple[str, str, str]]:
    return {(row.image, row.label, row.split) for row in listing.rows}


def kinds(listing: Listing) -> list[tuple[str, str]]:
    return sorted((found.kind, found.image) for found in listing.findings)


def test_a_folder_a_class(tmp_path: Path) -> None:
    write_images(tmp_path, {"cat": 2, "dog/deep/er": 1})
    listing = read_folder(tmp_path, "photos")
    assert summarise(listing) == {
        ("cat/0.png", "cat", ""),
        ("cat/1.png", "cat", ""),
        ("dog/deep/er/0.png", "dog", ""),
    }
    assert listing.rows[0].path == f"{tmp_path}/cat/0.png"
    assert listing.rows[0].place == "photos/cat/0.png"
    assert not listing.findings


@pytest.mark.parametrize(
    "names",
    [("train", "validation", "test"), ("Training", "VALID", "Testing"), ("train", "val", "test")],
)
def test_split_folders_with_a_folder_a_class(tmp_path: Path, names: tuple[str, ...]) -> None:
    write_images(tmp_path, {f"{name}/{label}": 1 for name in names for label in ("a", "b")})
    assert summarise(read_folder(tmp_path, "x")) == {
        (f"{name}/{label}/0.png", label, split)
        for name, split in zip(names, ("train", "validation", "test"), strict=True)
        for label in ("a", "b")
    }


def test_held_out_folders_alone_are_splits_too(tmp_path: Path) -> None:
    write_images(tmp_path, {"val/a": 1, "test/a": 1})
    assert {row.split for row in read_folder(tmp_path, "x").rows} == {"validation", "test"}


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 1, "bus": 1, "tram": 1})
    assert {(row.label, row.split) for row in read_folder(tmp_path, "x").rows} == {
        ("train", ""),
        ("bus", ""),
        ("tram", ""),
    }


def test_what_lies_beside_the_splits_is_reported(tmp_path: Path) -> None:
    write_images(tmp_path, {"train/a": 1, "val/a": 1, "test": 2, "samples/a": 1})
    listing = read_folder(tmp_path, "x")
    assert {row.split for row in listing.rows} == {"train", "validation"}
    assert kinds(listing) == [
        ("unlabelled", "samples/a/0.png"),
        ("unlabelled", "test/0.png"),
        ("unlabelled", "test/1.png"),
    ]


def test_what_lies_beside_and_in_the_classes_is_reported(tmp_path: Path) -> None:
    write_images(tmp_path, {"a": 1, "b": 1, ".": 1})
    (tmp_path / "empty").mkdir()
    (tmp_path / "b" / "notes.txt").touch()
    (tmp_path / "LICENSE").touch()
    listing = read_folder(tmp_path, "x")
    assert {row.label for row in listing.rows} == {"a", "b"}
    assert kinds(listing) == [
        ("few_images", ""),
        ("other_file", "b/notes.txt"),
        ("unlabelled", "0.png"),
    ]
    assert "class folder 'empty' holds no images" in {found.detail for found in listing.findings}


def test_a_flat_folder_is_unlabelled(tmp_path: Path) -> None:
    write_images(tmp_path, {".": 3})
    (tmp_path / "readme.txt").touch()
    assert summarise(read_folder(tmp_path, "x")) == {(f"{n}.png", "", "") for n in range(3)}


@pytest.mark.parametrize("wrapping", ["photos", "a/b/c"])
@pytest.mark.parametrize(
    "layout", [{"cat": 1, "dog": 1}, {"train/cat": 1, "test/cat": 1}, {".": 2}]
)
def test_wrapping_folders_do_not_show(
    tmp_path: Path, wrapping: str, layout: dict[str, int]
) -> None:
    write_images(tmp_path / "plain", layout)
    write_images(tmp_path / "wrapped" / wrapping, layout)
    (tmp_path / "wrapped" / "__MACOSX").mkdir()
    (tmp_path / "wrapped" / "LICENSE").touch()
    plain = read_folder(tmp_path / "plain", "x")
    wrapped = read_folder(tmp_path / "wrapped", "x")
    assert summarise(plain) == summarise(wrapped)
    assert plain.findings == wrapped.findings


def test_a_lone_folder_is_a_class_if_the_recipe_says_so(tmp_path: Path) -> None:
    write_images(tmp_path, {"cat": 2})
    assert {row.label for row in read_folder(tmp_path, "x").rows} == {""}
    assert {row.label for row in read_folder(tmp_path, "x", {"cat"}).rows} == {"cat"}


def test_unwrapping_stops_at_images(tmp_path: Path) -> None:
    write_images(tmp_path, {"only": 1, ".": 1})
    assert unwrap(tmp_path) == tmp_path


@pytest.mark.parametrize("layout", [[], ["a", "b"], ["train/a"]])
def test_no_images_is_an_error(tmp_path: Path, layout: list[str]) -> None:
    for name in layout:
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        SourceError, match="photos: there are no images in it; expected a folder per"
    ):
        read_folder(tmp_path, "photos")


def test_an_archive_inside_is_pointed_out(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "train.zip").touch()
    with pytest.raises(SourceError, match=r"no images in it; unpack 'train\.zip' in it first"):
        read_folder(tmp_path, "photos")
