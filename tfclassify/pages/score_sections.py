"""The parts of a page that show how good the model is.

Owns: headline and scores of either task; classes, confusion, calibration and mistakes
where an image has one label (for label sets: ``label_sections``).
Does not own: the figures in them (``score_figures``), the frame (``page``).
"""

from __future__ import annotations

from collections.abc import Sequence

from tfclassify.pages.content import SPLITS, Mistake, Verdict
from tfclassify.pages.figures import Figures
from tfclassify.pages.markup import (
    Markup,
    embed_drawing,
    embed_picture,
    escape,
    join,
    make_table,
    tag,
)
from tfclassify.pages.sections import Section
from tfclassify.pages.wording import (
    count_of,
    format_count,
    format_range,
    format_score,
    title_of,
)
from tfclassify.scoring.intervals import Interval
from tfclassify.scoring.judgement import ClassScore, Judgement
from tfclassify.scoring.tasks import MULTI_CLASS, MULTI_LABEL, find_metric, get_task
from tfclassify.scoring.verdicts import AnyJudgement

#: Metrics beside the headline, the first six that apply.
_TILES = {
    MULTI_CLASS: (
        "accuracy",
        "balanced_accuracy",
        "f1_macro",
        "f1_weighted",
        "top_2",
        "top_3",
        "roc_auc",
        "ece",
    ),
    MULTI_LABEL: (
        "map",
        "iou",
        "f1_samples",
        "f1_macro",
        "f1_micro",
        "f1_weighted",
        "exact_match",
    ),
}
_TILE_COUNT = 6


def is_telling(name: str, classes: int) -> bool:
    """Say whether a metric can differ from 1 with so many classes."""
    return not name.startswith("top_") or int(name.removeprefix("top_")) < classes


def make_headline(verdict: Verdict, metric: str) -> Markup:
    """Make the score on top of the page, with the next six beside it."""
    judgement = verdict.headline
    interval = judgement.metrics[metric]
    views = f", {verdict.views} views of each" if verdict.with_views else ""
    hero = tag(
        "div",
        tag(
            "p",
            f"{title_of(metric, judgement.task)} on {_name_images(verdict)}{views}",
            class_="name",
        ),
        tag("p", format_score(metric, interval.value), class_="score"),
        _make_gauge(metric, interval),
        tag("p", _describe_interval(metric, interval, judgement), class_="quiet"),
        class_="hero",
    )
    tiled = _TILES[judgement.task]
    names = [n for n in tiled if n != metric and is_telling(n, len(judgement.classes))]
    tiles = [_make_tile(name, judgement.metrics[name]) for name in names[:_TILE_COUNT]]
    grid = tag("div", hero, tag("div", *tiles, class_="tiles"), class_="headline")
    return join([grid, tag("p", verdict.caution, class_="caution") if verdict.caution else None])


def _name_images(verdict: Verdict) -> str:
    if verdict.judged_on in SPLITS:
        return count_of(verdict.headline.n, f"{verdict.judged_on} image")
    return f"{count_of(verdict.headline.n, 'image')} of {verdict.judged_on}"


def _describe_interval(metric: str, interval: Interval, judgement: AnyJudgement) -> str:
    if interval.value is None:
        return "This metric has no value on these images."
    if interval.low is None:
        return "Too few images, or too alike, for an interval."
    units = (
        "images"
        if judgement.groups is None
        else f"{format_count(judgement.groups)} groups of images"
    )
    how = f"{format_count(judgement.resamples)} resamples of the {units}"
    if interval.method == "exact":
        how = "exact binomial bound, since all images agree"
    return f"{100 * interval.level:.0f} % interval {format_range(metric, interval)} ({how})"


