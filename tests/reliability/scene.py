"""Work that is small enough to be broken off many times."""

from __future__ import annotations

from pathlib import Path

from tests.builders import make_photo_folder
from tfclassify.runs.crossval_directory import CrossvalDirectory
from tfclassify.runs.directory import RunDirectory, is_crossval, is_run

#: Two phases, one of them on cached features; with all that a run keeps between epochs.
RECIPE = """\
name: tiny
seed: 3
data: {source: photos, image_size: 16, validation: 0.3, min_images: 1}
augment: {flip: [horizontal], mix: {mixup: 0.3}}
model:
  backbone: custom_cnn
  weights: none
  layers: [{conv: 4, stride: 2, batch_norm: true}]
  head: {dropout: 0.2}
mining: {delta: 0.5, ceiling: 2}
batch_size: 8
phases:
  - {name: head, train: head, epochs: 2, learning_rate: 1.0e-2, features: {views: 1}, ema: 0.6}
  - {name: whole, train: all, epochs: 2, learning_rate: 1.0e-2, keep_best: loss}
"""
EPOCHS = 4
#: What a search may change, and its trials: past the ten that are drawn before any is learnt from.
SPACE = (
    'search={model.head.dropout: {range: [0.0, 0.5]}, "phases[1].learning_rate": '
    "{log: [1.0e-3, 1.0e-1]}}"
)
TRIALS = 13
FOLDS = 3


def make_scene(folder: Path, *changes: tuple[str, str]) -> Path:
    """Write photos and the recipe, with pieces of its text replaced; return the recipe's path."""
    make_photo_folder(folder / "photos", 6, (16, 16))
    text = RECIPE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "tiny.yaml"
    path.write_text(text, "utf-8")
    return path


def train_on(recipe: Path, run: Path) -> None:
    """Begin a training, or go on with what there is of it, as a user would."""
    from tfclassify.workflows.train import TrainRequest, resume_training, train_recipe

    if is_run(run):
        resume_training(run, None, ())
    else:
        train_recipe(TrainRequest(recipe, out=run))


def cross_on(recipe: Path, place: Path) -> None:
    """Begin a cross-validation, or go on with it."""
    from tfclassify.workflows.crossval import CrossvalRequest, crossval_recipe, resume_crossval

    if is_crossval(place):
        resume_crossval(place, None, ())
    else:
        crossval_recipe(CrossvalRequest(recipe, folds=FOLDS, out=place))


def search_on(recipe: Path, place: Path) -> None:
    """Begin a search, or go on with it."""
    from tfclassify.workflows.tune import TuneRequest, resume_tune, tune_recipe

    if is_search(place):
        resume_tune(place)
    else:
        request = TuneRequest(recipe, (SPACE,), trials=TRIALS, pruner="median", out=place)
        tune_recipe(request)


def is_search(place: Path) -> bool:
    """Say whether a folder is a search."""
    return (place / "search.json").exists()


def list_runs(place: Path) -> list[RunDirectory]:
    """Return the run that a folder is, or the begun folds of a cross-validation."""
    if is_crossval(place):
        opened = CrossvalDirectory.open(place)
        runs = [opened.fold(repeat, fold) for repeat, fold in opened.plan.places()]
        return [run for run in runs if is_run(run.path)]
    return [RunDirectory(place)] if is_run(place) else []
