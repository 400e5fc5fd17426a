from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.builders import make_photo
from tests.data.builders import write_images
from tfclassify.data import looks
from tfclassify.data.readers import read_source
from tfclassify.data.scan import Scan, scan
from tfclassify.data.scan_cache import VARIABLE, ScanCache, _load
from tfclassify.recipe.schema import DataRecipe


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos whose time of change is an hour old, and a cache of their own."""
    monkeypatch.setenv("TFCLASSIFY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(VARIABLE, raising=False)
    root = write_images(tmp_path / "photos", {"a": 3, "b": 3})
    for path in root.rglob("*.png"):
        age(path)
    return root


def age(path: Path, seconds: int = 3600) -> None:
    facts = path.stat()
    os.utime(path, (facts.st_atime - seconds, facts.st_mtime - seconds))


def look(root: Path, max_pixels: int = 10**6) -> Scan:
    return scan(read_source(DataRecipe(source=str(root))).index, max_pixels=max_pixels)


def cache_of(root: Path) -> Path:
    return ScanCache([str(path) for path in root.rglob("*.png")]).path


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images that are decoded from now on."""
    names: list[str] = []
    plain = looks.look_at

    def note(path: str, max_pixels: int) -> object:
        names.append("/".join(Path(path).parts[-2:]))
        return plain(path, max_pixels)

    monkeypatch.setattr(looks, "look_at", note)
    return names


def equal(one: Scan, other: Scan) -> bool:
    same = one.index.frame.equals(other.index.frame) and one.findings == other.findings
    return same and np.array_equal(one.thumbnails, other.thumbnails)


def test_nothing_is_looked_at_twice(photos: Path, looked_at: list[str]) -> None:
    make_photo(9, (5, 7)).convert("L").save(photos / "a" / "grey.png")
    age(photos / "a" / "grey.png")
    first = look(photos)
    assert len(looked_at) == 7
    looked_at.clear()
    assert equal(first, look(photos))
    assert looked_at == []
    assert [finding.kind for finding in first.findings] == ["greyscale"]


def test_what_changed_and_what_cannot_be_used_is_looked_at_again(
    photos: Path, looked_at: list[str]
) -> None:
    (photos / "a" / "cut.png").write_bytes((photos / "a" / "0.png").read_bytes()[:50])
    age(photos / "a" / "cut.png")
    look(photos)
    make_photo(77, (30, 40)).save(photos / "b" / "1.png")
    age(photos / "a" / "2.png", 10)
    looked_at.clear()
    again = look(photos)
    assert sorted(looked_at) == ["a/2.png", "a/cut.png", "b/1.png"]
    row = again.index.frame.set_index("image").loc["b/1.png"]
    assert (row["width"], row["height"]) == (40, 30)


def test_a_file_that_may_change_unseen_is_not_kept(photos: Path, looked_at: list[str]) -> None:
    make_photo(5, (12, 16)).save(photos / "a" / "new.png")  # changed just now
    look(photos)
    looked_at.clear()
    look(photos)
    assert looked_at == ["a/new.png"]


def test_a_smaller_cap_holds_for_what_is_known(photos: Path) -> None:
    look(photos)
    assert (look(photos, max_pixels=64).index.frame["status"] == "quarantined").all()


@pytest.mark.parametrize(("mode", "seen"), [("on", []), ("hash", ["a/0.png"]), ("off", ["*"])])
def test_the_hash_where_asked(
    photos: Path,
    looked_at: list[str],
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    seen: list[str],
) -> None:
    look(photos)
    file = photos / "a" / "0.png"
    facts, data = file.stat(), bytearray(file.read_bytes())
    data[-5] ^= 1  # of the checksum that nothing reads
    file.write_bytes(data)
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    monkeypatch.setenv(VARIABLE, mode)
    looked_at.clear()
    look(photos)
    assert looked_at == seen or (seen == ["*"] and len(looked_at) == 6)


def spoil_kinds(arrays: dict[str, np.ndarray]) -> None:
    arrays["kinds"] = np.frombuffer(b'[["JPEG", "RGB", "no such remark"]]', np.uint8)


def spoil_code(arrays: dict[str, np.ndarray]) -> None:
    arrays["kind"] = arrays["kind"] + 9


def spoil_length(arrays: dict[str, np.ndarray]) -> None:
    arrays["size"] = arrays["size"][:-1]


def spoil_type(arrays: dict[str, np.ndarray]) -> None:
    arrays["thumbnail"] = arrays["thumbnail"].astype(np.float32)


def spoil_objects(arrays: dict[str, np.ndarray]) -> None:
    arrays["paths"] = np.array([{"a": 1}], dtype=object)


def spoil_absence(arrays: dict[str, np.ndarray]) -> None:
    del arrays["sha256"]


@pytest.mark.parametrize(
    "spoil", [spoil_kinds, spoil_code, spoil_length, spoil_type, spoil_objects, spoil_absence]
)
def test_a_cache_that_is_not_what_was_written_is_none(
    photos: Path, looked_at: list[str], spoil: Callable[[dict[str, np.ndarray]], None]
) -> None:
    first = look(photos)
    path = cache_of(photos)
    with np.load(path) as stored:
        arrays = dict(stored)
    spoil(arrays)
    with path.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
    assert _load(path) == {}
    looked_at.clear()
    assert equal(first, look(photos))
    assert len(looked_at) == 6
    assert len(_load(path)) == 6  # and it is written anew


@pytest.mark.parametrize("kind", ["empty", "cut", "link", "folder"])
def test_a_damaged_cache_is_none(photos: Path, tmp_path: Path, kind: str) -> None:
    first = look(photos)
    path = cache_of(photos)
    data = path.read_bytes()
    path.unlink()
    if kind == "link":
        (tmp_path / "elsewhere").write_bytes(data)
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(data[:300] if kind == "cut" else b"")
    assert _load(path) == {}
    assert equal(first, look(photos))


def test_a_cache_that_cannot_be_written_is_no_error(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = look(photos)
    (tmp_path / "file").touch()
    monkeypatch.setenv("TFCLASSIFY_CACHE", str(tmp_path / "file"))
    assert equal(first, look(photos))
