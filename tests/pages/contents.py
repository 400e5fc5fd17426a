"""Makes small reports for the tests of the pages and figures, and reads pages back."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.builders import make_label_outcome, make_outcome, make_photo
from tests.scoring.builders import judge_classes, judge_labels
from tfclassify.data.integrity import Finding, IntegrityReport
from tfclassify.data.journals import Answer
from tfclassify.labelling.agree_page import AgreeReport, render_agree_page
from tfclassify.labelling.agreement import measure_agreement
from tfclassify.labelling.ratings import make_ratings
from tfclassify.pages.compare_page import CompareReport, ContenderRow, PairRow, render_compare_page
from tfclassify.pages.crossval_page import CrossvalReport, FoldRow, render_crossval_page
from tfclassify.pages.data_page import DataSummary, InspectReport, render_inspect_page
from tfclassify.pages.drawing import Drawing
from tfclassify.pages.ensemble_page import EnsembleReport, MemberRow, render_ensemble_page
from tfclassify.pages.pictures import Photo, make_thumbnail
from tfclassify.pages.profile_page import LatencyRow, LayerRow, NetworkReport, render_profile_page
from tfclassify.pages.rendering import Command, Fact
from tfclassify.pages.run_page import (
    EvaluationReport,
    PreviewRow,
    RunReport,
    render_evaluation_page,
    render_run_page,
)
from tfclassify.pages.scores import Judged, list_mistakes
from tfclassify.pages.training_figures import PhaseRecord
from tfclassify.scoring.epochs import EpochRecord
from tfclassify.scoring.intervals import Interval
from tfclassify.scoring.verdicts import Answers, Verdict

CLASSES = ("ash", "birch", "cedar")


def read_texts(drawing: Drawing) -> list[str]:
    """Return the words of a figure, in the order in which they are drawn."""
    root = ET.fromstring(drawing.svg)
    return ["".join(e.itertext()).strip() for e in root.iter() if e.tag.endswith("}text")]


def parse(page: str) -> ET.Element:
    """Parse a page strictly: every element closed, every attribute quoted."""
    assert page.startswith("<!doctype html>\n<html lang=")
    return ET.fromstring(page.removeprefix("<!doctype html>\n"))


def read_tag(element: ET.Element) -> str:
    """Return an element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def read_text(page: str) -> str:
    """Return the words of a page, with single spaces."""
    return re.sub(r" ([.,:;])", r"\1", " ".join(" ".join(parse(page).itertext()).split()))


def make_epochs(count: int, start: float = 1.0) -> tuple[EpochRecord, ...]:
    """Make epochs whose loss falls and whose accuracy rises by hand-known steps."""
    return tuple(
        EpochRecord(
            phase="phase",
            phase_number=0,
            epoch=number,
            learning_rate=1e-3 / number,
            train={"loss": start / number, "accuracy": 1 - 0.5 / number},
            validation={"loss": start / number + 0.1, "accuracy": 0.9 - 0.5 / number},
            seconds=2.0,
            images_per_second=10.0,
        )
        for number in range(1, count + 1)
    )


def make_phases() -> tuple[PhaseRecord, ...]:
    """Make two phases of 4 and 3 epochs; both kept their third."""
    return (
        PhaseRecord("head", "head", make_epochs(4), 3, 10, "no gain in 1 epoch", 5_000),
        PhaseRecord("whole", "all layers", make_epochs(3, 0.4), 3, 3, "all epochs done", 120_000),
    )


def make_answers(
    classes: Sequence[str], targets: np.ndarray, probabilities: np.ndarray, **changes: Any
) -> Answers:
    """Make answers about images that are not on disk, named by their place."""
    names = tuple(f"{number}.png" for number in range(len(targets)))
    none = ("",) * len(names)
    answers = Answers(tuple(classes), names, names, none, none, targets, probabilities)
    return dataclasses.replace(answers, **changes)


def make_judged(
    classes: Sequence[str] = CLASSES, images: int = 60, *, temperature: float = 1.4, **changes: Any
) -> Judged:
    """Make a verdict of a fair model, with two of its mistakes pictured.

    Args:
        classes: Class names.
        images: Images that were judged.
        temperature: Of the calibration.
        changes: Fields of the verdict.
    """
    ids, probabilities = make_outcome(seed=0, images=images, classes=len(classes))
    judgement = judge_classes(
        ids, probabilities, classes, seed=0, temperature=temperature, resamples=50
    )
    answers = make_answers(classes, np.eye(len(classes))[ids], probabilities)
    verdict = Verdict("validation", answers, judgement, caution="Judge with care.")
    return Judged(dataclasses.replace(verdict, **changes), picture_mistakes(answers))


def picture_mistakes(answers: Answers) -> tuple[Photo, ...]:
    """Picture two mistakes, of images that are not on disk."""
    shown = make_thumbnail(make_photo(3))
    mistakes = list_mistakes(answers, limit=2)
    return tuple(mistake.picture(answers, shown, shown) for mistake in mistakes)


