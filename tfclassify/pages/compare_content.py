"""What a comparison of runs says: plain values, filled by the workflow.

Owns: the shape of the content. Does not own: how it looks (``compare_page``,
``compare_tables``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tfclassify.pages.content import Command
from tfclassify.pages.wording import title_of
from tfclassify.scoring.intervals import Interval


@dataclass(frozen=True)
class ContenderRow:
    """One of the models that are compared.

    Attributes:
        name: What it is called, such as ``plants/001``.
        path: Its run, or its cross-validation.
        judged_on: The split whose images it was judged on.
        metrics: Every metric with its interval, as the run itself reported it.
        images: Judgements that they rest on.
        groups: Independent groups of images, or None.
        views: Views of an image that are averaged.
        training_seconds: Time of all epochs; None if unknown.
        params: Numbers in the network; None where it was not profiled.
        macs: Multiply-accumulates of one view; None where it was not profiled.
        latency_ms: Median time of one view at batch 1; None if not measured.
    """

    name: str
    path: str
    judged_on: str
    metrics: Mapping[str, Interval]
    images: int
    groups: int | None
    views: int
    training_seconds: float | None = None
    params: int | None = None
    macs: int | None = None
    latency_ms: float | None = None

    @property
    def image_macs(self) -> int | None:
        """Multiply-accumulates for one image: of all its views."""
        return None if self.macs is None else self.macs * self.views


@dataclass(frozen=True)
class PairRow:
    """One model against the reference, on the images that both were judged on.

    Attributes:
        name: The model.
        reference: What it is set against.
        images: Images in common.
        difference: Its score less the reference's, with its interval; None if the two
            could not be paired.
        only_reference: Images that only the reference gets right.
        only_name: Images that only this model gets right.
        p_value: McNemar's exact test of the two counts.
        p_adjusted: The same, adjusted by Holm for the number of models.
        reason: Why the two could not be paired; empty where they were.
    """

    name: str
    reference: str
    images: int
    difference: Interval | None = None
    only_reference: int | None = None
    only_name: int | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class CompareReport:
    """Everything that a comparison says.

    Attributes:
        task: Of all models.
        metric: The score that is compared.
        shown: Metrics of the table of all scores.
        is_higher_better: Whether a larger score is a better one.
        right: What makes an image right for McNemar, in words.
        reference: Name of the model that the others are set against.
        contenders: The models, in the order given.
        pairs: Each of the others against the reference.
        remarks: What a reader should know.
        created: When, in words.
        version: Version of tfclassify.
        commands: How to repeat it.
    """

    task: str
    metric: str
    shown: tuple[str, ...]
    is_higher_better: bool
    right: str
    reference: str
    contenders: tuple[ContenderRow, ...]
    pairs: tuple[PairRow, ...]
    remarks: tuple[str, ...] = ()
    created: str = ""
    version: str = ""
    commands: tuple[Command, ...] = ()

    @property
    def title(self) -> str:
        """What the score is called."""
        return title_of(self.metric, self.task)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        contenders = [
            {
                **{key: value for key, value in vars(row).items() if key != "metrics"},
                "image_macs": row.image_macs,
                "metrics": {name: each.to_dict() for name, each in row.metrics.items()},
            }
            for row in self.contenders
        ]
        return {
            "task": self.task,
            "metric": self.metric,
            "reference": self.reference,
            "contenders": contenders,
            "pairs": [asdict(pair) for pair in self.pairs],
            "remarks": list(self.remarks),
        }
