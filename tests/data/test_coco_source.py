from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.data.builders import COCO_CATEGORIES, make_box, write_coco, write_images
from tfclassify.data.coco_source import Annotations, read_coco_source
from tfclassify.data.folders import Listing
from tfclassify.errors import SourceError
from tfclassify.recipe.schema import CocoRecipe


def read(root: Path, splits: str = "train", **keys: Any) -> Listing:
    names = {split: f"annotations/{split}.json" for split in splits.split()}
    coco = CocoRecipe.model_validate(
        {"annotations": names, "images": {split: split for split in names}, **keys}
    )
    files = [Annotations(root / name, f"coco/{name}", split) for split, name in names.items()]
    return read_coco_source(files, root, "coco", coco)


def labels_of(listing: Listing) -> dict[str, tuple[str, ...]]:
    return {row.image: row.labels for row in listing.rows}


def test_boxes_become_labels_of_their_images(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 3, "validation": 1})
    boxes = [make_box(5, 18), make_box(5, 1), make_box(5, 18), make_box(9, 90)]
    write_coco(tmp_path / "annotations/train.json", {5: "0.png", 6: "1.png", 9: "2.png"}, boxes)
    write_coco(tmp_path / "annotations/validation.json", {5: "0.png"}, [make_box(5, 1)])
    listing = read(tmp_path, "train validation")
    assert listing.is_multi_label
    # In the order of their ids, not of the file or the alphabet.
    assert listing.classes == ("person", "dog", "toothbrush")
    assert labels_of(listing) == {
        "train/0.png": ("dog", "person"),
        "train/1.png": (),
        "train/2.png": ("toothbrush",),
        "validation/0.png": ("person",),
    }
    assert [row.split for row in listing.rows] == ["train"] * 3 + ["validation"]
    assert listing.rows[0].place == "coco/annotations/train.json, images[0]"
    assert Path(listing.rows[3].path) == tmp_path / "validation" / "0.png"


def test_small_boxes_and_crowds_may_be_left_out(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 1})
    # 8 x 8 is 64 square pixels, 4 x 15.9 is 63.6; the area of the outline is not asked.
    boxes = [
        make_box(5, 18, (8, 8)),
        make_box(5, 1, (4, 15.9), area=900),
        make_box(5, 90, (50, 50), iscrowd=1),
    ]
    write_coco(tmp_path / "annotations/train.json", {5: "0.png"}, boxes)
    assert labels_of(read(tmp_path))["train/0.png"] == ("dog", "person", "toothbrush")
    assert labels_of(read(tmp_path, min_area=64))["train/0.png"] == ("dog", "toothbrush")
    assert labels_of(read(tmp_path, min_area=64, crowds=False))["train/0.png"] == ("dog",)


def test_absent_images_and_images_without_an_entry(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 2})
    write_coco(tmp_path / "annotations/train.json", {5: "0.png", 6: "gone.png"}, [])
    listing = read(tmp_path)
    assert [(row.image, row.fault) for row in listing.rows] == [
        ("train/0.png", ""),
        ("train/gone.png", "missing"),
    ]
    assert [(f.image, f.kind) for f in listing.findings] == [("train/1.png", "orphan")]


def test_one_folder_for_two_splits(tmp_path: Path) -> None:
    write_images(tmp_path, {"all": 2})
    write_coco(tmp_path / "annotations/train.json", {5: "all/0.png"}, [make_box(5, 1)])
    write_coco(tmp_path / "annotations/test.json", {6: "all/1.png"}, [make_box(6, 1)])
    listing = read(tmp_path, "train test", images={"train": ".", "test": "."})
    assert labels_of(listing) == {"all/0.png": ("person",), "all/1.png": ("person",)}
    assert listing.findings == []


