from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from tests.builders import make_photo
from tfclassify.data.listing import (
    clean_path,
    find_split,
    has_images,
    is_image_file,
    is_junk,
    list_folders,
    name_image,
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
    with pytest.raises(SourceError, match="the name is not valid UTF-8; rename the file"):
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
