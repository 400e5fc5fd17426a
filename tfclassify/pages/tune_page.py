"""The page of a search: what was tried, what came of it, what mattered.

Owns: what it says, its table and figures. Does not own: the search (``workflows.tune``),
what the choice is worth (``tuning.selection``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tfclassify.pages.charts import DotRow, draw_score_bars
from tfclassify.pages.drawing import (
    ACCENT,
    FAINT,
    MUTED,
    SECOND,
    SOFT,
    WIDTH,
    Drawing,
    Figures,
    finish_drawing,
    keep_drawn,
    label,
    new_figure,
    rule_grid,
    scale_log,
)
from tfclassify.pages.rendering import Page, render_page
from tfclassify.pages.tables import Row, Table
from tfclassify.pages.wording import (
    ABSENT,
    format_difference,
    format_difference_range,
    format_large,
    format_ms,
    format_score,
    format_seconds,
    title_of,
)
from tfclassify.recipe.wording import format_bytes
from tfclassify.scoring.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Rows of the table, and curves of the figure.
_SHOWN, _CURVES = 20, 5
_SLICES = 12
#: A space at which no line breaks.
NARROW = "\N{NARROW NO-BREAK SPACE}"


@dataclass(frozen=True)
class TrialRow:
    """One trial.

    Attributes:
        number: From 0, which is the recipe as it was.
        state: complete, pruned, failed, refused or asked.
        values: What it changed, by recipe key.
        score: The metric on the validation images; None unless complete.
        cost: The second aim; None where there is none.
        seconds: Time that it took.
        curve: The metric after each epoch.
        reason: Why it was pruned, failed or refused.
    """

    number: int
    state: str
    values: Mapping[str, Any]
    score: float | None = None
    cost: float | None = None
    seconds: float = 0.0
    curve: tuple[float | None, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class NestedRow:
    """What nested folds say of the whole search.

    Attributes:
        folds: How many.
        honest: Score of what each fold chose, on images that its search never saw.
        start: Score of the recipe as it was, on the same images.
        gain: The first above the second, paired.
    """

    folds: int
    honest: Interval
    start: Interval
    gain: Interval


@dataclass(frozen=True, kw_only=True)
class TuneReport(Page):
    """Everything that a search says.

    Attributes:
        name: The recipe's.
        task: As in a recipe.
        metric: What the search was after.
        is_higher_better: Whether a larger value is a better one.
        cost_name: The second aim: macs, size, parameters, latency; empty where there is none.
        trials: By number.
        best: Number of the best trial.
        keys: Searched keys with what they may be, in words.
        logarithmic: Those of them that are searched on a logarithmic scale.
        naive: The best trial's score on the images that chose it; None where only one
            trial is complete.
        honest: What choosing is worth on other images.
        start: The score of the recipe as it was.
        gain: ``honest`` above ``start``, paired.
        chosen: How often each trial would have been chosen, as shares by number.
        nested: What nested folds say; None without them.
        importance: Share of the score's variation by key.
        front: Numbers of the trials that none beats in score and cost.
        seconds: Of the search, over all sittings.
        remarks: What a reader should know.
    """

    name: str
    task: str
    metric: str
    is_higher_better: bool
    cost_name: str = ""
    trials: tuple[TrialRow, ...]
    best: int
    keys: Mapping[str, str]
    logarithmic: frozenset[str] = frozenset()
    naive: Interval | None = None
    honest: Interval | None = None
    start: Interval | None = None
    gain: Interval | None = None
    chosen: Mapping[int, float] = field(default_factory=dict)
    nested: NestedRow | None = None
    importance: Mapping[str, float] = field(default_factory=dict)
    front: tuple[int, ...] = ()
    seconds: float = 0.0
    remarks: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What the score is called."""
        return title_of(self.metric, self.task)

    @property
    def ranked(self) -> list[TrialRow]:
        """The trials, the best first, those without a score last."""
        sign = -1.0 if self.is_higher_better else 1.0

        def rank(row: TrialRow) -> tuple[bool, float, int]:
            return row.score is None, sign * (row.score or 0.0), row.number

        return sorted(self.trials, key=rank)

    @property
    def table(self) -> Table:
        """The best trials and what they changed."""
        keys = list(self.keys)
        head = ["Trial", self.title, *([self.cost_title] if self.cost_name else [])]
        head += [*shorten_keys(keys), "Took"]
        rows: list[Row] = [self._list_row(row, keys) for row in self.ranked[:_SHOWN]]
        return Table("The best trials", head, rows, 1)

    def _list_row(self, row: TrialRow, keys: Sequence[str]) -> Row:
        score = format_score(self.metric, row.score) if row.score is not None else row.state
        name = f"{row.number}" if row.number else "0, as it was"
        return [
            name,
            score,
            *([self.format_cost(row.cost).replace(" ", NARROW)] if self.cost_name else []),
            *(show_value(row.values[key]) if key in row.values else ABSENT for key in keys),
            format_seconds(row.seconds),
        ]

    @property
    def cost_title(self) -> str:
        """What the second aim is called."""
        titles = {
            "macs": "MACs",
            "size": "Size of the weights",
            "parameters": "Parameters",
            "latency": "ms an image",
        }
        return titles.get(self.cost_name, self.cost_name)

    def format_cost(self, cost: float | None) -> str:
        """Write the second aim."""
        if cost is None:
            return ABSENT
        forms = {"latency": format_ms, "size": format_bytes}
        return forms.get(self.cost_name, format_large)(cost)

    def say_gain(self, gain: Interval) -> str:
        """How much a choice is above the recipe, and whether that is sure."""
        value = format_difference(self.metric, gain.value)
        if gain.low is None or gain.high is None:
            return f"{value} on the same images"
        is_sure = gain.low > 0 or gain.high < 0
        ends = format_difference_range(self.metric, gain)
        return f"{value} ({ends}), paired{'' if is_sure else ': it may be luck'}"

    @property
    def chosen_words(self) -> str:
        """How sure the choice is."""
        often = [f"trial {number} in {share:.0%}" for number, share in self.chosen.items()][:3]
        return f"Chosen were {', '.join(often)} of the samples." if often else ""

    @property
    def best_row(self) -> TrialRow:
        """The best trial."""
        return next(row for row in self.trials if row.number == self.best)

    @property
    def changes(self) -> list[tuple[str, str]]:
        """What the best trial changed, key and value."""
        return [(key, show_value(value)) for key, value in self.best_row.values.items()]

    @property
    def unfinished(self) -> list[str]:
        """What became of the trials without a score, a line a reason."""
        told: dict[str, list[int]] = {}
        for row in self.trials:
            if row.state in ("failed", "refused"):
                told.setdefault(f"{row.state}: {row.reason}", []).append(row.number)
        return [f"{_name_trials(numbers)} {reason}" for reason, numbers in told.items()]