def make_judged_labels(
    classes: Sequence[str] = CLASSES, images: int = 60, **changes: Any
) -> Judged:
    """Make a verdict of a fair model of label sets, with two of its mistakes pictured."""
    targets, probabilities = make_label_outcome(seed=0, images=images, classes=len(classes))
    judgement = judge_labels(targets, probabilities, classes, seed=0, thresholds=0.45, resamples=50)
    thresholds = np.full(targets.shape, 0.45)
    answers = make_answers(classes, targets, probabilities, thresholds=thresholds)
    verdict = Verdict("validation", answers, judgement, caution="Judge with care.")
    return Judged(dataclasses.replace(verdict, **changes), picture_mistakes(answers))


def make_integrity(classes: Sequence[str] = CLASSES) -> IntegrityReport:
    """Make one finding of each severity."""
    return IntegrityReport(
        "photos.zip",
        90,
        1,
        (
            Finding(f"{classes[0]}/bad.jpg", "truncated", "ends too soon"),
            Finding(f"{classes[1]}/twice.jpg", "duplicate", "as once.jpg"),
        ),
    )


def make_clean(images: int) -> IntegrityReport:
    """Make a report of images with which nothing is wrong."""
    return IntegrityReport("photos.zip", images, 0, ())


def make_data(classes: Sequence[str] = CLASSES, split: bool = True) -> DataSummary:
    """Make counts 10, 11, 12… of training images and 5 each of validation."""
    counts = {"train": tuple(range(10, 10 + len(classes))), "validation": (5,) * len(classes)}
    return DataSummary("photos.zip", tuple(classes), counts if split else {"all": counts["train"]})


def make_preview(classes: Sequence[str] = CLASSES) -> tuple[PreviewRow, ...]:
    """Make a training image and two versions of it."""

    def show(number: int) -> Photo:
        return Photo(f"version {number}", make_thumbnail(make_photo(number)), (classes[0],))

    return (PreviewRow(show(0), (show(1), show(2))),)


def make_run_report(classes: Sequence[str] = CLASSES, **changes: Any) -> RunReport:
    """Make the report of a run."""
    report = RunReport(
        name="trees",
        run="003",
        metric="accuracy",
        created="14 November 2026",
        training_seconds=725.0,
        total_seconds=4000.0,
        data=make_data(classes),
        phases=make_phases(),
        judged=make_judged(classes),
        integrity=make_integrity(classes),
        description="Three kinds of tree.",
        model=(Fact("Backbone", "custom_cnn"),),
        recipe=(Fact("Batch", "32 images"),),
        recipe_text="name: trees\n",
        environment=(Fact("Python", "3.11"),),
        commands=(Command("Train it again", "tfclassify train recipe.yaml"),),
        preview=make_preview(classes),
    )
    return dataclasses.replace(report, **changes)


def make_evaluation_report(classes: Sequence[str] = CLASSES) -> EvaluationReport:
    """Make the report of an evaluation."""
    return EvaluationReport(
        model="reports/trees/003",
        metric="f1_macro",
        created="15 November 2026",
        data=make_data(classes, split=False),
        judged=make_judged(classes, split="photos.zip"),
        integrity=make_clean(60),
        commands=(Command("Judge it again", "tfclassify evaluate reports/trees/003"),),
    )


