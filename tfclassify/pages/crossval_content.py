"""What the page of a cross-validation says: plain values, filled by the workflow.

Owns: the shape of the content and the spread over folds. Does not own: how it looks
(``crossval_page``).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tfclassify.pages.content import Command, DataSummary, Fact, Integrity, Verdict


@dataclass(frozen=True)
class FoldRow:
    """One fold, as its own run judged it.

    Attributes:
        repeat: Deal of the images, from 1.
        fold: Number within the deal, from 1.
        path: The fold's run, relative to the cross-validation's folder.
        images: Images that it was validated on.
        metrics: Every metric of its validation images; None where it has no value.
        epochs: Epochs trained.
        seconds: Time that they took.
    """

    repeat: int
    fold: int
    path: str
    images: int
    metrics: Mapping[str, float | None]
    epochs: int
    seconds: float


@dataclass(frozen=True)
class Spread:
    """How a metric varies over the folds.

    Attributes:
        mean: Mean of the folds' values; None if none has one.
        deviation: Standard deviation (with ``n - 1``) of the values; None below two.
        values: The folds' values, those without one left out.
    """

    mean: float | None
    deviation: float | None
    values: tuple[float, ...]


@dataclass(frozen=True)
class CrossvalReport:
    """Everything that the page of a cross-validation says.

    Attributes:
        name: The recipe's name.
        place: Name of the folder, such as ``cv-001``.
        description: The recipe's one line; may be empty.
        metric: The metric that headlines.
        shown: Metrics of the table and the figure, the headline's first.
        folds: Parts that the images were dealt into.
        repeats: How many times they were dealt.
        images: Images that were judged.
        created: When it ended, in words.
        version: Version of tfclassify.
        rows: The folds, in their order.
        verdict: Every image by the model that did not train on it.
        has_chosen: Whether validation images also chose epochs.
        data: The images.
        integrity: What was found when they were checked.
        environment: Facts about the machine and the software.
        commands: How to repeat it.
        recipe_text: The resolved recipe.
    """

    name: str
    place: str
    description: str
    metric: str
    shown: tuple[str, ...]
    folds: int
    repeats: int
    images: int
    created: str
    version: str
    rows: tuple[FoldRow, ...]
    verdict: Verdict
    has_chosen: bool
    data: DataSummary
    integrity: Integrity
    environment: tuple[Fact, ...] = ()
    commands: tuple[Command, ...] = ()
    recipe_text: str = ""


def find_spreads(rows: Sequence[FoldRow]) -> dict[str, Spread]:
    """Return mean and deviation over the folds of every metric.

    The deviation tells how much a score depends on which images are held out. It is no
    interval of the mean: the folds share most of what they trained on.
    """
    names = rows[0].metrics if rows else ()
    return {name: _spread([row.metrics.get(name) for row in rows]) for name in names}


def _spread(given: Sequence[float | None]) -> Spread:
    values = tuple(value for value in given if value is not None)
    mean = statistics.fmean(values) if values else None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(mean, deviation, values)
