from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.builders import make_photo
from tests.tiny_run import TinyRun
from tfclassify.data.index import load_index
from tfclassify.errors import RequestError, TargetError
from tfclassify.events import Observer
from tfclassify.workflows.predict import PredictRequest, predict_paths_of_run


class Recorder(Observer):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def on_warning(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def mixed(tiny_run: TinyRun, tmp_path: Path) -> tuple[Path, ...]:
    """A good file, a folder with a good and an empty file, and a file that is not there."""
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(tiny_run.photos / "blue" / "01.png", folder / "b.png")
    (folder / "a.png").write_bytes(b"")
    return tiny_run.photos / "red" / "03.png", folder, tmp_path / "absent.png"


def test_files_are_answered_in_their_order_failures_included(
    tiny_run: TinyRun, mixed: tuple[Path, ...], tmp_path: Path
) -> None:
    out = tmp_path / "predictions.csv"
    result = predict_paths_of_run(PredictRequest(tiny_run.run, mixed, out=out))
    first, folder, absent = mixed
    expected = [first, folder / "a.png", folder / "b.png", absent]
    assert list(result.predictions.files) == [str(path) for path in expected]
    table = pd.read_csv(out, keep_default_na=False)
    assert table["file"].tolist() == [str(path) for path in expected]
    assert [bool(error) for error in table["error"]] == [False, True, False, True]
    assert "0 bytes" in table["error"][1] or "empty" in table["error"][1]
    assert table["label"].tolist()[1] == ""


def test_held_out_files_get_what_the_run_recorded(tiny_run: TinyRun) -> None:
    recorded = pd.read_csv(tiny_run.run / "predictions.csv")
    paths = tuple(tiny_run.photos / name for name in recorded["file"])
    result = predict_paths_of_run(PredictRequest(tiny_run.run, paths))
    columns = [name for name in recorded if name.startswith("probability:")]
    np.testing.assert_allclose(
        result.predictions.probabilities, recorded[columns].to_numpy(), atol=2e-6
    )


@pytest.mark.parametrize(
    ("use_tta", "stored"), [(False, "temperature"), (True, "views_temperature")]
)
def test_calibration_softens_but_keeps_the_order(
    tiny_run: TinyRun, mixed: tuple[Path, ...], use_tta: bool, stored: str
) -> None:
    facts = json.loads((tiny_run.run / "bundle" / "bundle.json").read_text("utf-8"))
    assert facts["temperature"] != facts["views_temperature"]
    request = PredictRequest(tiny_run.run, mixed, use_tta)
    plain = predict_paths_of_run(request).predictions
    soft = predict_paths_of_run(dataclasses.replace(request, is_calibrated=True)).predictions
    powers = plain.probabilities.astype(np.float64) ** (1 / facts[stored])
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(soft.probabilities, expected, atol=1e-5)
    assert soft.errors == plain.errors


@pytest.mark.parametrize("use_tta", [False, True])
@pytest.mark.parametrize("has_plain", [False, True])
def test_a_run_without_its_temperature_is_not_calibrated(
    tiny_run: TinyRun,
    mixed: tuple[Path, ...],
    monkeypatch: pytest.MonkeyPatch,
    use_tta: bool,
    has_plain: bool,
) -> None:
    from tfclassify.export import artefact

    real = artefact.load_bundle
    kept = {"views_temperature": None} | ({} if has_plain else {"temperature": None})
    monkeypatch.setattr(
        artefact, "load_bundle", lambda path: dataclasses.replace(real(path), **kept)
    )
    request = PredictRequest(tiny_run.run, mixed, use_tta, is_calibrated=True)
    if has_plain and not use_tta:
        assert len(predict_paths_of_run(request).predictions) == 4
        return
    with pytest.raises(RequestError, match=r"--calibrated: .* has no temperature"):
        predict_paths_of_run(request)


def test_files_that_the_run_knows_are_told(tiny_run: TinyRun, tmp_path: Path) -> None:
    frame = load_index(tiny_run.run / "index.csv").usable().frame
    photos = tmp_path / "photos"
    photos.mkdir()
    for split in ("train", "validation", "test"):
        shutil.copy(frame["path"][frame["split"] == split].iloc[0], photos / f"{split}.png")
    (photos / "broken.png").touch()
    make_photo(991, (16, 16)).save(photos / "new.png")
    told, out, page = Recorder(), tmp_path / "p.csv", tmp_path / "p.html"
    request = PredictRequest(tiny_run.run, photos, out=out, html=page)
    answers = predict_paths_of_run(request, told).predictions
    expected = {"broken": "", "new": "", "test": "", "train": "train", "validation": "validation"}
    assert {Path(row.file).stem: row.known for row in answers} == expected
    assert pd.read_csv(out, keep_default_na=False)["known"].tolist() == list(expected.values())
    (warning,) = [text for text in told.warnings if "known to the run" in text]
    assert "2 of 5 files are known to the run, such as" in warning
    assert "trained on 1 and chose its epoch by 1; its answers" in warning
    text = page.read_text(encoding="utf-8")
    assert "the run was trained on it" in text
    assert "it chose the run&#39;s epoch" in text


def test_of_a_bundle_alone_nobody_can_tell(tiny_run: TinyRun, tmp_path: Path) -> None:
    shutil.copytree(tiny_run.run / "bundle", tmp_path / "bundle")
    request = PredictRequest(tmp_path / "bundle", tiny_run.photos / "red")
    assert predict_paths_of_run(request).predictions.known == ()


def test_a_run_without_its_index_predicts_and_says_what_it_cannot_tell(
    tiny_run: TinyRun, tmp_path: Path
) -> None:
    shutil.copytree(tiny_run.run, tmp_path / "run")
    (tmp_path / "run" / "index.csv").write_text("no index", "utf-8")
    told = Recorder()
    request = PredictRequest(tmp_path / "run", tiny_run.photos / "red" / "00.png")
    answers = predict_paths_of_run(request, told).predictions
    assert (answers.failed, answers.known) == (0, ())
    assert any("cannot be told which files the run was trained on" in text
               for text in told.warnings)  # fmt: skip


def test_what_cannot_be_predicted_is_named(tiny_run: TinyRun, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="no such run"):
        predict_paths_of_run(PredictRequest(tmp_path / "no", (tiny_run.photos,)))
    with pytest.raises(TargetError, match="holds no image"):
        predict_paths_of_run(PredictRequest(tiny_run.run, (tmp_path,)))


def test_images_are_copied_to_their_labels(tiny_run: TinyRun, tmp_path: Path) -> None:
    first, second = tmp_path / "a.png", tmp_path / "other" / "a.png"
    second.parent.mkdir()
    shutil.copy(tiny_run.photos / "red" / "03.png", first)
    shutil.copy(first, second)
    pixels = np.full((20, 24, 3), 200, np.uint8)
    images = (str(first), str(second), pixels, str(tmp_path / "absent.png"))
    out = tmp_path / "sorted"
    result = predict_paths_of_run(PredictRequest(tiny_run.run, images, save_images=out))
    label = result.predictions[0].label
    assert (out / label / "a.png").read_bytes() == first.read_bytes()
    assert (out / label / "a-2.png").read_bytes() == first.read_bytes()
    assert (out / result.predictions[2].label / "image 2.png").exists()
    assert len([path for path in out.rglob("*") if path.is_file()]) == 3


@pytest.mark.parametrize(
    ("labels", "name"),
    [(("../x",), "_.._x"), (("a/b", "c"), "a_b+c"), ((), "no label"), (("rose",), "rose")],
)
def test_a_label_is_a_folder_whatever_it_holds(labels: tuple[str, ...], name: str) -> None:
    from tfclassify.workflows.predict import name_after

    assert name_after(labels) == name
