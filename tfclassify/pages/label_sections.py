"""The parts of a page that show how good a model of label sets is.

Owns: classes, labels an image, labels too many, mistakes, and where thresholds came from.
Does not own: the figures in them (``label_score_figures``), what both tasks share
(``score_sections``), the frame (``page``).
"""

from __future__ import annotations

from collections.abc import Sequence

from tfclassify.pages.content import LabelMistake
from tfclassify.pages.figures import Figures
from tfclassify.pages.label_score_figures import average_labels
from tfclassify.pages.markup import Markup, embed_drawing, embed_picture, join, make_table, tag
from tfclassify.pages.score_sections import show_interval
from tfclassify.pages.sections import Section
from tfclassify.pages.wording import count_of, format_count, format_score
from tfclassify.scoring.intervals import FOLDS
from tfclassify.scoring.multi_label_judgement import LabelScore, MultiLabelJudgement

#: Labels named under a picture, of each kind.
_NAMED_LABELS = 4

#: Pairs in the table of labels too many.
_LISTED_PAIRS = 10

_ORIGINS = {
    "half": "No thresholds were searched: a label is given where its probability is at least 0.5.",
    "stored": "A label is given where its probability reaches the threshold that is stored with "
    "the model.",
    "cross_fitted": f"A label is given where its probability reaches a threshold. Those stored "
    f"with the model were searched on these very images, so that they would flatter the scores: "
    f"each image was judged by thresholds searched on the other parts of {FOLDS} instead. "
    f"Average precision and ROC AUC need none.",
}


def explain_thresholds(judgement: MultiLabelJudgement) -> str:
    """Say by which thresholds images were judged, and what is stored."""
    shown = _list_thresholds(judgement)
    text = _ORIGINS[judgement.threshold_origin]
    if judgement.threshold_origin == "half":
        return text
    if len(shown) == 1:
        return f"{text} Stored: {shown[0]:.3f} for every class."
    return f"{text} Stored: one for each class, {shown[0]:.3f} to {shown[-1]:.3f}."


def make_label_classes(
    judgement: MultiLabelJudgement, figures: Figures, trained: tuple[int, ...] | None
) -> Section:
    """Make the figure and the table of the classes.

    Args:
        judgement: The headline judgement.
        figures: Holds ``class_ap``.
        trained: Training images that have each label; None if they are not known.
    """
    rows, has_own = [], len(_list_thresholds(judgement)) > 1
    for number, score in enumerate(judgement.class_scores):
        counts = [format_count(trained[number])] if trained else []
        rows.append([score.name, *counts, *_score_cells(score, has_own)])
    head = ["Class", *(["Trained on"] if trained else []), "Judged on", "Given to"]
    head += ["Threshold"] if has_own else []
    head += ["Average precision", "Precision", "Recall", "F1"]
    table = make_table(
        head, rows, numeric=len(head) - 1, caption="Average precision, precision and recall"
    )
    figure = embed_drawing(
        figures.get("class_ap"),
        "ap",
        "Weakest class first. The line is the interval: the fewer images, the longer it is.",
    )
    return Section("classes", "Classes", join([figure, table]))


def _score_cells(score: LabelScore, has_own_threshold: bool) -> list[str]:
    return [
        format_count(score.support),
        format_count(score.predicted),
        *([f"{score.threshold:.3f}"] if has_own_threshold else []),
        show_interval("map", score.ap),
        show_interval("precision", score.precision),
        show_interval("recall", score.recall),
        # Its interval would push the table off the page; metrics.json has it.
        format_score("f1", score.f1.value),
    ]


def _list_thresholds(judgement: MultiLabelJudgement) -> list[float]:
    """Return the different thresholds that are stored, in rising order."""
    return sorted({row.threshold for row in judgement.class_scores})


def make_label_sets(judgement: MultiLabelJudgement, figures: Figures) -> Section:
    """Make the figure of labels an image, with the thresholds in words."""
    figure = embed_drawing(figures.get("label_counts"), "labels")
    own, given = (average_labels(judgement, column) for column in (0, 1))
    exact = judgement.metrics["exact_match"].value
    words = [
        explain_thresholds(judgement),
        f"An image has {own:.2f} labels on average and was given {given:.2f}. "
        f"{format_score('exact_match', exact)} of the images were given just their own.",
    ]
    body = tag("div", figure, tag("div", *(tag("p", text) for text in words)), class_="beside")
    return Section("labels", "Labels of an image", body)


def make_additions(judgement: MultiLabelJudgement, figures: Figures) -> Section:
    """Make the figure and the table of labels that were given though absent."""
    title = "Labels given though absent"
    found = judgement.top_additions(_LISTED_PAIRS)
    if not found:
        words = tag("p", "No image with labels of its own was given one too many.")
        return Section("additions", title, words)
    figure = embed_drawing(
        figures.get("additions"),
        "additions",
        "Rows are labels that are there, columns labels that are not. Numbers: images; shade: "
        "share of the images with the one and without the other. Shown are the most frequent.",
    )
    rows = [
        [
            row.given,
            row.beside,
            format_count(row.images),
            f"{100 * row.images / row.chances:.0f} % of {format_count(row.chances)}",
        ]
        for row in found
    ]
    table = make_table(
        ["Given though absent", "Beside", "Images", "Share of those without it"], rows, numeric=2,
        caption="The most frequent labels too many",
    )  # fmt: skip
    parts = [figure, tag("h3", "Most frequent"), table]
    return Section("additions", title, join(parts))


def make_wrong_labels(mistakes: Sequence[LabelMistake], judgement: MultiLabelJudgement) -> Section:
    """Make the gallery of the images with the greatest loss."""
    exact = judgement.metrics["exact_match"].value or 0.0
    wrong = judgement.n - round(exact * judgement.n)
    if not wrong:
        words = tag("p", "Every image was given just its own labels.")
        return Section("mistakes", "Mistakes", words)
    intro = tag(
        "p",
        f"{count_of(wrong, 'image')} of {format_count(judgement.n)} "
        f"{'was' if wrong == 1 else 'were'} not given just {'its' if wrong == 1 else 'their'} own "
        f"labels. Those of the greatest loss come first: look for labels that were forgotten.",
    )
    photos = [tag("li", _show_mistake(mistake)) for mistake in mistakes]
    gallery = tag("ul", *photos, class_="photos")
    return Section("mistakes", "Mistakes of the greatest loss", join([intro, gallery]))


def _show_mistake(mistake: LabelMistake) -> Markup:
    lines = [
        tag("b", f"{title}: {_name_labels(labels)}")
        for title, labels in (("Missed", mistake.missed), ("Too many", mistake.added))
        if labels
    ]
    right = ", ".join(mistake.found) or "none"
    photo = embed_picture(mistake.thumbnail, mistake.image) if mistake.thumbnail else None
    return join([photo, *lines, tag("span", f"right: {right}"), tag("span", mistake.image)])


def _name_labels(labels: Sequence[tuple[str, float]]) -> str:
    named = [f"{name} {100 * probability:.0f} %" for name, probability in labels[:_NAMED_LABELS]]
    more = len(labels) - _NAMED_LABELS
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")
