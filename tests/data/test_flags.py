from __future__ import annotations

from typing import Any

import pytest

from tfclassify.data.flags import decode_flags, select_by_flags, weigh_flags
from tfclassify.data.listing import Row
from tfclassify.errors import SourceError
from tfclassify.recipe.schema import DataRecipe

FLAGS = {"broken": 1, "blurred": 2, "dark": 4, "lamp": 8, "hard": 16}


def make_data(**keys: Any) -> DataRecipe:
    return DataRecipe(source="x", columns={"flags": "Extra"}, flags=FLAGS, **keys)


@pytest.mark.parametrize(
    ("value", "marks"),
    [
        ("", ()),
        ("0", ()),
        ("1", ("broken",)),
        ("6", ("blurred", "dark")),
        ("20.0", ("dark", "hard")),
        ("31", ("broken", "blurred", "dark", "lamp", "hard")),
    ],
)
def test_bits_are_marks(value: str, marks: tuple[str, ...]) -> None:
    assert decode_flags(value, "t.csv, line 2", make_data()) == marks


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "nan", "inf", "1e300"])
def test_what_is_no_number_of_bits(value: str) -> None:
    with pytest.raises(SourceError, match=r"^t\.csv, line 2: flags must be a whole number .*Extra"):
        decode_flags(value, "t.csv, line 2", make_data())


def test_a_bit_without_a_name() -> None:
    match = r"line 2: flags 96 hold the bit 32, which data\.flags does not name; it has broken 1, "
    with pytest.raises(SourceError, match=match):
        decode_flags("96", "line 2", make_data())


def select(**keys: Any) -> str:
    marks = {"a": (), "b": ("blurred",), "c": ("blurred", "dark"), "d": ("dark",)}
    rows = [Row(name, "", "", flags=flags) for name, flags in marks.items()]
    return "".join(row.image for row in select_by_flags(rows, make_data(**keys)))


def test_images_are_left_out_by_their_marks() -> None:
    assert select() == "abcd"
    assert select(drop_flags=("dark",)) == "ab"
    assert select(drop_flags=("dark", "blurred")) == "a"
    assert select(keep_flags=("dark", "hard")) == "cd"
    assert select(keep_flags=("blurred",), drop_flags=("dark",)) == "b"


def test_weights_of_marks_are_multiplied() -> None:
    data = make_data(flag_weights={"hard": 2.0, "dark": 0.25})
    assert weigh_flags((), data) == 1.0
    assert weigh_flags(("hard", "blurred"), data) == 2.0
    assert weigh_flags(("dark", "hard"), data) == 0.5
