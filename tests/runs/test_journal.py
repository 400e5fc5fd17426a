from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tfclassify.errors import RunError
from tfclassify.runs.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "run" / "journal.jsonl")


def test_a_journal_that_is_not_there_is_empty(journal: Journal) -> None:
    assert journal.read() == []


def test_records_come_back_in_order_one_a_line(journal: Journal) -> None:
    records = [{"phase": "head", "epoch": n, "train": {"loss": 0.1 * n}} for n in (1, 2, 3)]
    for record in records:
        journal.append(record)
    assert journal.read() == records
    lines = journal.path.read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == records


def test_numbers_survive_to_the_last_bit_and_nan_becomes_null(journal: Journal) -> None:
    values = {"exact": 0.1 + 0.2, "small": np.float32(0.1), "list": np.array([1, 2])}
    journal.append({**values, "nan": float("nan"), "inf": [float("inf")], 3: "Ä\udc80"})
    (record,) = journal.read()
    assert record == {
        "exact": 0.30000000000000004,
        "small": 0.10000000149011612,
        "list": [1, 2],
        "nan": None,
        "inf": [None],
        "3": "Ä\udc80",
    }


@pytest.mark.parametrize("torn", [b'{"epo', b'{"epoch": 3}', b"\xff\x00", b" "])
def test_a_torn_last_line_is_not_read_and_gives_way(journal: Journal, torn: bytes) -> None:
    journal.append({"epoch": 1})
    journal.append({"epoch": 2})
    with journal.path.open("ab") as stream:
        stream.write(torn)
    assert [record["epoch"] for record in journal.read()] == [1, 2]
    journal.append({"epoch": 3})
    assert [record["epoch"] for record in journal.read()] == [1, 2, 3]


def test_every_cut_of_the_file_leaves_whole_records(journal: Journal) -> None:
    for epoch in range(1, 4):
        journal.append({"epoch": epoch, "note": "ü" * 3000})
    data = journal.path.read_bytes()
    for cut in range(0, len(data), 397):
        journal.path.write_bytes(data[:cut])
        whole = data[:cut].count(b"\n")
        assert len(journal.read()) == whole
        journal.append({"epoch": "new"})
        assert [record["epoch"] for record in journal.read()] == [*range(1, whole + 1), "new"]


def test_damage_in_the_middle_is_an_error(journal: Journal) -> None:
    journal.append({"epoch": 1})
    with journal.path.open("ab") as stream:
        stream.write(b'{"epo\n')
    journal.append({"epoch": 3})
    with pytest.raises(RunError, match=r"line 2: not a JSON object, got b'{\"epo'; the file was"):
        journal.read()
    journal.path.write_bytes(b"[1]\n")
    with pytest.raises(RunError, match=r"line 1: not a JSON object, got b'\[1\]'"):
        journal.read()


def test_what_comes_after_an_epoch_is_dropped(journal: Journal) -> None:
    records = [{"phase": name, "epoch": n} for name in ("head", "whole") for n in (1, 2)]
    journal.rewrite(records)
    journal.truncate_after("whole", 1)
    assert journal.read() == records[:3]
    journal.truncate_after("head", 2)
    assert journal.read() == records[:2]
    journal.rewrite([])
    assert journal.read() == []


def test_an_epoch_that_was_never_journalled(journal: Journal) -> None:
    with pytest.raises(
        RunError, match="no record of phase 'head', epoch 1; the last one is of noth"
    ):
        journal.truncate_after("head", 1)
    journal.append({"phase": "head", "epoch": 1})
    with pytest.raises(RunError, match="epoch 2; the last one is of phase 'head', epoch 1"):
        journal.truncate_after("head", 2)
