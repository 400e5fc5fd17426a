"""The parts of a page that show the images.

Owns: counts by class and split, sizes, colours, samples.
Does not own: the figures in them (``figures``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfclassify.pages.content import DataSummary, Fact, InspectReport
from tfclassify.pages.figures import Figures
from tfclassify.pages.markup import Markup, embed_drawing, embed_picture, join, make_table, tag
from tfclassify.pages.sections import Section, list_facts
from tfclassify.pages.wording import clean_text, count_of, format_count

_TOGETHER = "The darker, the more of a row's images also have the column's class."
#: Pairs of classes that a page lists.
_PAIRS = 20


def make_data(data: DataSummary, figures: Figures, facts: Sequence[Fact] = ()) -> Section:
    """Make the class histogram, and the same numbers as a table to unfold."""
    splits = ", ".join(
        f"{format_count(data.total(split))} {split}" for split in data.splits if split != "all"
    )
    intro = tag(
        "p",
        f"{count_of(data.total(), 'image')} of "
        f"{count_of(len(data.classes), 'class', 'classes')}"
        f"{', any number of them in an image,' if data.is_multi_label else ''} from ",
        tag("code", data.source),
        f": {splits}." if splits else ".",
    )
    figure = embed_drawing(figures.get("class_histogram"), "histogram")
    parts = [intro, _fact_list(facts), figure, _table(data), *_show_label_sets(data, figures)]
    return Section("images", "Images", join(parts))


def _show_label_sets(data: DataSummary, figures: Figures) -> list[Markup]:
    """Show how many labels images have and which together, where they may have several."""
    sets = data.label_sets
    if sets is None:
        return []
    counted = f"{sets.mean:.2f} labels an image."
    parts = [embed_drawing(figures.get("labels_per_image"), "labels", counted)]
    together = figures.get("co_occurrence")
    if together is not None:
        parts.append(embed_drawing(together, "together", _TOGETHER))
    pairs = [(first, second, format_count(n)) for first, second, n in sets.find_pairs(_PAIRS)]
    if pairs:
        head = ["Class", "With", "Images"]
        table = make_table(head, pairs, numeric=1, caption="Classes most often in one image")
        parts.append(tag("details", tag("summary", "Most frequent pairs"), table))
    return parts


def _fact_list(facts: Sequence[Fact]) -> Markup | None:
    return list_facts(facts) if facts else None


def _table(data: DataSummary) -> Markup:
    rows: list[list[str]] = []
    for number, name in enumerate(data.classes):
        counts = [data.counts[split][number] for split in data.splits]
        rows.append([name, *map(format_count, counts), format_count(sum(counts))])
    sums = [format_count(data.total(split)) for split in data.splits]
    rows.append(["All images" if data.is_multi_label else "All", *sums, format_count(data.total())])
    head = ["Class", *(split.capitalize() for split in data.splits), "Total"]
    if data.splits == ["all"]:
        head, rows = ["Class", "Images"], [[row[0], row[-1]] for row in rows]
    table = make_table(head, rows, numeric=len(head) - 1, caption="Images of each class")
    return tag("details", tag("summary", "As a table"), table)


def make_sizes(report: InspectReport, figures: Figures) -> Section:
    """Make the figure of image sizes, with the middle and the extremes in words."""
    sizes = np.array(report.sizes, dtype=np.int64).reshape(-1, 2)
    if not len(sizes):
        return Section("sizes", "Image sizes", tag("p", "No image could be read."))
    figure = embed_drawing(figures.get("image_sizes"), "sizes", "Larger dots: more images.")
    facts = list_facts(describe_sizes(sizes) + describe_colours(report.mean, report.std))
    body = tag("div", figure, facts, class_="columns")
    return Section("sizes", "Sizes and colours", body)


def describe_sizes(sizes: np.ndarray) -> list[Fact]:
    """Say what sizes images have.

    Args:
        sizes: ``(n, 2)`` of width and height, in pixels; at least one row.
    """
    widths, heights = sizes[:, 0], sizes[:, 1]
    shapes, counts = np.unique(sizes, axis=0, return_counts=True)
    width, height = shapes[counts.argmax()]
    smallest = sizes[(widths * heights).argmin()]
    largest = sizes[(widths * heights).argmax()]
    return [
        Fact("Most frequent", f"{width} × {height} pixels ({format_count(int(counts.max()))})"),
        Fact("Median", f"{np.median(widths):.0f} × {np.median(heights):.0f} pixels"),
        Fact("Smallest", f"{smallest[0]} × {smallest[1]} pixels"),
        Fact("Largest", f"{largest[0]} × {largest[1]} pixels"),
        Fact("Different sizes", format_count(len(shapes))),
    ]


def describe_colours(
    mean: tuple[float, float, float] | None, std: tuple[float, float, float] | None
) -> list[Fact]:
    """Say what the mean and the spread of red, green and blue are, from 0 to 1."""
    if mean is None or std is None:
        return []
    return [
        Fact("Mean, red green blue", ", ".join(f"{value:.3f}" for value in mean)),
        Fact("Deviation, same", ", ".join(f"{value:.3f}" for value in std)),
    ]


def make_samples(report: InspectReport) -> Section:
    """Make the sample sheet: a row of photos for each class."""
    data = report.data
    rows: list[Markup] = []
    for number, name in enumerate(data.classes):
        total = sum(data.counts[split][number] for split in data.splits)
        photos = report.samples.get(name, ())
        shown = clean_text(name)
        images = [
            embed_picture(photo, f"{shown}, sample {place}")
            for place, photo in enumerate(photos, 1)
        ]
        title = tag(
            "p", tag("b", name), tag("br"), tag("small", count_of(total, "image"), class_="quiet")
        )
        rows += [title, tag("div", *images, class_="strip")]
    return Section("samples", "Samples", tag("div", *rows, class_="classes"))
