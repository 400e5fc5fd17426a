"""Runs that no training made: a recipe, photos, and answers of a chosen skill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.builders import COLOURS, make_photo
from tfclassify.data.index import Index, make_frame
from tfclassify.data.integrity import make_report
from tfclassify.data.preparation import PreparedData
from tfclassify.judging.answers import make_answers, write_predictions
from tfclassify.judging.verdicts import write_metrics
from tfclassify.recipe.loading import dump_recipe, parse_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.directory import RunDirectory
from tfclassify.scoring.judgement import judge
from tfclassify.scoring.verdicts import Verdict

CLASSES = tuple(sorted(COLOURS))
_RECIPES = {
    "multi_class": """\
name: tiny
data: {source: photos, image_size: 16}
model:
  backbone: custom_cnn
  weights: none
  layers: [{conv: 4, stride: 2}]
phases: [{name: all, epochs: 1}]
""",
    "multi_label": """\
name: tiny
task: multi_label
data: {source: photos, image_size: 16, table: labels.csv, label_separator: "|"}
metric: iou
thresholds: 0.5
model:
  backbone: custom_cnn
  weights: none
  layers: [{conv: 4, stride: 2}]
phases: [{name: all, epochs: 1}]
""",
}


def make_recipe(task: str = "multi_class", **changes: Any) -> Recipe:
    """Make a small recipe of a task."""
    return parse_recipe(_RECIPES[task]).model_copy(update=changes)


def make_index(
    folder: Path,
    *,
    images: int = 24,
    task: str = "multi_class",
    groups: bool = False,
    splits: Sequence[str] = ("train", "validation", "test"),
) -> Index:
    """Write photos and list them; classes and splits take turns, so that each has some."""
    folder.mkdir(parents=True, exist_ok=True)
    names, labels = [f"{number:03}.png" for number in range(images)], []
    for number, name in enumerate(names):
        label = CLASSES[number % len(CLASSES)]
        if not (folder / name).exists():
            make_photo(number, (16, 16), COLOURS[label]).save(folder / name)
        if task == "multi_label":
            chosen = [c for place, c in enumerate(CLASSES) if (number >> place) & 1]
            label = "|".join(chosen)
        labels.append(label)
    dealt = [splits[number // len(CLASSES) % len(splits)] for number in range(images)]
    frame = make_frame(
        names,
        [str((folder / name).absolute()) for name in names],
        label=labels,
        split=dealt,
        group=[f"painter {number // 6}" if groups else "" for number in range(images)],
        sha256=[f"{number:064x}" for number in range(images)],
        width=[16] * images,
        height=[16] * images,
    )
    return Index(frame, CLASSES, "photos", is_multi_label=task == "multi_label")


def make_probabilities(index: Index, *, skill: float, seed: int = 0) -> np.ndarray:
    """Answer as a model would that leans towards what is true by ``skill``."""
    targets = index.targets()
    logits = np.random.default_rng(seed).normal(size=targets.shape) + skill * (2 * targets - 1)
    if index.is_multi_label:
        return (1 / (1 + np.exp(-logits))).astype(np.float32)
    powers = np.exp(logits)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def judge_split(
    index: Index, recipe: Recipe, split: str, *, skill: float = 1.0, seed: int = 0
) -> Verdict:
    """Judge one split by made-up answers."""
    held_out = index.in_split(split)
    probabilities = make_probabilities(held_out, skill=skill, seed=seed)
    answers = make_answers(held_out, probabilities)
    judgement = judge(
        answers.outcome,
        held_out.classes,
        seed=0,
        groups=answers.units,
        thresholds=0.5 if held_out.is_multi_label else None,
        resamples=50,
    )
    return Verdict(split, answers, judgement)


def fill_run(
    run: RunDirectory,
    recipe: Recipe,
    index: Index,
    *,
    skill: float = 1.0,
    seed: int = 0,
    splits: Sequence[str] = ("validation", "test"),
) -> None:
    """Write all that a training leaves but its state, journal and model."""
    verdicts = [
        judge_split(index, recipe, split, skill=skill, seed=seed)
        for split in splits
        if len(index.in_split(split))
    ]
    PreparedData(index, make_report("photos", len(index), 0, [])).save(
        run.index_path, run.integrity_path
    )
    facts: Mapping[str, Any] = {"epochs": 1, "training_seconds": 2.0}
    write_metrics(run.metrics_path, verdicts, recipe.metric, **facts)
    write_predictions(run.predictions_path, verdicts)
    run.report_path.write_text("<!doctype html>\n", "utf-8")


def make_run(folder: Path, recipe: Recipe, index: Index, **answers: Any) -> Path:
    """Make a run in a folder; see ``fill_run``."""
    run = RunDirectory.create_at(folder, dump_recipe(recipe))
    fill_run(run, recipe, index, **answers)
    return run.path


def add_bundle(run: Path, recipe: Recipe, *, seed: int) -> None:
    """Give a run a model with random weights."""
    from tfclassify.model.assembly import build_classifier
    from tfclassify.model.bundle import save_bundle

    network = build_classifier(recipe.model, len(CLASSES), recipe.data.image_size, seed=seed)
    thresholds = dict.fromkeys(CLASSES, 0.5) if recipe.task == "multi_label" else None
    save_bundle(run / "bundle", network, classes=CLASSES, recipe=recipe, thresholds=thresholds)
