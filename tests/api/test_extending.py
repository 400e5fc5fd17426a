"""What docs/extending.md shows, from outside the package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfclassify as tfc
from tests.builders import make_photo_folder
from tests.executors.chores import double
from tfclassify.augmentations import catalogue
from tfclassify.executors import jobs
from tfclassify.recipe import names as recipe_names

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text("utf-8")
SMALL = {
    "model": {"backbone": "custom_cnn", "weights": "none", "layers": [{"conv": 4}]},
    "data.image_size": 16,
    "phases": [{"name": "all", "epochs": 1}],
}


def test_the_augmentation_of_the_page_is_trained_with(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "AUGMENTATIONS", dict(catalogue.AUGMENTATIONS))
    make_photo_folder(in_tmp / "photos", images_per_class=8, size=(16, 16))
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert code is not None
    shown = 'set={"augment.custom"'
    assert shown in code[1]
    names: dict[str, Any] = {"SMALL": SMALL}
    exec(code[1].replace(shown, 'set={**SMALL, "augment.custom"'), names)
    darken = names["darken"]
    image = np.full((2, 2, 3), 200, np.uint8)
    assert darken(image, 0.5).tolist() == np.full((2, 2, 3), 100).tolist()
    run = names["run"]
    assert run.recipe.augment.custom == {"darkness": 0.3}
    assert "darkness" in catalogue.AUGMENTATIONS
    assert "up to 30 % darker" in run.report.read_text("utf-8")


def test_the_loss_and_the_schedule_of_the_page_are_trained_with(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(recipe_names.OWN_FUNCTIONS, "schedules", {})
    monkeypatch.setitem(recipe_names.OWN_FUNCTIONS, "losses", {})
    make_photo_folder(in_tmp / "photos", images_per_class=8, size=(16, 16))
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
    assert "set={" in code
    names: dict[str, Any] = {"SMALL": {**SMALL, "phases[0].epochs": 2}}
    exec(code.replace("set={", "set={**SMALL, "), names)
    run = names["run"]
    # One step an epoch: the triangle begins and ends at nothing.
    assert run.history["learning_rate"].tolist() == [0.0, 0.0]
    page = run.report.read_text("utf-8")
    assert "poly" in page
    assert "schedule triangle" in page
    # One right and certain image costs nothing, one image of two equal shares log 2 + 1/2.
    logits = np.array([[50.0, 0.0], [0.0, 0.0]], np.float32)
    costs = names["poly_loss"](np.eye(2, dtype=np.float32)[[0, 0]], logits)
    assert np.asarray(costs) == pytest.approx([0.0, np.log(2) + 0.5], abs=1e-6)


def test_an_executor_of_ones_own_is_opened_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "EXECUTORS", dict(jobs.EXECUTORS))
    tfc.register_executor("mine", lambda options, observer: jobs.Here(observer))
    with jobs.open_executor(jobs.ExecutorOptions("mine")) as executor:
        job = jobs.Job("a", "tests.executors.chores:double", {"number": 3})
        assert jobs.run_jobs(executor, [job]) == [double(number=3, observer=tfc.Observer())]


def test_every_call_of_the_page_is_there() -> None:
    for name in re.findall(r"tfc\.(\w+)\(", PAGE):
        assert name in tfc.__all__, name
    root = Path(tfc.__file__).parent
    for file in re.findall(r"`(\w+/\w+\.py)`", PAGE):
        assert (root / file).is_file(), file
