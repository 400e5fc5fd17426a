"""Reads an einsum's equation.

Owns: from an equation and shapes to what the product costs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class EinsumPlan:
    """What an einsum costs.

    Attributes:
        macs: Multiply-accumulates; 0 where nothing is multiplied and summed.
        elementwise: Additions and plain products, by name.
        contracted: For each operand, the axes that the result no longer has.
    """

    macs: int
    elementwise: dict[str, int] = field(default_factory=dict)
    contracted: tuple[tuple[int, ...], ...] = ()


def split_equation(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Return the labels of each operand and of the result, one character an axis.

    An ellipsis becomes capital Greek letters, right-aligned, so that it broadcasts.
    """
    left, _, output = equation.replace(" ", "").partition("->")
    operands = left.split(",")
    spread = [
        rank - len(text.replace("...", "")) for text, rank in zip(operands, ranks, strict=True)
    ]
    longest = max(spread)
    names = "".join(chr(0x391 + number) for number in range(longest))
    labels = [
        text.replace("...", names[longest - width :] if width else "")
        for text, width in zip(operands, spread, strict=True)
    ]
    return labels, output.replace("...", names)


def parse_equation(equation: str, shapes: Sequence[Sequence[int]]) -> EinsumPlan | None:
    """Work out an einsum's cost; None where it has more than two operands.

    A label that only one operand has and the result has not is summed over before the
    product. What is left costs one multiply-accumulate for each combination of labels,
    or one plain multiplication where no label is contracted.

    Example:
        >>> parse_equation("abc,cd->abd", [(1, 5, 7), (7, 3)]).macs
        105
    """
    if not 1 <= len(shapes) <= 2:
        return None
    labels, output = split_equation(equation, [len(shape) for shape in shapes])
    sizes: dict[str, int] = {}
    for text, shape in zip(labels, shapes, strict=True):
        for label, size in zip(text, shape, strict=True):
            sizes[label] = max(sizes.get(label, 1), size)
    contracted = tuple(
        tuple(axis for axis, label in enumerate(text) if label not in output) for text in labels
    )
    additions, kept = 0, []
    for number, text in enumerate(labels):
        others = "".join(labels[:number] + labels[number + 1 :]) + output
        remaining = [label for label in dict.fromkeys(text) if label in others]
        before = math.prod(sizes[label] for label in dict.fromkeys(text))
        additions += before - math.prod(sizes[label] for label in remaining)
        kept.append(remaining)
    if len(shapes) == 1:
        return EinsumPlan(0, {"Sum": additions}, contracted)
    every = dict.fromkeys(kept[0] + kept[1])
    products = math.prod(sizes[label] for label in every)
    if any(label not in output for label in every):
        return EinsumPlan(products, {"Sum": additions}, contracted)
    return EinsumPlan(0, {"Sum": additions, "Multiply": products}, contracted)
