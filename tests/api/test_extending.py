"""What docs/extending.md shows, from outside the package."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfclassify as tfc
from tests.builders import make_photo_folder
from tests.executors.chores import double
from tfclassify.augmentations import catalogue
from tfclassify.backbones import catalog
from tfclassify.errors import RequestError
from tfclassify.executors import catalogue as executors
from tfclassify.executors import jobs
from tfclassify.export import formats
from tfclassify.recipe import names as recipe_names
from tfclassify.scoring import metrics

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
    monkeypatch.setattr(executors, "EXECUTORS", dict(executors.EXECUTORS))
    tfc.register_executor("mine", lambda options, observer: jobs.Here(observer))
    with executors.open_executor(executors.ExecutorOptions("mine")) as executor:
        job = jobs.Job("a", "tests.executors.chores:double", {"number": 3})
        assert jobs.run_jobs(executor, [job]) == [double(number=3, observer=tfc.Observer())]


def test_every_call_of_the_page_is_there() -> None:
    for name in re.findall(r"tfc\.(\w+)\(", PAGE):
        assert name in tfc.__all__, name
    root = Path(tfc.__file__).parent
    for file in re.findall(r"`(\w+/\w+\.py)`", PAGE):
        assert (root / file).is_file(), file


PACKAGE = """
import numpy as np

from tfclassify.augmentations.entry import Augmentation, Key
from tfclassify.executors.jobs import Here

DARKNESS = Augmentation(
    name="packaged_darkness",
    acts_on="pixels",
    key=Key("fraction", "Largest share of light taken away.", 0.0),
    draw=lambda most, draws, size: (1 - draws.uniform("packaged_darkness", 0, most),),
    apply=lambda image, factor: (image * factor).astype(np.uint8),
    words=lambda most: "darker",
)


def add_backbone():
    from tfclassify.backbones.catalog import register_backbone

    register_backbone("packaged_net", lambda size, has_weights: None)


def add_metric():
    from tfclassify.scoring.metrics import Metric, register_metric

    register_metric(Metric("packaged_metric", "Packaged", lambda seen: seen.total))


def cost(targets, logits):
    return targets[:, 0]


def halve(progress):
    return progress / 2


def open_mine(options, observer):
    return Here(observer)


def __getattr__(name):
    if name == "FORMAT":
        from dataclasses import replace

        from tfclassify.export.formats import ARTEFACT_FORMATS

        return replace(ARTEFACT_FORMATS["onnx"], name="packaged_format")
    raise AttributeError(name)
"""

POINTS = {
    "augmentations": "packaged_darkness = packaged:DARKNESS",
    "backbones": "packaged_net = packaged:add_backbone",
    "losses": "packaged_loss = packaged:cost",
    "metrics": "packaged_metric = packaged:add_metric",
    "schedules": "packaged_schedule = packaged:halve",
    "artefact_formats": "packaged_format = packaged:FORMAT\npackaged_text = packaged:PACKAGE",
    "executors": "packaged_executor = packaged:open_mine\nbroken = packaged:nothing",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a package that brings one of every kind, as pip would lay it down."""
    (tmp_path / "packaged.py").write_text(PACKAGE + '\nPACKAGE = "text"\n', "utf-8")
    facts = tmp_path / "packaged-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: packaged\nVersion: 1.0\n")
    groups = (f"[tfclassify.{kind}]\n{points}\n" for kind, points in POINTS.items())
    (facts / "entry_points.txt").write_text("\n".join(groups), "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    caches = (recipe_names._load_packages, catalogue._load_packages)
    for room, name in (
        (catalogue, "AUGMENTATIONS"),
        (metrics, "METRICS"),
        (recipe_names, "_OWN_METRICS"),
        (catalog, "BACKBONES"),
    ):
        monkeypatch.setattr(room, name, dict(getattr(room, name)))
    monkeypatch.setattr(recipe_names, "OWN_FUNCTIONS", {"schedules": {}, "losses": {}})
    own: list[str] = []
    for room in (recipe_names, catalog):
        monkeypatch.setattr(room, "OWN_BACKBONES", own)
    for cache in caches:
        cache.cache_clear()
    yield
    sys.modules.pop("packaged", None)
    for cache in caches:
        cache.cache_clear()


def test_an_installed_package_brings_one_of_every_kind(package: None) -> None:
    assert catalogue.find_custom("packaged_darkness").words(0.5) == "darker"
    assert "packaged_net" in recipe_names.list_backbone_names()
    assert catalog.find_spec("packaged_net").name == "packaged_net"
    assert recipe_names.list_own_names("losses") == ("packaged_loss",)
    assert recipe_names.find_own_function("losses", "packaged_loss").__name__ == "cost"
    assert recipe_names.list_metric_names("multi_class")[-1] == "packaged_metric"
    assert recipe_names.find_own_function("schedules", "packaged_schedule")(0.5) == 0.25
    assert formats.get_format("packaged_format").name == "packaged_format"
    with executors.open_executor(executors.ExecutorOptions("packaged_executor")) as executor:
        job = jobs.Job("a", "tests.executors.chores:double", {"number": 3})
        assert jobs.run_jobs(executor, [job]) == [double(number=3, observer=tfc.Observer())]


def test_what_a_package_announces_wrongly_is_its_fault(package: None) -> None:
    with pytest.raises(RequestError, match=r"must be one of .*packaged_executor.*, got 'nowhere'"):
        executors.open_executor(executors.ExecutorOptions("nowhere"))
    with pytest.raises(RequestError, match=r"'broken', which .* announces as 'packaged:nothing'"):
        executors.open_executor(executors.ExecutorOptions("broken"))
    with pytest.raises(RequestError, match=r"'packaged_text' .* must be an ArtefactFormat, got s"):
        formats.get_format("packaged_text")
    with pytest.raises(RequestError, match=r"unknown format 'packaged_formt'; did you mean 'pack"):
        formats.get_format("packaged_formt")


def test_the_page_names_the_group_of_every_kind() -> None:
    assert {f"tfclassify.{kind}" for kind in POINTS} == set(
        re.findall(r"`(tfclassify\.\w+)`", PAGE)
    )
