from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.data.builders import Listener, make_box, write_coco, write_images, zip_folder
from tfclassify.data.readers import ReadResult, read_rows, read_source
from tfclassify.errors import DataError, SourceError
from tfclassify.recipe.schema import DataRecipe


def read(source: Path | str, **keys: Any) -> ReadResult:
    return read_source(DataRecipe(source=str(source), **keys))


def summarise(result: ReadResult) -> list[tuple[str, str]]:
    frame = result.index.frame
    return list(zip(frame["image"], frame["label"], strict=True))


def test_every_packing_of_folders_gives_one_index(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "made", {"b": 1, "a": 2})
    expected = [("a/0.png", "a"), ("a/1.png", "a"), ("b/0.png", "b")]
    sources = [
        folder,
        zip_folder(folder, tmp_path / "plain.zip"),
        zip_folder(folder, tmp_path / "wrapped.zip", "photos/"),
    ]
    for source in sources:
        result = read(source)
        assert summarise(result) == expected
        assert result.index.classes == ("a", "b")
        assert all(Path(path).is_file() for path in result.index.paths())
        assert result.index.keys().tolist() == read(folder).index.keys().tolist()


def test_every_place_of_a_table_gives_one_index(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "made", {"images": 3})
    (folder / "labels.csv").write_text("file;label\n2;b\n0;a\n")
    keys = {"separator": ";", "extension": ".png", "images": "images"}
    archive = zip_folder(folder, tmp_path / "x.zip", "wrapped/")
    for source, table in (
        (folder / "labels.csv", None),
        (folder, "labels.csv"),
        (archive, "labels.csv"),
    ):
        result = read(source, table=table, **keys)
        assert summarise(result) == [("images/0.png", "a"), ("images/2.png", "b")]
        assert [(found.kind, found.image) for found in result.findings] == [
            ("orphan", "images/1.png")
        ]


def test_rows_are_those_of_the_index(tmp_path: Path) -> None:
    write_images(tmp_path, {".": 2})
    (tmp_path / "labels.csv").write_text("file,label\n1.png,b\n0.png,a\nx.png,b\n")
    found = read_rows(DataRecipe(source=str(tmp_path / "labels.csv")))
    assert [(row.image, row.label, bool(row.fault)) for row in found.rows] == [
        ("0.png", "a", False),
        ("1.png", "b", False),
        ("x.png", "b", True),
    ]
    assert found.classes == ("a", "b")
    assert found.findings == read(tmp_path / "labels.csv").findings


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    composed, apart = "caf\u00e9.png", "cafe\u0301.png"
    write_images(tmp_path, {".": 1})
    for name in (composed, apart):
        (tmp_path / name).write_bytes((tmp_path / "0.png").read_bytes())
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("this file system takes the two for one")
    with pytest.raises(DataError, match=r"'caf\u00e9.png' is listed twice"):
        read_rows(DataRecipe(source=str(tmp_path)))


def test_missing_images_are_rows_that_are_quarantined(tmp_path: Path) -> None:
    write_images(tmp_path, {".": 1})
    (tmp_path / "labels.csv").write_text("file,label\n0.png,a\nx.png,b\n")
    result = read(tmp_path / "labels.csv")
    assert result.index.frame["status"].tolist() == ["ok", "quarantined"]
    assert result.index.frame["reason"].tolist() == ["", "not on disk"]
    assert result.findings[0].kind == "missing"
    assert result.findings[0].detail.endswith("labels.csv, line 3")


def test_images_of_dropped_labels_are_not_reported(tmp_path: Path) -> None:
    write_images(tmp_path, {".": 2})
    (tmp_path / "l.csv").write_text("file,label\n0.png,a\n1.png,b\nx.png,no\n0.png,a\ny.png,no\n")
    listener = Listener()
    data = DataRecipe(source=str(tmp_path / "l.csv"), drop_labels=("no",))
    result = read_source(data, observer=listener)
    assert [found.kind for found in result.findings] == ["listed_twice"]
    assert len(result.index) == 2
    assert "2 of 4 images left out by drop_labels" in listener.notes[0]


def test_dropping_all_is_an_error(tmp_path: Path) -> None:
    write_images(tmp_path, {"a": 1, "b": 2})
    with pytest.raises(SourceError, match=r"no image is left of 3 after data\.drop_labels"):
        read(tmp_path, drop_labels=("a", "b"))


def test_a_table_beside_unlabelled_images_is_pointed_out(tmp_path: Path) -> None:
    write_images(tmp_path, {"images": 2})
    (tmp_path / "labels.csv").touch()
    listener = Listener()
    result = read_source(DataRecipe(source=str(tmp_path)), observer=listener)
    assert result.index.classes == ()
    assert listener.warnings == [
        f"{tmp_path}: images without labels; set data.table: labels.csv if it holds them"
    ]


def test_an_absent_images_folder(tmp_path: Path) -> None:
    write_images(tmp_path, {"images": 2})
    (tmp_path / "labels.csv").write_text("file,label\n0.png,a\n")
    with pytest.raises(
        SourceError, match=r"no folder 'image' \(data\.images\), .* did you mean 'images'"
    ):
        read(tmp_path / "labels.csv", images="image")


def test_another_source_may_be_a_folder_where_the_recipe_has_a_table(tmp_path: Path) -> None:
    write_images(tmp_path, {"a": 1, "b": 1, "odd": 1})
    data = DataRecipe(
        source=str(tmp_path), table="labels.csv", drop_labels=("odd", "old"), classes=("b", "a")
    )
    result = read_source(data, is_other=True)
    assert summarise(result) == [("a/0.png", "a"), ("b/0.png", "b")]
    assert result.index.classes == ("b", "a")