def _make_gauge(metric: str, interval: Interval) -> Markup | None:
    """Draw the interval on the metric's range; nothing for an unbounded metric."""
    if find_metric(metric).range != (0.0, 1.0) or interval.value is None:
        return None
    low = interval.value if interval.low is None else interval.low
    high = interval.value if interval.high is None else interval.high
    left, width, middle = 4.0, 392.0, 12.0

    is_percent = format_score(metric, 0.0).endswith("%")

    def place(share: float) -> str:
        return f"{left + width * share:.1f}"

    band = max(2.0, width * (high - low))
    style = "fill: var(--muted); font-size: 11px"
    anchors = ((0, "start"), (25, "middle"), (50, "middle"), (75, "middle"), (100, "end"))
    marks = [
        tag("text", f"{tick if is_percent else tick / 100:g}", x=place(tick / 100), y=34,
            text_anchor=anchor, style=style)
        for tick, anchor in anchors
    ]  # fmt: skip
    return tag(
        "svg",
        tag("rect", x=left, y=middle - 3, width=width, height=6, rx=3, style="fill: var(--grid)"),
        tag("rect", x=place(low), y=middle - 6, width=f"{band:.1f}", height=12, rx=3,
            style="fill: var(--soft)"),
        tag("rect", x=f"{left + width * interval.value - 1.5:.1f}", y=middle - 10, width=3,
            height=20, rx=1.5, style="fill: var(--accent)"),
        *marks,
        viewBox="0 0 400 40",
        class_="gauge",
        aria_hidden="true",
    )  # fmt: skip


def _make_tile(name: str, interval: Interval) -> Markup:
    return tag(
        "div",
        tag("span", title_of(name)),
        tag("b", format_score(name, interval.value)),
        tag("span", format_range(name, interval)),
        class_="tile",
    )


def make_scores(verdicts: Sequence[Verdict]) -> Section:
    """Make the table of every metric on every set of images, with and without views."""
    columns: list[tuple[str, AnyJudgement]] = []
    for each in verdicts:
        name = each.judged_on.capitalize() if each.judged_on in SPLITS else each.judged_on
        if each.with_views is None:
            columns.append((name, each.judgement))
        else:
            columns.append((f"{name}, one view", each.judgement))
            columns.append((f"{name}, {each.views} views", each.with_views))
    rows, first = [], columns[0][1]
    metrics = get_task(first.task).metrics
    for name, metric in metrics.items():
        if is_telling(name, len(first.classes)):
            cells = (show_interval(name, judgement.metrics[name]) for _, judgement in columns)
            rows.append([metric.title, *cells])
    titles = [f"{title} (n = {format_count(judgement.n)})" for title, judgement in columns]
    table = make_table(
        ["Metric", *titles], rows, numeric=len(columns), caption="Every metric with its interval"
    )
    lower = [metric.title for metric in metrics.values() if not metric.higher_is_better]
    note = tag(
        "p",
        f"In grey: {100 * first.metrics['loss'].level:.0f} % intervals. Better when lower: "
        f"{', '.join(lower)}.",
        class_="quiet",
    )
    return Section("scores", "Scores", join([table, note]))


def show_interval(name: str, interval: Interval) -> Markup:
    """Write a value with its interval behind it, for a table cell."""
    value = escape(format_score(name, interval.value))
    if interval.low is None:
        return value
    return join([value, " ", tag("small", format_range(name, interval))])


def make_classes(
    judgement: Judgement, figures: Figures, trained: tuple[int, ...] | None
) -> Section:
    """Make the figure and the table of the classes.

    Args:
        judgement: The headline judgement.
        figures: Holds ``class_recall``.
        trained: Training images of each class; None if they are not known.
    """
    taken = _find_confused(judgement)
    rows = []
    for number, score in enumerate(judgement.class_scores):
        counts = [format_count(trained[number])] if trained else []
        rows.append([score.name, taken[number], *counts, *_score_cells(score)])
    head = ["Class", "Mostly taken for", *(["Trained on"] if trained else [])]
    head += ["Judged on", "Precision", "Recall", "F1"]
    table = make_table(
        head, rows, numeric=len(head) - 2, caption="Precision, recall and F1 of each class"
    )
    figure = embed_drawing(
        figures.get("class_recall"),
        "recall",
        "Weakest class first. The line is the interval: the fewer images, the longer it is.",
    )
    return Section("classes", "Classes", join([figure, table]))


def _score_cells(score: ClassScore) -> list[str]:
    return [
        format_count(score.support),
        show_interval("precision", score.precision),
        show_interval("recall", score.recall),
        show_interval("f1", score.f1),
    ]


