from __future__ import annotations

import csv
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.builders import make_photo, make_photo_folder
from tests.builders_models import make_classifier
from tests.data.builders import Listener
from tests.inference.builders import Recorder
from tfclassify.data.folders import walk_files
from tfclassify.data.images import decode_image
from tfclassify.errors import DownloadError, RequestError, TargetError
from tfclassify.inference import prediction
from tfclassify.inference.prediction import (
    Predictions,
    expand_paths,
    predict_paths,
)
from tfclassify.inference.views import build_view_model
from tfclassify.model.prediction import predict_store
from tfclassify.pipeline.cache import open_images
from tfclassify.recipe.schema import DataRecipe, TtaRecipe

SIZE = (16, 16)
FLIPS = TtaRecipe(flips=["horizontal", "vertical"])


@pytest.fixture(scope="module")
def bundle() -> SimpleNamespace:
    """Return what prediction reads of a bundle."""
    return SimpleNamespace(
        model=make_classifier(SIZE, classes=3),
        classes=("blue", "green", "red"),
        image_size=SIZE,
        resize="stretch",
        max_pixels=10_000,
        label_thresholds=None,
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_photo_folder(tmp_path / "photos", images_per_class=3)


def one_by_one(bundle: SimpleNamespace, files: list[str]) -> np.ndarray:
    images = [decode_image(file, SIZE)[None].astype(np.float32) for file in files]
    return np.concatenate([bundle.model(image, training=False).numpy() for image in images])


@pytest.mark.parametrize("batch_size", [1, 2, 4, 64])
def test_predict_paths_keeps_the_order_given(bundle, photos, batch_size):
    files = sorted(str(path) for path in photos.rglob("*.png"))[::-1]
    answers = predict_paths(bundle, files, batch_size=batch_size)
    assert list(answers.files) == list(answers.to_frame()["file"]) == files
    assert answers.failed == 0
    np.testing.assert_allclose(answers.probabilities, one_by_one(bundle, files), atol=1e-6)


def test_predict_paths_agrees_with_predict_store(bundle, photos):
    files = expand_paths([photos])
    data = DataRecipe(source="unused", image_size=SIZE, cache="memory")
    store = open_images(files, data)
    for tta, batch_size in ((None, 4), (FLIPS, 4), (FLIPS, 1)):
        views = build_view_model(bundle.model, tta)
        stored = predict_store(views.probabilities, store, batch_size)
        assert stored.dtype == np.float32
        both = predict_store(views.plain_and_mean, store, batch_size)
        np.testing.assert_allclose(both[:, 1], stored, atol=1e-6)
        np.testing.assert_allclose(both[:, 0], one_by_one(bundle, files), atol=1e-6)
        answers = predict_paths(bundle, files, tta, batch_size=batch_size)
        np.testing.assert_allclose(stored, answers.probabilities, atol=1e-6)
    np.testing.assert_allclose(
        predict_store(bundle.model, store), one_by_one(bundle, files), atol=1e-6
    )


def test_sums_are_reported_as_probabilities(bundle, photos):
    summed = TtaRecipe(flips=["horizontal", "vertical"], average="sum")
    answers = predict_paths(bundle, [photos], summed)
    np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1, atol=1e-5)
    mean = predict_paths(bundle, [photos], FLIPS)
    np.testing.assert_allclose(answers.probabilities, mean.probabilities, atol=1e-6)


def test_bad_files_are_reported_in_their_place(bundle, photos, tmp_path):
    empty, text = tmp_path / "empty.png", tmp_path / "notes.txt"
    empty.touch()
    text.write_text("no picture")
    large = tmp_path / "large.png"
    make_photo(0, (101, 100)).save(large)
    good = str(photos / "red" / "000.png")
    files = [str(empty), good, str(tmp_path / "gone.png"), str(text), good, str(large)]
    seen = Recorder()
    answers = predict_paths(bundle, files, batch_size=2, top_k=2, observer=seen)
    frame = answers.to_frame()
    assert list(frame.columns) == [
        "file",
        "label",
        "probability",
        "label_2",
        "probability_2",
        "error",
        "known",
    ]
    assert list(frame["file"]) == files
    assert [bool(error) for error in frame["error"]] == [True, False, True, True, False, True]
    assert "is empty" in frame["error"][0]
    assert "no such file" in frame["error"][2]
    assert "not an image" in frame["error"][3]
    assert "10,100 pixels" in frame["error"][5]
    assert list(frame["label"][[0, 2, 3, 5]]) == [""] * 4
    assert frame["probability"].isna().tolist() == [True, False, True, True, False, True]
    assert frame["label"][1] == frame["label"][4] != ""
    assert answers.failed == 4
    assert seen.warnings == ["4 of 6 files could not be used; see the error column"]


