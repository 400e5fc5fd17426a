from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_run import CommandLine, TinyRun
from tfclassify.data.index import Index
from tfclassify.errors import RequestError
from tfclassify.events import Observer
from tfclassify.recipe.loading import load_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.directory import RunDirectory
from tfclassify.tuning import budget
from tfclassify.tuning.budget import PhaseCost, TrainingCost
from tfclassify.tuning.probes import Probed
from tfclassify.workflows import fitting
from tfclassify.workflows.fitting import measure_cost
from tfclassify.workflows.material import anchor_images
from tfclassify.workflows.train import TrainRequest, train_recipe

Measure = Callable[[Recipe, Index, Observer], TrainingCost]


class Stop(Exception):
    """Ends a training where it would begin."""


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[Recipe]]:
    """Fit a recipe with costs that are given, up to where the training would begin."""

    def fit(given: Path, seconds: float, measure: Measure, *overrides: str) -> list[Recipe]:
        monkeypatch.setattr(fitting, "measure_cost", measure)
        begun: list[Recipe] = []

        def begin(run: RunDirectory, recipe: Recipe, *_: object, **__: object) -> None:
            begun.append(recipe)
            raise Stop

        monkeypatch.setattr("tfclassify.workflows.train.train_prepared", begin)
        request = TrainRequest(given, overrides, out=tmp_path / "run", seconds=seconds)
        with pytest.raises(Stop):
            train_recipe(request)
        return begun

    return fit


def cost_of(epoch: float) -> TrainingCost:
    return TrainingCost(1.0, (PhaseCost(1.0, 0.1), PhaseCost(0.0, epoch)), 1.0)


def test_a_recipe_keeps_all_but_its_epochs(tiny_run: TinyRun, fitted, tmp_path: Path) -> None:
    # 850 s are planned with, less what reading takes: 51 epochs of 0.1 s, and of 100 s about 8.
    (recipe,) = fitted(
        tiny_run.recipe,
        1000.0,
        lambda *_: cost_of(100.0),
        "phases[0].epochs=51",
        "phases[1].epochs=21",
    )
    epochs = [phase.epochs for phase in recipe.phases]
    assert epochs[0] == 51
    assert 5 <= epochs[1] <= 8
    own = load_recipe(tiny_run.recipe)
    assert (recipe.model, recipe.data.image_size) == (own.model, own.data.image_size)
    choice = json.loads((tmp_path / "run" / "choice.json").read_text("utf-8"))
    assert choice["seconds"] == 1000.0
    (line,) = choice["lines"]
    assert f"epochs head 51, whole {epochs[1]} of 21" in line
    stored = load_recipe(tmp_path / "run" / "recipe.yaml")
    assert [phase.epochs for phase in stored.phases] == epochs


def test_a_training_that_takes_longer_than_estimated_is_cut_and_says_so(
    tiny_run: TinyRun, monkeypatch, tmp_path: Path
) -> None:
    # A thousandth of a second an epoch, and one behind them: both are a hundred times as much.
    too_little = TrainingCost(0.0, (PhaseCost(0.0, 1e-3), PhaseCost(0.0, 1e-3)), 1.0)
    monkeypatch.setattr(fitting, "measure_cost", lambda *_: too_little)
    monkeypatch.setattr(budget, "_TELLING", 1e-3)
    request = TrainRequest(
        tiny_run.recipe, ("phases[].epochs=30",), out=tmp_path / "run", seconds=30.0
    )
    result = train_recipe(request)
    assert [phase.epochs for phase in result.recipe.phases] == [30, 30]
    records = RunDirectory.open(result.run).read_journal()
    plans = [record["plan"] for record in records if "plan" in record]
    assert plans
    assert result.epochs == len(records) == sum(plans[-1]) < 20
    page = result.report.read_text("utf-8")
    assert "Fitted to 30 s" in page
    assert "epochs take longer than estimated" in page
    assert "cut to keep the time" in page


def test_a_time_too_short_leaves_no_run(tiny_run: TinyRun, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fitting, "measure_cost", lambda *_: cost_of(5000.0))
    request = TrainRequest(tiny_run.recipe, out=tmp_path / "run", seconds=1000.0)
    with pytest.raises(RequestError, match=r"--time: .* are left, but .* take about 1 h 23 min"):
        train_recipe(request)
    assert not (tmp_path / "run").exists()