def test_real_plants(shared_data: Path) -> None:
    index = read(shared_data / "plants.zip").index
    assert len(index) == 3100
    assert index.classes == tuple(f"Species{number}" for number in range(1, 9))
    counts = index.frame["label"].value_counts()
    assert (counts.min(), counts.max()) == (163, 470)


def test_real_clothing(shared_data: Path) -> None:
    columns = {"file": "image", "label": "label", "group": "sender_id"}
    keys = {"table": "images.csv", "images": "images", "extension": ".jpg", "columns": columns}
    result = read(shared_data / "clothing.zip", **keys)
    kinds = [found.kind for found in result.findings]
    assert len(result.index) == 5403
    assert len(result.index.classes) == 20
    assert (kinds.count("missing"), kinds.count("orphan")) == (5, 358)
    assert result.index.frame["group"].nunique() == 351
    assert len(read(shared_data / "clothing.zip", **keys, top_classes=10).index.classes) == 10


def write_coco_folder(root: Path) -> Path:
    """Write two images with COCO's annotations, and a table of one of them."""
    write_images(root, {"train": 2, "images": 1})
    write_coco(root / "a/train.json", {1: "0.png", 2: "1.png"}, [make_box(1, 18), make_box(1, 1)])
    (root / "labels.csv").write_text("file,cat,dog\nimages/0.png,1,1\n")
    return root


COCO = {"annotations": {"train": "a/train.json"}, "images": {"train": "train"}}


def test_annotations_are_read_where_they_are_and_the_table_elsewhere(tmp_path: Path) -> None:
    keys = {"coco": COCO, "table": "labels.csv", "columns": {"one_hot": "rest"}}
    result = read(write_coco_folder(tmp_path), **keys)
    assert result.index.is_multi_label
    assert result.index.classes == ("person", "dog", "toothbrush")
    assert summarise(result) == [("train/0.png", "person|dog"), ("train/1.png", "")]
    assert result.index.targets().tolist() == [[1, 1, 0], [0, 0, 0]]
    (tmp_path / "a/train.json").unlink()
    result = read(tmp_path, **keys)
    assert result.index.classes == ("cat", "dog")
    assert summarise(result) == [("images/0.png", "cat|dog")]


def test_a_packed_set_of_annotations(tmp_path: Path) -> None:
    folder = write_coco_folder(tmp_path / "made")
    result = read(zip_folder(folder, tmp_path / "coco.zip", "coco2017/"), coco=COCO)
    assert summarise(result) == [("train/0.png", "person|dog"), ("train/1.png", "")]


def test_a_folder_says_nothing_of_several_labels(tmp_path: Path) -> None:
    write_images(tmp_path, {"cat": 1, "dog": 1})
    data = DataRecipe(source=str(tmp_path), table="t.csv", columns={"one_hot": "rest"})
    index = read_source(data, is_other=True).index
    assert not index.is_multi_label
    assert index.frame["label"].tolist() == ["", ""]


def test_images_are_left_out_by_their_marks(tmp_path: Path) -> None:
    write_images(tmp_path, {".": 3})
    (tmp_path / "l.csv").write_text("file,label,f\n0.png,a,1\n1.png,b,6\n2.png,b,4\nx.png,a,1\n")
    keys = {"columns": {"flags": "f"}, "flags": {"bad": 1, "dark": 2, "hard": 4}}
    listener = Listener()
    data = DataRecipe(source=str(tmp_path / "l.csv"), drop_flags=("bad",), **keys)
    result = read_source(data, observer=listener)
    assert summarise(result) == [("1.png", "b"), ("2.png", "b")]
    assert result.index.frame["flags"].tolist() == ["dark|hard", "hard"]
    assert result.findings == ()
    assert listener.notes == [
        f"{tmp_path}/l.csv: 2 of 4 images left out by drop_flags and keep_flags"
    ]
    match = r"no image is left of 4 after data\.drop_flags and keep_flags; leave out fewer"
    with pytest.raises(SourceError, match=match):
        read(tmp_path / "l.csv", drop_flags=("bad", "hard"), **keys)


def test_the_small_coco_set(shared_data: Path) -> None:
    index = read(
        shared_data / "coco256.zip",
        coco=COCO,
        table="labels.csv",
        columns={"file": "filename", "split": "split", "one_hot": "rest"},
    ).index
    assert len(index) == 256
    assert index.frame["split"].value_counts().to_dict() == {"train": 128, "validation": 128}
    assert (index.classes[0], index.classes[-1], len(index.classes)) == ("person", "toothbrush", 80)
    # 2.9 labels an image, as its description says.
    assert index.targets().sum() / 256 == pytest.approx(2.9, abs=0.05)


@pytest.mark.parametrize("separator", [None, "+"])
def test_a_label_whose_images_are_all_left_out_may_be_named(
    tmp_path: Path, separator: str | None
) -> None:
    write_images(tmp_path, {".": 3})
    (tmp_path / "l.csv").write_text("file,label,f\n0.png,a,0\n1.png,b,1\n2.png,c,0\n")
    result = read(
        tmp_path / "l.csv",
        columns={"flags": "f"},
        flags={"bad": 1},
        drop_flags=("bad",),
        merge_classes={"m": ("a", "b")},
        label_separator=separator,
    )
    assert summarise(result) == [("0.png", "m"), ("2.png", "c")]
    assert set(result.index.classes) == {"c", "m"}
