"""Judging a bundle on labelled images: what training and ``evaluate`` share.

Owns: from an index's split to judgements and ``metrics.json``.
Does not own: the scores (``scoring``), the page (``report``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfclassify.data.index import Index
from tfclassify.events import Observer
from tfclassify.files import write_json
from tfclassify.recipe.data_schema import JOINING_SIGN
from tfclassify.recipe.schema import Recipe, TtaRecipe, needs_search
from tfclassify.scoring.tasks import MULTI_LABEL
from tfclassify.scoring.thresholds import cross_fit_thresholds, search_thresholds
from tfclassify.scoring.verdicts import AnyJudgement, judge_task

if TYPE_CHECKING:
    from tfclassify.model.bundle import Bundle


@dataclass(frozen=True)
class Verdict:
    """What was measured on one split.

    Attributes:
        split: train, validation, test, or the name of other data.
        index: Its images, in the order of the probabilities.
        probabilities: ``(n, classes)`` float32; averaged over the views if there are any.
        plain: Judgement of one plain view an image.
        tta: Judgement of the averaged views, or None.
        views: Names of the averaged views.
        thresholds: multi_label: what the images were judged by, ``(n, classes)``; None
            under multi_class.
    """

    split: str
    index: Index
    probabilities: np.ndarray
    plain: AnyJudgement
    tta: AnyJudgement | None
    views: tuple[str, ...]
    thresholds: np.ndarray | None = None

    @property
    def headline(self) -> AnyJudgement:
        """The judgement of how the model is meant to be used."""
        return self.tta or self.plain


def judge_index(
    bundle: Bundle,
    index: Index,
    split: str,
    recipe: Recipe,
    tta: TtaRecipe | None,
    observer: Observer,
) -> Verdict:
    """Judge a bundle on the images of an index, with and without views.

    Where the thresholds of a multi-label model were searched on the validation images,
    these are judged by cross-fitted ones: no image has a part in its own.

    Args:
        bundle: The model.
        index: Labelled, usable images.
        split: What to call them.
        recipe: For the decoder's settings, the seed and the groups.
        tta: The views, or None for the plain image alone.
        observer: Receives progress.
    """
    from tfclassify.inference.views import build_view_model
    from tfclassify.model.prediction import BATCH_SIZE, predict_store
    from tfclassify.pipeline.cache import open_images

    images = open_images(index.paths(), recipe.data, observer=observer)
    views = build_view_model(bundle.model, tta)
    size = views.images_per_batch(BATCH_SIZE)
    both = predict_store(views.plain_and_mean, images, size, observer)
    averaged = None if tta is None else both[:, 1]
    return judge_probabilities(bundle, index, split, recipe, both[:, 0], averaged, views.names)


def judge_probabilities(
    bundle: Bundle,
    index: Index,
    split: str,
    recipe: Recipe,
    plain: np.ndarray,
    averaged: np.ndarray | None = None,
    views: tuple[str, ...] = ("identity",),
) -> Verdict:
    """Judge what was predicted on the images of an index; see ``judge_index``.

    Args:
        bundle: The model, for its classes, temperature and thresholds.
        index: Labelled, usable images.
        split: What to call them.
        recipe: For the task, the seed and the groups.
        plain: Probabilities of one plain view of each, ``(n, classes)``.
        averaged: Those averaged over the views, or None.
        views: Names of the views.
    """
    targets, groups = index.targets(), find_groups(index)
    stored = bundle.label_thresholds
    crossed = None
    if split == "validation" and needs_search(recipe) and bundle.thresholds is not None:
        crossed = cross_fit_thresholds(
            targets, plain, str(recipe.thresholds), seed=recipe.seed, groups=groups
        )

    def judge(probabilities: np.ndarray) -> AnyJudgement:
        return judge_task(
            recipe.task,
            targets,
            probabilities,
            bundle.classes,
            seed=recipe.seed,
            groups=groups,
            temperature=bundle.temperature,
            thresholds=stored if bundle.thresholds is not None else None,
            crossed=crossed,
        )

    used = crossed
    if used is None and stored is not None:
        used = np.broadcast_to(stored, targets.shape)
    if averaged is None:
        return Verdict(split, index, plain, judge(plain), None, views, used)
    return Verdict(split, index, averaged, judge(plain), judge(averaged), views, used)


def find_thresholds(
    recipe: Recipe, validation: Index, probabilities: np.ndarray | None
) -> dict[str, float] | None:
    """Find what a bundle stores as its thresholds, by class name.

    Args:
        recipe: Says how; a number is taken for every class.
        validation: The images to search them on.
        probabilities: Of one plain view of each; None where there are no such images.

    Returns:
        None under multi_class, and where there is nothing to search on.
    """
    if recipe.task != MULTI_LABEL:
        return None
    if not isinstance(recipe.thresholds, str):
        return dict.fromkeys(validation.classes, float(recipe.thresholds))
    if probabilities is None or not len(validation):
        return None
    found = search_thresholds(validation.targets(), probabilities, recipe.thresholds)
    return dict(zip(validation.classes, found.tolist(), strict=True))


def find_groups(index: Index) -> list[str] | None:
    """Return the group of each image, or None where the data has no groups."""
    groups = index.frame["group"].tolist()
    return groups if any(groups) else None


def write_metrics(path: Path, verdicts: Sequence[Verdict], metric: str, **facts: Any) -> None:
    """Write ``metrics.json``: every judgement by split, plain and with views."""
    splits = {
        verdict.split: {
            "plain": verdict.plain.to_dict(),
            "tta": verdict.tta.to_dict() if verdict.tta else None,
            "views": list(verdict.views),
        }
        for verdict in verdicts
    }
    headline = summarise_headline(verdicts, metric)
    write_json(path, {"headline": headline, **facts, "splits": splits})


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


def write_predictions(path: Path, verdicts: Sequence[Verdict], classes: Sequence[str]) -> None:
    """Write ``predictions.csv``: each held-out image with its labels and probabilities.

    The columns are ``split, file``, then ``true_label, label, probability`` or, under
    multi_label, ``true_labels, labels`` with ``|`` between the names, then one of
    probabilities for each class, named ``probability:<class>``.
    """
    import pandas as pd

    from tfclassify.files import render_csv, write_text

    parts = [pd.DataFrame(_list_answers(verdict, classes)) for verdict in verdicts]
    table = pd.concat(parts) if parts else pd.DataFrame(columns=["split", "file"])
    write_text(path, render_csv(table, "%.8g"))


def _list_answers(verdict: Verdict, classes: Sequence[str]) -> dict[str, Any]:
    """Return the columns of one split."""
    from tfclassify.inference.prediction import list_labels

    frame, probabilities = verdict.index.frame, verdict.probabilities
    columns: dict[str, Any] = {
        "split": verdict.split,
        "file": frame["image"].tolist(),
    }
    true = frame["label"].tolist()
    if verdict.thresholds is None:
        best = probabilities.argmax(axis=1)
        columns["true_label"] = true
        columns["label"] = [classes[position] for position in best]
        columns["probability"] = probabilities.max(axis=1)
    else:
        given = list_labels(classes, probabilities, verdict.thresholds)
        columns["true_labels"] = true
        columns["labels"] = [JOINING_SIGN.join(labels) for labels in given]
    for number, name in enumerate(classes):
        columns[f"probability:{name}"] = probabilities[:, number]
    return columns
