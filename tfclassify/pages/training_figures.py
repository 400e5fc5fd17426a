"""How training went: curves over the epochs of all phases.

Owns: the record of a phase and the learning curves. Does not own: the look (``drawing``),
where epochs are recorded (``training``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfclassify.pages.drawing import (
    ACCENT,
    ALERT,
    FAINT,
    GRID,
    MUTED,
    SECOND,
    WIDTH,
    Drawing,
    finish_drawing,
    label,
    new_figure,
    rule_grid,
)
from tfclassify.pages.wording import format_score, title_of
from tfclassify.scoring.epochs import EpochRecord
from tfclassify.scoring.tasks import MULTI_CLASS, MULTI_LABEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Panels side by side, and metrics shown: with the learning rate, three rows.
_COLUMNS, _SHOWN = 2, 5

#: Up to this many learning rates, each has its own tick.
_NAMED_RATES = 3

#: Up to this many epochs, each one gets a dot.
_DOTTED_EPOCHS = 25


@dataclass(frozen=True)
class PhaseRecord:
    """One phase of training, as it went.

    Attributes:
        name: As in the recipe.
        trained: What was trained, in words, such as ``head`` or ``last 2 blocks``.
        epochs: The epochs that were finished.
        best_epoch: Epoch within the phase whose weights were kept, from 1; None if
            the last epoch's were kept.
        planned_epochs: Epochs that the recipe allows.
        reason: Why the phase ended, such as ``no gain in 5 epochs``.
        trainable_parameters: Parameters that were trained; None if unknown.
        image_size: ``(height, width)`` of its training images, where phases differ in it.
    """

    name: str
    trained: str
    epochs: tuple[EpochRecord, ...]
    best_epoch: int | None = None
    planned_epochs: int | None = None
    reason: str = ""
    trainable_parameters: int | None = None
    image_size: tuple[int, int] | None = None

    @property
    def title(self) -> str:
        """Its name, with the size of its images where phases differ in it."""
        if self.image_size is None:
            return self.name
        height, width = self.image_size
        return f"{self.name} {height}x{width}"

    @property
    def seconds(self) -> float:
        """Time that the phase's epochs took."""
        return sum(record.seconds for record in self.epochs)

    @property
    def kept_epoch(self) -> int | None:
        """Epoch within the phase whose weights it ended with; None if none was finished."""
        return self.best_epoch or len(self.epochs) or None

    @property
    def rates(self) -> list[tuple[float, float]]:
        """``(epochs since the phase began, learning rate)``, several within an epoch."""
        points = []
        for record in self.epochs:
            rates = record.learning_rates or (record.learning_rate,) * 2
            for number, rate in enumerate(rates):
                points.append((record.epoch - 1 + number / max(1, len(rates) - 1), rate))
        return points

    def kept_score(self, metric: str) -> float | None:
        """Return the validation score of the kept epoch; None if it is not known."""
        kept = self.kept_epoch
        return self.epochs[kept - 1].validation.get(metric) if kept else None


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
    phases = [phase for phase in phases if phase.epochs]
    if not phases:
        return None
    shown = _list_shown(phases, metric)
    rows = -(-(len(shown) + 1) // _COLUMNS)
    with new_figure(WIDTH, 0.6 + 2.1 * rows) as figure:
        axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
        for place, name in zip(axes, shown, strict=False):
            _draw_metric(place, phases, name)
        _draw_rates(axes[len(shown)], phases)
        for empty in axes[len(shown) + 1 :]:
            empty.remove()
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
    return [sum(len(phase.epochs) for phase in phases[:place]) for place in range(len(phases))]


def _mark_dots(count: int) -> dict[str, object]:
    """Give each epoch a dot, while there are few enough of them."""
    return {"marker": "o", "markersize": 2.6} if count <= _DOTTED_EPOCHS else {}


def _draw_metric(axes: Axes, phases: Sequence[PhaseRecord], name: str) -> None:
    marker = _mark_dots(sum(len(phase.epochs) for phase in phases))
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


def _finish_axes(
    axes: Axes, phases: Sequence[PhaseRecord], title: str, *, is_continuous: bool = False
) -> None:
    """Name the axes and the phases.

    Args:
        axes: Of one panel.
        phases: The phases.
        title: What the panel shows.
        is_continuous: Whether values stand within epochs, so that the axis starts at 0.
    """
    from matplotlib.ticker import MaxNLocator

    total = sum(len(phase.epochs) for phase in phases)
    axes.set_title(title, pad=20 if len(phases) > 1 else 9)
    axes.set_xlabel("epoch")
    axes.set_xlim(0.0 if is_continuous else 0.5, total + (0.0 if is_continuous else 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    rule_grid(axes)
    _mark_phases(axes, phases, 0.0 if is_continuous else 0.5)


def _mark_phases(axes: Axes, phases: Sequence[PhaseRecord], shift: float) -> None:
    from matplotlib.transforms import blended_transform_factory

    place = blended_transform_factory(axes.transData, axes.transAxes)
    for number, (start, phase) in enumerate(zip(_starts(phases), phases, strict=True)):
        if number % 2:
            end = start + len(phase.epochs) + shift
            axes.axvspan(start + shift, end, color=GRID, alpha=0.55, linewidth=0, zorder=0)
        if len(phases) > 1:
            longest = 12 if phase.image_size is None else 16
            axes.text(
                start + shift, 1.02, label(phase.title, longest), transform=place,
                ha="left", va="bottom", fontsize=8.5, color=MUTED,
            )  # fmt: skip


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


def _draw_rates(axes: Axes, phases: Sequence[PhaseRecord]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

    rates: set[float] = set()
    for start, phase in zip(_starts(phases), phases, strict=True):
        points = [(place, rate) for place, rate in phase.rates if rate > 0]
        if points:
            places, values = zip(*points, strict=True)
            rates |= set(values)
            axes.plot([start + place for place in places], values, color=SECOND, linewidth=1.4)
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
    _finish_axes(axes, phases, "Learning rate", is_continuous=True)


def _describe(phases: Sequence[PhaseRecord], metric: str) -> str:
    total = sum(len(phase.epochs) for phase in phases)
    parts = [f"Learning curves over {total} epochs in {len(phases)} phases."]
    for phase in phases:
        best = dict(_points(phase.epochs, "validation", metric)).get(phase.best_epoch or 0)
        if best is not None:
            score = format_score(metric, best)
            parts.append(
                f"Phase {phase.title} kept epoch {phase.best_epoch}: "
                f"validation {title_of(metric).lower()} {score}."
            )
    return " ".join(parts)
