"""Nested folds: the whole search, judged on images that it never saw.

Owns: a search for each fold on the other folds' images, the runs of its start and of its
choice, what they say of the fold. Does not own: dealing folds (``data.splits``), the course
of a search (``search``), a training (``crossval``), the scores (``tuning.selection``).

Within a fold, a part of the images that the fold is not judged on watches: it chooses
epochs, phases and the best trial. The images that the fold is judged on have no part in
anything, so that the score is that of "search, then choose, then train".
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tfclassify.data.index import Index, load_index
from tfclassify.data.preparation import PreparedData
from tfclassify.data.splits import make_folds
from tfclassify.events import SILENT, Observer
from tfclassify.executors.jobs import Executor, Job, run_jobs
from tfclassify.judging.answers import read_answers
from tfclassify.judging.folds import JUDGED
from tfclassify.recipe.loading import dump_recipe, load_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.scoring.verdicts import Answers
from tfclassify.tuning.folder import SearchFacts, SearchFolder
from tfclassify.tuning.selection import NestedChoice, judge_choices
from tfclassify.workflows.crossval import Fold, finish_fold
from tfclassify.workflows.search import Search, choose
from tfclassify.workflows.trial import make_trial_recipe

#: Trainings of a fold behind its search: of what it starts from and of what it chose.
_TRAININGS = 2


def deal_folds(index: Index, recipe: Recipe, facts: SearchFacts) -> list[Index]:
    """Deal the images into nested folds; test images of the recipe are in none.

    Raises:
        DataError: If there are too few images, or groups, for so many folds.
    """
    return make_folds(index, folds=facts.folds, seed=recipe.seed, watch=recipe.data.validation)


def search_folds(
    folder: SearchFolder,
    recipe: Recipe,
    data: PreparedData,
    executor: Executor,
    observer: Observer,
) -> NestedChoice:
    """Search in every fold, or what is left of it, and judge what was chosen.

    Raises:
        JobError: If the recipe as it is, or what a fold chose, cannot be trained.
    """
    parts: list[tuple[int, Answers, Answers]] = []
    for number, index in enumerate(deal_folds(data.index, recipe, folder.facts), start=1):
        observer.on_note(f"nested fold {number} of {folder.facts.folds}")
        fold = _open_fold(folder, number, recipe)
        PreparedData(index, data.integrity).save(fold.index_path, fold.integrity_path)
        with fold.lock():
            parts.append(_search_fold(fold, recipe, index, executor, observer, folder.command))
    best, starts, choices = zip(*parts, strict=True)
    start, chosen = Answers.join(starts), Answers.join(choices)
    return judge_choices(start, chosen, best, metric=recipe.metric, seed=folder.facts.seed)


def _open_fold(folder: SearchFolder, number: int, recipe: Recipe) -> SearchFolder:
    facts = folder.facts.model_copy(update={"folds": 0, "seconds": folder.facts.seconds_each})
    path = folder.fold(number)
    if (path / "search.json").exists():
        return SearchFolder(path, facts)
    shutil.rmtree(path, ignore_errors=True)  # what a kill left of making it
    return SearchFolder.create(path.parent, recipe.name, path, dump_recipe(recipe), facts)


def _search_fold(
    fold: SearchFolder,
    recipe: Recipe,
    index: Index,
    executor: Executor,
    observer: Observer,
    way_on: str,
) -> tuple[int, Answers, Answers]:
    """Return the chosen trial, and what the start's and the choice's runs say of the fold."""
    search = Search(fold, recipe, executor, observer, reserve=_TRAININGS)
    search.run()
    shutil.rmtree(fold.features_dir, ignore_errors=True)
    selection = choose(search, index)
    complete = search.journal.list_complete()
    best = selection.best if selection is not None else complete[0].number
    call = f"{train_choice.__module__}:{train_choice.__name__}"
    jobs = [
        Job(f"{fold.path.name}, trial {number}", call, {"fold": str(fold.path), "number": number})
        for number in dict.fromkeys((0, best))
    ]
    run_jobs(executor, jobs, observer, way_on=f"What is done is kept. Resume with: {way_on}")
    runs = (fold.choice(number) for number in (0, best))
    start, chosen = (
        read_answers(run.answers_path, load_index(run.index_path), JUDGED) for run in runs
    )
    return best, start, chosen


def train_choice(fold: str, number: int, observer: Observer = SILENT) -> None:
    """Train a trial's recipe as a run, or what is left of it, judged on the fold's images.

    Args:
        fold: The search of a nested fold.
        number: Of the trial.
        observer: Told of progress.
    """
    folder = SearchFolder.open(Path(fold))
    trial = folder.journal().trials[number]
    recipe = make_trial_recipe(load_recipe(folder.recipe_path), trial)
    data = PreparedData.load(folder.index_path, folder.integrity_path)
    told = f"Trial {number} of the search in {folder.path.name}."
    recipe = recipe.model_copy(update={"description": f"{recipe.description} {told}".strip()})
    finish_fold(Fold(folder.choice(number), recipe, data.index), data, observer)
