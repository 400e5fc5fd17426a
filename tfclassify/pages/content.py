"""What a report says: plain values, filled by the workflows.

Owns: the shape of a report's content. Does not own: how it looks (``page``,
``tables`` and the figures), where the values come from (``workflows``).

All text in here is as the user wrote it; whoever renders it escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tfclassify.data.statistics import LabelSets
from tfclassify.pages.pictures import Thumbnail
from tfclassify.scoring.verdicts import AnyJudgement

#: Splits in the order in which they are shown.
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Fact:
    """One line of a list of facts, such as ``Backbone: efficientnet_lite0``."""

    name: str
    value: str


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of a phase.

    Attributes:
        epoch: Number within its phase, from 1.
        learning_rate: Rate at the end of the epoch; None if unknown.
        train: Metric by name on the training images, as seen while training.
        validation: Metric by name on the validation images; empty if there are none.
        seconds: Time that the epoch took.
    """

    epoch: int
    learning_rate: float | None
    train: Mapping[str, float | None]
    validation: Mapping[str, float | None] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class PhaseRecord:
    """One phase of training, as it went.

    Attributes:
        name: As in the recipe.
        trained: What was trained, in words, such as ``head`` or ``last 2 blocks``.
        epochs: The epochs that were finished.
        best_epoch: Epoch within the phase whose weights were kept, from 1; None if
            the last epoch's were kept.
        planned_epochs: Epochs that the recipe allows.
        reason: Why the phase ended, such as ``no gain in 5 epochs``.
        trainable_parameters: Parameters that were trained; None if unknown.
    """

    name: str
    trained: str
    epochs: tuple[EpochRecord, ...]
    best_epoch: int | None = None
    planned_epochs: int | None = None
    reason: str = ""
    trainable_parameters: int | None = None

    @property
    def seconds(self) -> float:
        """Time that the phase's epochs took."""
        return sum(record.seconds for record in self.epochs)


@dataclass(frozen=True)
class Mistake:
    """A wrong prediction, with its picture.

    Attributes:
        image: Stable name of the image.
        thumbnail: The image; None where it can no longer be read.
        true_label: Its class.
        predicted_label: The class that was predicted.
        probability: What the model gives the predicted class.
        true_probability: What it gives the true class.
    """

    image: str
    thumbnail: Thumbnail | None
    true_label: str
    predicted_label: str
    probability: float
    true_probability: float


@dataclass(frozen=True)
class LabelMistake:
    """An image whose given labels are not its own, with its picture.

    Attributes:
        image: Stable name of the image.
        thumbnail: The image; None where it can no longer be read.
        loss: Its binary cross-entropy.
        found: Labels that it has and was given.
        missed: ``(label, probability)`` of those that it has and was not given.
        added: ``(label, probability)`` of those that it was given and does not have.
    """

    image: str
    thumbnail: Thumbnail | None
    loss: float
    found: tuple[str, ...]
    missed: tuple[tuple[str, float], ...]
    added: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class HardImage:
    """A training image that was missed often, and what mining made it weigh."""

    image: str
    thumbnail: Thumbnail | None
    label: str
    misses: int
    weight: float


@dataclass(frozen=True)
class IntegrityRow:
    """One finding about one image.

    Attributes:
        image: Stable name of the image.
        kind: What was found, such as ``truncated`` or ``duplicate``.
        severity: ``quarantined`` (left out) or ``remark`` (used all the same).
        detail: The finding in words.
    """

    image: str
    kind: str
    severity: str
    detail: str


@dataclass(frozen=True)
class Integrity:
    """What was found when the images were checked.

    Attributes:
        checked: Images that were checked.
        rows: Every finding.
    """

    checked: int
    rows: tuple[IntegrityRow, ...] = ()

    @property
    def quarantined(self) -> int:
        """Images that were left out."""
        return len({row.image for row in self.rows if row.severity == "quarantined"})


@dataclass(frozen=True)
class DataSummary:
    """The images behind a report.

    Attributes:
        source: Where they came from, as the recipe or the user named it.
        classes: Class names, in the order of their ids.
        counts: Split name: images of each class, in the order of ``classes``. A set
            that is not split has the single key ``all``.
        images: Split name: images, where an image may have several labels or none; None
            where each has one, so that the classes add up to it.
        label_sets: How many labels images have, and which together; None where each has
            one.
    """

    source: str
    classes: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    images: Mapping[str, int] | None = None
    label_sets: LabelSets | None = None

    @property
    def is_multi_label(self) -> bool:
        """Whether an image may have any number of labels."""
        return self.images is not None

    @property
    def splits(self) -> list[str]:
        """Splits that hold images, in the order in which they are shown."""
        named = [name for name in SPLITS if self.total(name)]
        return named + [name for name in self.counts if name not in SPLITS]

    def total(self, split: str | None = None) -> int:
        """Images of one split, or of all."""
        splits = self.counts if split is None else [split]
        if self.images is not None:
            return sum(self.images.get(name, 0) for name in splits)
        return sum(sum(self.counts.get(name, ())) for name in splits)


