from __future__ import annotations

import dataclasses
import shutil
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from tests.tiny_run import TinyRun
from tfclassify.errors import RequestError, TargetError
from tfclassify.events import Observer
from tfclassify.workflows.submit import SubmitRequest, submit_run


@pytest.mark.slow  # the fresh process that checks the zip starts a TensorFlow of its own
def test_a_codalab_zip_is_written_and_checked(tiny_run: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "submission.zip"
    result = submit_run(SubmitRequest(tiny_run.run, "codalab", out=out))
    assert result.path == out
    assert result.size_bytes == out.stat().st_size
    assert len(result.views) == 2
    assert result.checked_images > 0
    with zipfile.ZipFile(out) as archive:
        assert {"metadata", "model.py"} <= set(archive.namelist())


def test_a_csv_submission_names_every_image(tiny_run: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "submission.csv"
    request = SubmitRequest(
        tiny_run.run, "csv", images=tiny_run.photos / "red", use_tta=False, out=out
    )
    result = submit_run(request)
    table = pd.read_csv(out)
    assert len(table) == 15
    assert set(table.iloc[:, 1]) <= {"red", "green", "blue"}
    assert result.views == ("identity",)
    assert result.checked_images > 0


def test_a_copied_bundle_is_submitted_like_its_run(tiny_run: TinyRun, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(tiny_run.run / "bundle", alone)
    images = tiny_run.photos / "red"
    of_run = submit_run(SubmitRequest(tiny_run.run, "csv", images, out=tmp_path / "run.csv"))
    of_bundle = submit_run(SubmitRequest(alone, "csv", images))
    assert of_bundle.path == alone / "submission.csv"
    assert of_bundle.path.read_bytes() == of_run.path.read_bytes()
    inside = submit_run(SubmitRequest(tiny_run.run / "bundle", "csv", images, use_tta=False))
    assert inside.path == tiny_run.run / "submission.csv"  # beside the run's other files
    inside.path.unlink()


@pytest.mark.slow  # the fresh process that checks the zip starts a TensorFlow of its own
def test_a_copied_bundle_becomes_a_codalab_zip(tiny_run: TinyRun, tmp_path: Path) -> None:
    alone, told = tmp_path / "alone", Told()
    shutil.copytree(tiny_run.run / "bundle", alone)
    result = submit_run(SubmitRequest(alone, "codalab"), told)
    assert (result.path, result.checked_images) == (alone / "submission.zip", 32)
    assert any("compared on drawn ones" in text for text in told.warnings)


class Told(Observer):
    """Keeps its warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def on_warning(self, message: str) -> None:
        self.warnings.append(message)


def test_an_artefact_is_not_submitted(tiny_run: TinyRun, tmp_path: Path) -> None:
    (tmp_path / "artefact.json").write_text("{}")
    with pytest.raises(RequestError, match="is an artefact; a submission is made from a run"):
        submit_run(SubmitRequest(tmp_path, "codalab"))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (SubmitRequest(Path(), "csv"), "name the folder of images with --images"),
        (
            SubmitRequest(Path(), "codalab", images=Path("x"), template=Path("y")),
            "--images and --template belong to --format csv",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    tiny_run: TinyRun, request_: SubmitRequest, message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        submit_run(dataclasses.replace(request_, run=tiny_run.run))


def test_an_export_needs_real_images_to_be_checked_on(tiny_run: TinyRun, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run.run, run)
    index = pd.read_csv(run / "index.csv", keep_default_na=False)
    index.assign(path="gone/" + index["image"]).to_csv(run / "index.csv", index=False)
    with pytest.raises(RequestError, match="none of the run's images is on disk any more"):
        submit_run(SubmitRequest(run, "codalab"))
    assert not (run / "submission.zip").exists()


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="no such run"):
        submit_run(SubmitRequest(tmp_path / "no", "codalab"))
