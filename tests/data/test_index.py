from __future__ import annotations

import numpy as np
import pytest

from tests.data.builders import make_index, make_set_index
from tfclassify.data.index import COLUMNS, image_key, make_frame
from tfclassify.errors import DataError


def test_a_frame_has_every_column_with_its_type_and_default() -> None:
    frame = make_frame(["a", "b"], ["x/a", "x/b"], label=["cat", "dog"])
    assert list(frame.columns) == list(COLUMNS)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == COLUMNS
    assert frame.iloc[0].tolist() == ["a", "x/a", "cat", "", "", 1.0, "", "ok", "", "", 0, 0]


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


def test_targets_are_one_hot() -> None:
    targets = make_index(["dog", "cat", "dog"]).targets()
    assert targets.dtype == np.float32
    assert targets.tolist() == [[0, 1], [1, 0], [0, 1]]


def test_targets_of_several_labels_are_multi_hot() -> None:
    index = make_set_index(["ac", "", "b"])
    assert index.frame["label"].tolist() == ["a|c", "", "b"]
    assert index.label_sets() == [("a", "c"), (), ("b",)]
    assert index.targets().dtype == np.float32
    assert index.targets().tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert index.mark_labels().dtype == bool


def test_label_sets_of_single_labels() -> None:
    # Only in a multi-label index does the sign stand between two names.
    index = make_index(["a|b", "", "c"])
    assert index.label_sets() == [("a|b",), (), ("c",)]


def test_an_image_without_a_label_has_no_target() -> None:
    with pytest.raises(DataError, match=r"made up: image '00001\.png' has no label; label it"):
        make_index(["dog", ""]).targets()


def test_a_set_with_a_label_that_is_no_class_is_an_error() -> None:
    index = make_set_index(["a", "b"])
    wrong = index.with_frame(index.frame.assign(label=["a", "a|c"]))
    match = r"image '00001\.png' has the class 'c', which is not among the 2 classes"
    with pytest.raises(DataError, match=match):
        wrong.targets()


def test_several_labels_have_no_class_id() -> None:
    with pytest.raises(DataError, match=r"made up: .* no single class id; use targets\(\)"):
        make_set_index(["a", "b"]).class_ids()


def test_no_images_have_no_targets() -> None:
    assert make_set_index(["ab"]).with_frame(make_frame([], [])).targets().shape == (0, 2)


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
