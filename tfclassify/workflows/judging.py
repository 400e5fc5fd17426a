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
from tfclassify.recipe.schema import Recipe, TtaRecipe
from tfclassify.scoring.judgement import Judgement, judge

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
    """

    split: str
    index: Index
    probabilities: np.ndarray
    plain: Judgement
    tta: Judgement | None
    views: tuple[str, ...]

    @property
    def headline(self) -> Judgement:
        """The judgement of how the model is meant to be used."""
        return self.tta or self.plain


def judge_index(
    bundle: Bundle,
    index: Index,
    split: str,
    recipe: Recipe,
    tta: TtaRecipe | None,
    observer: Observer,
    plain_probabilities: np.ndarray | None = None,
) -> Verdict:
    """Judge a bundle on the images of an index, with and without views.

    Args:
        bundle: The model.
        index: Labelled, usable images.
        split: What to call them.
        recipe: For the decoder's settings, the seed and the groups.
        tta: The views, or None for the plain image alone.
        observer: Receives progress.
        plain_probabilities: Of the plain images, where they are known already.
    """
    from tfclassify.inference.prediction import predict_store
    from tfclassify.inference.views import build_view_model
    from tfclassify.pipeline.cache import open_images

    targets, groups = index.class_ids(), find_groups(index)
    images = open_images(index.paths(), recipe.data, observer=observer)
    plain = plain_probabilities
    if plain is None:
        plain = predict_store(bundle.model, images, observer=observer)

    def judge_probabilities(probabilities: np.ndarray) -> Judgement:
        return judge(
            targets,
            probabilities,
            bundle.classes,
            seed=recipe.seed,
            groups=groups,
            temperature=bundle.temperature,
        )

    if tta is None:
        return Verdict(split, index, plain, judge_probabilities(plain), None, ("identity",))
    views = build_view_model(bundle.model, tta)
    averaged = predict_store(views, images, observer=observer)
    return Verdict(
        split,
        index,
        averaged,
        judge_probabilities(plain),
        judge_probabilities(averaged),
        views.names,
    )


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
    """Write ``predictions.csv``: each held-out image with its label and probabilities."""
    import pandas as pd

    from tfclassify.files import write_text
    from tfclassify.inference.prediction import guard_formula

    parts = []
    for verdict in verdicts:
        frame = verdict.index.frame
        order = verdict.probabilities.argmax(axis=1)
        part = pd.DataFrame(
            {
                "split": verdict.split,
                "file": [guard_formula(name) for name in frame["image"]],
                "true_label": [guard_formula(name) for name in frame["label"]],
                "label": [guard_formula(classes[position]) for position in order],
                "probability": verdict.probabilities.max(axis=1),
            }
        )
        columns = [f"probability:{name}" for name in classes]
        parts.append(
            pd.concat([part, pd.DataFrame(verdict.probabilities, columns=columns)], axis=1)
        )
    table = pd.concat(parts) if parts else pd.DataFrame(columns=["split", "file"])
    write_text(path, table.to_csv(index=False, float_format="%.8g", lineterminator="\n"))