@dataclass(frozen=True)
class Command:
    """A command line and what it is for."""

    purpose: str
    line: str


@dataclass(frozen=True)
class Verdict:
    """Labelled images and how the model did on them.

    Attributes:
        judgement: The scores on one plain view of each image.
        judged_on: What the images are called, such as ``validation`` or the name of
            a source.
        with_views: The scores on several views of each image, if they were used.
        views: Number of views of each image behind ``with_views``.
        mistakes: The worst mistakes, of the headline judgement: the most confident ones,
            or of label sets those of the greatest loss.
        caution: A sentence on what the scores do not say; may be empty.
    """

    judgement: AnyJudgement
    judged_on: str
    with_views: AnyJudgement | None = None
    views: int = 1
    mistakes: tuple[Mistake, ...] | tuple[LabelMistake, ...] = ()
    caution: str = ""

    @property
    def headline(self) -> AnyJudgement:
        """The judgement of how the model is meant to be used."""
        return self.with_views or self.judgement


@dataclass(frozen=True)
class RunReport:
    """Everything that the page of a run says.

    Attributes:
        name: The recipe's name.
        run: Number of the run, such as ``003``.
        description: The recipe's one line; may be empty.
        metric: The metric that headlines the report.
        created: When the run ended, in words.
        seconds: How long the run took.
        version: Version of tfclassify.
        data: The images, by class and split.
        model: Facts about the network.
        recipe: Facts about the training.
        recipe_text: The resolved recipe.
        phases: The phases, in order.
        verdict: The scores that headline the page; None where no image was held out.
        integrity: What was found when the images were checked.
        environment: Facts about the machine and the software.
        commands: How to repeat and use the run.
        preview: A sheet of what the model saw while training.
        others: Scores on other held-out images, for the table of scores; the
            validation images, say, where the test images headline.
        hard: The training images that were missed most, where they were mined.
    """

    name: str
    run: str
    metric: str
    created: str
    seconds: float
    version: str
    data: DataSummary
    phases: tuple[PhaseRecord, ...]
    verdict: Verdict | None
    integrity: Integrity
    description: str = ""
    model: tuple[Fact, ...] = ()
    recipe: tuple[Fact, ...] = ()
    recipe_text: str = ""
    environment: tuple[Fact, ...] = ()
    commands: tuple[Command, ...] = ()
    preview: Thumbnail | None = None
    others: tuple[Verdict, ...] = ()
    hard: tuple[HardImage, ...] = ()


@dataclass(frozen=True)
class EvaluationReport:
    """What the page of an evaluation on other images says.

    Attributes:
        model: The run or bundle that was evaluated.
        metric: The metric that headlines the page.
        created: When, in words.
        version: Version of tfclassify.
        data: The images, under the split ``all``.
        verdict: The scores.
        integrity: What was found when the images were checked.
        environment: Facts about the machine and the software.
        commands: How to repeat the evaluation.
    """

    model: str
    metric: str
    created: str
    version: str
    data: DataSummary
    verdict: Verdict
    integrity: Integrity
    environment: tuple[Fact, ...] = ()
    commands: tuple[Command, ...] = ()


@dataclass(frozen=True)
class InspectReport:
    """What ``inspect`` says about a source.

    Attributes:
        created: When, in words.
        version: Version of tfclassify.
        data: The images, by class and split.
        sizes: ``(width, height)`` of each readable image, in pixels.
        mean: Mean of red, green and blue, from 0 to 1; None if nothing was readable.
        std: Standard deviation of the same.
        samples: Class: a few of its images.
        integrity: What was found when the images were checked.
        facts: Anything else, such as the bytes on disk.
        commands: What to do next.
    """

    created: str
    version: str
    data: DataSummary
    sizes: tuple[tuple[int, int], ...]
    mean: tuple[float, float, float] | None
    std: tuple[float, float, float] | None
    samples: Mapping[str, tuple[Thumbnail, ...]]
    integrity: Integrity
    facts: tuple[Fact, ...] = ()
    commands: tuple[Command, ...] = ()
