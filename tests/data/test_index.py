from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from tests.data.builders import make_index, make_set_index
from tests.data.strategies import indexes
from tfclassify.data.index import COLUMNS, Index, image_key, load_index, make_frame, save_index
from tfclassify.errors import DataError
from tfclassify.files import FORMULA_STARTS


def test_a_frame_has_every_column_with_its_type_and_default() -> None:
    frame = make_frame(["a", "b"], ["x/a", "x/b"], label=["cat", "dog"])
    assert list(frame.columns) == list(COLUMNS)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == COLUMNS
    assert frame.iloc[0].tolist() == ["a", "x/a", "cat", "", "", 1.0, "", "ok", "", "", 0, 0]


def test_a_name_twice_is_an_error() -> None:
    with pytest.raises(DataError, match="image 'a' is listed twice"):
        make_frame(["a", "b", "a"], ["x", "y", "z"])


def test_a_label_that_is_no_class_is_an_error() -> None:
    index = make_index(["a", "b"])
    wrong = index.with_frame(index.frame.assign(label=["a", "c"]))
    with pytest.raises(DataError, match=r"made up: image '00001\.png' has the class 'c'"):
        wrong.targets()


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


def test_an_index_comes_back_whole(tmp_path: Path) -> None:
    index = make_index(
        ["NA", 'žába, "big"', "007", ""],
        groups=["1", "", "nan", "x\ny"],
        names=["a b.png", "č.png", "null", "d"],
    )
    weights = [1.0, 0.1, 1 / 3, 2.0]
    index = index.with_frame(index.frame.assign(weight=weights, width=[0, 1, 2, 3]))
    save_index(index, tmp_path / "run" / "index.csv")
    back = load_index(tmp_path / "run" / "index.csv")
    pd.testing.assert_frame_equal(back.frame, index.frame)
    assert (back.classes, back.source) == (index.classes, index.source)


def test_the_table_is_plain_csv(tmp_path: Path) -> None:
    save_index(make_index(["a", "b"]), tmp_path / "index.csv")
    assert list(pd.read_csv(tmp_path / "index.csv").columns) == list(COLUMNS)


def test_classes_without_images_are_kept(tmp_path: Path) -> None:
    index = make_index(["a", "b"])
    save_index(type(index)(index.frame, ("z", "b", "a"), "x"), tmp_path / "index.csv")
    assert load_index(tmp_path / "index.csv").classes == ("z", "b", "a")


def test_sets_of_labels_and_marks_come_back(tmp_path: Path) -> None:
    index = make_set_index(["ab", "", "c"])
    index = index.with_frame(index.frame.assign(flags=["blurred|dark", "", "NA"]))
    save_index(index, tmp_path / "index.csv")
    back = load_index(tmp_path / "index.csv")
    assert back.is_multi_label
    assert back.label_sets() == [("a", "b"), (), ("c",)]
    assert back.frame["flags"].tolist() == ["blurred|dark", "", "NA"]


def test_an_index_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text(
        "image,path,label,group,split,weight,status,reason,sha256,width,height\n"
        "a.png,/x/a.png,cat,,train,1.5,ok,,abc,4,3\n"
    )
    (tmp_path / "index.json").write_text('{"source": "x", "classes": ["cat", "dog"]}')
    index = load_index(tmp_path / "index.csv")
    assert not index.is_multi_label
    assert {name: str(dtype) for name, dtype in index.frame.dtypes.items()} == COLUMNS
    assert index.frame.iloc[0][["label", "weight", "flags", "status"]].tolist() == [
        "cat", 1.5, "", "ok",
    ]  # fmt: skip


def test_what_is_no_index_is_told(tmp_path: Path) -> None:
    path = tmp_path / "index.csv"
    with pytest.raises(DataError, match=r"index\.csv: the index cannot be read"):
        load_index(path)
    save_index(make_index(["a", "b"]), path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="this is no index, got the columns a, b; expected image,"):
        load_index(path)
    for facts in ("{", json.dumps({"source": "x"}), "[]"):
        (tmp_path / "index.json").write_text(facts)
        with pytest.raises(DataError, match="the index cannot be read"):
            load_index(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(indexes() | indexes(is_multi_label=True))
def test_any_index_comes_back_and_holds_no_formula(index: Index) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "index.csv")
        save_index(index, path)
        back = load_index(path)
        text = path.read_bytes().decode()
    pd.testing.assert_frame_equal(back.frame, index.frame)
    assert (back.classes, back.source) == (index.classes, index.source)
    assert back.is_multi_label == index.is_multi_label
    for cells in csv.reader(StringIO(text, newline="")):
        assert not any(cell.startswith(FORMULA_STARTS) for cell in cells)


def test_a_table_that_was_not_guarded_keeps_its_apostrophes(tmp_path: Path) -> None:
    index = make_index(["'s-Gravenhage", "a"])
    path = tmp_path / "index.csv"
    save_index(index, path)
    facts = json.loads(path.with_suffix(".json").read_text())
    assert facts.pop("guarded") is True
    path.with_suffix(".json").write_text(json.dumps(facts))
    path.write_text(path.read_text().replace("''s-", "'s-"))
    assert load_index(path).frame["label"].tolist() == ["'s-Gravenhage", "a"]
