from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from tfclassify.errors import RunError
from tfclassify.training.state import (
    StateFolder,
    load_facts,
    load_last,
    load_snapshot,
    restore_variables,
    save_snapshot,
)


def test_extra_arrays_lie_beside_the_variables(tmp_path: Path) -> None:
    variable = keras.Variable(np.array([1.0, 2.0], np.float32))
    path = tmp_path / "last.npz"
    save_snapshot(path, [variable], {"epoch": 3}, {"misses": np.array([0, 7])})
    snapshot = load_snapshot(path)
    assert snapshot.facts == {"epoch": 3}
    assert {name: values.tolist() for name, values in snapshot.extras.items()} == {"misses": [0, 7]}
    variable.assign([0.0, 0.0])
    restore_variables(snapshot, [variable], path)
    assert variable.numpy().tolist() == [1.0, 2.0]


FACTS = {"phase": "head", "validation": {"loss": 0.5}}


def test_facts_are_read_without_the_arrays(tmp_path: Path) -> None:
    path = StateFolder(tmp_path).phase(1)
    save_snapshot(path, [keras.Variable(np.zeros(2, np.float32))], FACTS)
    assert path.name == "phase-1.npz"
    assert load_facts(path) == FACTS


def test_a_state_that_is_compressed_or_of_another_kind_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "last.npz"
    for facts in ({"phase_number": -1}, {}, [1], {"phase_number": 0, "epoch": 1, "records": []}):
        np.savez(path, facts=np.array(json.dumps(facts)))
        with pytest.raises(RunError, match="the training state is damaged"):
            load_last(path)
    np.savez_compressed(path, facts=np.array(json.dumps(FACTS)), zeros=np.zeros(1 << 20))
    with pytest.raises(RunError, match="it is compressed, which a state never is"):
        load_facts(path)


def test_a_state_that_may_not_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "phase-0.npz").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(
        RunError, match=r"cannot be read: .*; mend that and resume .* state is kept"
    ):
        load_facts(tmp_path / "phase-0.npz")


def test_damaged_facts_are_named(tmp_path: Path) -> None:
    (tmp_path / "phase-0.npz").write_bytes(b"PK nothing")
    with pytest.raises(RunError, match=r"phase-0\.npz: the training state is damaged"):
        load_facts(tmp_path / "phase-0.npz")
