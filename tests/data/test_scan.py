from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.builders import make_photo
from tests.data.builders import Listener, encode, make_png, write_images
from tfclassify.data.index import Index, make_frame
from tfclassify.data.readers import read_source
from tfclassify.data.scan import Scan, find_changed_files, fingerprint_index, scan
from tfclassify.recipe.schema import DataRecipe


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


PHOTO = make_photo(1, (20, 30))


def scan_files(root: Path, files: dict[str, bytes], **options: int) -> Scan:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    labels = [name.split("/")[0] for name in files]
    frame = make_frame(list(files), [str(root / name) for name in files], label=labels)
    return scan(Index(frame, tuple(sorted(set(labels))), "made"), **options)


def kinds(result: Scan) -> set[tuple[str, str]]:
    return {(found.image, found.kind) for found in result.findings}


def test_good_images_are_measured(tmp_path: Path) -> None:
    data = encode(PHOTO)
    result = scan_files(tmp_path, {"a/1.png": data})
    row = result.index.frame.iloc[0]
    assert (row["width"], row["height"], row["status"], row["reason"]) == (30, 20, "ok", "")
    assert row["sha256"] == hashlib.sha256(data).hexdigest()
    expected = PHOTO.resize((9, 9), Image.Resampling.BILINEAR)
    assert np.array_equal(result.thumbnails[0], np.asarray(expected))
    assert result.findings == ()


def test_every_fault_is_found_and_quarantined(tmp_path: Path) -> None:
    png = encode(PHOTO)
    broken = bytearray(png)
    broken[60:80] = bytes(20)
    files = {
        "a/empty.png": b"",
        "a/zeros.png": bytes(500),
        "a/cut.png": png[:300],
        "a/broken.png": bytes(broken),
        "a/huge.png": encode(Image.new("RGB", (100, 100))),
        "a/good.png": png,
    }
    result = scan_files(tmp_path, files, max_pixels=9_999)
    assert kinds(result) == {
        ("a/empty.png", "empty"),
        ("a/zeros.png", "not_an_image"),
        ("a/cut.png", "truncated"),
        ("a/broken.png", "unreadable"),
        ("a/huge.png", "too_large"),
    }
    frame = result.index.frame.set_index("image")
    assert frame["status"].value_counts().to_dict() == {"quarantined": 5, "ok": 1}
    assert frame.loc["a/cut.png", "reason"] == "truncated"
    assert result.report.quarantined == 5
    detail = {found.image: found.detail for found in result.findings}
    assert detail["a/empty.png"] == "the file is empty, got 0 bytes"


def test_every_remark_is_made_and_the_image_used(tmp_path: Path) -> None:
    red = Image.new("RGB", (8, 8), "red")
    files = {
        "a/wrong.jpg": encode(make_photo(2)),
        "a/animated.gif": encode(red, "GIF", save_all=True, append_images=[PHOTO]),
        "a/cmyk.jpg": encode(Image.new("CMYK", (8, 8), (9, 99, 9, 0)), "JPEG"),
        "a/grey.png": encode(Image.new("L", (8, 8), 9)),
        "a/palette.png": encode(make_photo(3).convert("P")),
        "a/alpha.png": encode(make_photo(4).convert("RGBA")),
        "a/deep.png": make_png(1, 1, 16, 2, bytes(6)),
    }
    result = scan_files(tmp_path, files)
    assert kinds(result) == {
        ("a/wrong.jpg", "wrong_extension"),
        ("a/animated.gif", "animated"),
        ("a/animated.gif", "palette"),
        ("a/cmyk.jpg", "cmyk"),
        ("a/grey.png", "greyscale"),
        ("a/palette.png", "palette"),
        ("a/alpha.png", "alpha"),
        ("a/deep.png", "sixteen_bit"),
    }
    assert set(result.index.frame["status"]) == {"ok"}
    reasons = dict(zip(result.index.frame["image"], result.index.frame["reason"], strict=True))
    assert reasons["a/animated.gif"] == "palette colours; animated, first frame used"


def test_copies_under_one_label_are_remarked_on(tmp_path: Path) -> None:
    data, other = encode(PHOTO), encode(make_photo(9))
    result = scan_files(
        tmp_path, {"a/3.png": data, "a/1.png": data, "a/2.png": data, "b/1.png": other}
    )
    assert [(found.image, found.kind, found.detail) for found in result.findings] == [
        ("a/2.png", "duplicate", "same bytes as a/1.png"),
        ("a/3.png", "duplicate", "same bytes as a/1.png"),
    ]
    assert set(result.index.frame["status"]) == {"ok"}


def test_copies_under_two_labels_are_all_quarantined(tmp_path: Path) -> None:
    data = encode(PHOTO)
    files = {"a/1.png": data, "a/2.png": data, "b/1.png": data, "b/2.png": encode(make_photo(9))}
    result = scan_files(tmp_path, files)
    assert kinds(result) == {(name, "label_conflict") for name in ("a/1.png", "a/2.png", "b/1.png")}
    assert result.findings[0].detail == "same bytes: a/1.png (a), a/2.png (a), b/1.png (b)"
    assert len(result.index.usable()) == 1


def test_what_is_quarantined_already_is_not_opened(tmp_path: Path) -> None:
    write_images(tmp_path, {".": 2})
    (tmp_path / "l.csv").write_text("file,label\n0.png,a\nx.png,b\n1.png,b\n")
    result = scan(read_source(DataRecipe(source=str(tmp_path / "l.csv"))).index)
    assert result.index.frame["status"].tolist() == ["ok", "ok", "quarantined"]
    assert result.findings == ()
    assert not result.thumbnails[2].any()


def test_an_image_that_vanished_is_missing(tmp_path: Path) -> None:
    frame = make_frame(["a.png"], [str(tmp_path / "a.png")], label=["a"])
    assert kinds(scan(Index(frame, ("a",), "x"))) == {("a.png", "missing")}


@pytest.mark.parametrize("workers", [1, 7])
def test_many_images_keep_their_order(tmp_path: Path, workers: int) -> None:
    write_images(tmp_path, {"a": 40, "b": 40})
    listener = Listener()
    index = read_source(DataRecipe(source=str(tmp_path))).index
    result = scan(index, workers=workers, observer=listener)
    for image, path, digest in zip(
        result.index.frame["image"], result.index.paths(), result.index.frame["sha256"], strict=True
    ):
        assert path.endswith(image)
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == digest
    assert [done for _, done in listener.steps] == list(range(1, 81))


def test_no_images_are_no_trouble() -> None:
    result = scan(Index(make_frame([], []), (), "nothing"))
    assert len(result.index) == len(result.findings) == len(result.thumbnails) == 0
