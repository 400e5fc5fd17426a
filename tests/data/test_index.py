from __future__ import annotations

import numpy as np
import pytest

from tests.data.builders import make_index
from tfclassify.data.index import COLUMNS, image_key, make_frame
from tfclassify.errors import DataError


def test_a_frame_has_every_column_with_its_type_and_default() -> None:
    frame = make_frame(["a", "b"], ["x/a", "x/b"], label=["cat", "dog"])
    assert list(frame.columns) == list(COLUMNS)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == COLUMNS
    assert frame.iloc[0].tolist() == ["a", "x/a", "cat", "", "", 1.0, "ok", "", "", 0, 0]


def test_a_name_twice_is_an_error() -> None:
    with pytest.raises(DataError, match="image 'a' is listed twice"):
        make_frame(["a", "b", "a"], ["x", "y", "z"])


def test_class_ids_are_positions_and_minus_one_without_a_label() -> None:
    index = make_index(["dog", "", "cat"])
    assert index.classes == ("cat", "dog")
    assert index.class_ids().tolist() == [1, -1, 0]
    assert index.class_ids().dtype == np.int64


def test_a_label_that_is_no_class_is_an_error() -> None:
    index = make_index(["a", "b"])
    wrong = index.with_frame(index.frame.assign(label=["a", "c"]))
    with pytest.raises(DataError, match=r"made up: image '00001\.png' has the class 'c'"):
        wrong.class_ids()


def test_narrowing_leaves_out_what_is_quarantined() -> None:
    index = make_index(["a"] * 4, splits=["train", "train", "test", "validation"])
    index = index.with_frame(index.frame.assign(status=["ok", "quarantined", "ok", "ok"]))
    assert len(index.usable()) == 3
    assert index.in_split("train").paths() == ["/nowhere/00000.png"]
    assert index.in_split("test").frame.index.tolist() == [0]


def test_keys_depend_on_the_name_alone() -> None:
    # The first 8 bytes of SHA-256("abc"), halved.
    assert image_key("abc") == 0xBA7816BF8F01CFEA >> 1
    keys = make_index(["a", "b"], names=["abc", "x"]).keys()
    assert keys.dtype == np.int64
    assert keys[0] == image_key("abc")
    assert (keys >= 0).all()