def test_only_bad_files(bundle, tmp_path):
    answers = predict_paths(bundle, [tmp_path / "a.png", tmp_path / "b.png"])
    assert answers.failed == 2
    assert np.isnan(answers.probabilities).all()
    assert list(answers.to_frame()["label"]) == ["", ""]


def test_top_labels_by_hand():
    answers = Predictions(
        files=("a", "b"),
        classes=("ash", "birch", "cedar"),
        probabilities=np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]], np.float32),
        errors=("", ""),
        top_k=9,
        views=("identity",),
    )
    frame = answers.to_frame()
    assert frame["label"].tolist() == ["birch", "ash"]
    assert frame["label_2"].tolist() == ["cedar", "cedar"]
    assert frame["label_3"].tolist() == ["ash", "birch"]
    assert frame["probability_3"].tolist() == [np.float32(0.2)] * 2
    assert "label_4" not in frame


def test_csv_is_safe_in_a_spreadsheet(tmp_path):
    answers = Predictions(
        files=("=cmd()", "-1.png", 'a, "b".png', os.fsdecode(b"caf\xe9.png")),
        classes=("+sum", "plain"),
        probabilities=np.array([[0.75, 0.25]] * 3 + [[np.nan] * 2], np.float32),
        errors=("", "", "", "@broken"),
        top_k=1,
        views=("identity",),
    )
    answers.write_csv(tmp_path / "out" / "predictions.csv", per_class=True)
    text = (tmp_path / "out" / "predictions.csv").read_text(encoding="utf-8")
    rows = list(csv.reader(text.splitlines()))
    assert rows == [
        ["file", "label", "probability", "error", "known", "probability:+sum", "probability:plain"],
        ["'=cmd()", "'+sum", "0.75", "", "", "0.75", "0.25"],
        ["'-1.png", "'+sum", "0.75", "", "", "0.75", "0.25"],
        ['a, "b".png', "'+sum", "0.75", "", "", "0.75", "0.25"],
        ["caf\\udce9.png", "", "", "'@broken", "", "", ""],
    ]


SETS = Predictions(
    files=("a/1.png", "a/2.png", "a/bad.png"),
    classes=("ash", "birch", "cedar"),
    probabilities=np.array([[0.6, 0.2, 0.7], [0.3, 0.29, 0.1], [np.nan] * 3], np.float32),
    errors=("", "", "broken"),
    top_k=2,
    views=("identity",),
    thresholds=np.array([0.5, 0.3, 0.5]),
)


def test_label_sets_are_those_above_their_thresholds():
    assert SETS.label_sets == [("ash", "cedar"), (), ()]
    frame = SETS.to_frame()
    assert frame.columns.tolist() == [
        "file", "labels", "label", "probability", "label_2", "probability_2", "error", "known",
    ]  # fmt: skip
    assert frame["labels"].tolist() == ["ash|cedar", "", ""]
    assert frame["label"].tolist() == ["cedar", "ash", ""]


def test_the_bundle_says_the_thresholds(bundle, photos):
    limits = np.array([0.3, 0.3, 1.0])
    sets = SimpleNamespace(**{**vars(bundle), "label_thresholds": limits})
    answers = predict_paths(sets, [photos])
    expected = answers.probabilities >= limits
    assert [len(labels) for labels in answers.label_sets] == expected.sum(axis=1).tolist()


