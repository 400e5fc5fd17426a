"""The page on how well labellers agree, and the same tables for a terminal.

Owns: what it says. Does not own: the figures of agreement (``agreement``), the look
(``pages``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tfclassify.labelling.agreement import Agreement, PairAgreement, find_band
from tfclassify.labelling.ratings import Value
from tfclassify.pages.charts import DotRow, MatrixCell, draw_dots, draw_matrix
from tfclassify.pages.drawing import ACCENT, ALERT, Drawing, Figures, keep_drawn
from tfclassify.pages.pictures import Photo
from tfclassify.pages.rendering import Page, render_page
from tfclassify.pages.tables import Cell, Row, Table, show_interval
from tfclassify.pages.wording import ABSENT, count_of, format_count, format_share
from tfclassify.scoring.intervals import Interval

#: Answers that a matrix shows, and rows of the longer tables.
SHOWN_ANSWERS, SHOWN_ROWS = 24, 20
#: Pairs of labellers whose answers are drawn as a matrix; the table of pairs has all.
SHOWN_PAIRS = 6
_SHARE = "accuracy"  # a name whose scores are written in per cent
_KAPPA = "kappa"


@dataclass(frozen=True, kw_only=True)
class AgreeReport(Page):
    """Everything that is said of a session's answers.

    Attributes:
        session: Its folder.
        agreement: On the labels.
        fine: On labels with their sub-labels; None where there are none.
        outcomes: Images by what they come to: majority, adjudicated, rejected.
        disputed: Images that labellers disagree on and nobody has decided.
        photos: Some of these, with who said what.
    """

    session: str
    agreement: Agreement
    fine: Agreement | None
    outcomes: dict[str, int]
    disputed: int
    photos: tuple[Photo, ...] = ()

    @property
    def lead(self) -> str:
        """The page in a sentence."""
        found = self.agreement
        band = find_band(found.alpha.value)
        said = f"Krippendorff’s alpha {found.alpha.describe()}: {band}."
        different = [each.name for each in found.labellers if each.is_different]
        if different:
            said += f" Agreement is better without {' or without '.join(different)}."
        return f"{said} {count_of(self.disputed, 'image')} to be decided."

    @property
    def score_table(self) -> Table:
        """The coefficients."""
        parts = [("labels", self.agreement)]
        parts += [("with sub-labels", self.fine)] if self.fine is not None else []
        rows = [row for name, found in parts for row in _list_coefficients(name, found)]
        head = ["Coefficient", "Answers", "Band", "Value", "Images"]
        return Table("Coefficients of agreement", head, rows, 2)

    @property
    def band_table(self) -> Table:
        """Images by their own agreement."""
        found = self.agreement
        rows = [
            [name, format_count(count), format_share(count, found.shared)]
            for name, count in found.bands.items()
        ]
        return Table("Images by their own agreement", ["Band", "Images", "Share"], rows, 2)

    @property
    def outcome_table(self) -> Table:
        """What the images come to."""
        rows = [[name, format_count(count)] for name, count in self.outcomes.items()]
        return Table("What the images come to", ["Outcome", "Images"], rows, 1)

    @property
    def labeller_table(self) -> Table:
        """Each labeller against the others."""
        rows: list[Row] = [
            [
                Cell(each.name, mark="bad") if each.is_different else each.name,
                format_count(each.answers),
                format_count(each.shared),
                show_interval(_SHARE, each.raw),
                _show(each.alpha_without),
                _show(each.gain),
            ]
            for each in self.agreement.labellers
        ]
        head = ["Labeller", "Answers", "Shared", "As the others", "Alpha without", "Gain"]
        return Table("Labellers against the others", head, rows, 5)

    @property
    def pair_table(self) -> Table:
        """Every two labellers, who agree least first."""
        pairs = sorted(self.agreement.pairs, key=lambda pair: pair.raw.value or 0.0)
        rows: list[Row] = [
            [
                f"{pair.first}, {pair.second}",
                find_band(pair.kappa.value),
                show_interval(_SHARE, pair.raw),
                show_interval(_KAPPA, pair.kappa),
                format_count(pair.raw.n),
            ]
            for pair in pairs[:SHOWN_ROWS]
        ]
        head = ["Labellers", "Band", "Same answer", "Cohen’s kappa", "Images"]
        return Table("Pairs of labellers", head, rows, 3)

    @property
    def class_table(self) -> Table:
        """Each class against all others, the least agreed on first."""
        classes = sorted(self.agreement.classes, key=lambda each: each.again.value or 0.0)
        rows: list[Row] = [
            [
                each.name,
                find_band(each.alpha.value),
                show_interval(_SHARE, each.again),
                show_interval(_KAPPA, each.alpha),
                format_count(each.named),
            ]
            for each in classes
        ]
        head = ["Class", "Band", "Said again", "Alpha", "Images"]
        return Table("Agreement by class", head, rows, 3)

    @property
    def confusion_table(self) -> Table:
        """Which answers stand beside which most often."""
        counted = count_confusions(self.agreement.pairs)
        values = self.agreement.ratings.values
        rows = [
            [f"{name_value(values[one])} or {name_value(values[other])}", format_count(count)]
            for (one, other), count in counted.most_common(SHOWN_ROWS)
        ]
        return Table(
            "The most frequent disagreements", ["One says, another says", "Times"], rows, 1
        )


def _list_coefficients(name: str, found: Agreement) -> list[Row]:
    fleiss = f"Fleiss’ kappa, {found.fleiss_answers} answers an image"
    rows = [
        ("Same answer, raw", _SHARE, found.raw),
        ("Krippendorff’s alpha", _KAPPA, found.alpha),
        (fleiss, _KAPPA, found.fleiss),
    ]
    return [
        [
            title,
            name,
            ABSENT if kind == _SHARE else find_band(each.value),
            show_interval(kind, each),
            format_count(each.n),
        ]
        for title, kind, each in rows
    ]


def _show(interval: Interval | None) -> str | Cell:
    return ABSENT if interval is None else show_interval(_KAPPA, interval)


def name_value(value: Value) -> str:
    """Write an answer; several labels are joined by a plus sign."""
    return " + ".join(value) or "none"


def count_confusions(pairs: Sequence[PairAgreement]) -> Counter[tuple[int, int]]:
    """Count two different answers to one image over all pairs of labellers, either way round."""
    counted: Counter[tuple[int, int]] = Counter()
    for pair in pairs:
        for one, other, count in pair.confusion.tolist():
            if one != other:
                counted[min(one, other), max(one, other)] += count
    return counted


def draw_agree_figures(report: AgreeReport) -> Figures:
    """Draw classes, labellers, and a matrix of each pair, the least agreeing first."""
    found = report.agreement
    classes = [
        DotRow(each.name, each.again.value, each.again.low, each.again.high)
        for each in sorted(found.classes, key=lambda each: each.again.value or 0.0)
    ]
    labellers = [
        DotRow(each.name, each.raw.value, each.raw.low, each.raw.high, is_marked=each.is_different)
        for each in found.labellers
    ]
    pairs = sorted(found.pairs, key=lambda pair: pair.raw.value or 0.0)[:SHOWN_PAIRS]
    matrices = {
        f"matrix-{number}": _draw_matrix(pair, found.ratings.values)
        for number, pair in enumerate(pairs)
    }
    return matrices | keep_drawn(
        classes=draw_dots(
            classes[:SHOWN_ANSWERS],
            "chance that a second answer names it too",
            f"Agreement on {min(len(classes), SHOWN_ANSWERS)} classes with intervals.",
            say=lambda share: f"{100 * share:.0f} %",
        ),
        labellers=draw_dots(
            labellers,
            "share of answers as the others",
            f"Agreement of {len(labellers)} labellers with the others, with intervals.",
            say=lambda share: f"{100 * share:.0f} %",
        ),
    )


def _draw_matrix(pair: PairAgreement, values: Sequence[Value]) -> Drawing:
    """Draw what one labeller said by what the other said, the most frequent answers alone."""
    cells = {(one, other): count for one, other, count in pair.confusion.tolist()}
    totals: Counter[int] = Counter()
    for (one, other), count in cells.items():
        totals[one] += count
        totals[other] += count
    shown = sorted(code for code, _ in totals.most_common(SHOWN_ANSWERS))
    place = {code: number for number, code in enumerate(shown)}
    rows = {code: sum(n for (one, _), n in cells.items() if one == code) for code in shown}
    squares = {
        (place[one], place[other]): MatrixCell(
            count / rows[one], str(count), ACCENT if one == other else ALERT
        )
        for (one, other), count in cells.items()
        if one in place and other in place
    }
    same = sum(count for (one, other), count in cells.items() if one == other)
    names = [name_value(values[code]) for code in shown]
    alt = (
        f"What {pair.first} said by what {pair.second} said: {same} of {pair.raw.n} images on the "
        "diagonal."
    )
    return draw_matrix((names, names), squares, (pair.first, pair.second), alt)


def render_agree_page(report: AgreeReport) -> str:
    """Return the page of a session's agreement."""
    return render_page("agree.html", page=report, figures=draw_agree_figures(report))


def describe_agreement(report: AgreeReport) -> str:
    """Write agreement for a terminal."""
    parts = [
        report.lead,
        report.score_table.to_text(),
        report.labeller_table.to_text(),
        report.class_table.first(SHOWN_ROWS).to_text(),
    ]
    if report.confusion_table.rows:
        parts.append(report.confusion_table.first(10).to_text())
    return "\n\n".join([*parts, report.outcome_table.to_text()])
