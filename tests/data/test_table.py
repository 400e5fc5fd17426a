from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.data.builders import make_index
from tfclassify.data.index import COLUMNS
from tfclassify.data.table import load_index, save_index
from tfclassify.errors import DataError


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