def test_the_simple_table_has_two_columns(bundle, photos, tmp_path):
    (photos / "red" / "=1.png").touch()
    answers = predict_paths(bundle, [photos / "red"])
    answers.write_simple_csv(tmp_path / "p.csv")
    rows = list(csv.reader((tmp_path / "p.csv").read_text("utf-8").splitlines()))
    assert rows[0] == ["filename", "label"]
    labels = answers.to_frame()["label"].tolist()
    assert rows[1:] == [
        [name, label]
        for name, label in zip(["000.png", "001.png", "002.png", "'=1.png"], labels, strict=True)
    ]
    assert labels[-1] == ""  # it could not be read


def test_the_simple_table_of_label_sets(tmp_path):
    SETS.write_simple_csv(tmp_path / "p.csv")
    text = (tmp_path / "p.csv").read_text("utf-8")
    assert text == "filename,label\n1.png,ash|cedar\n2.png,\nbad.png,\n"


def test_names_that_two_files_share_keep_their_folders(bundle, photos, tmp_path):
    predict_paths(bundle, [photos]).write_simple_csv(tmp_path / "p.csv")
    rows = list(csv.reader((tmp_path / "p.csv").read_text("utf-8").splitlines()))
    assert [row[0] for row in rows[1:]] == [str(file) for file in expand_paths([photos])]


def test_folders_are_walked_in_order(tmp_path):
    make = ["b/2.PNG", "b/1.jpg", "a.webp", "b/c/3.bmp", "b/note.txt", ".cache/4.png", "b/.5.png"]
    for name in make:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    single = str(tmp_path / "b" / "note.txt")
    found = expand_paths([single, tmp_path, tmp_path / "b" / "c"])
    expected = ["b/note.txt", "a.webp", "b/1.jpg", "b/2.PNG", "b/c/3.bmp", "b/c/3.bmp"]
    assert [Path(file).relative_to(tmp_path).as_posix() for file in found] == expected


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(TargetError, match=r"holds no image, looked for .*\.jpg"):
        expand_paths([tmp_path])


def test_nothing_to_predict_is_an_error():
    with pytest.raises(RequestError, match="paths: nothing to predict"):
        expand_paths([])


@pytest.mark.parametrize("name", ["batch_size", "top_k"])
def test_numbers_are_at_least_one(bundle, photos, name):
    with pytest.raises(RequestError, match=f"{name}: must be at least 1, got 0"):
        predict_paths(bundle, [photos], **{name: 0})


def test_memory_does_not_grow_with_the_number_of_files(bundle, photos, monkeypatch):
    file = str(photos / "red" / "000.png")
    held, most = [0], [0]
    lock = threading.Lock()

    class Counted(np.ndarray):
        """Pixels that are counted while they live."""

        def __del__(self) -> None:
            if self.base is None:
                with lock:
                    held[0] -= 1

    def decode(*_: object, **__: object) -> np.ndarray:
        with lock:
            held[0] += 1
            most[0] = max(most[0], held[0])
        return np.ndarray.__new__(Counted, (*SIZE, 3), np.uint8)

    monkeypatch.setattr("tfclassify.inference.prediction.decode_image", decode)
    answers = predict_paths(bundle, [file] * 2000, batch_size=16)
    assert len(answers.files) == 2000
    assert most[0] <= 16 + 16 + 16 + 2 * 8 + 2  # two batches, and what is read ahead


def test_a_row_says_what_the_table_says(bundle, photos, tmp_path):
    (tmp_path / "empty.png").touch()
    answers = predict_paths(bundle, [photos / "red", tmp_path / "empty.png"], top_k=2)
    frame = answers.to_frame(per_class=True)
    assert len(answers) == len(frame) == 4
    for row, (_, cells) in zip(answers, frame.iterrows(), strict=True):
        assert row.file == cells["file"]
        assert row.label == cells["label"]
        assert row.error == cells["error"]
        for name, probability in row.top:
            assert probability == cells[f"probability:{name}"]
    first, last = answers[0], answers[-1]
    assert first.labels == (first.label,)
    assert [len(first.top), len(last.top)] == [2, 0]
    assert first.top[0] == (first.label, first.probability)
    assert (last.label, last.probability, last.labels) == ("", None, ())
    assert answers[1:3] == [answers[1], answers[2]]


