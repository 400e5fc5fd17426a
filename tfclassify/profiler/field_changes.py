"""What the rules of the receptive field are made of.

Owns: the form of a rule and the changes that several of them make. Does not own: the
rules (``window_rules``, ``layout_rules``).

A rule takes a node and the field of each operand, None for one that does not depend on
the input, and returns the field of the first result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfclassify.profiler.fields import Field, unite_fields
from tfclassify.profiler.spans import Span

Operands = Sequence[Field | None]
Rule = Callable[[Any, Operands], Field | None]


class NoRuleError(Exception):
    """An operation is used in a way for which there is no rule."""


def static(tensor: Any) -> Any:
    """Return a tensor's constant value.

    Raises:
        NoRuleError: If the graph does not fix it.
    """
    value = tf.get_static_value(tensor)
    if value is None:
        raise NoRuleError
    return value


def lengths_of(tensor: Any) -> list[int]:
    """Return a tensor's shape.

    Raises:
        NoRuleError: If it is not fixed.
    """
    if not tensor.shape.is_fully_defined():
        raise NoRuleError
    return list(tensor.shape.as_list())


def change_spans(field: Field, axis: int, change: Callable[[Span], Span]) -> Field:
    """Apply a change to the span that a tensor's axis moves in.

    Raises:
        NoRuleError: If the axis moves in several, as after two were joined.
    """
    place = field.places[axis]
    if field.spans is None or not place:
        return field
    if len(place) > 1:
        raise NoRuleError
    number = place[0][0]
    spans = tuple(
        change(span) if n == number and not span.is_global else span
        for n, span in enumerate(field.spans)
    )
    return Field(field.places, spans)


def unite(node: Any, operands: Operands) -> Field:
    """Value by value, with broadcasting."""
    present = [field for field in operands if field is not None]
    return unite_fields(present, node.outputs[0].shape.rank)


def carry(node: Any, operands: Operands) -> Field | None:
    """The first operand as it is."""
    return operands[0]


def ignore(node: Any, operands: Operands) -> None:
    """Nothing of the values is looked at, only their shape."""
    return None
