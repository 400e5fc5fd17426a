"""How training went: curves over the epochs of all phases.

Owns: the learning curves. Does not own: the look (``drawing``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfclassify.report.content import EpochRecord, PhaseRecord
from tfclassify.report.drawing import (
    ACCENT,
    ALERT,
    FAINT,
    MUTED,
    SECOND,
    Drawing,
    finish_drawing,
    label,
    new_figure,
    rule_grid,
)
from tfclassify.report.wording import format_score, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Up to this many epochs, each one gets a dot.
_DOTTED_EPOCHS = 25


def draw_learning_curves(phases: Sequence[PhaseRecord], metric: str) -> Drawing | None:
    """Draw loss, headline metric and learning rate over all epochs.

    Phases follow one another from left to right, with a line between them; the epoch
    whose weights a phase kept is ringed.

    Args:
        phases: The phases in order.
        metric: The headline metric, drawn beside the loss where it was recorded.

    Returns:
        The drawing, or None if no epoch was finished.
    """
    if not any(phase.epochs for phase in phases):
        return None
    shown = ["loss"] + ([metric] if metric != "loss" and _is_recorded(phases, metric) else [])
    with new_figure(10.2, 3.3) as figure:
        grid = figure.add_gridspec(1, len(shown) + 1, width_ratios=[4] * len(shown) + [2.6])
        for column, name in enumerate(shown):
            _draw_metric(figure.add_subplot(grid[0, column]), phases, name)
        _draw_rates(figure.add_subplot(grid[0, -1]), phases)
        _add_legend(figure, phases)
        return finish_drawing(figure, _describe(phases, metric))


def _is_recorded(phases: Sequence[PhaseRecord], metric: str) -> bool:
    return any(metric in {*e.train, *e.validation} for phase in phases for e in phase.epochs)


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
    _finish_axes(axes, phases, title_of(name))


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
        if number:
            axes.axvline(start + 0.5, color=MUTED, linewidth=0.9, linestyle=(0, (3, 2)), zorder=2)
        if len(phases) > 1:
            axes.text(
                start + 0.5, 1.02, label(phase.name, 14), transform=place,
                ha="left", va="bottom", fontsize=8, color=MUTED,
            )  # fmt: skip


def _draw_rates(axes: Axes, phases: Sequence[PhaseRecord]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    is_positive = False
    for start, phase in zip(_starts(phases), phases, strict=True):
        points = [(start + e.epoch, e.learning_rate) for e in phase.epochs if e.learning_rate]
        if points:
            is_positive = True
            epochs, values = zip(*points, strict=True)
            marker = {"marker": "o", "markersize": 2.6} if len(points) == 1 else {}
            axes.plot(epochs, values, color=SECOND, linewidth=1.4, **marker)
    if is_positive:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.yaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value:.0e}".replace("e-0", "e-"))
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