def test_images_in_memory_are_answered_like_their_files(bundle, photos):
    file = photos / "red" / "000.png"
    image = Image.open(file)
    pixels = np.asarray(image)
    answers = predict_paths(bundle, [image, pixels, Image.fromarray(pixels), file])
    assert answers.files == (str(file), "image 1", "image 2", str(file))
    assert answers.failed == 0
    np.testing.assert_array_equal(answers.probabilities, answers.probabilities[:1].repeat(4, 0))
    single = predict_paths(bundle, pixels)
    np.testing.assert_allclose(single.probabilities, answers.probabilities[:1], atol=1e-6)


def test_images_in_memory_of_every_mode(bundle, photos):
    image = Image.open(photos / "red" / "000.png").convert("RGB").resize((16, 16))
    turned = image.transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6  # to be turned back by 90 degrees
    modes = ("RGBA", "L", "CMYK", "P", "1", "YCbCr", "HSV")
    answers = predict_paths(bundle, [image, turned, *map(image.convert, modes)])
    assert answers.failed == 0
    np.testing.assert_array_equal(answers.probabilities[0], answers.probabilities[1])
    grey = np.asarray(image.convert("L"))
    same = predict_paths(bundle, [grey, grey[..., None], np.stack([grey] * 3, axis=2)])
    np.testing.assert_array_equal(same.probabilities, same.probabilities[:1].repeat(3, 0))


@pytest.mark.parametrize(
    ("pixels", "got"),
    [
        (np.zeros((4, 4, 3), np.float32), r"float32 of \(4, 4, 3\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"uint8 of \(2, 4, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), r"uint8 of \(0, 4, 3\)"),
        (np.zeros((4, 4, 2), np.uint8), r"uint8 of \(4, 4, 2\)"),
    ],
)
def test_an_array_that_is_no_image_is_refused(bundle, pixels, got):
    with pytest.raises(RequestError, match=f"image 0: pixels must be uint8 .* got {got}"):
        predict_paths(bundle, [pixels])


def test_an_address_is_one_row(bundle, photos, monkeypatch):
    content = (photos / "red" / "000.png").read_bytes()

    def fetch(url):
        if "gone" in url:
            raise DownloadError(f"{url}: cannot be downloaded")
        return content

    monkeypatch.setattr(prediction, "fetch_bytes", fetch)
    urls = ["https://example.org/a.png", "https://example.org/gone.png"]
    answers = predict_paths(bundle, [*urls, photos / "red" / "000.png"])
    assert answers.files[:2] == tuple(urls)
    assert answers.errors[1] == "https://example.org/gone.png: cannot be downloaded"
    np.testing.assert_array_equal(answers.probabilities[0], answers.probabilities[2])


def test_a_folder_loses_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What training sees in a folder has a row: odd formats, links, folders without a right."""
    jpeg = tmp_path / "a.jpg"
    make_photo(0).save(jpeg)
    home, other = tmp_path / "home", tmp_path / "other"
    (home / "shut").mkdir(parents=True)
    other.mkdir()
    for name in ("b.tiff", "c.heic", "d.avif", "e"):
        (home / name).write_bytes(jpeg.read_bytes())
    for name in ("notes.txt", ".hidden.jpg", "Thumbs.db"):
        (home / name).touch()
    (other / "f.png").touch()
    (home / "linked").symlink_to(other)
    (home / "circle").symlink_to(home)
    plain = os.scandir

    def scan(folder: str) -> object:
        if Path(folder).name == "shut":
            raise PermissionError(13, "Permission denied", folder)
        return plain(folder)

    monkeypatch.setattr("tfclassify.data.folders.os.scandir", scan)
    listener = Listener()
    found = expand_paths([home], listener)
    names = [Path(file).relative_to(home).as_posix() for file in found]
    assert names == ["b.tiff", "c.heic", "d.avif", "e", "linked/f.png", "shut"]
    assert listener.notes == [
        f"{home}: left out 1 files that are no images, such as {home}/notes.txt"
    ]
    with pytest.raises(PermissionError):
        list(walk_files(home))
