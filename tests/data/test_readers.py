from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.data.builders import Listener, write_images, zip_folder
from tfclassify.data.readers import ReadResult, read_source
from tfclassify.errors import SourceError
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
        SourceError, match=r"no folder 'image' \(data\.images\), .* nearest is 'images'"
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
