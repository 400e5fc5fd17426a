from __future__ import annotations

from collections import Counter
from fractions import Fraction

from tfclassify.profiler.fields import Extent, Span, unite_spans
from tfclassify.profiler.operations import ELEMENTWISE, FREE, PRODUCTS
from tfclassify.profiler.results import Cost, add_costs


def test_flops_are_twice_the_macs_and_the_rest() -> None:
    cost = Cost(10, Counter(Add=3, Relu=4), Counter(Sort=1))
    assert cost.flops == 27
    total = add_costs([cost, cost.repeated(3)])
    assert (total.macs, total.flops, total.uncounted["Sort"]) == (40, 108, 2)


def test_no_type_is_in_two_tables() -> None:
    assert not set(PRODUCTS) & set(ELEMENTWISE)
    assert not (set(PRODUCTS) | set(ELEMENTWISE)) & FREE


def test_spans_describe_themselves() -> None:
    square = Span().after_window(3, 2, 1)
    assert Extent((square, square)).describe() == "3/2"
    assert Extent((square, Span())).describe() == "3x1/2x1"
    everything = square.after_everything()
    assert Extent((everything, everything)).describe() == "global"
    assert Extent((everything, square)).describe() == "allx3/2"
    uneven = unite_spans(square, Span(Fraction(0), Fraction(1), Fraction(2)))
    assert (uneven.size, uneven.padding, uneven.is_aligned) == (3, 1, False)
    assert Extent((uneven, uneven)).describe() == "3/2 uneven"
    assert unite_spans(square, Span()) is None
