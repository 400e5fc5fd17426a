"""Explanations of photos: classes, frames, views, failures."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

from tests.inference.builders import Recorder, make_colour_finder
from tfclassify.errors import ModelError, RequestError
from tfclassify.inference.evidence import Explanation
from tfclassify.inference.explanation import Explainer, average_views, explain_images
from tfclassify.inference.overlays import draw_sheet, lay_over
from tfclassify.inference.views import list_views
from tfclassify.recipe.schema import TtaRecipe

SIZE = (16, 24)


def make_bundle(**changes: object) -> SimpleNamespace:
    """Return what an explanation reads of a bundle; its model finds red, green and blue."""
    facts = {
        "model": make_colour_finder(keras.layers.GlobalAveragePooling2D()),
        "classes": ("red", "green", "blue"),
        "image_size": SIZE,
        "resize": "stretch",
        "max_pixels": 10**6,
        "label_thresholds": None,
        "folder": Path("bundle"),
    }
    return SimpleNamespace(**{**facts, **changes})


@pytest.fixture(scope="module")
def bundle() -> SimpleNamespace:
    return make_bundle()


def paint(size: tuple[int, int], box: tuple[int, int, int, int], channel: int) -> np.ndarray:
    """Make a black photo of ``size`` with one colour in ``(left, top, right, bottom)``."""
    photo = np.zeros((*size, 3), np.uint8)
    left, top, right, bottom = box
    photo[top:bottom, left:right, channel] = 255
    return photo


def mass_within(heat: np.ndarray, box: tuple[int, int, int, int], margin: int) -> float:
    left, top, right, bottom = box
    rows = slice(max(0, top - margin), bottom + margin)
    return float(heat[rows, max(0, left - margin) : right + margin].sum() / heat.sum())


@pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox"])
@pytest.mark.parametrize("size", [(64, 96), (128, 96), (64, 200)], ids=str)
def test_the_map_lies_on_the_object_in_the_photo(resize: str, size: tuple[int, int]) -> None:
    height, width = size
    box = (width // 2 - 4, height // 2, width // 2 + 20, height // 2 + 16)
    found = explain_images(make_bundle(resize=resize), paint(size, box, 2), classes=("blue",))
    (row,) = found
    assert (row.label, row.method, row.size) == ("blue", "cam", size)
    heat = row.heat()
    assert heat.shape == size
    assert heat.max() == pytest.approx(1.0)
    cell = max(height / 4, width / 6)  # the network tells no places closer than that apart
    assert mass_within(heat, box, round(cell)) > 0.95
    x, y = row.peak
    assert box[0] - cell / 2 <= x < box[2] + cell / 2
    assert box[1] - cell / 2 <= y < box[3] + cell / 2
    assert row.overlay().size == (width, height)


def test_what_is_cropped_away_has_no_evidence() -> None:
    photo = np.zeros((32, 96, 3), np.uint8)
    photo[..., 0] = 255
    (row,) = explain_images(make_bundle(resize="crop"), photo)
    assert row.box == (24.0, 0.0, 72.0, 32.0)
    heat = row.heat()
    assert not heat[:, :24].any()
    assert not heat[:, 72:].any()
    assert heat[:, 24:72].min() > 0.9


def test_an_upright_photo_has_an_upright_map(bundle: SimpleNamespace, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: its left edge is the top
    stored = Image.fromarray(paint((96, 64), (0, 0, 16, 96), 0))
    stored.save(tmp_path / "turned.jpg", exif=exif)
    (row,) = explain_images(bundle, tmp_path / "turned.jpg")
    assert row.size == (64, 96)
    heat = row.heat()
    assert heat[:24].sum() > 0.9 * heat.sum()
    assert row.photo().size == (96, 64)


def test_each_image_is_explained_for_its_labels(bundle: SimpleNamespace) -> None:
    red, green = paint((20, 30), (0, 0, 15, 20), 0), paint((20, 30), (0, 0, 15, 20), 1)
    assert [row.label for row in explain_images(bundle, [red, green])] == ["red", "green"]
    found = explain_images(bundle, [red, green], classes=("blue", "red"))
    assert [(row.file, row.label) for row in found] == [
        ("image 0", "blue"),
        ("image 0", "red"),
        ("image 1", "blue"),
        ("image 1", "red"),
    ]
    assert not found[0].heat().any()  # nothing is blue
    both = make_bundle(label_thresholds=np.array([0.3, 0.3, 0.35]))
    assert [row.label for row in explain_images(both, red)] == ["red"]
    none = make_bundle(label_thresholds=np.ones(3))
    assert [row.label for row in explain_images(none, red)] == ["red"]  # the likeliest


def test_views_are_brought_back_before_they_are_averaged(bundle: SimpleNamespace) -> None:
    box = (4, 2, 36, 18)
    photo = paint((64, 96), box, 0)
    tta = TtaRecipe(flips=["horizontal", "vertical"], shift=0.25, combine="product")
    (plain,) = explain_images(bundle, photo)
    (mean,) = explain_images(bundle, photo, tta=tta)
    assert len(mean.views) == 20
    assert mass_within(mean.heat(), box, 24) > 0.9
    assert plain.views == ("identity",)
    views = list_views(TtaRecipe(flips=["horizontal"], rotations=[90]), (8, 8))
    images = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    # Maps that are the first channel itself come back as it was.
    drawn = average_views(lambda shown, _: shown[..., 0], views, images, np.zeros(2))
    np.testing.assert_allclose(drawn, images[..., 0], rtol=1e-6)


def test_a_network_without_a_map_is_covered_up_and_says_so() -> None:
    images = keras.Input((*SIZE, 3))
    flat = keras.layers.Dense(3, use_bias=False)
    model = keras.Model(images, keras.layers.Softmax()(flat(keras.layers.Flatten()(images))))
    kernel = np.zeros((*SIZE, 3, 3), np.float32)
    kernel[:, :, 0, 0] = 1e-3
    flat.set_weights([kernel.reshape(-1, 3)])
    bundle, recorder = make_bundle(model=model), Recorder()
    recorder.notes = []
    recorder.on_note = recorder.notes.append
    box = (12, 8, 20, 14)
    (row,) = explain_images(bundle, paint(SIZE, box, 0), observer=recorder)
    assert row.method == "occlusion"
    assert "no feature map to read: parts of the images are covered" in recorder.notes[0]
    assert mass_within(row.heat(), box, 4) > 0.8
    with pytest.raises(ModelError, match="use the method occlusion"):
        Explainer(bundle, method="grad-cam")
    assert Explainer(make_bundle(), method="occlusion").reason == ""


def test_bad_requests_and_bad_files(bundle: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"--class: bundle knows no class 'rd'; did you mean"):
        explain_images(bundle, tmp_path, classes=("rd",))
    (tmp_path / "bad.png").write_bytes(b"no image")
    Image.fromarray(paint((8, 8), (0, 0, 8, 8), 1)).save(tmp_path / "good.png")
    recorder = Recorder()
    found = explain_images(bundle, tmp_path, observer=recorder)
    assert [Path(row.file).name for row in found] == ["good.png"]
    assert [Path(file).name for file, _ in found.failed] == ["bad.png"]
    assert recorder.warnings == ["1 of 2 files could not be used"]


def test_maps_are_written_with_their_facts(bundle: SimpleNamespace, tmp_path: Path) -> None:
    photos = [paint((20, 30), (0, 0, 15, 20), channel) for channel in (0, 1)]
    found = explain_images(bundle, photos)
    found.save_maps(tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz") as stored:
        assert sorted(stored) == ["facts", "map_0", "map_1"]
        np.testing.assert_array_equal(stored["map_1"], found[1].evidence)
        facts = json.loads(str(stored["facts"]))
    assert facts == [row.to_dict() for row in found]
    assert facts[1]["label"] == "green"


def test_an_overlay_is_brightest_at_the_strongest_evidence_and_leaves_room_for_the_photo() -> None:
    grey = Image.new("RGB", (3, 1), (90, 90, 90))
    laid = np.asarray(lay_over(grey, np.array([[0.0, 0.5, 1.0]], np.float32)))
    brightness = laid[0].astype(int).sum(axis=1)
    assert list(np.argsort(brightness)) == [0, 1, 2]
    untouched = np.asarray(lay_over(grey, np.ones((1, 3), np.float32), opacity=0.0))
    assert (untouched == 90).all()


def test_a_sheet_has_a_row_a_photo_and_a_column_a_class(bundle: SimpleNamespace) -> None:
    photos = [paint((40, 60), (0, 0, 30, 40), 0), paint((60, 40), (0, 0, 40, 30), 1)]
    rows = explain_images(bundle, photos, classes=("red", "green"))
    sheet = draw_sheet(rows, title="Colours")
    narrow = draw_sheet(rows[:1], title="Colours")
    assert sheet.width > narrow.width
    assert sheet.height > narrow.height
    assert isinstance(rows[0], Explanation)
