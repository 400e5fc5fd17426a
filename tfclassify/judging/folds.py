"""What the folds of a cross-validation said of the images that they did not train on.

Owns: reading the folds' answers and scores back. Does not own: training the folds and what
they add up to (``workflows.crossval``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tfclassify.data.index import load_index
from tfclassify.errors import RunError
from tfclassify.judging.answers import StoredAnswers, join_answers, read_answers
from tfclassify.judging.verdicts import find_groups
from tfclassify.pages.crossval_content import FoldRow
from tfclassify.runs.crossval_directory import CrossvalDirectory

#: What the images are called that no model judged had trained on.
SPLIT = "out-of-fold"


@dataclass(frozen=True)
class FoldAnswers:
    """What the folds said.

    Attributes:
        all: Every judgement, repeat by repeat.
        first: Those of the first repeat, which has every image once.
    """

    all: StoredAnswers
    first: StoredAnswers


def read_folds(place: CrossvalDirectory) -> FoldAnswers:
    """Read what every fold said about its own images.

    Raises:
        RunError: If a fold is not finished.
    """
    parts = []
    for repeat, fold in place.plan.places():
        run = place.fold(repeat, fold)
        index = load_index(run.index_path)
        parts.append(read_answers(run.predictions_path, index, "validation"))
    return FoldAnswers(join_answers(parts), join_answers(parts[: place.plan.folds]))


def find_units(answers: StoredAnswers, repeats: int) -> list[str] | None:
    """Return what is resampled together, a name for each judgement.

    Args:
        answers: From ``read_folds``.
        repeats: Times that each image was judged.

    Returns:
        Groups, and with several repeats the image itself for an image without a group;
        None where every judgement stands alone.
    """
    frame = answers.index.frame
    if repeats == 1:
        return find_groups(answers.index)
    pairs = zip(frame["group"], frame["image"], strict=True)
    return [f"group {group}" if group else f"image {image}" for group, image in pairs]


def read_fold(place: CrossvalDirectory, repeat: int, fold: int) -> FoldRow:
    """Read how one fold fared.

    Raises:
        RunError: If its scores cannot be read.
    """
    run = place.fold(repeat, fold)
    try:
        content = json.loads(run.metrics_path.read_text("utf-8"))
        split = content["splits"]["validation"]
        judged = split["tta"] or split["plain"]
        return FoldRow(
            repeat,
            fold,
            run.path.relative_to(place.path).as_posix(),
            int(judged["n"]),
            {name: score["value"] for name, score in judged["metrics"].items()},
            int(content["epochs"]),
            float(content["training_seconds"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{run.metrics_path}: the fold's scores cannot be read ({error!r}); remove "
            f"{run.path} and go on with `tfclassify crossval --resume {place.path}`"
        ) from error
