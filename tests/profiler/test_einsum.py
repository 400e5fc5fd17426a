from __future__ import annotations

import itertools

import pytest

from tfclassify.profiler.einsum import parse_equation, split_equation


def count_by_loops(equation: str, shapes) -> int:
    """Count the combinations of all labels, each of which is one product."""
    left, _ = equation.split("->")
    sizes = {}
    for text, shape in zip(left.split(","), shapes, strict=True):
        sizes.update(zip(text, shape, strict=True))
    return sum(1 for _ in itertools.product(*map(range, sizes.values())))


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("abc,cd->abd", [(2, 3, 4), (4, 5)]),
        ("aecd,abcd->acbe", [(1, 3, 2, 4), (1, 5, 2, 4)]),
        ("ij,jk->ik", [(3, 4), (4, 2)]),
        ("bi,bi->b", [(3, 4), (3, 4)]),
    ],
)
def test_products_by_loops(equation, shapes) -> None:
    assert parse_equation(equation, shapes).macs == count_by_loops(equation, shapes)


def test_an_ellipsis_stands_for_what_is_left() -> None:
    assert parse_equation("...i,ij->...j", [(2, 3, 4), (4, 5)]).macs == 2 * 3 * 4 * 5
    labels, output = split_equation("...i,...j->...ij", [2, 3])
    assert [len(text) for text in labels] == [2, 3]
    assert labels[0][0] == labels[1][1]
    assert len(output) == 4


def test_without_a_contraction_it_is_a_plain_product() -> None:
    plan = parse_equation("i,j->ij", [(3,), (4,)])
    assert (plan.macs, plan.elementwise["Multiply"]) == (0, 12)


def test_a_label_of_one_operand_is_summed_first() -> None:
    plan = parse_equation("ij,k->k", [(2, 3), (4,)])
    assert (plan.macs, plan.elementwise["Sum"]) == (0, 5)
    assert plan.elementwise["Multiply"] == 4
    assert parse_equation("ij->i", [(2, 3)]).elementwise == {"Sum": 4}


def test_three_operands_are_not_counted() -> None:
    assert parse_equation("i,i,i->i", [(2,)] * 3) is None