def _find_confused(judgement: Judgement) -> list[str]:
    """Say for each class what its images are most often mistaken for."""
    words = []
    for true, row in enumerate(judgement.confusion):
        wrong = [(count, -p) for p, count in enumerate(row) if p != true and count]
        count, predicted = max(wrong, default=(0, 0))
        words.append(f"{judgement.classes[-predicted]} ({count})" if count else "–")
    return words


def make_confusion(judgement: Judgement, figures: Figures) -> Section:
    """Make the confusion matrix, with the most frequent confusions in words."""
    figure = embed_drawing(
        figures.get("confusion_matrix"),
        "confusion",
        "Rows are true classes, columns predicted ones. Shade: share of the row; the diagonal is "
        "right, the rest wrong.",
    )
    pairs = judgement.top_confusions(5)
    rows = [[true, predicted, format_count(count)] for true, predicted, count in pairs]
    table = make_table(
        ["True class", "Predicted as", "Images"], rows, numeric=1,
        caption="The most frequent confusions",
    )  # fmt: skip
    words = tag("div", tag("h3", "Most frequent confusions"), table) if rows else None
    body = tag("div", figure, words, class_="beside")
    return Section("confusion", "Confusion matrix", body)


def make_calibration(judgement: Judgement, figures: Figures) -> Section:
    """Make the reliability diagram, with what it means in words."""
    calibration = judgement.calibration
    error = judgement.metrics["ece"]
    words = [
        f"When the model says 80 %, it should be right 8 times out of 10. On one plain view of "
        f"each image, the mean gap between its confidence and its accuracy is "
        f"{format_score('ece', error.value)} ({format_range('ece', error)})."
    ]
    if calibration.temperature is not None:
        leaning = "surer than it should be" if calibration.temperature > 1 else "too modest"
        if abs(calibration.temperature - 1.0) < 0.05:
            leaning = "about as sure as it should be"
        words.append(
            f"The temperature fitted on the validation images is {calibration.temperature:.2f}: "
            f"the model is {leaning}. Applied, the gap is "
            f"{format_score('ece', calibration.ece_after)} and the cross-entropy goes from "
            f"{format_score('loss', judgement.metrics['loss'].value)} to "
            f"{format_score('loss', calibration.loss_after)}. It changes no predicted class."
        )
    caption = "Larger dots hold more images. On the dashed line, confidence equals accuracy."
    figure = embed_drawing(figures.get("reliability"), "reliability", caption)
    body = tag("div", figure, tag("div", *(tag("p", w) for w in words)), class_="beside")
    return Section("calibration", "Calibration", body)


def make_mistakes(mistakes: Sequence[Mistake], judgement: Judgement) -> Section:
    """Make the gallery of the most confident mistakes."""
    wrong = judgement.n - sum(row[number] for number, row in enumerate(judgement.confusion))
    if not wrong:
        return Section("mistakes", "Mistakes", tag("p", "Not one image was mistaken."))
    shown = f"The {len(mistakes)} of which" if len(mistakes) < wrong else "The ones of which"
    intro = tag(
        "p",
        f"{count_of(wrong, 'image')} of {format_count(judgement.n)} "
        f"{'was' if wrong == 1 else 'were'} mistaken. {shown} the model was surest come first: "
        f"look for wrong labels and for images that no one could tell.",
    )
    photos = [tag("li", _show_mistake(mistake)) for mistake in mistakes]
    return Section(
        "mistakes", "Most confident mistakes", join([intro, tag("ul", *photos, class_="photos")])
    )


def _show_mistake(mistake: Mistake) -> Markup:
    alt = f"{mistake.image}: {mistake.true_label}, predicted as {mistake.predicted_label}"
    photo = embed_picture(mistake.thumbnail, alt) if mistake.thumbnail else None
    return join(
        [
            photo,
            tag("b", f"{mistake.predicted_label} {100 * mistake.probability:.0f} %"),
            tag("span", f"is {mistake.true_label} ({100 * mistake.true_probability:.0f} %)"),
            tag("span", mistake.image),
        ]
    )
