from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.builders import make_photo_folder
from tests.data.builders import make_box, write_coco
from tests.tiny_run import CommandLine, TinyRun
from tfclassify.errors import RequestError, SourceError
from tfclassify.workflows.inspect import InspectRequest, inspect_source


@pytest.fixture
def photos(in_tmp: Path) -> Path:
    folder = make_photo_folder(in_tmp / "photos", images_per_class=3)
    (folder / "red" / "zero.png").write_bytes(b"")
    return folder


def test_a_folder_is_counted_and_checked(photos: Path) -> None:
    result = inspect_source(InspectRequest("photos"))
    assert result.data.counts == {"all": (3, 3, 3)}
    assert result.data.classes == ("blue", "green", "red")
    assert result.integrity.quarantined == 1
    assert [row.image for row in result.integrity.rows if row.severity == "quarantined"] == [
        "red/zero.png"
    ]
    # Photos are 24 high and 32 wide.
    assert result.statistics.width.median == 32
    assert result.statistics.height.median == 24
    assert result.html is None


def test_a_zip_is_the_same_as_its_folder(photos: Path) -> None:
    shutil.make_archive("packed", "zip", photos)
    result = inspect_source(InspectRequest("packed.zip"))
    assert result.data.counts == {"all": (3, 3, 3)}
    assert result.integrity.quarantined == 1


def test_a_recipe_shows_its_split(tiny_run: TinyRun) -> None:
    result = inspect_source(InspectRequest(str(tiny_run.recipe), ("data.test=0",)))
    assert set(result.data.counts) == {"train", "validation"}
    assert result.data.total() == 45


def test_the_page_loads_nothing(photos: Path, in_tmp: Path) -> None:
    page = in_tmp / "page.html"
    assert inspect_source(InspectRequest("photos", html=page)).html == page
    text = page.read_text("utf-8")
    assert "zero.png" in text
    assert 'src="http' not in text
    assert "tfclassify new NAME --data photos" in text


def test_what_cannot_be_inspected_is_named(photos: Path) -> None:
    with pytest.raises(SourceError, match=r"photo: there is no such file or folder; .*'photos'"):
        inspect_source(InspectRequest("photo"))
    with pytest.raises(RequestError, match="inspect --set: photos is no recipe"):
        inspect_source(InspectRequest("photos", ("seed=1",)))


LABELLED_SETS = """\
name: tags
task: multi_label
data:
  source: photos
  coco:
    annotations: {train: a/train.json, validation: a/val.json}
    images: {train: red, validation: green}
  table: labels.csv
  columns: {one_hot: rest, flags: marks}
  flags: {dark: 4}
  image_size: 16
  validation: 0.34
model: {backbone: custom_cnn, weights: none, layers: [{conv: 4}]}
phases: [{name: whole, epochs: 1}]
"""


@pytest.fixture
def tagged(in_tmp: Path) -> Path:
    """A recipe of photos with a table of columns of classes."""
    folder = make_photo_folder(in_tmp / "photos", images_per_class=3)
    rows = ["file,marks,big,loud"]
    rows += [f"red/{number:03}.png,{4 * (number == 0)},1,{number % 2}" for number in range(3)]
    rows += [f"green/{number:03}.png,0,0,{number % 2}" for number in range(3)]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", "utf-8")
    (in_tmp / "tags.yaml").write_text(LABELLED_SETS, "utf-8")
    return in_tmp / "tags.yaml"


def test_a_table_of_several_labels_is_counted(tagged: Path, in_tmp: Path) -> None:
    page = in_tmp / "page.html"
    result = inspect_source(InspectRequest(str(tagged), html=page))
    assert result.data.classes == ("big", "loud")
    assert result.data.total() == 6
    assert {split: result.data.total(split) for split in result.data.splits} == {
        "train": 4,
        "validation": 2,
    }
    assert np.sum(list(result.data.counts.values()), axis=0).tolist() == [3, 2]
    sets = result.statistics.label_sets
    assert sets == result.data.label_sets
    assert sets is not None
    # Two of green have nothing; red is big, one of it loud; one of green is loud alone.
    assert sets.per_image == (2, 3, 1)
    assert sets.together == ((3, 1), (1, 2))
    assert result.statistics.flags == {"dark": 1}
    text = page.read_text("utf-8")
    assert "6 images with 5 labels, 0.83 per image, from 0 to 2." in text
    assert "Which of 2 classes are together: most often big with loud in 1 image." in text
    assert "Marked dark" in text


def test_annotations_of_boxes_are_counted(tagged: Path, in_tmp: Path) -> None:
    boxes = [make_box(1, 18), make_box(1, 1), make_box(2, 18, (2, 2))]
    write_coco(in_tmp / "photos/a/train.json", {1: "000.png", 2: "001.png"}, boxes)
    write_coco(in_tmp / "photos/a/val.json", {9: "000.png"}, [make_box(9, 18)])
    result = inspect_source(InspectRequest(str(tagged)))
    assert result.data.classes == ("person", "dog", "toothbrush")
    assert result.data.counts == {"train": (1, 2, 0), "validation": (0, 1, 0)}
    assert result.data.images == {"train": 2, "validation": 1}
    result = inspect_source(InspectRequest(str(tagged), ("data.coco.min_area=50",)))
    assert result.data.counts["train"] == (1, 1, 0)


def test_several_labels_are_printed(tagged: Path, tfclassify: CommandLine) -> None:
    answer = tfclassify("inspect", tagged)
    assert answer.code == 0, answer.err
    assert "5 labels on 6 images, 0.83 per image" in answer.out
    assert "marks   dark 1" in answer.out
    assert "All images" in answer.out
    content = json.loads(tfclassify("inspect", tagged, "--json").out)
    assert content["images"] == {"train": 4, "validation": 2}
    assert content["statistics"]["label_sets"]["per_image"] == [2, 3, 1]
