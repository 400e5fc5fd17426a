"""The parts of a page that show what was trained and how it went.

Owns: the summary, the training section and the hardest images. Does not own: the curves
(``figures``).
"""

from __future__ import annotations

from tfclassify.pages.content import PhaseRecord, RunReport
from tfclassify.pages.figures import Figures
from tfclassify.pages.markup import (
    embed_drawing,
    embed_picture,
    join,
    make_table,
    tag,
)
from tfclassify.pages.sections import Section, list_facts
from tfclassify.pages.wording import (
    ABSENT,
    count_of,
    format_count,
    format_score,
    format_seconds,
    title_of,
)


def make_summary(report: RunReport) -> Section:
    """Make the two lists of facts: the network, and how it was trained."""
    columns = [
        tag("div", tag("h3", title), list_facts(facts))
        for title, facts in (("Network", report.model), ("Training", report.recipe))
        if facts
    ]
    parts = [tag("div", *columns, class_="columns")]
    if report.preview is not None:
        sheet = embed_picture(report.preview, "What the model saw in training")
        caption = tag("figcaption", "What the model saw: images as augmented in training.")
        parts += [tag("h3", "What the model saw"), tag("figure", sheet, caption)]
    return Section("setup", "What was trained", join(parts))


def make_training(report: RunReport, figures: Figures) -> Section:
    """Make the learning curves and the table of phases."""
    figure = embed_drawing(
        figures.get("learning_curves"),
        "curves",
        "Training scores are of augmented and mixed images, so they may lie below validation.",
    )
    if not any(phase.epochs for phase in report.phases):
        return Section("training", "Training", tag("p", "No epoch was finished."))
    has_scores = any(record.validation for phase in report.phases for record in phase.epochs)
    head = ["Phase", "Trained", "Ended because", "Epochs", "Kept epoch"]
    head += [f"Validation {title_of(report.metric).lower()}"] if has_scores else []
    head += ["Trainable parameters", "Time"]
    rows = [_phase_row(phase, report.metric, has_scores) for phase in report.phases]
    table = make_table(head, rows, numeric=len(head) - 3, caption="The phases of training")
    return Section("training", "How training went", join([figure, table]))


def make_hard_images(report: RunReport) -> Section:
    """Make the gallery of the training images that were missed most."""
    intro = tag(
        "p",
        "Training images that were missed in the most epochs, and what they weighed in the end: "
        "look for wrong labels. mining.csv lists them all.",
    )
    photos = []
    for hard in report.hard:
        photo = embed_picture(hard.thumbnail, hard.image) if hard.thumbnail else None
        text = f"missed {count_of(hard.misses, 'time')}, weight {hard.weight:g}"
        lines = [tag("b", hard.label or "no label"), tag("span", text), tag("span", hard.image)]
        photos.append(tag("li", photo, *lines))
    gallery = tag("ul", *photos, class_="photos")
    return Section("hard", "Hardest training images", join([intro, gallery]))


def _phase_row(phase: PhaseRecord, metric: str, has_scores: bool) -> list[str]:
    done = format_count(len(phase.epochs))
    epochs = f"{done} of {phase.planned_epochs}" if phase.planned_epochs else done
    kept = phase.best_epoch or (len(phase.epochs) or None)
    score = phase.epochs[kept - 1].validation.get(metric) if kept else None
    parameters = phase.trainable_parameters
    return [
        phase.name,
        phase.trained,
        phase.reason or ABSENT,
        epochs,
        str(kept) if kept else ABSENT,
        *([format_score(metric, score)] if has_scores else []),
        ABSENT if parameters is None else format_count(parameters),
        format_seconds(phase.seconds),
    ]
