"""What the JSON files of a run hold, one class a file.

Owns: their fields and bounds. Does not own: how a file is read (``files.Document``),
where it lies (``directory``), the index and the integrity report (``data``), the bundle's
facts (``model.bundle``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, Field

from tfclassify.errors import RunError, explain_unread
from tfclassify.files import Document

#: More of them than anybody has time for.
MOST_FOLDS, MOST_REPEATS = 100, 1000


class Environment(Document):
    """``environment.json``: what a run was made with.

    Attributes:
        python: Implementation and version.
        system: Name, release and architecture.
        processor: Its name.
        cores: Those that the process might use.
        memory_gib: Of the machine; None where the system does not tell.
        packages: Installed distributions and their versions.
        resumed_despite: What had changed where the training was resumed by force.
    """

    python: str
    system: str
    processor: str
    cores: int = Field(ge=1)
    memory_gib: float | None
    packages: dict[str, str]
    resumed_despite: tuple[str, ...] = ()


class Beginning(Document):
    """``state/began.json``: what a training began with, so that it is resumed with the same.

    Attributes:
        format: Of this file.
        recipe: The recipe as plain values.
        images: Fingerprint of the index.
        packages: Versions by distribution.
        teacher: SHA-256 of the model that teaches; empty without one.
    """

    format: int = 1
    recipe: dict[str, Any]
    images: str = ""
    packages: dict[str, str]
    teacher: str = ""


class Choice(Document):
    """``choice.json``: how a recipe was fitted to a time.

    Attributes:
        format: Of this file.
        seconds: The time.
        lines: What was tried, what was chosen and why, and what fits.
    """

    format: int = 1
    seconds: float = Field(gt=0)
    lines: tuple[str, ...]


class CrossvalFacts(Document):
    """``crossval.json``: what makes a folder a cross-validation.

    Attributes:
        format: Of this file.
        folds: Parts that the images are dealt into.
        repeats: How many times they are dealt anew.
    """

    format: int = 1
    folds: int = Field(ge=2, le=MOST_FOLDS)
    repeats: int = Field(ge=1, le=MOST_REPEATS)


class EnsembleMember(Document):
    """One member of an ensemble.

    Attributes:
        run: Its folder, as the user named it.
        weight: Its share from 0 to 1; None until it is found.
        recipe: Name of its recipe.
        backbone: Of its network.
        image_size: ``(height, width)`` in pixels.
    """

    run: str
    weight: float | None = Field(default=None, ge=0.0, le=1.0)
    recipe: str
    backbone: str
    image_size: tuple[int, int]


class EnsembleFacts(Document):
    """``ensemble.json``: what makes a run an ensemble, written before all else in it.

    Attributes:
        format: Of this file.
        weights: ``search``, ``equal``, or numbers with commas between.
        allow_different_images: Whether the members may have held out different images.
        members: Two or more.
    """

    format: int = 1
    weights: str
    allow_different_images: bool = False
    members: tuple[EnsembleMember, ...] = Field(min_length=2)


class Score(Document):
    """A score with its interval; None where a metric has no value on these images."""

    model_config = ConfigDict(extra="allow")

    value: float | None
    low: float | None
    high: float | None
    n: int = Field(ge=0)


class Judged(Document):
    """One judgement, whose rest ``scoring.judgement.Judgement`` reads.

    Attributes:
        n: Images.
        metrics: Scores by name.
    """

    model_config = ConfigDict(extra="allow")

    n: int = Field(ge=0)
    metrics: dict[str, Score]


class SplitScores(Document):
    """What a model reached on one split.

    Attributes:
        plain: Judgement of one plain view an image.
        tta: Of averaged views, or None.
        views: Names of the averaged views.
        caution: What the scores do not say, in sentences.
    """

    plain: Judged
    tta: Judged | None
    views: tuple[str, ...]
    caution: str = ""

    @property
    def headline(self) -> Judged:
        """The judgement of how the model is meant to be used."""
        return self.tta or self.plain


class Headline(Score):
    """The one score that stands on top.

    Attributes:
        split: The images that it is of.
        metric: Its name.
    """

    split: str
    metric: str


class RunMetrics(Document):
    """``metrics.json`` of a run.

    Attributes:
        headline: None where nothing was held out.
        epochs: Epochs trained; None for an ensemble.
        training_seconds: Of all epochs; None for an ensemble.
        seconds: Wall time of the whole training; None for an ensemble.
        kept_phase: Name of the phase whose weights the run has; None for an ensemble.
        splits: Scores by split.
    """

    headline: Headline | None = None
    epochs: int | None = Field(default=None, ge=0)
    training_seconds: float | None = Field(default=None, ge=0.0)
    seconds: float | None = Field(default=None, ge=0.0)
    kept_phase: str | None = None
    splits: dict[str, SplitScores]


class FoldScores(Document):
    """What ``metrics.json`` of a cross-validation says of one fold."""

    training_seconds: float = Field(ge=0.0)


class CrossvalMetrics(Document):
    """``metrics.json`` of a cross-validation.

    Attributes:
        headline: Of all images out of fold.
        images: Their number.
        out_of_fold: Judgement of each by a model that did not train on it.
        each_fold: Fold by fold.
    """

    headline: Headline | None = None
    images: int = Field(default=0, ge=0)
    out_of_fold: Judged
    each_fold: tuple[FoldScores, ...] = Field(min_length=2)


Kind = TypeVar("Kind", bound=Document)


def read_document(kind: type[Kind], path: Path, way_out: str) -> Kind:
    """Read a document of a run.

    Args:
        kind: Its class.
        path: The file.
        way_out: What to do where it cannot be read, such as ``train the run again``.

    Raises:
        RunError: If it is absent, damaged, or cannot be read.
    """
    try:
        return kind.read(path)
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read: {explain_unread(error, way_out)}") from error
