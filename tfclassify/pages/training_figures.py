"""How training went: curves over the epochs of all phases.

Owns: the learning curves. Does not own: the look (``drawing``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfclassify.pages.content import EpochRecord, PhaseRecord
from tfclassify.pages.drawing import (
    ACCENT,
    ALERT,
    FAINT,
    GRID,
    MUTED,
    SECOND,
    Drawing,
    finish_drawing,
    label,
    new_figure,
    rule_grid,
)
from tfclassify.pages.wording import format_score, title_of
from tfclassify.scoring.tasks import MULTI_CLASS, MULTI_LABEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Panels side by side, and metrics shown: with the learning rate, two rows.
_COLUMNS, _SHOWN = 3, 5

#: Up to this many learning rates, each has its own tick.
_NAMED_RATES = 3

#: Up to this many epochs, each one gets a dot.
_DOTTED_EPOCHS = 25


def draw_learning_curves(phases: Sequence[PhaseRecord], metric: str) -> Drawing | None:
    """Draw loss, headline metric, more metrics and the learning rate over all epochs.

    Phases follow one another from left to right, every second one shaded; the epoch
    whose weights a phase kept is ringed.

    Args:
        phases: The phases in order.
        metric: The headline metric: drawn behind the loss where it was recorded. Behind
            it come others as they were recorded, six panels in all at most.

    Returns:
        The drawing, or None if no epoch was finished.
    """
    if not any(phase.epochs for phase in phases):
        return None
    shown = _list_shown(phases, metric)
    columns = min(_COLUMNS, len(shown) + 1)
    rows = -(-(len(shown) + 1) // columns)
    with new_figure(10.2, 0.7 + 2.5 * rows) as figure:
        grid = figure.add_gridspec(rows, columns)
        places = [divmod(number, columns) for number in range(len(shown) + 1)]
        for name, (row, column) in zip(shown, places, strict=False):
            _draw_metric(figure.add_subplot(grid[row, column]), phases, name)
        _draw_rates(figure.add_subplot(grid[places[-1]]), phases)
        _add_legend(figure, phases)
        return finish_drawing(figure, _describe(phases, metric))


def _list_shown(phases: Sequence[PhaseRecord], metric: str) -> list[str]:
    """Return the loss, the headline metric, then what else was recorded, in its order."""
    records = [record for phase in phases for record in phase.epochs]
    recorded = dict.fromkeys(
        name for record in records for name in (*record.validation, *record.train)
    )
    wanted = dict.fromkeys(("loss", metric, *recorded))
    return [name for name in wanted if name in recorded or name == "loss"][:_SHOWN]


def _starts(phases: Sequence[PhaseRecord]) -> list[int]:
    """Return how many epochs went before each phase."""
    starts, total = [], 0
    for phase in phases:
        starts.append(total)
        total += len(phase.epochs)
    return starts


def _draw_metric(axes: Axes, phases: Sequence[PhaseRecord], name: str) -> None:
    total = sum(len(phase.epochs) for phase in phases)
    marker = {"marker": "o", "markersize": 2.6} if total <= _DOTTED_EPOCHS else {}
    for start, phase in zip(_starts(phases), phases, strict=True):
        for split, colour in (("train", FAINT), ("validation", ACCENT)):
            points = _points(phase.epochs, split, name)
            if points:
                epochs, values = zip(*points, strict=True)
                axes.plot([start + e for e in epochs], values, color=colour, zorder=3, **marker)
        best = dict(_points(phase.epochs, "validation", name)).get(phase.best_epoch or 0)
        if best is not None:
            axes.plot(
                start + (phase.best_epoch or 0), best, "o", markersize=7, markerfacecolor="none",
                markeredgecolor=ALERT, markeredgewidth=1.4, zorder=4,
            )  # fmt: skip
    _finish_axes(axes, phases, title_of(name, _find_task(phases)))


def _find_task(phases: Sequence[PhaseRecord]) -> str:
    """Say which task's metrics were recorded: only label sets have average precision."""
    records = [record for phase in phases for record in phase.epochs]
    return MULTI_LABEL if any("map" in record.validation for record in records) else MULTI_CLASS


