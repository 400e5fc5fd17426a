from __future__ import annotations

from tests.data.builders import make_index, make_set_index
from tfclassify.data.units import Unit, count_labels, draw_order, find_units


def test_groups_and_copies_join_through_others() -> None:
    # 0 and 2 share a group, 2 and 4 their bytes; 1 and 3 stand alone.
    index = make_index(["a"] * 5, groups=["g", "", "g", "", ""], digests=["p", "q", "r", "s", "r"])
    assert find_units(index.frame) == [
        Unit("00000.png", (0, 2, 4)),
        Unit("00001.png", (1,)),
        Unit("00003.png", (3,)),
    ]


def test_images_without_a_checksum_are_not_copies() -> None:
    index = make_index(["a"] * 3)
    assert len(find_units(index.frame.assign(sha256=""))) == 3


def test_the_labels_of_a_unit_are_counted_and_images_without_any() -> None:
    index = make_set_index(["ab", "b", "", "a"], groups=["g", "g", "g", ""])
    counts = count_labels(index, find_units(index.frame))
    # Of a, of b, without a label.
    assert counts.tolist() == [[1, 2, 1], [1, 0, 0]]


def test_the_order_of_old_units_outlives_new_ones() -> None:
    keys = [f"{number}.png" for number in range(40)]
    order = draw_order(keys, "0:test")
    more = [unit for unit in draw_order([*keys, "new.png"], "0:test") if unit < 40]
    assert order == more
    assert sorted(order) == list(range(40))
    assert order != draw_order(keys, "1:test")