def _name_trials(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:5])
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return f"trial{'s' if len(numbers) > 1 else ''} {shown}{more}"


def shorten_keys(keys: Sequence[str]) -> list[str]:
    """Return the last part of each key, or all of it where that is not the only one.

    >>> shorten_keys(["model.head.dropout", "phases[0].epochs", "phases[1].epochs"])
    ['dropout', 'phases[0].epochs', 'phases[1].epochs']
    """
    lasts = [key.rpartition(".")[2] for key in keys]
    pairs = zip(keys, lasts, strict=True)
    return [last if lasts.count(last) == 1 else key for key, last in pairs]


def show_value(value: Any) -> str:
    """Write a searched value briefly.

    >>> show_value(0.00123456), show_value((128, 64)), show_value(None)
    ('0.00123', '[128, 64]', 'null')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(show_value(item) for item in value)}]"
    return "null" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def render_tune_page(report: TuneReport) -> str:
    """Return the page of a search."""
    return render_page("tune.html", page=report, figures=draw_tune_figures(report))


def draw_tune_figures(report: TuneReport) -> Figures:
    """Draw what there is to draw."""
    return keep_drawn(
        history=draw_history(report),
        front=draw_front(report),
        importance=draw_importance(report),
        slices=draw_slices(report),
        parallel=draw_parallel(report),
        curves=draw_curves(report),
    )


def _list_scored(report: TuneReport) -> list[tuple[TrialRow, float]]:
    return [(row, row.score) for row in report.trials if row.score is not None]


def draw_history(report: TuneReport) -> Drawing | None:
    """Draw each trial's score, and the best so far, in the order of the trials."""
    scored = _list_scored(report)
    if len(scored) < 2:
        return None
    with new_figure(WIDTH, 2.6) as figure:
        axes = figure.add_subplot()
        numbers = [row.number for row, _ in scored]
        values = [score for _, score in scored]
        best: list[float] = []
        for value in values:
            is_better = not best or (value > best[-1]) == report.is_higher_better
            best.append(value if is_better else best[-1])
        axes.step(numbers, best, where="post", color=ACCENT, label="best so far")
        axes.plot(numbers, values, "o", color=SOFT, markersize=4, label="trial")
        axes.plot(numbers[:1], values[:1], "D", color=SECOND, markersize=5, label="the recipe")
        axes.set_xlabel("trial")
        axes.set_ylabel(report.title)
        axes.legend(loc="lower right" if report.is_higher_better else "upper right")
        rule_grid(axes)
        return finish_drawing(
            figure, f"{report.title} of {len(scored)} trials; the best has {max(values):.4g}."
        )


