from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.data.builders import Listener, write_images, zip_folder
from tfclassify.data import sources
from tfclassify.data.images import open_image
from tfclassify.data.readers import read_source
from tfclassify.data.sources import COUNT, Source, find_source, write_digits
from tfclassify.errors import ArchiveError, SourceError
from tfclassify.files import cache_folder, hash_file
from tfclassify.recipe.schema import DataRecipe


def test_digits_are_written_once_and_are_scikit_learns() -> None:
    listener = Listener()
    folder = write_digits(listener)
    paths = sorted(folder.glob("*/*.png"), key=lambda path: path.name)
    truth = load_digits()
    assert [int(path.parent.name) for path in paths] == truth.target.tolist()
    for row in (0, 1, 500, COUNT - 1):
        facts, image = open_image(paths[row])
        assert facts.remarks == ()
        assert (facts.width, facts.height) == (8, 8)
        # 16 grey levels above black: 255 / 16 = 15.9375 each.
        expected = [[int(level * 15.9375 + 0.5) for level in line] for line in truth.images[row]]
        assert np.array_equal(np.asarray(image)[:, :, 1], expected)
    before = hash_file(paths[0])
    assert write_digits(listener) == folder
    assert len(listener.notes) == 1
    paths[0].unlink()
    write_digits(listener)
    assert len(listener.notes) == 2
    assert hash_file(paths[0]) == before
    index = read_source(DataRecipe(source="builtin:digits"), observer=listener).index
    assert len(listener.notes) == 2
    assert len(index) == COUNT
    assert index.classes == tuple("0123456789")
    assert index.frame["image"][0] == "0/0000.png"


def find(source: str | Path, **keys: Any) -> Source:
    return find_source(DataRecipe(source=str(source), **keys))


def make_zip(tmp_path: Path, name: str = "photos.zip") -> Path:
    return zip_folder(write_images(tmp_path / "made", {"a": 1, "b": 1}), tmp_path / name)


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert find(tmp_path) == Source(tmp_path, str(tmp_path))


@pytest.mark.parametrize("name", ["photos.zip", "photos.ZIP", "photos.tar.gz", "photos.download"])
def test_archives_are_unpacked_once_by_content(tmp_path: Path, name: str) -> None:
    archive = tmp_path / name
    if "tar" in name:
        with tarfile.open(archive, "w:gz") as opened:
            opened.add(write_images(tmp_path / "made", {"a": 1, "b": 1}), ".")
    else:
        make_zip(tmp_path, name)
    listener = Listener()
    data = DataRecipe(source=str(archive))
    root = find_source(data, observer=listener).root
    assert root == cache_folder() / "archives" / f"photos-{hash_file(archive)[:16]}"
    assert (root / "a" / "0.png").is_file()
    assert find_source(data, observer=listener).root == root
    assert len(listener.notes) == 1
    assert listener.notes[0].startswith("unpacking ")


def test_a_checksum_is_checked(tmp_path: Path) -> None:
    archive = make_zip(tmp_path)
    assert find(archive, sha256=hash_file(archive)).root.is_dir()
    with pytest.raises(
        ArchiveError, match=r"not the one that the recipe means, got sha256 .*0{64}"
    ):
        find(archive, sha256="0" * 64)


def test_a_csv_lies_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").touch()
    source = find(tmp_path / "labels.csv")
    assert (source.root, source.table) == (tmp_path, tmp_path / "labels.csv")
    assert source.shown_table == str(tmp_path / "labels.csv")


@pytest.mark.parametrize("prefix", ["", "wrapping/"])
def test_a_table_is_found_in_an_archive(tmp_path: Path, prefix: str) -> None:
    folder = write_images(tmp_path / "made", {"images": 1})
    (folder / "labels.csv").touch()
    archive = zip_folder(folder, tmp_path / "photos.zip", prefix)
    source = find(archive, table="labels.csv")
    assert source.table == source.root / "labels.csv"
    assert source.shown_table == f"{archive}/labels.csv"


