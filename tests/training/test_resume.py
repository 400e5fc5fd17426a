"""A training that was stopped anywhere goes on to the same end, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.builders import (
    HEAD,
    LAYERS,
    WHOLE,
    StopsAfter,
    comparable,
    make_recipe,
    make_trainer,
    weights_of,
)
from tfclassify.errors import RunError
from tfclassify.events import SILENT, Observer
from tfclassify.recipe.schema import Recipe
from tfclassify.training import trainer as trainer_module
from tfclassify.training.sources import StreamSource
from tfclassify.training.trainer import Trainer

SLOW = pytest.mark.slow
AUGMENT = {"flip": ["horizontal"], "rotate": 0.1, "mix": {"cutmix": 0.5, "mixup": 0.5}}
MINING = {"delta": 0.5, "ceiling": 2.0}
NORMED = {
    "backbone": "custom_cnn",
    "weights": "none",
    "layers": LAYERS,
    "head": {"dropout": 0.2, "dense": [8], "batch_norm": True},
}
SWA = {"swa": 2, "keep_best": None}

#: Phases and sections; each with two phases of 3 epochs, 3 steps an epoch.
KINDS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "all at once": (
        [
            HEAD | {"features": {"views": 2}, "ema": 0.6, "schedule": "one_cycle"},
            WHOLE
            | {"accumulate": 2, "layer_decay": 0.5, "optimizer": "adamw", "clip_norm": 1.0}
            | SWA,
        ],
        {"mining": MINING, "keep_phase": "best", "metric": "f1_macro"},
    ),
    "label sets": (
        [HEAD | {"ema": 0.6}, WHOLE | {"schedule": "one_cycle", "keep_best": "map"}],
        {
            "task": "multi_label",
            "loss": {"kind": "asymmetric", "label_smoothing": 0.1},
            "mining": MINING,
            "keep_phase": "best",
            "metric": "iou",
        },
    ),
    "accumulation": ([HEAD | {"accumulate": 2}, WHOLE | {"accumulate": 2}], {}),
    "moving average": ([HEAD | {"ema": 0.6}, WHOLE | {"ema": 0.6, "keep_best": None}], {}),
    "mean of epochs": (
        [HEAD | SWA | {"features": {"views": 2}}, WHOLE | SWA],
        {"model": NORMED},
    ),
    "layer decay": ([HEAD, WHOLE | {"layer_decay": 0.5, "schedule": "cosine"}], {}),
    "steps": (
        [
            HEAD | {"schedule": {"kind": "multi_step", "milestones": [1]}},
            WHOLE | {"schedule": "exponential"},
        ],
        {},
    ),
    "mining": ([HEAD | {"features": {"views": 2}}, WHOLE], {"mining": MINING}),
    "magnitude": (
        [WHOLE | {"prune": {"sparsity": 0.7, "every": 2, "until": 0.9}}, HEAD],
        {"model": NORMED},
    ),
    "rigl": (
        [HEAD, WHOLE | {"prune": {"sparsity": 0.7, "method": "rigl", "every": 2}}],
        {"model": NORMED},
    ),
    "teacher": (
        [HEAD | {"features": {"views": 2}}, WHOLE],
        {"distil": {"teacher": "t", "temperature": 3.0, "alpha": 0.7}},
    ),
    "teacher of still images": (
        [WHOLE | {"name": "still", "augment": False, "mix": False}, WHOLE],
        {"distil": {"teacher": "t"}},
    ),
    "quantise": (
        [HEAD, WHOLE | {"name": "rounded", "quantise": True}],
        {"model": NORMED},
    ),
    "sizes": (
        [
            HEAD | {"features": {"views": 2}, "image_size": 12, "batch_size": 5},
            WHOLE | {"image_size": 24, "ema": 0.6, "clip_norm": 1.0},
        ],
        {"mining": MINING, "keep_phase": "best", "metric": "f1_macro"},
    ),
    "sizes that grow": (
        [
            WHOLE | {"name": "small", "image_size": 12, "batch_size": 6} | SWA,
            WHOLE | {"prune": {"sparsity": 0.7, "every": 2}, "image_size": [20, 24]},
        ],
        {"distil": {"teacher": "t"}, "model": NORMED},
    ),
    "best phase": ([HEAD, WHOLE | {"learning_rate": 0.9}], {"keep_phase": "best"}),
}


@dataclass
class Unbroken:
    """A training that was never stopped.

    Attributes:
        recipe: Its recipe.
        home: Folder of the photos.
        weights: What it ended with.
        records: Its epochs.
        kept_phase: The phase that it kept.
        misses: Of mining, or None.
    """

    recipe: Recipe
    home: Path
    weights: list[np.ndarray]
    records: list[tuple[object, ...]]
    kept_phase: str
    misses: list[int] | None

    def start(self, state: Path, observer: Observer = SILENT) -> Trainer:
        is_set = self.recipe.task == "multi_label"
        given = np.array([2.0, 1.0, 3.0], np.float32) if is_set else None
        photos = self.home / "photos"
        return make_trainer(self.recipe, photos, state, observer=observer, class_weights=given)

    def assert_same(self, trainer: Trainer) -> None:
        records = trainer.run(resume=True)
        assert comparable(records) == self.records
        assert trainer.kept_phase == self.kept_phase
        assert find_misses(trainer) == self.misses
        for first, second in zip(self.weights, weights_of(trainer), strict=True):
            np.testing.assert_array_equal(first, second)


def find_misses(trainer: Trainer) -> list[int] | None:
    return trainer.hard_examples.misses.tolist() if trainer.hard_examples else None


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Unbroken]:
    done: dict[str, Unbroken] = {}

    def train(kind: str) -> Unbroken:
        if kind not in done:
            phases, sections = KINDS[kind]
            recipe = make_recipe(phases, augment=AUGMENT, **sections)
            home = tmp_path_factory.mktemp("unbroken")
            work = Unbroken(recipe, home, [], [], "", None)
            trainer = work.start(home / "state")
            work.records = comparable(trainer.run())
            work.weights, work.kept_phase = weights_of(trainer), trainer.kept_phase
            work.misses = find_misses(trainer)
            done[kind] = work
        return done[kind]

    return train


#: Kind and finished epochs that the quick tests stop after.
QUICK = (
    ("all at once", 4),
    ("sizes", 3),
    ("sizes", 4),
    ("label sets", 1),
    ("rigl", 4),
    ("teacher of still images", 2),
)


def cases(places: tuple[int, ...], *quick: tuple[str, int]) -> list[Any]:
    """List every kind at every place; only the named ones are not slow."""
    return [
        pytest.param(kind, place, marks=() if (kind, place) in quick else SLOW)
        for kind in KINDS
        for place in places
    ]


@pytest.mark.parametrize(("kind", "epochs"), cases((1, 2, 3, 4), *QUICK))
def test_stopped_within_an_epoch(
    tmp_path: Path, unbroken: Callable[[str], Unbroken], kind: str, epochs: int
) -> None:
    work = unbroken(kind)
    with pytest.raises(KeyboardInterrupt):
        work.start(tmp_path, StopsAfter(epochs)).run()
    work.assert_same(work.start(tmp_path))


@pytest.mark.parametrize(("kind", "writes"), cases((1, 5, 7, 9), ("all at once", 5), ("sizes", 7)))
def test_stopped_before_a_file_is_written(
    tmp_path: Path,
    unbroken: Callable[[str], Unbroken],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    writes: int,
) -> None:
    """Between the best weights and the state, the state and the phase's end, and so on."""
    work, left, save = unbroken(kind), [writes], trainer_module.save_snapshot

    def stop_or_save(*given: Any, **more: Any) -> None:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        save(*given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "save_snapshot", stop_or_save)
        trainer = work.start(tmp_path)
        try:
            trainer.run()
        except KeyboardInterrupt:
            pass
        else:
            assert left[0] > 0  # there are fewer files than that
    work.assert_same(work.start(tmp_path))


