"""Judging a model on labelled images: what training, ``evaluate`` and ``ensemble`` share.

Owns: what is fitted on held-out answers (temperatures, thresholds), from answers to a
verdict, what a verdict must warn of, ``metrics.json``.
Does not own: asking a model (``answers``), the scores (``scoring``), the page (``pages``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfclassify.files import write_json
from tfclassify.recipe.schema import PhaseRecipe, Recipe, needs_search
from tfclassify.recipe.wording import join_names
from tfclassify.scoring.calibration import cross_fit_temperature, fit_temperature
from tfclassify.scoring.judgement import Judgement, judge
from tfclassify.scoring.outcome import DEFAULT_THRESHOLD
from tfclassify.scoring.tasks import find_class_ids
from tfclassify.scoring.thresholds import cross_fit_thresholds, search_thresholds
from tfclassify.scoring.verdicts import Answers, Verdict

if TYPE_CHECKING:
    from tfclassify.model.bundle import Bundle


@dataclass(frozen=True)
class Calibrated:
    """What was fitted on the answers to images that no weight was trained on.

    Attributes:
        temperature: For probabilities of the plain image; None under multi_label, and
            without such images.
        views_temperature: The same for those averaged over the views.
        thresholds: multi_label: least probability of each class, by its name.
    """

    temperature: float | None = None
    views_temperature: float | None = None
    thresholds: dict[str, float] | None = None

    @classmethod
    def of_bundle(cls, bundle: Bundle) -> Calibrated:
        """Return what a bundle has stored."""
        return cls(bundle.temperature, bundle.views_temperature, bundle.thresholds)


def calibrate(answers: Answers | None, recipe: Recipe, classes: Sequence[str]) -> Calibrated:
    """Fit what a bundle stores on the answers to the validation images.

    Args:
        answers: The answers; None where there are no such images.
        recipe: For the task and the kind of thresholds.
        classes: Class names.
    """
    if recipe.task == "multi_label":
        if not isinstance(recipe.thresholds, str):
            return Calibrated(thresholds=dict.fromkeys(classes, float(recipe.thresholds)))
        if answers is None:
            return Calibrated()
        found = search_thresholds(answers.targets, answers.plain, recipe.thresholds)
        return Calibrated(thresholds=dict(zip(classes, found.tolist(), strict=True)))
    if answers is None:
        return Calibrated()
    ids, averaged = find_class_ids(answers.targets), answers.averaged
    return Calibrated(
        fit_temperature(ids, answers.plain),
        None if averaged is None else fit_temperature(ids, averaged),
    )


def judge_answers(
    answers: Answers,
    split: str,
    recipe: Recipe,
    calibrated: Calibrated,
    caution: str = "",
) -> Verdict:
    """Judge what a model said of labelled images, with and without views.

    What was fitted on the validation images is cross-fitted there: each image is judged by
    thresholds and a temperature that it had no part in.

    Args:
        answers: The images and the probabilities.
        split: What to call them.
        recipe: For the task, the seed and the kind of thresholds.
        calibrated: What the model has stored.
        caution: What else to warn of.
    """
    is_own = split == "validation"
    stored = None
    if calibrated.thresholds is not None:
        stored = answers.task.list_thresholds(calibrated.thresholds, answers.classes)
    if answers.thresholds is not None:
        used = _choose_thresholds(answers, recipe, stored, is_own=is_own)
        answers = replace(answers, thresholds=np.broadcast_to(used, answers.targets.shape))

    def judge_view(probabilities: np.ndarray, temperature: float | None) -> Judgement:
        softened = None
        if is_own and temperature is not None:
            softened = cross_fit_temperature(
                find_class_ids(answers.targets),
                probabilities,
                seed=recipe.seed,
                groups=answers.units,
            )
        return judge(
            answers.task.make_outcome(answers.targets, probabilities, answers.thresholds),
            answers.classes,
            seed=recipe.seed,
            groups=answers.units,
            temperature=temperature,
            softened=softened,
            thresholds=stored,
        )

    tta = None
    if answers.averaged is not None:
        tta = judge_view(answers.averaged, calibrated.views_temperature)
    plain = judge_view(answers.plain, calibrated.temperature)
    warnings = [warn_of_choice(split, recipe), caution]
    return Verdict(split, answers, plain, tta, " ".join(filter(None, warnings)))


def _choose_thresholds(
    answers: Answers, recipe: Recipe, stored: np.ndarray | None, *, is_own: bool
) -> np.ndarray | float:
    """Return the thresholds to judge by: on the images that they were found on, cross-fitted."""
    if stored is None:
        return DEFAULT_THRESHOLD
    if not (is_own and needs_search(recipe)):
        return stored
    return cross_fit_thresholds(
        answers.targets,
        answers.plain,
        str(recipe.thresholds),
        seed=recipe.seed,
        groups=answers.units,
    )


def warn_of_choice(split: str, recipe: Recipe) -> str:
    """Say what the judged images chose of the weights, where they chose any; else nothing."""
    *earlier, last = recipe.phases
    chosen = [phase.name for phase in earlier if _has_choice(phase)]
    if split != "validation":
        return ""
    if recipe.keep_phase == "best" and earlier:
        what = "best phase and epoch" if chosen or _has_choice(last) else "best phase"
    elif _has_choice(last):
        what = "best epoch"
    elif chosen:
        return (
            f"The validation images chose the epoch of {join_names(chosen, 'and')} that "
            f"{last.name} began with, and not the weights that are judged."
        )
    else:
        return ""
    return (
        f"The validation images also chose the {what}, so new images may score a little "
        "lower; data.test holds out images that choose nothing."
    )


def _has_choice(phase: PhaseRecipe) -> bool:
    """Say whether validation images choose the epoch whose weights a phase ends with."""
    return phase.keep_best is not None or phase.early_stopping is not None


def write_metrics(path: Path, verdicts: Sequence[Verdict], metric: str, **facts: Any) -> None:
    """Write ``metrics.json``: facts, and the scores by split, plain and with views."""
    write_json(path, {**facts, **list_scores(verdicts, metric)})


def list_scores(verdicts: Sequence[Verdict], metric: str) -> dict[str, Any]:
    """Return what ``metrics.json`` says of the scores: headline and splits."""
    splits = {
        verdict.split: {
            "plain": verdict.plain.to_dict(),
            "tta": verdict.tta.to_dict() if verdict.tta else None,
            "views": list(verdict.views),
            "caution": verdict.caution,
        }
        for verdict in verdicts
    }
    return {"headline": summarise_headline(verdicts, metric), "splits": splits}


def summarise_headline(verdicts: Sequence[Verdict], metric: str) -> dict[str, Any] | None:
    """Return the one score that stands on top: the last split's, as the model is used."""
    if not verdicts:
        return None
    verdict = verdicts[-1]
    interval = verdict.headline.metrics[metric]
    return {
        "split": verdict.split,
        "metric": metric,
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
        "n": verdict.headline.n,
        "views": len(verdict.views),
    }