def draw_front(report: TuneReport) -> Drawing | None:
    """Draw score against cost, with the trials that none beats in both."""
    costed = [(row, score) for row, score in _list_scored(report) if row.cost is not None]
    if not report.cost_name or len(costed) < 2:
        return None
    with new_figure(WIDTH, 3.0) as figure:
        axes = figure.add_subplot()
        axes.plot([row.cost for row, _ in costed], [s for _, s in costed], "o", color=SOFT, ms=4)
        front = [(row, score) for row, score in costed if row.number in report.front]
        front.sort(key=lambda pair: pair[0].cost or 0.0)
        axes.step(
            [row.cost for row, _ in front],
            [s for _, s in front],
            "-o",
            where="post",
            color=ACCENT,
            markersize=5,
        )
        for row, score in front:
            axes.annotate(
                str(row.number),
                (row.cost or 0.0, score),
                (4, 4),
                textcoords="offset points",
                fontsize=8.5,
                color=MUTED,
            )
        costs = [row.cost or 0.0 for row, _ in costed]
        if min(costs) > 0 and max(costs) / min(costs) > 5:
            scale_log(axes, report.format_cost)
        else:
            axes.locator_params(axis="x", nbins=6)
            axes.xaxis.set_major_formatter(lambda cost, _: report.format_cost(cost))
        axes.set_xlabel(report.cost_title)
        axes.set_ylabel(report.title)
        rule_grid(axes)
        return finish_drawing(
            figure, f"{report.title} over {report.cost_title}; {len(front)} trials on the front."
        )


def draw_importance(report: TuneReport) -> Drawing | None:
    """Draw how much of the score's variation each key explains."""
    if not report.importance:
        return None
    rows = [DotRow(label(name, 40), share, None, None) for name, share in report.importance.items()]
    return draw_score_bars(
        rows,
        "share of the variation of the score",
        f"Importance of {len(rows)} keys; the most has {rows[0].name}.",
        "",
    )


def _list_axis(report: TuneReport, key: str) -> tuple[list[float], list[str] | None]:
    """Return a key's value in each scored trial as a number, NaN where it has none.

    Names come along where the values are choices.
    """
    values = [row.values.get(key, ...) for row, _ in _list_scored(report)]
    is_number = all(
        value is ... or (isinstance(value, (int, float)) and not isinstance(value, bool))
        for value in values
    )
    if is_number:
        return [math.nan if value is ... else float(value) for value in values], None
    names = sorted({show_value(value) for value in values if value is not ...})
    return [
        math.nan if value is ... else float(names.index(show_value(value))) for value in values
    ], names


