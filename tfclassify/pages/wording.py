"""Numbers as people read them, the same on a page and on a terminal.

Owns: digits, units, plurals and percent signs. Does not own: layout.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from tfclassify.recipe.wording import format_bytes as format_bytes  # the same in an error
from tfclassify.recipe.wording import format_seconds as format_seconds

if TYPE_CHECKING:
    from tfclassify.scoring.intervals import Interval

ABSENT = "–"


def is_share(metric: str) -> bool:
    """Say whether a metric is a share of images, or a mean of such: read best in per cent."""
    beginnings = ("top_", "precision", "recall", "exact", "hamming")
    return metric.startswith(beginnings) or metric.endswith(("accuracy", "ece"))


def format_score(name: str, value: float | None) -> str:
    """Write a metric's value, such as ``92.4 %`` or ``0.312``; a dash if there is none."""
    if value is None or value != value:
        return ABSENT
    return f"{100.0 * value:.1f} %" if is_share(name) else f"{value:.3f}"


def format_range(name: str, interval: Interval) -> str:
    """Write an interval's two ends, such as ``89.6–94.9 %``; a dash if there is none."""
    if interval.low is None or interval.high is None:
        return ABSENT
    if is_share(name):
        return f"{100.0 * interval.low:.1f}–{100.0 * interval.high:.1f} %"
    return f"{interval.low:.3f}–{interval.high:.3f}"


def title_of(name: str, task: str = "multi_class") -> str:
    """Return a metric's title; its name where no task has it.

    Args:
        name: The metric.
        task: Whose metric of that name is meant; another task's where it has none.
    """
    from tfclassify.scoring.tasks import TASKS  # needs NumPy, which --help should not wait for

    for known in (TASKS[task], *TASKS.values()):
        if name in known.metrics:
            return known.metrics[name].title
    return name


def format_count(number: int) -> str:
    """Write a whole number with a separator of thousands, such as ``12,345``."""
    return f"{number:,}"


def count_of(number: int, one: str, many: str = "") -> str:
    """Write a number and its noun, such as ``1 image`` or ``2,713 images``."""
    return f"{format_count(number)} {one if number == 1 else many or one + 's'}"


def format_large(number: float) -> str:
    """Write a count of operations with four digits, such as ``3.858 G`` or ``100 M``."""
    for factor, sign in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= factor:
            return f"{number / factor:.4g}{sign}"
    return f"{number:g}"


def format_ms(time: float | None) -> str:
    """Write a number of milliseconds, without the unit; a dash if there is none."""
    return ABSENT if time is None else f"{time:.3f}" if time < 10 else f"{time:.1f}"


def format_share(part: float, whole: float) -> str:
    """Write a share in per cent; a dash where there is no whole."""
    return f"{100 * part / whole:.1f} %" if whole else ABSENT


def format_difference(name: str, value: float | None) -> str:
    """Write a difference of two scores with its sign, such as ``+1.3 points`` of per cent."""
    if value is None:
        return ABSENT
    text = format_score(name, abs(value)).replace(" %", " points")
    # A difference that rounds to nothing has no sign.
    is_nothing = not any(digit in text for digit in "123456789")
    return text if is_nothing else f"{'+' if value > 0 else '-'}{text}"


def format_difference_range(name: str, interval: Interval) -> str:
    """Write both ends of a difference with their signs; a dash if there are none."""
    if interval.low is None or interval.high is None:
        return ABSENT
    low = format_difference(name, interval.low).removesuffix(" points")
    return f"{low} to {format_difference(name, interval.high)}"


def format_p(value: float | None) -> str:
    """Write a p-value, such as ``0.031`` or ``< 0.001``; a dash if there is none."""
    return ABSENT if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def format_size(size: tuple[int, int]) -> str:
    """Write an image's ``(height, width)`` as people say it: ``224 × 160 pixels``, width first."""
    return f"{size[1]} × {size[0]} pixels"


def clean_text(text: str) -> str:
    """Replace what must not reach a page or a terminal: control and lone surrogate characters."""
    return "".join(
        "�" if unicodedata.category(sign) in ("Cc", "Cs") and sign not in "\n\t" else sign
        for sign in text
    )


def shorten(text: str, longest: int) -> str:
    """Cut a text at ``longest`` characters, with an ellipsis in the last place."""
    return text if len(text) <= longest else text[: max(1, longest - 1)].rstrip() + "…"