def _finish_axes(axes: Axes, phases: Sequence[PhaseRecord], title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, pad=20 if len(phases) > 1 else 9)
    axes.set_xlabel("epoch")
    axes.set_xlim(0.5, sum(len(phase.epochs) for phase in phases) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))
    rule_grid(axes)
    _mark_phases(axes, phases)


def _add_legend(figure: Figure, phases: Sequence[PhaseRecord]) -> None:
    from matplotlib.lines import Line2D

    records = [record for phase in phases for record in phase.epochs]
    entries = []
    if any(record.train for record in records):
        entries.append(Line2D([], [], color=FAINT, label="training"))
    if any(record.validation for record in records):
        entries.append(Line2D([], [], color=ACCENT, label="validation"))
    if any(phase.best_epoch for phase in phases):
        ring = {"marker": "o", "markerfacecolor": "none", "markersize": 6}
        entries.append(Line2D([], [], color=ALERT, linestyle="", label="kept epoch", **ring))
    figure.legend(handles=entries, loc="outside upper left", ncols=3, columnspacing=1.4)


def _points(epochs: Sequence[EpochRecord], split: str, name: str) -> list[tuple[int, float]]:
    """Return the (epoch, value) pairs that are numbers."""
    found = []
    for record in epochs:
        value = (record.train if split == "train" else record.validation).get(name)
        if value is not None and value == value:
            found.append((record.epoch, value))
    return found


def _mark_phases(axes: Axes, phases: Sequence[PhaseRecord]) -> None:
    from matplotlib.transforms import blended_transform_factory

    place = blended_transform_factory(axes.transData, axes.transAxes)
    for number, (start, phase) in enumerate(zip(_starts(phases), phases, strict=True)):
        if not phase.epochs:
            continue
        if number % 2:
            end = start + len(phase.epochs) + 0.5
            axes.axvspan(start + 0.5, end, color=GRID, alpha=0.55, linewidth=0, zorder=0)
        if len(phases) > 1:
            axes.text(
                start + 0.5, 1.02, label(phase.name, 14), transform=place,
                ha="left", va="bottom", fontsize=8, color=MUTED,
            )  # fmt: skip


def _draw_rates(axes: Axes, phases: Sequence[PhaseRecord]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

    rates: set[float] = set()
    for start, phase in zip(_starts(phases), phases, strict=True):
        points = [(start + e.epoch, e.learning_rate) for e in phase.epochs if e.learning_rate]
        if points:
            rates |= {rate for _, rate in points}
            epochs, values = zip(*points, strict=True)
            marker = {"marker": "o", "markersize": 2.6} if len(points) == 1 else {}
            axes.plot(epochs, values, color=SECOND, linewidth=1.4, **marker)
    if rates:
        axes.set_yscale("log")
        is_few = len(rates) <= _NAMED_RATES
        axes.yaxis.set_major_locator(
            FixedLocator(sorted(rates)) if is_few else LogLocator(numticks=6)
        )
        form = ".2g" if is_few else ".0e"
        axes.yaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value:{form}}".replace("e-0", "e-"))
        )
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="y", which="minor", length=0)
    _finish_axes(axes, phases, "Learning rate")


def _describe(phases: Sequence[PhaseRecord], metric: str) -> str:
    total = sum(len(phase.epochs) for phase in phases)
    parts = [f"Learning curves over {total} epochs in {len(phases)} phases."]
    for phase in phases:
        best = dict(_points(phase.epochs, "validation", metric)).get(phase.best_epoch or 0)
        if best is not None:
            score = format_score(metric, best)
            parts.append(
                f"Phase {phase.name} kept epoch {phase.best_epoch}: "
                f"validation {title_of(metric).lower()} {score}."
            )
    return " ".join(parts)