def make_inspect_report(classes: Sequence[str] = CLASSES, **changes: Any) -> InspectReport:
    """Make the report of a data source."""
    sizes = np.random.default_rng(0).integers(40, 200, size=(30, 2)).tolist()
    report = InspectReport(
        created="16 November 2026",
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


def make_contender(name: str, accuracy: float, **facts: Any) -> ContenderRow:
    """Make one of the models of a comparison."""
    metrics = {
        "accuracy": Interval(accuracy, accuracy - 0.1, accuracy + 0.05, 90),
        "loss": Interval(0.4, None, None, 90, method="none"),
    }
    return ContenderRow(name, f"reports/{name}", "test", metrics, 90, None, **facts)


def make_comparison(names: Sequence[str] = ("a", "b"), **changes: Any) -> CompareReport:
    """Make a comparison of two models of which the second is better."""
    one, other = names[:2]
    pair = PairRow(other, one, 90, Interval(0.125, 0.02, 0.2, 90), 4, 15, 0.0192, 0.0192)
    report = CompareReport(
        task="multi_class",
        metric="accuracy",
        shown=("accuracy", "loss"),
        is_higher_better=True,
        right="the label of an image",
        reference=one,
        contenders=(
            make_contender(one, 0.7, views=1, training_seconds=80.0, params=5_000, macs=2_000_000),
            make_contender(other, 0.825, views=5, training_seconds=None, macs=30_000_000),
        ),
        pairs=(pair,),
        remarks=("Take <care>.",),
        created="today",
        commands=(Command("Repeat", "tfclassify compare a b"),),
    )
    return dataclasses.replace(report, **changes)


def make_fold(fold: int, accuracy: float | None, repeat: int = 1) -> FoldRow:
    """Make a fold of a cross-validation."""
    metrics = {"accuracy": accuracy, "loss": 0.5}
    return FoldRow(repeat, fold, f"fold-{fold}", 20, metrics, 7, 65.0)


def make_crossval(classes: Sequence[str] = CLASSES, **changes: Any) -> CrossvalReport:
    """Make a cross-validation in three folds, of accuracies 0.7, 0.8 and 0.9."""
    report = CrossvalReport(
        name="plants",
        place="cv-001",
        description="<b>leaves</b>",
        metric="accuracy",
        shown=("accuracy", "loss"),
        folds=3,
        repeats=1,
        images=60,
        created="today",
        rows=tuple(make_fold(fold, 0.6 + 0.1 * fold) for fold in (1, 2, 3)),
        judged=make_judged(classes, split="out-of-fold", caution=""),
        data=DataSummary("photos", tuple(classes), {"all": (20,) * len(classes)}),
        integrity=make_integrity(classes),
    )
    return dataclasses.replace(report, **changes)


def make_ensemble(classes: Sequence[str] = CLASSES, **changes: Any) -> EnsembleReport:
    """Make an ensemble of two members and one that was left out."""
    report = EnsembleReport(
        name="trees",
        run="002",
        metric="accuracy",
        created="today",
        members=(
            MemberRow(f"reports/{classes[0]}/001", "custom_cnn", (96, 96), 12_345, 0.75),
            MemberRow("reports/b/001", "resnet50", (64, 64), 23_000_000, 0.25),
            MemberRow("reports/c/001", "vgg16", (64, 64), 14_000_000, 0.0),
        ),
        how="Found on validation.",
        image_size=(96, 96),
        judged=make_judged(classes),
        others=(),
        comparison=make_comparison((classes[0], classes[1])),
        data=DataSummary("photos", tuple(classes), {"validation": (20,) * len(classes)}),
        integrity=make_integrity(classes),
    )
    return dataclasses.replace(report, **changes)


def make_layer(name: str, macs: int, block: str = "", time: float | None = None) -> LayerRow:
    """Make a layer of a profile."""
    return LayerRow(
        name, "Conv2D", block, "8x8x4", 10, macs, 2 * macs + 1, 40, 1024, "3/1", time, 0,
        *(() if time is None else (12.5, 1.5, "compute" if time > 0.3 else "memory", time / 2)),
    )  # fmt: skip


def make_network(model: str = "net<1>", *, timed: bool = True, uncounted: int = 0) -> NetworkReport:
    """Make a profile of three layers in two blocks."""
    layers = (
        make_layer("a", 100, "one", 0.5 if timed else None),
        make_layer("b", 300, "one", 0.25 if timed else None),
        make_layer("c", 200, "two", 1.5 if timed else None),
    )
    return NetworkReport(
        model, f"reports/{model}", "8x8x3", 30, 20, 600, 1203, {"Add": 2, "Relu": 1},
        {"Sort": uncounted} if uncounted else {}, 120, 3072, 2048, "3/1", "float32", layers, 5,
        "b", (LatencyRow(1, 10, 2.0, 1.5, 30.0, 500.0),) if timed else (),
        (("device", "cpu:0"),) if timed else (), ("a remark",),
    )  # fmt: skip


def render_label_run(classes: Sequence[str]) -> str:
    return render_run_page(
        make_run_report(classes, metric="map", judged=make_judged_labels(classes))
    )


def render_agreement(classes: Sequence[str]) -> str:
    """Three labellers on 60 images, of whom the second and third err now and then."""
    said: dict[str, list[str]] = {
        name: [
            classes[(number + (1 if who and number % (3 + who) == 0 else 0)) % len(classes)]
            for number in range(60)
        ]
        for who, name in enumerate(("ann", "ben", "somebody with a long name"))
    }
    answers = [
        Answer(f"{number:04}.jpg", name, (label,))
        for name, labels in said.items()
        for number, label in enumerate(labels)
    ]
    ratings = make_ratings(answers, classes)
    report = AgreeReport(
        created="today",
        session="sessions/trees",
        agreement=measure_agreement(ratings, seed=0),
        fine=None,
        outcomes={"majority": 55, "adjudicated": 3, "rejected": 2},
        disputed=2,
        photos=(Photo("0012.jpg", None, (), ("ann: ash", "ben: oak")),),
        commands=(Command("Measure again", "tfclassify agree sessions/trees"),),
    )
    return render_agree_page(report)


PAGES: dict[str, Callable[[Sequence[str]], str]] = {
    "run": lambda classes: render_run_page(make_run_report(classes)),
    "label run": render_label_run,
    "evaluation": lambda classes: render_evaluation_page(make_evaluation_report(classes)),
    "inspect": lambda classes: render_inspect_page(make_inspect_report(classes)),
    "crossval": lambda classes: render_crossval_page(make_crossval(classes)),
    "compare": lambda classes: render_compare_page(make_comparison(classes)),
    "ensemble": lambda classes: render_ensemble_page(make_ensemble(classes)),
    "agree": render_agreement,
    "profile": lambda classes: render_profile_page(
        [make_network(name) for name in classes], created="today"
    ),
}
