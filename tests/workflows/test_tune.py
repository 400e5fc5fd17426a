"""A search from end to end: trials, kills, bounds, executors, and what it leaves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.tiny_run import TinyRun, make_labelled_photos, write_recipe
from tfclassify.errors import InterruptedTraining, JobError, RecipeError, RequestError, TargetError
from tfclassify.events import Observer
from tfclassify.executors.catalogue import ExecutorOptions
from tfclassify.recipe.loading import load_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.tuning.results import TuneResult
from tfclassify.workflows import shared_parts, trial
from tfclassify.workflows.shared_parts import SharedParts
from tfclassify.workflows.trial import make_trial_recipe
from tfclassify.workflows.tune import (
    TuneRequest,
    parse_amount,
    parse_time,
    resume_tune,
    tune_recipe,
)

pytest.importorskip("optuna")

SEARCH = """\
search:
  model.head.dropout: {range: [0.0, 0.5]}
  phases[0].learning_rate: {log: [1.0e-3, 1.0e-1]}
  phases[0].epochs: {int: [1, 3]}
"""
FEATURELESS = "phases[0].features=null"
WHOLE = "  - {name: whole, train: all, epochs: 2, learning_rate: 1.0e-2, schedule: cosine}\n"


class Listener(Observer):
    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.steps: list[tuple[str, int]] = []
        self.epochs = 0

    def on_note(self, message: str) -> None:
        self.notes.append(message)

    def on_task_step(self, task: str, done: int) -> None:
        self.steps.append((task, done))

    def on_epoch_end(self, epoch: int, values: object, is_best: bool) -> None:
        self.epochs += 1

    def on_warning(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("tune")
    make_labelled_photos(home / "photos")
    recipe = write_recipe(home, (WHOLE, ""))
    recipe.write_text(recipe.read_text("utf-8") + SEARCH, "utf-8")
    return home


def search(home: Path, out: Path, **options: Any) -> TuneResult:
    options = {"trials": 4, "seed": 1} | options
    return tune_recipe(TuneRequest(home / "tiny.yaml", out=out, **options))


@pytest.fixture(scope="module")
def listener() -> Listener:
    return Listener()


@pytest.fixture(scope="module")
def done(home: Path, listener: Listener) -> TuneResult:
    return tune_recipe(
        TuneRequest(home / "tiny.yaml", out=home / "done", trials=4, seed=1), listener
    )


def list_outcomes(result: TuneResult) -> list[tuple[Any, ...]]:
    """List what must not depend on where and how often the search was broken off."""
    return [
        (
            each.number,
            each.asked.values,
            each.asked.known,
            each.state,
            each.ended.score if each.ended else None,
            each.ended.curve if each.ended else None,
        )
        for each in result.trials
    ]


def test_a_search_ends_with_the_best_trial(done: TuneResult) -> None:
    assert [each.state for each in done.trials] == ["complete"] * 4
    assert done.trials[0].asked.values == {}
    scores = [each.ended.score for each in done.trials if each.ended]
    assert done.selection is not None
    assert scores[done.selection.best] == max(score for score in scores if score is not None)
    assert done.selection.naive.value == pytest.approx(max(s for s in scores if s is not None))
    table = pd.read_csv(done.search / "trials.csv")
    assert table["trial"].tolist() == [0, 1, 2, 3]
    assert table["accuracy"].tolist() == pytest.approx(scores)
    assert not (done.search / "features").exists()
    assert not list(done.search.rglob("state"))


def test_a_search_is_a_line_a_trial(done: TuneResult, listener: Listener) -> None:
    told = [note for note in listener.notes if note.startswith("trial ")]
    scores = [each.ended.score for each in done.trials if each.ended]
    assert told[0] == f"trial 0: accuracy {scores[0]:.4f}, the best  as written"
    assert len(told) == 4
    for number, line in enumerate(told):
        best = max(score for score in scores[: number + 1] if score is not None)
        assert f"{best:.4f}, the best" in line or f"(best {best:.4f}, trial " in line
    assert listener.epochs == 0  # no table of epochs for each trial
    assert [done_ for task, done_ in listener.steps if task == "trials"] == [1, 2, 3, 4]
    assert ("epochs of head", 1) in listener.steps


def test_the_best_recipe_trains_to_the_same_bits(done: TuneResult, tmp_path: Path) -> None:
    from tfclassify.workflows.train import TrainRequest, train_recipe

    assert done.selection is not None
    result = train_recipe(TrainRequest(done.best, out=tmp_path / "run"))
    answers = np.load(done.search / f"trial-{done.selection.best:04d}" / "validation.npy")
    verdict = next(each for each in result.verdicts if each.split == "validation")
    np.testing.assert_allclose(verdict.answers.plain, answers, atol=1e-6)
    splits = [(folder / "index.csv").read_bytes() for folder in (done.search, tmp_path / "run")]
    assert splits[0] == splits[1]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """The recipes that trials build a whole network of."""
    recipes: list[Recipe] = []
    build = shared_parts.build_network

    def note(recipe: Recipe, index: Any) -> Any:
        recipes.append(recipe)
        return build(recipe, index)

    monkeypatch.setattr(shared_parts, "build_network", note)
    return recipes


def test_head_trials_share_one_backbone_and_train_what_a_run_of_their_own_does(
    home: Path, tmp_path: Path, built: list[Recipe]
) -> None:
    from tfclassify.workflows.train import TrainRequest, train_recipe

    space = (
        "search={model.head.dense: [[], [6]], model.head.dropout: [0.0, 0.4], "
        "class_weights: [none, balanced]}"
    )
    result = search(home, tmp_path / "s", trials=5, overrides=(space,))
    assert [each.state for each in result.trials] == ["complete"] * 5
    assert len(built) == 1
    for trial_ in result.trials[1:3]:
        alone = make_trial_recipe(load_recipe(home / "tiny.yaml"), trial_)
        run = train_recipe(TrainRequest(alone, out=tmp_path / f"run-{trial_.number}"))
        answers = np.load(result.search / f"trial-{trial_.number:04d}" / "validation.npy")
        verdict = next(each for each in run.verdicts if each.split == "validation")
        np.testing.assert_allclose(verdict.answers.plain, answers, atol=1e-6)


def test_a_trial_that_trains_its_backbone_has_its_own(
    home: Path, tmp_path: Path, built: list[Recipe]
) -> None:
    space = "search={model.head.dropout: [0.0, 0.4]}"
    search(home, tmp_path / "s", trials=3, overrides=(space, "phases[0].train=all", FEATURELESS))
    assert len(built) == 3


@pytest.mark.parametrize("broken_at", [0, 2])
def test_a_search_that_is_broken_off_goes_on_as_if_it_had_not_been(
    done: TuneResult, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken_at: int
) -> None:
    train = trial._train_trial

    def break_off(folder: Any, number: int, *rest: Any) -> Any:
        if number == broken_at:
            raise KeyboardInterrupt
        return train(folder, number, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(trial, "_train_trial", break_off)
        with pytest.raises(InterruptedTraining, match=f"{broken_at} finished trial.* --resume"):
            search(home, tmp_path / "s")
    assert list_outcomes(resume_tune(tmp_path / "s")) == list_outcomes(done)


def test_a_trial_goes_on_from_its_last_epoch(
    done: TuneResult, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = trial._Watch.note

    def break_off(watch: Any, records: Any) -> None:
        note(watch, records)
        if watch._number == 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trial._Watch, "note", break_off)
        with pytest.raises(InterruptedTraining):
            search(home, tmp_path / "s")
    assert (tmp_path / "s" / "trial-0000" / "state" / "last.npz").exists()
    assert list_outcomes(resume_tune(tmp_path / "s")) == list_outcomes(done)


def test_processes_give_what_one_gives(done: TuneResult, home: Path, tmp_path: Path) -> None:
    one = search(home, tmp_path / "s", executor=ExecutorOptions("processes", 1))
    assert list_outcomes(one) == list_outcomes(done)


def test_a_search_that_has_ended_goes_on_with_more_trials(home: Path, tmp_path: Path) -> None:
    search(home, tmp_path / "s", trials=2)
    assert len(resume_tune(tmp_path / "s").trials) == 2
    assert len(resume_tune(tmp_path / "s", trials=3).trials) == 3


def test_a_cost_is_weighed_and_bounded(home: Path, tmp_path: Path) -> None:
    recipe = home / "cost.yaml"
    text = (home / "tiny.yaml").read_text("utf-8").replace(SEARCH, "")
    recipe.write_text(text + "search:\n  model.head.dense: [[], [16], [60000]]\n", "utf-8")
    request = TuneRequest(recipe, trials=9, also="macs", max_macs=1e5, out=tmp_path / "s")
    result = tune_recipe(request)
    assert result.is_exhausted
    states = {str(each.asked.values.get("model.head.dense")): each for each in result.trials}
    refused = states["(60000,)"].ended
    assert refused is not None
    assert refused.state == "refused"
    assert "over --max-macs 100 k" in refused.reason
    assert 1 <= len(result.front) <= 2
    assert {each.state for each in result.trials} == {"complete", "refused"}
    # 8 x 8 x 3 x 8 taps of the convolution and 8 x 3 of the head, by hand
    start = result.trials[0].ended
    assert start is not None
    assert start.cost == 8 * 8 * 8 * 9 * 3 + 8 * 3


def test_a_start_over_the_bound_is_compared_with_nothing(home: Path, tmp_path: Path) -> None:
    # The start's head of 30,000 units is refused; those of 4 and 16 units are not.
    overrides = ("model.head.dense=[30000]", "search={model.head.dense: [[4], [16]]}")
    result = search(home, tmp_path / "s", trials=9, max_macs=1e5, overrides=overrides)
    assert [each.state for each in result.trials] == ["refused", "complete", "complete"]
    assert result.selection is not None
    assert result.selection.best in (1, 2)
    assert result.selection.start is result.selection.gain is None
    assert load_recipe(result.best).model.head.dense in ((4,), (16,))
    assert "Above the recipe as it was" not in result.report.read_text("utf-8")


@pytest.mark.parametrize(
    ("space", "looked_at"),
    [
        ("{model.head.dense: [[4], [16]]}", "2 networks"),
        ('{"phases[0].learning_rate": {log: [1.0e-3, 0.1]}}', "1 network"),
    ],
)
def test_a_bound_that_nothing_meets(home: Path, tmp_path: Path, space: str, looked_at: str) -> None:
    told = rf"--max-macs: none of the {looked_at} that were looked at meets it \(.* MACs, over "
    with pytest.raises(RequestError, match=told + r".*\); give a higher bound, or put smaller"):
        search(home, tmp_path / "s", trials=2, max_macs=10, overrides=(f"search={space}",))
    assert not (tmp_path / "s" / "best.yaml").exists()


def test_the_size_of_the_weights_is_a_cost(home: Path, tmp_path: Path) -> None:
    space = "search={model.head.dense: [[], [16]]}"
    options: dict[str, Any] = {"overrides": (space,), "trials": 3, "also": "size"}
    result = search(home, tmp_path / "s", **options)
    costs = {len(each.asked.values): each.ended.cost for each in result.trials if each.ended}
    # A convolution of 3 x 3 x 3 to 8 with bias and BatchNorm, and a head of 8 to 3; 4 bytes each.
    convolution = 27 * 8 + 8 + 4 * 8
    assert costs[0] == 4 * (convolution + 8 * 3 + 3)
    assert result.trials[1].ended is not None
    sizes = {each.ended.cost for each in result.trials if each.ended}
    assert sizes == {costs[0], 4 * (convolution + 8 * 16 + 16 + 16 * 3 + 3)}


def test_a_trial_that_fails_does_not_end_the_search(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tfclassify.errors import TrainingError

    build = SharedParts.build_network

    def fail(parts: SharedParts, recipe: Recipe) -> Any:
        if recipe.phases[0].learning_rate != 1e-2:
            raise TrainingError("the loss is nan")
        return build(parts, recipe)

    monkeypatch.setattr(SharedParts, "build_network", fail)
    result = search(home, tmp_path / "s", trials=3)
    assert [each.state for each in result.trials] == ["complete", "failed", "failed"]
    assert result.selection is None
    assert result.trials[1].ended is not None
    assert result.trials[1].ended.reason == "the loss is nan"


def test_nothing_is_searched_from_a_start_that_fails(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tfclassify.errors import TrainingError

    def fail(recipe: Any, index: Any) -> Any:
        raise TrainingError("the loss is nan")

    monkeypatch.setattr(shared_parts, "build_network", fail)
    with pytest.raises(JobError, match="the recipe as it is: the loss is nan"):
        search(home, tmp_path / "s")


def test_out_of_memory_halves_the_batch(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = shared_parts.build_network

    def fail(recipe: Any, index: Any) -> Any:
        if recipe.batch_size > 2:
            raise MemoryError("too large")
        return build(recipe, index)

    monkeypatch.setattr(shared_parts, "build_network", fail)
    listener = Listener()
    request = TuneRequest(home / "tiny.yaml", trials=1, out=tmp_path / "s")
    ended = tune_recipe(request, listener).trials[0].ended
    assert ended is not None
    assert ended.reason == "batch_size 2, since memory ran out with more"
    best = load_recipe(tmp_path / "s" / "best.yaml")
    assert best.batch_size == ended.batch_size == 2  # trains to what the trial was
    assert [
        re.sub(r".*batch", "batch", text) for text in listener.warnings if "memory" in text
    ] == [
        "batch_size 4",
        "batch_size 2",
    ]


def test_a_kill_after_the_batch_was_halved_keeps_it_halved(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, note, is_short = trial.set_up_keras, trial._Watch.note, [True]

    def fail(recipe: Any) -> None:
        if is_short[0] and recipe.batch_size > 4:
            raise MemoryError("too large")
        build(recipe)

    def break_off(watch: Any, records: Any) -> None:
        note(watch, records)
        raise KeyboardInterrupt

    monkeypatch.setattr(trial, "set_up_keras", fail)
    with monkeypatch.context() as patch:
        patch.setattr(trial._Watch, "note", break_off)
        with pytest.raises(InterruptedTraining):
            search(home, tmp_path / "s", trials=1)
    is_short[0] = False  # there is room enough for a whole batch now
    ended = resume_tune(tmp_path / "s").trials[0].ended
    assert ended is not None
    assert ended.batch_size == 4
    assert len(ended.curve) == len(load_recipe(home / "tiny.yaml").phases) == 1


def test_memory_that_does_not_suffice_for_one_image(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(recipe: Any, index: Any) -> Any:
        raise MemoryError("too large")

    monkeypatch.setattr(shared_parts, "build_network", fail)
    with pytest.raises(JobError, match="the memory does not suffice for one image"):
        search(home, tmp_path / "s")


def test_a_hopeless_trial_is_pruned(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int, int]] = []

    def prune(pruner: str, number: int, curve: Any, known: Any, **rest: Any) -> bool:
        asked.append((number, len(curve), len(known)))
        return number == 1

    monkeypatch.setattr(trial, "should_prune", prune)
    result = search(home, tmp_path / "s", trials=3, pruner="median")
    assert [each.state for each in result.trials] == ["complete", "pruned", "complete"]
    assert asked[0] == (1, 1, 1)
    assert result.trials[1].ended is not None
    assert result.trials[1].ended.reason.startswith("after epoch 1 of ")


def test_a_time_bound_leaves_room_for_whole_trials(home: Path, tmp_path: Path) -> None:
    result = search(home, tmp_path / "s", trials=None, seconds=1e-6)
    assert len(result.trials) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": -1}, "--trials: must be above 0, got -1"),
        ({"seconds": -5.0}, "--time: must be above 0, got -5.0"),
        ({"max_macs": -1.0}, "--max-macs: must be above 0, got -1.0"),
        ({"sampler": "best"}, "--sampler: must be one of tpe, random, grid, cma_es, got 'best'"),
        ({"pruner": "sharp"}, "--pruner: must be one of none, median, hyperband, got 'sharp'"),
        ({"folds": 1}, "--folds: must be from 2 to 100, got 1"),
        ({"folds": -3}, "--folds: must be from 2 to 100, got -3"),
        (
            {"also": "beauty"},
            "--also: must be one of macs, size, parameters, latency, got 'beauty'",
        ),
    ],
)
def test_a_wrong_request(home: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=re.escape(message)):
        search(home, tmp_path / "s", **options)
    assert not (tmp_path / "s").exists()


def test_a_wrong_search_makes_nothing(home: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="must be above 0 and at most 100"):
        search(
            home,
            tmp_path / "s",
            overrides=("search={model.nothing: [1]}", 'search={"phases[0].learning_rate": [-1.0]}'),
        )
    assert not (tmp_path / "s").exists()


def test_there_must_be_images_to_compare_on(home: Path, tmp_path: Path) -> None:
    overrides = ("data.validation=0", "phases[].keep_best=null")
    with pytest.raises(RequestError, match="tune: needs validation images"):
        search(home, tmp_path / "s", overrides=overrides)


def test_a_folder_that_is_taken_or_no_search(done: TuneResult, home: Path, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="there is a search already; resume it with"):
        search(home, done.search)
    (tmp_path / "file").touch()
    with pytest.raises(TargetError, match="is not a search; `tfclassify tune` makes one"):
        resume_tune(tmp_path)
    with pytest.raises(TargetError, match="not empty"):
        search(home, tmp_path)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: parse_time("soon"), "--time: must be a number such as 30m or 2h, got 'soon'"),
        (lambda: parse_time("3M3"), "--time: must be a number"),
        (lambda: parse_amount("300X"), "--max-macs: must be a number such as 300M, got '300X'"),
    ],
)
def test_what_is_no_amount(call: Any, message: str) -> None:
    with pytest.raises(RequestError, match=re.escape(message)):
        call()


def test_trials_of_a_taught_network_share_the_teacher(
    home: Path, tiny_run: TinyRun, tmp_path: Path
) -> None:
    search_for = "search={distil.alpha: [0.2, 0.9]}"
    overrides = (f"distil.teacher={tiny_run.run}", search_for)
    result = search(home, tmp_path / "taught", trials=2, overrides=overrides)
    assert [each.state for each in result.trials] == ["complete", "complete"]