def test_a_table_that_is_absent(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").touch()
    with pytest.raises(
        SourceError, match=r"no table 'label\.csv' .*its tables are labels\.csv; did"
    ):
        find(tmp_path, table="label.csv")
    (tmp_path / "labels.csv").unlink()
    with pytest.raises(SourceError, match="it holds no table"):
        find(tmp_path, table="label.csv")
    data = DataRecipe(source=str(tmp_path), table="label.csv")
    assert find_source(data, is_table_needed=False).table is None


def test_an_absent_source_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    wanted = tmp_path / "photos.zip"
    with pytest.raises(SourceError) as caught:
        find(wanted, download_from="https://example.org/photos")
    assert str(caught.value) == (
        f"{wanted}: there is no such file or folder; download it from "
        f"https://example.org/photos and put it at {wanted}, or set data.source to where you "
        "have it; did you mean 'photos'?"
    )


def test_both_places_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=r"put it at data/x\.zip \(here or beside the recipe\)"):
        find("data/x.zip")


def test_other_files_and_builtins_are_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(
        SourceError, match=r"must be a folder, a zip or tar, or a CSV, got .*'\.jpg'"
    ):
        find(tmp_path / "photo.jpg")
    with pytest.raises(SourceError, match=r"builtin:letters: .* the only one is 'builtin:digits'"):
        find("builtin:letters")
    with pytest.raises(SourceError, match=r"a URL needs its checksum; set data\.sha256"):
        find("https://example.org/x.zip")


def test_an_address_is_fetched_and_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make_zip(tmp_path)
    digest = hash_file(archive)
    asked = []

    def fetch(url: str, sha256: str, **_: object) -> Path:
        asked.append((url, sha256))
        return archive

    monkeypatch.setattr(sources, "fetch", fetch)
    url = "https://example.org/photos.zip"
    source = find(url, sha256=digest)
    assert asked == [(url, digest)]
    assert source.shown == url
    assert (source.root / "a" / "0.png").is_file()


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ArchiveError, match=r"photos\.zip: the archive is damaged or of an unknown"):
        find(tmp_path / "photos.zip")


def test_a_cache_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TFCLASSIFY_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        SourceError, match=r"cannot be unpacked to .*set TFCLASSIFY_CACHE to a folder"
    ):
        find(make_zip(tmp_path))


def make_coco(*splits: str) -> dict[str, Any]:
    names = {split: f"annotations/{split}.json" for split in splits}
    return {"annotations": names, "images": {split: split for split in splits}}


def test_annotations_are_found_below_a_wrapping_folder(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "made", {"train": 1})
    (folder / "annotations").mkdir()
    (folder / "annotations/train.json").write_text("{}")
    source = find(zip_folder(folder, tmp_path / "x.zip", "coco/"), coco=make_coco("train"))
    assert source.root.name == "coco"
    assert [(file.shown, file.split) for file in source.annotations] == [
        (f"{tmp_path}/x.zip/annotations/train.json", "train")
    ]


def test_annotations_that_are_there_in_part(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/validation.json").write_text("{}")
    match = (
        r"annotations/train\.json: there are no such annotations, but there are those of "
        r"validation; download them, or take data\.coco\.annotations\.train out"
    )
    with pytest.raises(SourceError, match=match):
        find(tmp_path, coco=make_coco("train", "validation"))


def test_neither_annotations_nor_a_table(tmp_path: Path) -> None:
    coco = make_coco("train")
    with pytest.raises(SourceError, match=r"no annotations 'annotations/train\.json' .* no JSON$"):
        find(tmp_path, coco=coco)
    (tmp_path / "annotation").mkdir()
    (tmp_path / "annotation/train.json").write_text("{}")
    with pytest.raises(SourceError, match=r"there is annotation/train\.json; did you mean 'ann"):
        find(tmp_path, coco=coco)
    match = r"no table 'l\.csv' \(data\.table\) and no annotations of data\.coco, it holds no table"
    with pytest.raises(SourceError, match=match):
        find(tmp_path, coco=coco, table="l.csv")
    data = DataRecipe(source=str(tmp_path), coco=coco)
    assert find_source(data, is_table_needed=False) == Source(tmp_path, str(tmp_path))


def test_another_source_may_have_annotations_of_one_split(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/validation.json").write_text("{}")
    data = DataRecipe(source=str(tmp_path), coco=make_coco("train", "validation"))
    source = find_source(data, is_table_needed=False)
    assert [file.split for file in source.annotations] == ["validation"]


def test_a_pipe_is_no_source(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "labels.csv")
    with pytest.raises(SourceError, match=r"labels\.csv: a pipe or a device; use a folder"):
        find(tmp_path / "labels.csv")
