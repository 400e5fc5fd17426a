"""Contenders set against one of them: differences of scores, and on which images they differ.

Owns: the table of a comparison. Does not own: reading contenders (``contenders``), the
statistics (``scoring.comparison``), the page, costs (``workflows.compare``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tfclassify.judging.contenders import Contender, find_common
from tfclassify.pages.compare_page import CompareReport, ContenderRow, PairRow
from tfclassify.pages.rendering import Command
from tfclassify.pages.scores import is_telling
from tfclassify.scoring.comparison import (
    Statistic,
    adjust_holm,
    compare_hits,
    resample_difference,
)
from tfclassify.scoring.intervals import plan_resamples
from tfclassify.scoring.tasks import Task, get_task
from tfclassify.scoring.verdicts import Answers

_RESAMPLES = 2000


def make_comparison(
    contenders: Sequence[Contender],
    reference: Contender,
    metric: str,
    remarks: Sequence[str] = (),
    commands: tuple[Command, ...] = (),
) -> CompareReport:
    """Set contenders of one task against one of them, without their costs."""
    task = get_task(reference.recipe.task)
    notes = list(remarks)
    if any(contender.units is not None for contender in contenders):
        notes.append(
            "The images come in groups, which the intervals respect; McNemar's test takes every "
            "image as independent and is too sure here."
        )
    return CompareReport(
        task=task.name,
        metric=metric,
        shown=_list_shown(metric, task, contenders),
        is_higher_better=task.metrics[metric].higher_is_better,
        right=task.right,
        reference=reference.name,
        contenders=tuple(_describe(contender) for contender in contenders),
        pairs=tuple(pair_with(reference, contenders, metric, task)),
        remarks=tuple(notes),
        commands=commands,
    )


def pair_with(
    reference: Contender, contenders: Sequence[Contender], metric: str, task: Task
) -> list[PairRow]:
    """Set every other contender against the reference on the images in common."""
    pairs = [_pair(reference, each, metric, task) for each in contenders if each is not reference]
    tested = [place for place, pair in enumerate(pairs) if pair.p_value is not None]
    adjusted = adjust_holm([pairs[place].p_value or 0.0 for place in tested])
    for place, value in zip(tested, adjusted, strict=True):
        pairs[place] = replace(pairs[place], p_adjusted=value)
    return pairs


def _pair(reference: Contender, other: Contender, metric: str, task: Task) -> PairRow:
    if set(reference.answers.classes) != set(other.answers.classes):
        return PairRow(other.name, reference.name, 0, reason="it has other classes")
    rows, others = find_common(reference, other)
    if not len(rows):
        return PairRow(other.name, reference.name, 0, reason="it shares no image")
    first, second = reference.answers.take(rows), other.answers.take(others)
    units = _take_units(reference, rows) or _take_units(other, others)
    plan = plan_resamples(len(rows), seed=reference.recipe.seed, resamples=_RESAMPLES, groups=units)
    difference = resample_difference(
        _make_statistic(first, metric, task), _make_statistic(second, metric, task), plan
    )
    hits = compare_hits(first.is_right(), second.is_right())
    return PairRow(
        other.name,
        reference.name,
        len(rows),
        difference,
        hits.only_first,
        hits.only_second,
        hits.p_value,
    )


def _take_units(contender: Contender, rows: np.ndarray) -> list[str] | None:
    """Return what is drawn together; one of a pair that knows of groups is enough."""
    return None if contender.units is None else [contender.units[row] for row in rows]


def _make_statistic(answers: Answers, metric: str, task: Task) -> Statistic:
    outcome, measure = answers.outcome, task.metrics[metric]
    return lambda weights: measure.weigh(outcome.weigh(weights))


def _list_shown(metric: str, task: Task, contenders: Sequence[Contender]) -> tuple[str, ...]:
    """Return the metric, then every other that can differ with so many classes."""
    classes = max(len(contender.answers.classes) for contender in contenders)
    others = [name for name in task.metrics if is_telling(name, classes)]
    return tuple(dict.fromkeys([metric, *others]))


def _describe(contender: Contender) -> ContenderRow:
    judgement = contender.judgement
    return ContenderRow(
        contender.name,
        str(contender.path),
        contender.judged_on,
        judgement.metrics,
        judgement.n,
        judgement.groups,
        contender.views,
        contender.training_seconds,
    )
