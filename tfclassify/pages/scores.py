"""How good a model is, in words and tables, on a page and on a terminal.

Owns: headline, scores, classes, confusions and mistakes of either task. Does not own: the
scores (``scoring``), the figures beside them (``score_figures``), the layout
(``templates/score_parts.html``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tfclassify.pages.data_page import SPLITS
from tfclassify.pages.pictures import Photo, Thumbnail
from tfclassify.pages.tables import Row, Table, show_interval
from tfclassify.pages.wording import (
    ABSENT,
    count_of,
    format_count,
    format_range,
    format_score,
    title_of,
)
from tfclassify.scoring.intervals import FOLDS, Interval
from tfclassify.scoring.judgement import ClassJudgement, Judgement, LabelJudgement
from tfclassify.scoring.mistakes import WrongLabels, find_mistakes, find_wrong_labels
from tfclassify.scoring.outcome import LabelOutcome, Outcome
from tfclassify.scoring.tasks import MULTI_CLASS, MULTI_LABEL, find_metric, get_task
from tfclassify.scoring.verdicts import Answers, Verdict

if TYPE_CHECKING:
    import numpy as np

#: Metrics beside the headline, the first six that apply.
_TILES = {
    MULTI_CLASS: (
        *("accuracy", "balanced_accuracy", "f1_macro", "f1_weighted"),
        *("top_2", "top_3", "roc_auc", "ece"),
    ),
    MULTI_LABEL: (
        *("map", "iou", "f1_samples", "f1_macro"),
        *("f1_micro", "f1_weighted", "exact_match"),
    ),
}
_TILE_COUNT = 6

#: Labels named under a picture, of each kind.
_NAMED_LABELS = 4

_ORIGINS = {
    "half": "No thresholds were searched: a label is given where its probability is at least 0.5.",
    "stored": "A label is given where its probability reaches the threshold that is stored with "
    "the model.",
    "cross_fitted": f"A label is given where its probability reaches a threshold. Those stored "
    f"with the model were searched on these very images and would flatter the scores, so each "
    f"image was judged by thresholds searched on the other parts of {FOLDS}. Average precision "
    f"and ROC AUC need none.",
}


@dataclass(frozen=True)
class Judged:
    """A verdict with pictures of its worst mistakes.

    Attributes:
        verdict: What was judged, and how well.
        mistakes: The most confident mistakes, or the label sets of the greatest loss.
    """

    verdict: Verdict
    mistakes: tuple[Photo, ...] = ()

    @property
    def headline(self) -> Judgement:
        """The judgement of how the model is meant to be used."""
        return self.verdict.headline

    @property
    def images(self) -> str:
        """How many images were judged, and what they are called."""
        split = self.verdict.split
        if split in SPLITS or split == "out-of-fold":
            return count_of(self.headline.n, f"{split} image")
        return f"{count_of(self.headline.n, 'image')} of {split}"


def is_telling(name: str, classes: int) -> bool:
    """Say whether a metric can differ from 1 with so many classes."""
    return not name.startswith("top_") or int(name.removeprefix("top_")) < classes


@dataclass(frozen=True)
class Tile:
    """One metric in large figures.

    Attributes:
        title: What it is called, and on what it was measured.
        value: Its value.
        lines: What stands below: its interval, the classes behind it.
    """

    title: str
    value: str
    lines: tuple[str, ...]


def make_hero(judged: Judged, metric: str) -> Tile:
    """Make the score on top of the page."""
    judgement, views = judged.headline, judged.verdict.views
    interval = judgement.metrics[metric]
    words = f", {len(views)} views of each" if judged.verdict.tta else ""
    lines = [_describe_interval(metric, interval, judgement)]
    lines += [f"Averaged over {remark}." for remark in interval.remarks]
    title = f"{title_of(metric, judgement.task)} on {judged.images}{words}"
    return Tile(title, format_score(metric, interval.value), tuple(lines))


def make_tiles(judged: Judged, metric: str) -> list[Tile]:
    """Make the six metrics beside the headline."""
    judgement = judged.headline
    names = [
        name
        for name in _TILES[judgement.task]
        if name != metric and is_telling(name, len(judgement.classes))
    ]
    tiles = []
    for name in names[:_TILE_COUNT]:
        interval = judgement.metrics[name]
        lines = (format_range(name, interval), *interval.remarks)
        tiles.append(
            Tile(title_of(name, judgement.task), format_score(name, interval.value), lines)
        )
    return tiles


def _describe_interval(metric: str, interval: Interval, judgement: Judgement) -> str:
    if interval.value is None:
        return "This metric has no value on these images."
    if interval.low is None:
        return "Too few images, or too alike, for an interval."
    units = "images"
    if judgement.groups is not None:
        units = count_of(judgement.groups, "group of images", "groups of images")
    how = f"{format_count(judgement.resamples)} resamples of the {units}"
    if interval.method == "exact":
        how = "exact binomial bound, since all images agree"
    return f"{100 * interval.level:.0f} % interval {format_range(metric, interval)} ({how})"


def find_gauge(judged: Judged, metric: str) -> tuple[float, float, float, list[str]] | None:
    """Return value, low and high end of the headline for a scale from 0 to 1, and its ticks.

    None for a metric without bounds or without a value.
    """
    interval = judged.headline.metrics[metric]
    if find_metric(metric).range != (0.0, 1.0) or interval.value is None:
        return None
    low = interval.value if interval.low is None else interval.low
    high = interval.value if interval.high is None else interval.high
    is_percent = format_score(metric, 0.0).endswith("%")
    ticks = [str(tick) if is_percent else f"{tick / 100:g}" for tick in (0, 25, 50, 75, 100)]
    return interval.value, low, high, ticks


def list_judgements(judged: Sequence[Judged]) -> list[tuple[str, Judgement]]:
    """Return every judgement with what it is called: by its images, and its views."""
    columns: list[tuple[str, Judgement]] = []
    for verdict in (each.verdict for each in judged):
        name = verdict.split.capitalize() if verdict.split in SPLITS else verdict.split
        if verdict.tta is None:
            columns.append((name, verdict.plain))
        else:
            columns.append((f"{name}, one view", verdict.plain))
            columns.append((f"{name}, {len(verdict.views)} views", verdict.tta))
    return columns


def tabulate_metrics(columns: Sequence[tuple[str, Judgement]]) -> Table:
    """Tell every metric with its interval, a column a judgement.

    Args:
        columns: What a judgement is called, and the judgement; all are of one task.
    """
    first = columns[0][1]
    rows: list[Row] = []
    for name, metric in get_task(first.task).metrics.items():
        if is_telling(name, len(first.classes)):
            cells = [show_interval(name, judgement.metrics[name]) for _, judgement in columns]
            rows.append([metric.title, *cells])
    titles = [f"{title} (n = {format_count(judgement.n)})" for title, judgement in columns]
    return Table("Every metric with its interval", ["Metric", *titles], rows, len(columns))


def describe_metrics(judgement: Judgement, with_views: Judgement | None = None) -> str:
    """Write every metric for a terminal, with and without views side by side."""
    columns = [("Value", judgement)]
    if with_views is not None:
        columns = [("One view", judgement), ("With views", with_views)]
    groups = "" if judgement.groups is None else f" in {count_of(judgement.groups, 'group')}"
    level = 100 * next(iter(judgement.metrics.values())).level
    return (
        f"{tabulate_metrics(columns).to_text()}\n{count_of(judgement.n, 'image')}{groups}; "
        f"{level:.0f} % intervals in brackets"
    )


def name_lower(judgement: Judgement) -> str:
    """Name the metrics of which less is better."""
    metrics = get_task(judgement.task).metrics.values()
    return ", ".join(metric.title for metric in metrics if not metric.higher_is_better)


def describe_judgement(judgement: Judgement) -> list[str]:
    """Write the classes and the most frequent mistakes for a terminal, a text each."""
    told, mistakes = _TOLD[judgement.task], tabulate_mistakes(judgement, 5)
    return [
        *told.before_classes(judgement),
        tabulate_classes(judgement).to_text(),
        mistakes.to_text() if mistakes.rows else told.no_mistakes,
    ]


def tabulate_classes(judgement: Judgement, trained: Sequence[int] | None = None) -> Table:
    """Tell how each class fares.

    Args:
        judgement: The scores.
        trained: Training images of each class; None if they are not known.
    """
    return _TOLD[judgement.task].tabulate_classes(judgement, trained)


def _tabulate_single(judgement: ClassJudgement, trained: Sequence[int] | None) -> Table:
    confused = _find_confused(judgement)
    rows: list[Row] = [
        [
            score.name,
            confused[number],
            *([format_count(trained[number])] if trained else []),
            format_count(score.support),
            show_interval("precision", score.precision),
            show_interval("recall", score.recall),
            show_interval("f1", score.f1),
        ]
        for number, score in enumerate(judgement.class_scores)
    ]
    head = ["Class", "Often confused with", *(["Trained on"] if trained else []), "Judged on"]
    head += ["Precision", "Recall", "F1"]
    return Table("Precision, recall and F1 of each class", head, rows, len(head) - 2)


def _tabulate_labels(judgement: LabelJudgement, trained: Sequence[int] | None) -> Table:
    has_own = len(list_thresholds(judgement)) > 1
    rows: list[Row] = [
        [
            score.name,
            *([format_count(trained[number])] if trained else []),
            format_count(score.support),
            format_count(score.predicted),
            *([f"{score.threshold:.3f}"] if has_own else []),
            show_interval("map", score.ap),
            show_interval("precision", score.precision),
            show_interval("recall", score.recall),
            # Its interval would push the table off the page; metrics.json has it.
            format_score("f1", score.f1.value),
        ]
        for number, score in enumerate(judgement.class_scores)
    ]
    head = ["Class", *(["Trained on"] if trained else []), "Judged on", "Given to"]
    head += [*(["Threshold"] if has_own else []), "Average precision", "Precision", "Recall", "F1"]
    return Table("Average precision, precision and recall", head, rows, len(head) - 1)


def _find_confused(judgement: ClassJudgement) -> list[str]:
    """Say for each class what its images are most often misclassified as."""
    words = [ABSENT] * len(judgement.classes)
    # Rising, and later classes first, so that the last word is of the most images.
    for true, predicted, images in sorted(judgement.confusion, key=lambda row: (row[2], -row[1])):
        if true != predicted:
            words[true] = f"{judgement.classes[predicted]} ({images})"
    return words


def tabulate_mistakes(judgement: Judgement, limit: int) -> Table:
    """Tell the most frequent confusions, or labels given though absent."""
    return _TOLD[judgement.task].tabulate_mistakes(judgement, limit)


def _tabulate_additions(judgement: LabelJudgement, limit: int) -> Table:
    rows: list[Row] = [
        [
            row.given,
            row.beside,
            format_count(row.images),
            f"{100 * row.images / row.chances:.0f} % of {format_count(row.chances)}",
        ]
        for row in judgement.top_additions(limit)
    ]
    head = ["Given though absent", "Beside", "Images", "Of those without it"]
    return Table("The most frequent labels too many", head, rows, 2)


def _tabulate_confusions(judgement: ClassJudgement, limit: int) -> Table:
    pairs = judgement.top_confusions(limit)
    rows: list[Row] = [[true, predicted, format_count(count)] for true, predicted, count in pairs]
    head = ["True class", "Predicted as", "Images"]
    return Table("The most frequent confusions", head, rows, 1)


def list_thresholds(judgement: LabelJudgement) -> list[float]:
    """Return the different thresholds that are stored, in rising order."""
    return sorted({row.threshold for row in judgement.class_scores})


def explain_thresholds(judgement: LabelJudgement) -> str:
    """Say by which thresholds images were judged, and what is stored."""
    shown, text = list_thresholds(judgement), _ORIGINS[judgement.threshold_origin]
    if judgement.threshold_origin == "half":
        return text
    if len(shown) == 1:
        return f"{text} Stored: {shown[0]:.3f} for every class."
    return f"{text} Stored: one for each class, {shown[0]:.3f} to {shown[-1]:.3f}."


def average_labels(judgement: LabelJudgement, column: int) -> float:
    """Return the mean number of labels: own ones with column 0, given ones with column 1."""
    total = sum(size * pair[column] for size, pair in enumerate(judgement.label_counts))
    return total / judgement.n


def explain_labels(judgement: LabelJudgement) -> str:
    """Say how many labels images have and were given, and how often just their own."""
    own, given = (average_labels(judgement, column) for column in (0, 1))
    exact = format_score("exact_match", judgement.metrics["exact_match"].value)
    return (
        f"An image has {own:.2f} labels on average and was given {given:.2f}. {exact} of the "
        f"images were given exactly their own."
    )


def explain_calibration(judgement: ClassJudgement) -> list[str]:
    """Say how far confidence and accuracy are apart, and what the temperature does."""
    calibration, error = judgement.calibration, judgement.metrics["ece"]
    words = [
        f"When the model says 80 %, it should be right 8 times out of 10. On one plain view of "
        f"each image, the mean gap between its confidence and its accuracy is "
        f"{format_score('ece', error.value)} ({format_range('ece', error)})."
    ]
    temperature = calibration.temperature
    if temperature is not None:
        leaning = "overconfident" if temperature > 1 else "underconfident"
        if abs(temperature - 1.0) < 0.05:
            leaning = "about as sure as it should be"
        crossed = ""
        if calibration.is_crossed:
            crossed = " (to each image one that was fitted on others)"
        words.append(
            f"The temperature fitted on the validation images is {temperature:.2f}: the model is "
            f"{leaning}. Applied{crossed}, the gap is "
            f"{format_score('ece', calibration.ece_after)} and the cross-entropy goes from "
            f"{format_score('loss', judgement.metrics['loss'].value)} to "
            f"{format_score('loss', calibration.loss_after)}. It changes no predicted class."
        )
    return words


def explain_mistakes(judgement: Judgement, shown: int) -> str:
    """Say how many images were wrong, and which of them are shown; empty if none was."""
    told, wrong = _TOLD[judgement.task], judgement.wrong
    if not wrong:
        return ""
    limit = f" ({shown} of {format_count(wrong)} shown)" if shown < wrong else ""
    number = f"{format_count(wrong)} of {count_of(judgement.n, 'image')}"
    verb = "was" if wrong == 1 else "were"
    return f"{number} {verb} {told.wrong}. {told.first} come first{limit}: look for {told.look}."


@dataclass(frozen=True)
class _Told:
    """What is told of a judgement of one task, and how.

    Attributes:
        wrong: What an image is that was answered wrongly.
        first: Which wrong answers are shown first.
        look: What to look for among them.
        no_mistakes: What is said where there is none of the most frequent kind.
        before_classes: What a terminal is told before the classes.
        tabulate_classes: How each class fares.
        tabulate_mistakes: The most frequent mistakes.
        list_mistakes: The worst images of an outcome, given the classes and how many.
    """

    wrong: str
    first: str
    look: str
    no_mistakes: str
    before_classes: Callable[[Any], list[str]]
    tabulate_classes: Callable[[Any, Sequence[int] | None], Table]
    tabulate_mistakes: Callable[[Any, int], Table]
    list_mistakes: Callable[[Any, Sequence[str], int], list[Mistake]]


@dataclass(frozen=True)
class Mistake:
    """One image that was labelled wrongly, in words.

    Attributes:
        position: Row of the image in what was judged.
        shown_class: Id of the class that the model should not have named; of the one that it
            missed where it named too few.
        titles: What it said.
        lines: What is right.
    """

    position: int
    shown_class: int
    titles: tuple[str, ...]
    lines: tuple[str, ...]

    def picture(
        self, answers: Answers, thumbnail: Thumbnail | None, map: Thumbnail | None = None
    ) -> Photo:
        """Put it below the image, and the image with what the model looked at."""
        name, label = answers.images[self.position], answers.classes[self.shown_class]
        return Photo(name, thumbnail, self.titles, self.lines, map, label if map else "")


def list_mistakes(answers: Answers, limit: int = 24) -> list[Mistake]:
    """List the worst mistakes: the most confident ones, or the label sets of greatest loss.

    Args:
        answers: The images and what the model said.
        limit: How many at most.
    """
    outcome = answers.outcome
    return _TOLD[outcome.task].list_mistakes(outcome, answers.classes, limit)


def _list_misclassified(outcome: Outcome, classes: Sequence[str], limit: int) -> list[Mistake]:
    return [
        Mistake(
            wrong.position,
            wrong.predicted,
            (f"{classes[wrong.predicted]} {100 * wrong.probability:.0f} %",),
            (f"is {classes[wrong.target]} ({100 * wrong.true_probability:.0f} %)",),
        )
        for wrong in find_mistakes(outcome, limit=limit)
    ]


def _list_mislabelled(outcome: LabelOutcome, classes: Sequence[str], limit: int) -> list[Mistake]:
    return [
        Mistake(
            wrong.position,
            (*wrong.added, *wrong.missed)[0],
            _name_wrong(classes, outcome.probabilities[wrong.position], wrong),
            (f"right: {', '.join(classes[i] for i in wrong.found) or 'none'}",),
        )
        for wrong in find_wrong_labels(outcome, limit=limit)
    ]


def _name_wrong(
    classes: Sequence[str], probabilities: np.ndarray, wrong: WrongLabels
) -> tuple[str, ...]:
    """Name what an image was not given though it has it, and the other way round."""
    lines = []
    for title, ids in (("Missed", wrong.missed), ("Too many", wrong.added)):
        named = [f"{classes[i]} {100 * probabilities[i]:.0f} %" for i in ids[:_NAMED_LABELS]]
        more = len(ids) - _NAMED_LABELS
        if ids:
            lines.append(f"{title}: {', '.join(named)}" + (f" and {more} more" if more > 0 else ""))
    return tuple(lines)


_TOLD = {
    MULTI_CLASS: _Told(
        "misclassified",
        "The most confident mistakes",
        "wrong labels and for images that no one could tell",
        "No image was misclassified.",
        lambda judgement: [],
        _tabulate_single,
        _tabulate_confusions,
        _list_misclassified,
    ),
    MULTI_LABEL: _Told(
        "not given exactly the labels that they have",
        "Those of the greatest loss",
        "labels that were forgotten",
        "No image with labels of its own was given one too many.",
        lambda judgement: [explain_thresholds(judgement)],
        _tabulate_labels,
        _tabulate_additions,
        _list_mislabelled,
    ),
}