def draw_slices(report: TuneReport) -> Drawing | None:
    """Draw the score over each key's values, a panel a key."""
    scored, keys = _list_scored(report), list(report.keys)[:_SLICES]
    if len(scored) < 3:
        return None
    rows = -(-len(keys) // 2)
    with new_figure(WIDTH, 0.4 + 1.75 * rows) as figure:
        grid = figure.subplots(rows, min(2, len(keys)), squeeze=False, sharey=True)
        for axes, key in zip(grid.flat, keys, strict=False):
            _draw_slice(axes, report, key)
        for axes in list(grid.flat)[len(keys) :]:
            axes.set_visible(False)
        figure.supylabel(report.title, color=MUTED, fontsize=9.5)
        return finish_drawing(figure, f"{report.title} over the values of {len(keys)} keys.")


def _draw_slice(axes: Axes, report: TuneReport, key: str) -> None:
    places, names = _list_axis(report, key)
    axes.plot(places, [score for _, score in _list_scored(report)], "o", color=ACCENT, ms=3.5)
    axes.set_title(label(key, 40), fontsize=9.0)
    if names is not None:
        axes.set_xticks(range(len(names)), [label(name, 12) for name in names])
        axes.set_xlim(-0.5, len(names) - 0.5)
    elif key in report.logarithmic:
        scale_log(axes, lambda value: f"{value:g}")
    rule_grid(axes)


def draw_parallel(report: TuneReport) -> Drawing | None:
    """Draw each trial as a line over all keys, the best ones in colour."""
    scored, keys = _list_scored(report), list(report.keys)[:_SLICES]
    if len(scored) < 3 or len(keys) < 2:
        return None
    columns = [_stretch(report, key) for key in keys]
    best = {row.number for row in report.ranked[:_CURVES]}
    with new_figure(WIDTH, 3.2) as figure:
        axes = figure.add_subplot()
        order = sorted(range(len(scored)), key=lambda place: scored[place][0].number in best)
        for place in order:
            is_best = scored[place][0].number in best
            heights = [column[place] for column in columns]
            axes.plot(
                heights, color=ACCENT if is_best else FAINT, linewidth=1.5 if is_best else 0.6
            )
        names = [label(name, 16) for name in shorten_keys(keys)]
        axes.set_xticks(range(len(keys)), names, rotation=30, ha="right")
        axes.set_yticks([0, 1], ["lowest", "highest"])
        axes.grid(visible=True, axis="x")
        return finish_drawing(
            figure, f"{len(scored)} trials over {len(keys)} keys, the best {len(best)} in colour."
        )


def _stretch(report: TuneReport, key: str) -> list[float]:
    """Return a key's values between 0 and 1."""
    places, names = _list_axis(report, key)
    if names is None and key in report.logarithmic:
        places = [math.log(place) for place in places]
    known = [place for place in places if not math.isnan(place)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    return [(place - low) / (high - low) if high > low else 0.5 for place in places]


def draw_curves(report: TuneReport) -> Drawing | None:
    """Draw the metric over the epochs of the best trials."""
    shown = [row for row in report.ranked[:_CURVES] if len(row.curve) > 1]
    if not shown:
        return None
    with new_figure(WIDTH, 2.6) as figure:
        axes = figure.add_subplot()
        for place, row in enumerate(shown):
            epochs = range(1, len(row.curve) + 1)
            values = [math.nan if value is None else value for value in row.curve]
            axes.plot(
                epochs,
                values,
                color=ACCENT if place == 0 else FAINT,
                linewidth=1.8 if place == 0 else 1.0,
                zorder=-place,
                label=f"trial {row.number}" if place == 0 else None,
            )
        axes.set_xlabel("epoch")
        axes.locator_params(axis="x", integer=True)
        axes.set_ylabel(report.title)
        axes.legend(loc="best")
        rule_grid(axes)
        return finish_drawing(figure, f"{report.title} by epoch of the {len(shown)} best trials.")
