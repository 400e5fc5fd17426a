from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backbones.safetensors_files import write_safetensors
from tfclassify.backbones.safetensors_reader import read_safetensors
from tfclassify.errors import WeightsError

VALUES = {
    "rows": np.arange(6, dtype=np.float32).reshape(2, 3),
    "brain": np.array([0x3F80, 0xC000], np.uint16),
    "half": np.array([0.5], np.float16),
    "count": np.array(7, np.int64),
}


def test_tensors_come_back() -> None:
    read = read_safetensors(write_safetensors(VALUES), "file")
    assert list(read) == list(VALUES)
    assert read["rows"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read["brain"].tolist() == [1.0, -2.0]
    assert read["half"].tolist() == [0.5]
    assert read["count"].tolist() == 7


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rows": {"shape": [2, 4]}}, r"rows has 24 bytes, which are not \[2, 4\] of <f4"),
        ({"rows": {"shape": [-2, -3]}}, "rows has 24 bytes"),
        ({"rows": {"dtype": "C64"}}, "rows holds 'C64', known are F64"),
        ({"rows": {"data_offsets": [4, 24]}}, "a tensor starts at byte 4 instead of 0"),
        ({"brain": {"data_offsets": [0, 4]}}, "a tensor starts at byte"),
        ({"count": {"data_offsets": [30, 99]}}, "its tensors end at byte 99 of 38"),
        ({"count": {"data_offsets": [30, 20]}}, "a tensor starts at byte"),
        ({"count": {"data_offsets": None}}, "not a readable safetensors file"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(WeightsError, match=reason):
        read_safetensors(write_safetensors(VALUES, **changes), "file")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "its header is longer than the file"),
        (b"\xff" * 16, "its header is longer than the file"),
        ((2).to_bytes(8, "little") + b"[]", "its header is not a mapping of tensors"),
        ((2).to_bytes(8, "little") + b"{]", "not a readable safetensors file"),
        ((7).to_bytes(8, "little") + b'{"a":1}', "not a readable safetensors file"),
    ],
)
def test_other_files_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(WeightsError, match=reason):
        read_safetensors(data, "file")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_never_gives_anything_but_an_error_or_tensors(data: st.DataObject) -> None:
    content = bytearray(write_safetensors(VALUES))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = read_safetensors(bytes(content), "file")
    except WeightsError:
        return
    assert all(isinstance(value, np.ndarray) for value in read.values())


def test_the_library_writes_what_is_read(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.numpy", reason="only needed to check the reader")
    values = {"a": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)}
    library.save_file(values, tmp_path / "x.safetensors")
    read = read_safetensors((tmp_path / "x.safetensors").read_bytes(), "x")
    assert np.array_equal(read["a"], values["a"])
