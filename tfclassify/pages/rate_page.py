"""The page of a learning-rate range test: its figure, and what it suggests."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tfclassify.pages.drawing import (
    ACCENT,
    SECOND,
    SOFT,
    WIDTH,
    Drawing,
    finish_drawing,
    keep_drawn,
    new_figure,
    rule_grid,
    scale_log,
)
from tfclassify.pages.rendering import Page, render_page

#: The figure ends where the loss is this far above the lowest, in parts of its fall.
_HEADROOM = 1.0


@dataclass(frozen=True, kw_only=True)
class RateReport(Page):
    """What a test showed.

    Attributes:
        name: The recipe's.
        phase: The phase's.
        key: Its learning rate in the recipe.
        present: What the recipe says now.
        rates: Of each update, rising.
        losses: One a rate.
        smoothed: Their moving average.
        suggestion: A tenth of the rate with the lowest smoothed loss, or None.
        caution: What stands against the suggestion; empty if nothing does.
    """

    name: str
    phase: str
    key: str
    present: float
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float | None
    caution: str = ""


def render_rate_page(report: RateReport) -> str:
    """Return the page of a test."""
    return render_page("lr.html", page=report, figures=keep_drawn(rates=draw_rates(report)))


def draw_rates(report: RateReport) -> Drawing:
    """Draw the loss over the learning rate, with what is suggested."""
    finite = [value for value in report.smoothed if math.isfinite(value)] or [0.0]
    with new_figure(WIDTH, 3.2) as figure:
        axes = figure.add_subplot()
        scale_log(axes, lambda rate: f"{rate:.0e}")
        axes.plot(report.rates, report.losses, ".", color=SOFT, markersize=3, label="an update")
        axes.plot(report.rates, report.smoothed, color=ACCENT, label="smoothed")
        for rate, name, line in (
            (report.suggestion, "suggestion", "-"),
            (report.present, "the recipe's", ":"),
        ):
            if rate is not None:
                axes.axvline(rate, color=SECOND, linestyle=line, linewidth=1.2, label=name)
        low, first = min(finite), finite[0]
        fall = max(first - low, 0.05 * abs(first), 1e-6)
        axes.set_ylim(low - 0.2 * fall, first + _HEADROOM * fall)
        axes.set_xlabel("learning rate")
        axes.set_ylabel("training loss")
        axes.legend(loc="lower left")
        rule_grid(axes)
        told = "none" if report.suggestion is None else f"{report.suggestion:.2g}"
        return finish_drawing(
            figure,
            f"Training loss over {len(report.rates)} rising learning rates; suggested: {told}.",
        )
