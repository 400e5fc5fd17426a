"""Judgements of either task, for those who need not tell them apart.

Owns: making and reading back the judgement that a task asks for.
Does not own: what is in one (``judgement``, ``multi_label_judgement``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from numpy.typing import ArrayLike

from tfclassify.errors import ScoringError
from tfclassify.scoring.judgement import Judgement, judge
from tfclassify.scoring.multi_label_judgement import MultiLabelJudgement, judge_labels
from tfclassify.scoring.tasks import MULTI_CLASS, MULTI_LABEL, find_class_ids, get_task

AnyJudgement: TypeAlias = Judgement | MultiLabelJudgement


def judge_task(
    task: str,
    targets: ArrayLike,
    probabilities: ArrayLike,
    classes: Sequence[str],
    *,
    seed: int,
    groups: Sequence[object] | None = None,
    temperature: float | None = None,
    thresholds: ArrayLike | None = None,
    crossed: ArrayLike | None = None,
    resamples: int = 1000,
    level: float = 0.95,
) -> AnyJudgement:
    """Measure a classifier on labelled images, whatever its task.

    Args:
        task: As in a recipe.
        targets: ``(n, C)`` of 0 and 1: one-hot under multi_class, multi-hot under
            multi_label.
        probabilities: ``(n, C)``.
        classes: The ``C`` class names.
        seed: Seed of the resamples.
        groups: Group of each image, where images of one are not independent.
        temperature: multi_class: to show the calibration after.
        thresholds: multi_label: what the model labels new images by; None is 0.5.
        crossed: multi_label: ``(n, C)`` thresholds to judge these very images by.
        resamples: How many resamples the intervals rest on.
        level: Coverage that the intervals aim at.

    Raises:
        ScoringError: If there is no such task, or the arrays do not fit together.
    """
    shared: dict[str, Any] = {
        "seed": seed,
        "groups": groups,
        "resamples": resamples,
        "level": level,
    }
    if get_task(task).is_multi_label:
        shared |= {"thresholds": thresholds, "crossed": crossed}
        return judge_labels(targets, probabilities, classes, **shared)
    ids = find_class_ids(targets)
    return judge(ids, probabilities, classes, temperature=temperature, **shared)


def read_judgement(values: Mapping[str, Any]) -> AnyJudgement:
    """Rebuild a judgement of either task from its ``to_dict``, through JSON too.

    Raises:
        ScoringError: If it is of an unknown task or format, or something is missing.
    """
    task = values.get("task", MULTI_CLASS)
    if task == MULTI_LABEL:
        return MultiLabelJudgement.from_dict(values)
    if task == MULTI_CLASS:
        return Judgement.from_dict(values)
    raise ScoringError(
        f"metrics: task must be {MULTI_CLASS} or {MULTI_LABEL}, got {task!r}; evaluate the run "
        f"again"
    )
