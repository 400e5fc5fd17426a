"""Makes small reports for the tests of the pages and figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.builders import make_label_outcome, make_outcome, make_photo
from tfclassify.pages.content import (
    Command,
    DataSummary,
    EpochRecord,
    EvaluationReport,
    Fact,
    InspectReport,
    Integrity,
    IntegrityRow,
    LabelMistake,
    Mistake,
    PhaseRecord,
    RunReport,
    Verdict,
)
from tfclassify.pages.pictures import make_thumbnail
from tfclassify.scoring.judgement import judge
from tfclassify.scoring.mistakes import find_mistakes, find_wrong_labels
from tfclassify.scoring.multi_label_judgement import judge_labels

CLASSES = ("ash", "birch", "cedar")


def make_epochs(count: int, start: float = 1.0) -> tuple[EpochRecord, ...]:
    """Make epochs whose loss falls and whose accuracy rises by hand-known steps."""
    return tuple(
        EpochRecord(
            epoch=number,
            learning_rate=1e-3 / number,
            train={"loss": start / number, "accuracy": 1 - 0.5 / number},
            validation={"loss": start / number + 0.1, "accuracy": 0.9 - 0.5 / number},
            seconds=2.0,
        )
        for number in range(1, count + 1)
    )


def make_phases() -> tuple[PhaseRecord, ...]:
    """Make two phases of 4 and 3 epochs."""
    return (
        PhaseRecord("head", "head", make_epochs(4), 3, 10, "no gain in 1 epoch", 5_000),
        PhaseRecord("whole", "all layers", make_epochs(3, 0.4), 3, 3, "all epochs done", 120_000),
    )


def make_verdict(classes: Sequence[str] = CLASSES, images: int = 60, **changes: Any) -> Verdict:
    """Make a verdict of a fair model, with two of its mistakes pictured."""
    targets, probabilities = make_outcome(seed=0, images=images, classes=len(classes))
    judgement = judge(targets, probabilities, classes, seed=0, temperature=1.4, resamples=50)
    mistakes = tuple(
        Mistake(
            image=f"{classes[wrong.target]}/{wrong.position}.png",
            thumbnail=make_thumbnail(make_photo(wrong.position)),
            true_label=classes[wrong.target],
            predicted_label=classes[wrong.predicted],
            probability=wrong.probability,
            true_probability=wrong.true_probability,
        )
        for wrong in find_mistakes(targets, probabilities, limit=2)
    )
    return dataclasses.replace(
        Verdict(judgement, "validation", mistakes=mistakes, caution="Judge with care."), **changes
    )


def make_label_verdict(
    classes: Sequence[str] = CLASSES, images: int = 60, **changes: Any
) -> Verdict:
    """Make a verdict of a fair model of label sets, with two of its mistakes pictured."""
    targets, probabilities = make_label_outcome(seed=0, images=images, classes=len(classes))
    judgement = judge_labels(targets, probabilities, classes, seed=0, thresholds=0.45, resamples=50)

    def name(row: int, ids: Sequence[int]) -> tuple[tuple[str, float], ...]:
        return tuple((classes[i], float(probabilities[row, i])) for i in ids)

    mistakes = tuple(
        LabelMistake(
            image=f"{wrong.position}.png",
            thumbnail=make_thumbnail(make_photo(wrong.position)),
            loss=wrong.loss,
            found=tuple(classes[i] for i in wrong.found),
            missed=name(wrong.position, wrong.missed),
            added=name(wrong.position, wrong.added),
        )
        for wrong in find_wrong_labels(targets, probabilities, 0.45, limit=2)
    )
    return dataclasses.replace(
        Verdict(judgement, "validation", mistakes=mistakes, caution="Judge with care."), **changes
    )


def make_integrity(classes: Sequence[str] = CLASSES) -> Integrity:
    """Make one finding of each severity."""
    return Integrity(
        90,
        (
            IntegrityRow(f"{classes[0]}/bad.jpg", "truncated", "quarantined", "ends too soon"),
            IntegrityRow(f"{classes[1]}/twice.jpg", "duplicate", "remark", "as once.jpg"),
        ),
    )


def make_data(classes: Sequence[str] = CLASSES, split: bool = True) -> DataSummary:
    """Make counts 10, 11, 12… of training images and 5 each of validation."""
    counts = {"train": tuple(range(10, 10 + len(classes))), "validation": (5,) * len(classes)}
    return DataSummary("photos.zip", tuple(classes), counts if split else {"all": counts["train"]})


def make_run_report(classes: Sequence[str] = CLASSES, **changes: Any) -> RunReport:
    """Make the report of a run."""
    report = RunReport(
        name="trees",
        run="003",
        metric="accuracy",
        created="14 November 2026",
        seconds=725.0,
        version="0.1.0",
        data=make_data(classes),
        phases=make_phases(),
        verdict=make_verdict(classes),
        integrity=make_integrity(classes),
        description="Three kinds of tree.",
        model=(Fact("Backbone", "custom_cnn"),),
        recipe=(Fact("Batch", "32 images"),),
        recipe_text="name: trees\n",
        environment=(Fact("Python", "3.11"),),
        commands=(Command("Train it again", "tfclassify train recipe.yaml"),),
    )
    return dataclasses.replace(report, **changes)


def make_evaluation_report(classes: Sequence[str] = CLASSES) -> EvaluationReport:
    """Make the report of an evaluation."""
    return EvaluationReport(
        model="reports/trees/003",
        metric="f1_macro",
        created="15 November 2026",
        version="0.1.0",
        data=make_data(classes, split=False),
        verdict=make_verdict(classes, judged_on="photos.zip"),
        integrity=Integrity(60),
        commands=(Command("Judge it again", "tfclassify evaluate reports/trees/003"),),
    )


def make_inspect_report(classes: Sequence[str] = CLASSES, **changes: Any) -> InspectReport:
    """Make the report of a data source."""
    sizes = np.random.default_rng(0).integers(40, 200, size=(30, 2)).tolist()
    report = InspectReport(
        created="16 November 2026",
        version="0.1.0",
        data=make_data(classes, split=False),
        sizes=tuple((width, height) for width, height in sizes),
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.2, 0.1),
        samples={name: (make_thumbnail(make_photo(seed)),) for seed, name in enumerate(classes)},
        integrity=make_integrity(classes),
        facts=(Fact("On disk", "1.2 MB"),),
        commands=(Command("Write a recipe", "tfclassify new trees --data photos.zip"),),
    )
    return dataclasses.replace(report, **changes)
