"""Torch's newer format is read as strictly as the older one."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.backbones.test_tensor_reader import hostile_objects
from tests.backbones.torch_files import (
    Storage,
    write_file,
    write_state,
    write_zip_file,
)
from tfclassify.backbones.torch_files import read_torch_file
from tfclassify.errors import WeightsError

SIX = Storage("7", np.arange(6, dtype=np.float32))


@pytest.mark.parametrize("write", [write_file, write_zip_file])
def test_tensors_come_back_from_both_formats(write: Any) -> None:
    counter = Storage("8", np.array([41, 42], dtype=np.int64))
    tensors = {
        "rows": (SIX, 0, (2, 3), (3, 1)),
        "columns": (SIX, 0, (3, 2), (1, 3)),
        "count": (counter, 1, (), ()),
    }
    read = read_torch_file(write(tensors), "file")
    assert list(read) == ["rows", "columns", "count"]
    assert read["rows"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read["columns"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert read["count"].tolist() == 42


def test_parameters_are_the_tensors_that_they_wrap() -> None:
    data = write_zip_file({"w": (SIX, 2, (2,), (1,))}, is_parameter=True, byteorder=None)
    assert read_torch_file(data, "file")["w"].tolist() == [2, 3]


def test_every_kind_of_number() -> None:
    values = {
        "double": np.array([0.1, -3.0]),
        "half": np.array([0.5, 65504.0], np.float16),
        # The upper halves of 1.0, -2.0 and 3.140625 as float32.
        "brain": np.array([0x3F80, 0xC000, 0x4049], np.uint16),
    }
    read = read_torch_file(write_state(values), "file")
    assert read["double"].tolist() == [0.1, -3.0]
    assert read["half"].tolist() == [0.5, 65504.0]
    assert read["brain"].tolist() == [1.0, -2.0, 3.140625]


@pytest.mark.parametrize("content", hostile_objects(), ids=lambda _: "")
def test_a_call_is_refused_and_not_made(
    content: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=r"evil\.pth: .* which is not allowed; nothing in it"):
        read_torch_file(write_zip_file([content]), "evil.pth")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [write_file, write_zip_file])
@pytest.mark.parametrize("shape", [(1 << 20,), (6,)])
def test_a_tensor_cannot_be_changed_once_it_was_checked(write: Any, shape: tuple[int, ...]) -> None:
    beyond = (SIX, 4, shape, (1,))
    data = write({"w": (SIX, 0, (6,), (1,))}, state=beyond)
    assert read_torch_file(data, "file")["w"].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"compression": zipfile.ZIP_DEFLATED}, "it is not a zip archive that torch wrote"),
        ({"pickles": 2}, "it is not a zip archive that torch wrote"),
        ({"byteorder": b"big"}, "its numbers are not little-endian"),
        ({"cut": 4}, "buffer 7 has 20 bytes instead of 24"),
    ],
)
def test_an_archive_of_another_kind_is_refused(options: dict[str, Any], reason: str) -> None:
    data = write_zip_file({"w": (SIX, 0, (6,), (1,))}, **options)
    with pytest.raises(WeightsError, match=reason):
        read_torch_file(data, "file")


def test_damage_and_excess_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write_zip_file({"w": (SIX, 0, (6,), (1,))})
    with pytest.raises(WeightsError, match="not a readable tensor file"):
        read_torch_file(whole[: len(whole) // 2], "file")
    one = _rewrite(whole, b"\x80\x02}X\x01\x00\x00\x00wK\x01s.")
    with pytest.raises(WeightsError, match="it holds something that is not a tensor"):
        read_torch_file(one, "file")
    monkeypatch.setattr("tfclassify.backbones.torch_files._LARGEST_PICKLE", 10)
    with pytest.raises(WeightsError, match="its names take over 10 bytes"):
        read_torch_file(whole, "file")


def _rewrite(data: bytes, program: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            new.writestr(name, program if name.endswith("data.pkl") else old.read(name))
    return stream.getvalue()


@pytest.mark.parametrize("is_new", [True, False])
def test_torch_writes_what_is_read(is_new: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is only needed to check the reader")
    state = {
        "a.weight": torch.randn(4, 3, 2, 2).transpose(0, 1),
        "b": torch.nn.Parameter(torch.randn(5)),
        "c": torch.randn(6).half(),
        "d": torch.randn(6).bfloat16(),
        "e": torch.tensor(3),
    }
    torch.save(state, tmp_path / "x.pth", _use_new_zipfile_serialization=is_new)
    read = read_torch_file((tmp_path / "x.pth").read_bytes(), "x.pth")
    assert list(read) == list(state)
    for name, value in state.items():
        assert np.array_equal(read[name], value.detach().float().numpy()), name
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]
