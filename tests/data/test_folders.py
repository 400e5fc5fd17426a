from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from tests.builders import make_photo
from tests.data.builders import write_images
from tfclassify.data.folders import (
    Listing,
    clean_path,
    find_split,
    has_images,
    is_image_file,
    is_junk,
    list_classes,
    list_folders,
    name_image,
    read_folder,
    unwrap,
    walk_files,
)
from tfclassify.errors import SourceError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def walk(root: Path, **options: bool) -> list[str]:
    return [path.removeprefix(f"{root}/") for path in walk_files(root, **options)]


def test_junk_of_systems_is_passed_over(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "cat/1.jpg",
        "cat/._1.jpg",
        "__MACOSX/cat/._1.jpg",
        ".DS_Store",
        "Thumbs.db",
        "cat/desktop.ini",
        ".ipynb_checkpoints/1.jpg",
    )
    assert walk(tmp_path) == ["cat/1.jpg"]
    assert [folder.name for folder in list_folders(tmp_path)] == ["cat"]
    assert is_junk("THUMBS.DB")
    assert not is_junk("cat")


def test_files_come_in_order_and_shallow_if_asked(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.jpg", "b/1.jpg", "a.jpg", "c.jpg")
    assert walk(tmp_path) == ["a.jpg", "b/1.jpg", "b/2.jpg", "c.jpg"]
    assert walk(tmp_path, is_deep=False) == ["a.jpg", "c.jpg"]


def test_linked_folders_are_entered_once(tmp_path: Path) -> None:
    touch(tmp_path, "real/cat/1.jpg")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "cat").symlink_to(tmp_path / "real" / "cat")
    (tmp_path / "real" / "cat" / "loop").symlink_to(tmp_path / "real" / "cat")
    assert walk(tmp_path / "root") == ["cat/1.jpg"]


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.Png", "a.webp", "a.gif", "a.bmp", "a.tiff"])
def test_endings_announce_images(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name)
    assert is_image_file(str(tmp_path / name))


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "jpg", "a.jpg.part", "README"])
def test_other_files_are_no_images(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name)
    assert not is_image_file(str(tmp_path / name))
    assert not has_images(tmp_path)


def test_without_an_ending_the_content_tells(tmp_path: Path) -> None:
    make_photo(0).save(tmp_path / "photo", "JPEG")
    assert is_image_file(str(tmp_path / "photo"))
    assert not is_image_file(str(tmp_path / "absent"))


def test_has_images_looks_as_deep_as_asked(tmp_path: Path) -> None:
    touch(tmp_path, "a/b/1.jpg")
    assert has_images(tmp_path)
    assert not has_images(tmp_path, is_deep=False)


def test_accents_of_all_systems_are_one_name(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        path = f"{tmp_path}/{unicodedata.normalize(form, 'žába')}/1.jpg"
        assert name_image(path, tmp_path) == "žába/1.jpg"


def test_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = os.fsdecode(b"/x/caf\xe9.jpg")
    with pytest.raises(SourceError, match="the name is not valid UTF-8; rename it"):
        name_image(path, tmp_path)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("Val", "validation"),
        ("train2017", "train"),
        ("val2014", "validation"),
        ("TEST-2017", "test"),
        ("valid_1999", "validation"),
        ("training 2025", "train"),
        ("val1517", None),
        ("train17", None),
        ("2017", None),
        ("trian2017", None),
    ],
)
def test_splits_go_by_several_names(name: str, split: str | None) -> None:
    assert find_split(name) == split


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("a/b.png", "a/b.png"),
        ("./a//x/../b.png", "a/b.png"),
        ("a\\b.png", "a/b.png"),
        ("/etc/passwd", None),
        ("../b.png", None),
        ("a/../../b.png", None),
        ("..", None),
        (".", None),
        ("", None),
        ("a\0.png", None),
    ],
)
def test_paths_of_tables_stay_inside(value: str, path: str | None) -> None:
    assert clean_path(value) == path


def test_a_pipe_without_an_ending_is_no_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert not is_image_file(str(tmp_path / "pipe"))
    assert not is_image_file(str(tmp_path / ("x" * 300)))


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


@pytest.mark.parametrize(
    ("layout", "classes"),
    [
        ({"cat": 1, "dog/deep": 1, "empty": 0}, {"cat", "dog"}),
        ({"train/cat": 1, "test/dog": 1, "samples/x": 1}, {"cat", "dog"}),
        ({"a/b/cat": 1, "a/b/dog": 1}, {"cat", "dog"}),
        ({".": 2}, set()),
        ({"only": 2}, set()),
    ],
)
def test_classes_are_those_of_the_rows(
    tmp_path: Path, layout: dict[str, int], classes: set[str]
) -> None:
    write_images(tmp_path, layout)
    assert list_classes(tmp_path, "x") == classes
    assert {row.label for row in read_folder(tmp_path, "x").rows} - {""} == classes


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
