"""The images behind a page: how many of each class, how large, what was found wrong.

Owns: the page of ``inspect``, and the parts on images that other pages have; the same
tables for a terminal. Does not own: reading and checking images (``data``).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tfclassify.data.integrity import KINDS, IntegrityReport
from tfclassify.pages.charts import MOST_ROWS, MatrixCell, draw_bars, draw_columns, draw_matrix
from tfclassify.pages.drawing import (
    ACCENT,
    GRID,
    MUTED,
    Drawing,
    Figures,
    finish_drawing,
    keep_drawn,
    new_figure,
)
from tfclassify.pages.pictures import Thumbnail
from tfclassify.pages.rendering import Fact, Page, render_page
from tfclassify.pages.tables import Cell, Row, Table
from tfclassify.pages.wording import clean_text, count_of, format_count, format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tfclassify.data.index import Index
    from tfclassify.data.statistics import LabelSets

#: Splits in the order in which they are shown.
SPLITS = ("train", "validation", "test")

#: Pairs of classes that are listed.
LISTED_PAIRS = 10
#: Classes in the figure of classes in one image; of more, the most frequent.
SHOWN_CLASSES = 40
#: Sizes nearer than this share of the axis become one dot, which bounds the figure.
_SIZE_CELLS = 60
#: Steps of dot area.
_DOT_STEPS = 6


@dataclass(frozen=True)
class DataSummary:
    """The images behind a page.

    Attributes:
        source: Where they came from, as the recipe or the user named it.
        classes: Class names, in the order of their ids.
        counts: Split name: images of each class, in the order of ``classes``. A set
            that is not split has the single key ``all``.
        images: Split name: images, where an image may have several labels or none, or where
            no image has one; None where each has one, so that the classes add up to it.
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
        return self.label_sets is not None

    @property
    def splits(self) -> list[str]:
        """Splits that hold images, in the order in which they are shown."""
        named = [name for name in SPLITS if self.total(name)]
        return named + [name for name in self.counts if name not in SPLITS]

    @property
    def split_words(self) -> str:
        """How many images each split holds, in words; empty if there are no splits."""
        named = [name for name in self.splits if name != "all"]
        return ", ".join(f"{format_count(self.total(name))} {name}" for name in named)

    @property
    def class_totals(self) -> list[tuple[str, int]]:
        """Each class with its images in all splits."""
        sums = [sum(row) for row in zip(*(self.counts[s] for s in self.splits), strict=True)]
        return list(zip(self.classes, sums or [0] * len(self.classes), strict=True))

    @property
    def drawn_classes(self) -> list[int]:
        """The classes of the figure: of very many the largest and the smallest, in order."""
        numbers = list(range(len(self.classes)))
        if len(numbers) <= MOST_ROWS:
            return numbers
        totals = self.class_totals
        ordered = sorted(numbers, key=lambda number: totals[number][1])
        return sorted(ordered[: MOST_ROWS // 2] + ordered[-MOST_ROWS // 2 :])

    def total(self, split: str | None = None) -> int:
        """Images of one split, or of all."""
        splits = self.counts if split is None else [split]
        if self.images is not None:
            return sum(self.images.get(name, 0) for name in splits)
        return sum(sum(self.counts.get(name, ())) for name in splits)

    @property
    def table(self) -> Table:
        """Images of each class by split, with their sums."""
        splits = [] if self.splits == ["all"] else self.splits
        rows: list[Row] = [
            [name, *(format_count(self.counts[s][n]) for s in splits), format_count(total)]
            for n, (name, total) in enumerate(self.class_totals)
        ]
        sums = [format_count(self.total(split)) for split in splits]
        rows.append(["All images", *sums, format_count(self.total())])
        head = ["Class", *(split.capitalize() for split in splits), "Images"]
        return Table("Images of each class", head, rows, len(head) - 1)

    @property
    def pairs(self) -> Table:
        """The classes that are most often in one image."""
        pairs = self.label_sets.find_pairs(LISTED_PAIRS) if self.label_sets else []
        rows = [[first, second, format_count(count)] for first, second, count in pairs]
        return Table("Classes most often in one image", ["Class", "With", "Images"], rows, 1)


def summarise_data(index: Index, source: str, *, is_split: bool = True) -> DataSummary:
    """Count the usable images of each class in each split, or in all."""
    from tfclassify.data.statistics import count_label_sets

    usable = index.usable()
    marks, frame = usable.mark_labels(), usable.frame
    splits = np.array([split or "all" if is_split else "all" for split in frame["split"]])
    counts, images = {}, {}
    for split in sorted(set(splits.tolist())):
        rows = marks[splits == split]
        counts[split] = tuple(rows.sum(axis=0).tolist())
        images[split] = len(rows)
    if not index.is_multi_label:
        return DataSummary(source, index.classes, counts, None if index.classes else images)
    return DataSummary(source, index.classes, counts, images, count_label_sets(usable))


@dataclass(frozen=True, kw_only=True)
class DataPage(Page):
    """What a page says about its images.

    Attributes:
        data: The images, by class and split.
        integrity: What was found when they were checked.
    """

    data: DataSummary
    integrity: IntegrityReport

    @property
    def remarks(self) -> int:
        """Findings about images that were used all the same."""
        return sum(row.severity == "remark" for row in self.integrity.rows)

    @property
    def finding_kinds(self) -> Table:
        """How many findings there are of each kind."""
        return tabulate_findings(self.integrity)

    def list_findings(self, severity: str) -> Table:
        """Return every finding of a severity, one a row."""
        rows: list[Row] = [
            [row.image, KINDS[row.kind].title, row.detail]
            for row in self.integrity.rows
            if row.severity == severity
        ]
        return Table(f"Findings: {severity}", ["Image", "Finding", "Detail"], rows)


def tabulate_findings(integrity: IntegrityReport) -> Table:
    """Return how many findings there are of each kind, those that cost an image first."""
    kinds = sorted(integrity.counts.items(), key=lambda item: KINDS[item[0]].severity)
    rows: list[Row] = [
        [
            KINDS[kind].title,
            Cell(KINDS[kind].severity, mark="bad" if _is_bad(kind) else "good"),
            format_count(count),
        ]
        for kind, count in kinds
    ]
    return Table("Findings by kind", ["Finding", "Outcome", "Number"], rows, 1)


def _is_bad(kind: str) -> bool:
    return KINDS[kind].severity == "quarantined"


def describe_integrity(integrity: IntegrityReport, listed: int = 10) -> str:
    """Write the findings for a terminal: by kind, then the first few images of each.

    Args:
        integrity: What was found.
        listed: Images named for each kind; the index holds them all.
    """
    checked = count_of(integrity.images, "image")
    if not integrity.rows:
        return f"{checked} checked: all readable, nothing unusual."
    parts = [f"{checked} checked, {integrity.quarantined} quarantined"]
    parts.append(tabulate_findings(integrity).to_text())
    for kind in sorted(integrity.counts, key=lambda kind: KINDS[kind].severity):
        found = integrity.of_kind(kind)
        lines = [
            "  " + ": ".join(clean_text(text) for text in (row.image, row.detail) if text)
            for row in found[:listed]
        ]
        more = len(found) - listed
        lines += [f"  and {format_count(more)} more"] if more > 0 else []
        title = f"{KINDS[kind].title} ({KINDS[kind].severity}):"
        parts.append("\n".join([title, *lines]))
    return "\n\n".join(parts)


def describe_label_sets(sets: LabelSets) -> str:
    """Write for a terminal how many labels images have, and which are most often together."""
    counts = [
        [str(number), format_count(images), f"{100 * images / max(1, sets.images):.1f} %"]
        for number, images in enumerate(sets.per_image)
    ]
    parts = [
        f"{count_of(sets.labels, 'label')} on {count_of(sets.images, 'image')}, "
        f"{sets.mean:.2f} per image",
        Table("Labels of an image", ["Labels", "Images", "Share"], counts, 3).to_text(),
    ]
    pairs = DataSummary("", sets.classes, {}, {}, sets).pairs
    return "\n\n".join([*parts, pairs.to_text()] if pairs.rows else parts)


@dataclass(frozen=True, kw_only=True)
class InspectReport(DataPage):
    """What ``inspect`` says about a source.

    Attributes:
        sizes: ``(width, height)`` of each readable image, in pixels.
        mean: Mean of red, green and blue, from 0 to 1; None if nothing was readable.
        std: Standard deviation of the same.
        samples: Class: a few of its images.
        facts: Anything else, such as the bytes on disk.
    """

    sizes: tuple[tuple[int, int], ...] = ()
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    samples: Mapping[str, tuple[Thumbnail, ...]] = field(default_factory=dict)
    facts: tuple[Fact, ...] = ()

    @property
    def size_facts(self) -> list[Fact]:
        """The middle and the extremes of sizes and colours; there must be sizes."""
        sizes = np.array(self.sizes, dtype=np.int64)
        areas = sizes.prod(axis=1)
        shapes, counts = np.unique(sizes, axis=0, return_counts=True)
        frequent, number = shapes[counts.argmax()], format_count(int(counts.max()))
        middle = np.median(sizes, axis=0).round().astype(int)
        facts = [
            Fact("Most frequent", f"{format_size(tuple(frequent[::-1]))} ({number})"),
            Fact("Median", format_size(tuple(middle[::-1]))),
            Fact("Smallest", format_size(tuple(sizes[areas.argmin()][::-1]))),
            Fact("Largest", format_size(tuple(sizes[areas.argmax()][::-1]))),
            Fact("Different sizes", format_count(len(shapes))),
        ]
        for name, values in (("Mean", self.mean), ("Standard deviation", self.std)):
            if values is not None:
                words = ", ".join(f"{value:.3f}" for value in values)
                facts.append(Fact(f"{name} of red, green, blue (0 to 1)", words))
        return facts


def render_inspect_page(report: InspectReport, figures: Figures | None = None) -> str:
    """Return the page of a data source, for ``inspect --html``.

    Args:
        report: What it says.
        figures: From ``draw_inspect_figures``, where they are drawn already.
    """
    figures = draw_inspect_figures(report) if figures is None else figures
    return render_page("data.html", page=report, figures=figures)


def draw_inspect_figures(report: InspectReport) -> Figures:
    """Draw the figures of a data source; those without anything to show are left out."""
    sizes = draw_image_sizes(report.sizes)
    return draw_data_figures(report.data) | keep_drawn(image_sizes=sizes)


def draw_data_figures(data: DataSummary) -> Figures:
    """Draw the figures of a set of images; those without anything to show are left out."""
    sets = data.label_sets
    return keep_drawn(
        class_histogram=draw_class_histogram(data),
        labels_per_image=None if sets is None else draw_labels_per_image(sets),
        co_occurrence=None if sets is None else draw_co_occurrence(sets),
    )


def draw_class_histogram(data: DataSummary) -> Drawing:
    """Draw the images of each class, stacked by split, in the order of the classes."""
    alt = "Images of each class: there are no classes."
    if data.classes:
        ordered = sorted(data.class_totals, key=lambda pair: pair[1])
        (least, fewest), (most, largest) = ordered[0], ordered[-1]
        alt = (
            f"{count_of(data.total(), 'image')} of "
            f"{count_of(len(data.classes), 'class', 'classes')}, from {format_count(fewest)} "
            f"({least}) to {format_count(largest)} ({most})."
        )
    shown = data.drawn_classes
    names = [data.classes[number] for number in shown]
    parts = {split: [data.counts[split][number] for number in shown] for split in data.splits}
    return draw_bars(names, parts, "images", alt, lambda count: format_count(round(count)))


def draw_labels_per_image(sets: LabelSets) -> Drawing:
    """Draw how many images have no label, one, two and so on."""
    fewest = next((count for count, images in enumerate(sets.per_image) if images), 0)
    alt = (
        f"{count_of(sets.images, 'image')} with {count_of(sets.labels, 'label')}, "
        f"{sets.mean:.2f} per image, from {fewest} to {len(sets.per_image) - 1}."
    )
    names = [str(count) for count in range(len(sets.per_image))]
    return draw_columns(names, {"images": sets.per_image}, "labels of an image", alt)


def draw_co_occurrence(sets: LabelSets) -> Drawing | None:
    """Draw which classes are in one image: of a row's images, the share with the column.

    Returns:
        The drawing, or None where there are fewer than two classes with images.
    """
    shown = choose_shown(sets)
    if len(shown) < 2:
        return None
    names = [sets.classes[number] for number in shown]
    cells = {}
    for row, one in enumerate(shown):
        for column, other in enumerate(shown):
            share = sets.together[one][other] / sets.together[one][one]
            if row == column:
                cells[row, column] = MatrixCell(1.0, "", GRID)
            elif share:
                cells[row, column] = MatrixCell(share, f"{100 * share:.0f}", ACCENT)
    titles = ("of the images with", "per cent that also have")
    return draw_matrix((names, names), cells, titles, _describe_pairs(sets, len(shown)))


def choose_shown(sets: LabelSets) -> list[int]:
    """Return the numbers of the most frequent classes that have images, in their order."""
    counts = [sets.together[number][number] for number in range(len(sets.classes))]
    ranked = sorted((n for n in range(len(counts)) if counts[n]), key=lambda n: -counts[n])
    return sorted(ranked[:SHOWN_CLASSES])


def _describe_pairs(sets: LabelSets, shown: int) -> str:
    of_all = f"{shown} classes"
    if shown < len(sets.classes):
        of_all = f"the {shown} most frequent of {len(sets.classes)} classes"
    pairs = [
        f"{first} with {second} in {count_of(count, 'image')}"
        for first, second, count in sets.find_pairs(3)
    ]
    found = f": most often {', '.join(pairs)}" if pairs else ": no two are in one image"
    return f"Which of {of_all} are together{found}."


def draw_image_sizes(sizes: Sequence[tuple[int, int]]) -> Drawing | None:
    """Draw image widths against heights; the area of a dot is its number of images.

    Args:
        sizes: ``(width, height)`` of each image, in pixels.

    Returns:
        The drawing, or None if there are no sizes.
    """
    if not sizes:
        return None
    counted = Counter(sizes).most_common()
    (width, height), count = counted[0]
    alt = (
        f"{count_of(len(sizes), 'image')} in {count_of(len(counted), 'size')}; the most "
        f"frequent is {format_size((height, width))} ({format_count(count)})."
    )
    with new_figure(4.4, 4.0) as figure:
        axes = figure.add_subplot()
        reach = 1.12 * max(max(size) for size in sizes)
        axes.plot([0, reach], [0, reach], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        _draw_sizes(axes, sizes, reach)
        axes.set_xlim(0, reach)
        axes.set_ylim(0, reach)
        axes.set_aspect("equal")
        axes.set_xlabel("width, pixels")
        axes.set_ylabel("height, pixels")
        axes.grid(visible=True)
        return finish_drawing(figure, alt)


def _draw_sizes(axes: Axes, sizes: Sequence[tuple[int, int]], reach: float) -> None:
    """Draw sizes as dots, near ones joined, in a few steps of dot area."""
    step = max(1.0, reach / _SIZE_CELLS)
    cells = Counter((round(width / step), round(height / step)) for width, height in sizes)
    most = max(cells.values())
    by_area: dict[int, list[tuple[int, int]]] = {}
    for cell, count in cells.items():
        by_area.setdefault(math.ceil(_DOT_STEPS * count / most), []).append(cell)
    for area, group in by_area.items():
        axes.plot(
            [x * step for x, _ in group], [y * step for _, y in group], "o", color=ACCENT,
            alpha=0.45, markersize=2.0 + 10.0 * math.sqrt(area / _DOT_STEPS), markeredgewidth=0,
            zorder=3,
        )  # fmt: skip
