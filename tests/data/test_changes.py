from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tfclassify.data.changes import find_changed_files, fingerprint_index
from tfclassify.data.index import Index, make_frame


@pytest.fixture
def index(tmp_path: Path) -> Index:
    names, hashes = ["a.png", "b.png", "c.png"], []
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
        hashes.append(hashlib.sha256(name.encode()).hexdigest())
    paths = [str(tmp_path / name) for name in names]
    frame = make_frame(names, paths, label=["x", "y", "x"], sha256=hashes)
    return Index(frame, ("x", "y"), "here")


def test_untouched_files_are_not_named(index: Index) -> None:
    assert find_changed_files(index) == []


def test_removed_and_changed_files_are_named(index: Index, tmp_path: Path) -> None:
    (tmp_path / "a.png").unlink()
    (tmp_path / "b.png").write_bytes(b"other")
    (tmp_path / "c.png").unlink()
    (tmp_path / "c.png").mkdir()
    removed, changed, unreadable = find_changed_files(index)
    assert removed == f"image a.png: removed, it was {tmp_path / 'a.png'}"
    assert changed == "image b.png: its bytes have changed"
    assert unreadable.startswith("image c.png: cannot be read any more: ")


def test_quarantined_and_unhashed_rows_are_not_compared(index: Index, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"other")
    frame = index.frame.copy()
    frame.loc[0, "status"], frame.loc[1, "sha256"] = "quarantined", ""
    assert find_changed_files(index.with_frame(frame)) == []


@pytest.mark.parametrize(
    ("column", "value", "is_same"),
    [("path", "/elsewhere", True), ("reason", "odd", True), ("label", "y", False),
     ("split", "test", False), ("weight", 2.0, False), ("status", "quarantined", False)],
)  # fmt: skip
def test_the_fingerprint_is_of_what_is_decisive(
    index: Index, column: str, value: object, is_same: bool
) -> None:
    frame = index.frame.copy()
    frame.loc[0, column] = value
    assert (fingerprint_index(index.with_frame(frame)) == fingerprint_index(index)) is is_same


def test_the_order_of_classes_and_rows_counts(index: Index) -> None:
    other = Index(index.frame, ("y", "x"), "here")
    turned = index.with_frame(index.frame.iloc[::-1])
    assert len({fingerprint_index(each) for each in (index, other, turned)}) == 3