class TestImagesWithoutARecipe:
    @pytest.fixture
    def probed(self, monkeypatch: pytest.MonkeyPatch, request) -> list[tuple[str, int]]:
        """Give probes scores: lite1 a little better than lite0, more pixels better."""
        image_ms = getattr(request, "param", lambda size: size / 1000)
        seen: list[tuple[str, int]] = []
        by_name = {"efficientnet_lite0": 0.80, "efficientnet_lite1": 0.86}

        def probe(recipe: Recipe, sample: Index, observer: Observer) -> Probed:
            assert set(sample.frame["split"]) == {"train"}
            name, size = recipe.model.backbone, recipe.data.image_size[0]
            seen.append((name, size))
            score = by_name[name] + size / 2000
            took = image_ms(size) * (3 if name == "efficientnet_lite1" else 1)
            return Probed(name, size, score, np.full(len(sample), 1 - score), took)

        monkeypatch.setattr(fitting, "probe_network", probe)
        for name in ("mobilenet", "efficientnet_lite2"):
            assert name in fitting.BACKBONES
        here = {name: fitting.BACKBONES[name] for name in by_name}
        monkeypatch.setattr(fitting, "BACKBONES", here)
        return seen

    def test_the_best_probe_that_the_time_allows(self, tiny_run, fitted, probed, tmp_path) -> None:
        def measure(recipe: Recipe, *_: object) -> TrainingCost:
            is_slow = recipe.model.backbone == "efficientnet_lite1"
            return cost_of(700.0 if is_slow else 50.0)

        (recipe,) = fitted(tiny_run.photos / "labels.csv", 1000.0, measure)
        # Images of 20 x 24 are drafted at 64 pixels.
        assert probed == [
            *(("efficientnet_lite0", side) for side in (64, 96, 128)),
            *(("efficientnet_lite1", side) for side in (96, 128)),
        ]
        assert recipe.model.backbone == "efficientnet_lite0"
        assert recipe.data.image_size == (128, 128)
        tried, why, fits = json.loads((tmp_path / "run" / "choice.json").read_text())["lines"]
        assert tried.startswith("tried 5 of 6 networks by linear probes on ")
        assert "efficientnet_lite1 at 128 pixels 0.924" in tried
        assert why.startswith("chosen efficientnet_lite0 at 128 pixels: ")
        assert why.endswith("efficientnet_lite1 at 128 pixels, the best probe, would get about 1")
        assert "epochs head " in fits

    def test_the_best_probe_where_there_is_time(self, tiny_run, fitted, probed, tmp_path) -> None:
        (recipe,) = fitted(tiny_run.photos / "labels.csv", 9000.0, lambda *_: cost_of(50.0))
        assert recipe.model.backbone == "efficientnet_lite1"
        assert recipe.phases[-1].epochs == 40  # twice the draft's
        lines = json.loads((tmp_path / "run" / "choice.json").read_text())["lines"]
        assert lines[1] == "chosen efficientnet_lite1 at 128 pixels: the best probe"

    def test_the_better_half_is_probed_on_twice_the_images(
        self, tiny_run, fitted, probed, monkeypatch
    ) -> None:
        monkeypatch.setattr(fitting, "_FIRST_IMAGES", 4)
        samples: list[int] = []
        probe = fitting.probe_network

        def count(recipe: Recipe, sample: Index, observer: Observer) -> Probed:
            samples.append(len(sample))
            return probe(recipe, sample, observer)

        monkeypatch.setattr(fitting, "probe_network", count)
        (recipe,) = fitted(tiny_run.photos / "labels.csv", 9000.0, lambda *_: cost_of(50.0))
        rounds = [samples.count(images) for images in sorted(set(samples))]
        assert rounds[:3] == [5, 3, 2]
        assert sorted(set(samples))[:3] == [4, 8, 16]
        # Lite1 at 128 and at 96 pixels, then Lite0 at 128.
        assert probed[5:8] == [
            ("efficientnet_lite1", 128),
            ("efficientnet_lite1", 96),
            ("efficientnet_lite0", 128),
        ]
        assert recipe.model.backbone == "efficientnet_lite1"

    @pytest.mark.parametrize("probed", [lambda size: 8.0 * size**2], indirect=True)
    def test_sizes_that_the_time_would_hardly_train_are_not_looked_at(
        self, tiny_run, fitted, probed, tmp_path
    ) -> None:
        """At 33 s an image of 64 pixels none fits well; larger ones are left alone at once."""
        (recipe,) = fitted(tiny_run.photos / "labels.csv", 9000.0, lambda *_: cost_of(50.0))
        assert probed == [("efficientnet_lite0", 64), ("efficientnet_lite1", 64)]
        assert recipe.data.image_size == (64, 64)

    def test_one_that_does_not_fit_is_followed_by_the_fastest(
        self, tiny_run, fitted, probed
    ) -> None:
        """What the first look foresees is far too little; the smallest images fit in the end."""
        looked: list[int] = []

        def measure(recipe: Recipe, *_: object) -> TrainingCost:
            looked.append(recipe.data.image_size[0])
            return cost_of(50.0 if looked[-1] == 64 else 5000.0)

        (recipe,) = fitted(tiny_run.photos / "labels.csv", 1000.0, measure)
        assert looked == [128, 96, 64]
        assert recipe.data.image_size == (64, 64)

    def test_what_the_user_sets_stays(self, tiny_run, fitted, probed) -> None:
        (recipe,) = fitted(
            tiny_run.photos / "labels.csv",
            9000.0,
            lambda *_: cost_of(50.0),
            "model.backbone=efficientnet_lite0",
            "data.image_size=72",
            "phases[].epochs=3",
        )
        assert probed == [("efficientnet_lite0", 72)]
        assert [phase.epochs for phase in recipe.phases] == [3, 3]


def test_costs_are_measured_on_the_images_themselves(tiny_run: TinyRun) -> None:
    from tfclassify.data.preparation import PreparedData
    from tfclassify.events import SILENT

    run = RunDirectory.open(tiny_run.run)
    data = anchor_images(PreparedData.load(run.index_path, run.integrity_path))
    cost = measure_cost(load_recipe(run.recipe_path), data.index, SILENT)
    head, whole = cost.phases
    assert head.view > 0 == whole.view
    assert min(head.epoch, whole.epoch, cost.start) > 0
    assert cost.end > 10


@pytest.mark.parametrize(
    "words", [("--time", "soon"), ("--time", "0"), ("--time", "5m", "--resume")]
)
def test_times_that_make_no_sense(tiny_run: TinyRun, tfclassify: CommandLine, words) -> None:
    answer = tfclassify("train", tiny_run.run if "--resume" in words else tiny_run.recipe, *words)
    assert answer.code == 2
    assert "--time: must be " in answer.err