def test_an_image_twice(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 2})
    images = {5: "0.png", 6: "0.png", 7: "1.png", 8: "1.png"}
    boxes = [make_box(5, 1), make_box(5, 18), make_box(6, 18), make_box(6, 1), make_box(7, 1)]
    write_coco(tmp_path / "annotations/train.json", images, boxes)
    listing = read(tmp_path)
    assert [row.fault for row in listing.rows] == ["", "label_conflict"]
    assert [(f.image, f.kind) for f in listing.findings] == [("train/0.png", "listed_twice")]


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ({"images": 3}, r"^coco/annotations/train\.json: there is no list 'images'; expected COCO"),
        ({"annotations": None}, r"there is no list 'annotations'"),
        ({"categories": {}}, r"there is no list 'categories'"),
        ({"images": []}, r"the annotations name no images"),
        ({"images": [{"id": 1}]}, r"images\[0\]: 'file_name' must be a text, got None"),
        ({"images": [{"id": "1"}]}, r"images\[0\]: 'id' must be a whole number, got '1'"),
        ({"images": ["x"]}, r"images\[0\]: 'id' must be a whole number, got None"),
        (
            {"images": [{"id": 5, "file_name": "../secret.png"}]},
            r"images\[0\]: file '\.\./secret\.png' lies outside of the images folder",
        ),
        (
            {"images": [{"id": 5, "file_name": "x.png"}]},
            r"none of its 1 images is on disk, the first is 'train/x\.png'; set data\.coco\.images",
        ),
        ({"annotations": [make_box(4, 1)]}, r"annotations\[0\]: there is no image 4"),
        ({"annotations": [make_box(5, 2)]}, r"annotations\[0\]: there is no category 2"),
        (
            {"annotations": [make_box(5, 1, ("a", 2))]},
            r"annotations\[0\]: 'bbox' must be \[x, y, width, height\], got \[1\.5, .*min_area",
        ),
        (
            {"annotations": [{"image_id": True, "category_id": 1}]},
            r"annotations\[0\]: 'image_id' must be a whole number, got True",
        ),
        (
            {"categories": [*COCO_CATEGORIES, {"id": 1, "name": "human"}]},
            r"category 1 is 'human', but was 'person' before; use annotations of one set",
        ),
    ],
)
def test_annotations_that_cannot_be_read(tmp_path: Path, keys: dict, match: str) -> None:
    write_images(tmp_path, {"train": 1})
    write_coco(tmp_path / "annotations/train.json", {5: "0.png"}, [], **keys)
    with pytest.raises(SourceError, match=match):
        read(tmp_path, min_area=1)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\ufeff\x00", "[]", "3"])
def test_what_is_no_json_of_this_kind(tmp_path: Path, text: str) -> None:
    write_images(tmp_path, {"train": 1, "annotations": 0})
    (tmp_path / "annotations/train.json").write_text(text, "utf-8")
    with pytest.raises(
        SourceError, match=r"train\.json: (the annotations are no valid|there is no)"
    ):
        read(tmp_path)


def test_annotations_that_are_no_file(tmp_path: Path) -> None:
    (tmp_path / "annotations/train.json").mkdir(parents=True)
    with pytest.raises(SourceError, match="the annotations cannot be read"):
        read(tmp_path)


@pytest.mark.parametrize("folder", ["trian", "../train", "/"])
def test_an_absent_folder_of_images(tmp_path: Path, folder: str) -> None:
    write_images(tmp_path, {"train": 1})
    write_coco(tmp_path / "annotations/train.json", {5: "0.png"}, [])
    match = rf"^coco: there is no folder '{folder}' \(data\.coco\.images\.train\) for the images"
    with pytest.raises(SourceError, match=match):
        read(tmp_path, images={"train": folder})


def test_half_of_a_character_is_no_name(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 1})
    write_coco(tmp_path / "annotations/train.json", {5: "\ud800.png"}, [])
    with pytest.raises(SourceError, match=r"images\[0\]: 'file_name' holds half of a character"):
        read(tmp_path)


def test_a_box_may_be_of_any_whole_number(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 1})
    box = {**make_box(5, 1), "bbox": [0, 0, 10**400, 1]}
    write_coco(tmp_path / "annotations/train.json", {5: "0.png"}, [box])
    assert labels_of(read(tmp_path, min_area=1.0)) == {"train/0.png": ("person",)}
