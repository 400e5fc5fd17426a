"""What the folds of a cross-validation said of the images that they did not train on.

Owns: reading the folds' answers and scores back. Does not own: training the folds and what
they add up to (``workflows.crossval``).
"""

from __future__ import annotations

from dataclasses import dataclass

from tfclassify.data.index import load_index
from tfclassify.errors import RunError
from tfclassify.files import render_csv
from tfclassify.judging.answers import PROBABILITY_FORM, list_columns, read_answers
from tfclassify.pages.crossval_page import FoldRow
from tfclassify.runs.crossval_directory import CrossvalDirectory
from tfclassify.runs.documents import RunMetrics, read_document
from tfclassify.scoring.verdicts import Answers

#: What the images are called that no model judged had trained on.
OUT_OF_FOLD = "out-of-fold"

#: The split of a fold's run that holds the images it is judged on; nothing else looks at them.
JUDGED = "test"


@dataclass(frozen=True)
class FoldAnswers:
    """What the folds said.

    Attributes:
        parts: The answers of each fold, repeat by repeat.
        all: Every answer, in that order.
        first: Those of the first repeat, which has every image once.
    """

    parts: tuple[Answers, ...]
    all: Answers
    first: Answers


def read_folds(place: CrossvalDirectory) -> FoldAnswers:
    """Read what every fold said about its own images.

    Raises:
        RunError: If a fold is not finished.
    """
    parts = []
    for repeat, fold in place.plan.places():
        run = place.fold(repeat, fold)
        index = load_index(run.index_path)
        parts.append(read_answers(run.answers_path, index, JUDGED))
    first = Answers.join(parts[: place.plan.folds])
    return FoldAnswers(tuple(parts), Answers.join(parts), first)


def render_answers(place: CrossvalDirectory, answers: FoldAnswers) -> str:
    """Write the table of the answers: one row for each judgement of an image."""
    import pandas as pd

    parts = [
        pd.DataFrame({"split": OUT_OF_FOLD, "repeat": repeat, "fold": fold, **list_columns(part)})
        for (repeat, fold), part in zip(place.plan.places(), answers.parts, strict=True)
    ]
    return render_csv(pd.concat(parts), PROBABILITY_FORM)


def find_units(answers: Answers, repeats: int) -> list[str] | None:
    """Return what is resampled together, a name for each judgement.

    Args:
        answers: From ``read_folds``.
        repeats: Times that each image was judged.

    Returns:
        Groups, and with several repeats the image itself for an image without a group;
        None where every judgement stands alone.
    """
    if repeats == 1:
        return answers.units
    pairs = zip(answers.groups, answers.images, strict=True)
    return [f"group {group}" if group else f"image {image}" for group, image in pairs]


def read_fold(place: CrossvalDirectory, repeat: int, fold: int) -> FoldRow:
    """Read how one fold fared.

    Raises:
        RunError: If its scores cannot be read.
    """
    run = place.fold(repeat, fold)
    way_out = f"remove {run.path}, then {place.describe_way_on()}"
    scores = read_document(RunMetrics, run.metrics_path, way_out)
    judged = scores.splits.get(JUDGED)
    if judged is None or scores.epochs is None or scores.training_seconds is None:
        raise RunError(f"{run.metrics_path}: holds no scores of a fold; {way_out}")
    return FoldRow(
        repeat,
        fold,
        run.path.relative_to(place.path).as_posix(),
        judged.headline.n,
        {name: score.value for name, score in judged.headline.metrics.items()},
        scores.epochs,
        scores.training_seconds,
    )