@pytest.mark.parametrize("kind", ["label sets", pytest.param("moving average", marks=SLOW)])
def test_stopped_while_an_average_is_judged(
    tmp_path: Path,
    unbroken: Callable[[str], Unbroken],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    work, left = unbroken(kind), [1]
    judge = StreamSource.validation_probabilities

    def stop_or_judge(source: StreamSource) -> np.ndarray:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return judge(source)

    with monkeypatch.context() as patch:
        patch.setattr(StreamSource, "validation_probabilities", stop_or_judge)
        with pytest.raises(KeyboardInterrupt):
            work.start(tmp_path).run()
    work.assert_same(work.start(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["all at once", "label sets", "mining"])
def test_stopped_again_and_again(
    tmp_path: Path, unbroken: Callable[[str], Unbroken], kind: str
) -> None:
    work = unbroken(kind)
    for number in range(7):
        try:
            work.start(tmp_path, StopsAfter(1)).run(resume=number > 0)
        except KeyboardInterrupt:
            continue
        break
    work.assert_same(work.start(tmp_path))


def test_misses_of_other_images_are_refused(
    tmp_path: Path, unbroken: Callable[[str], Unbroken]
) -> None:
    work = unbroken("all at once")
    with pytest.raises(KeyboardInterrupt):
        work.start(tmp_path, StopsAfter(1)).run()
    other = make_trainer(work.recipe, work.home / "photos", tmp_path, validation=5)
    with pytest.raises(RunError, match="counts the misses of 12 images, but there are 13"):
        other.run(resume=True)
