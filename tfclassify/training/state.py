"""What a training needs on disk to be resumed: written whole, or not at all.

Owns: the files under ``state/`` and the addressing of dropout's seeds.
Does not own: when they are written (``trainer``).

    state/last.npz       the variables that this phase can change, the optimizer, the
                         weights' average where there is one, the misses of hard-example
                         mining, and every epoch record so far
    state/best.npz       the phase's best variables
    state/phase-<n>.npz  all variables at the end of phase n, and their validation metrics
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import keras
import numpy as np
from pydantic import ConfigDict, Field, ValidationError

from tfclassify.errors import RunError
from tfclassify.files import Document, open_regular, open_replacing

#: Beginning of the names of arrays that belong to no variable.
_EXTRA = "extra:"


@dataclass(frozen=True)
class Snapshot:
    """Arrays and facts that were saved together.

    Attributes:
        arrays: Values by position and shape of their variable.
        facts: What was stored beside them, JSON-clean.
        extras: Arrays of no variable, by name.
    """

    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class StateFolder:
    """Where a training keeps its state.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def last(self) -> Path:
        """The state after the last finished epoch."""
        return self.path / "last.npz"

    @property
    def best(self) -> Path:
        """The best weights of the phase at work."""
        return self.path / "best.npz"

    def phase(self, number: int) -> Path:
        """The weights that a phase ended with, phases counted from 0."""
        return self.path / f"phase-{number}.npz"


def variable_names(variables: Sequence[keras.Variable]) -> list[str]:
    """Name each variable by its position and shape.

    Keras numbers unnamed layers through the whole process, so a variable's path
    would not be the same in the process that resumes.
    """
    return [
        f"{number:05d}:{'x'.join(map(str, variable.shape))}"
        for number, variable in enumerate(variables)
    ]


def save_snapshot(
    path: Path,
    variables: Sequence[keras.Variable],
    facts: Mapping[str, Any],
    extras: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write variables, facts and extra arrays to one file, atomically."""
    names = variable_names(variables)
    arrays = {name: variable.value.numpy() for name, variable in zip(names, variables, strict=True)}
    arrays |= {_EXTRA + name: values for name, values in (extras or {}).items()}
    text = json.dumps(dict(facts), allow_nan=True)
    with open_replacing(path) as stream:
        np.savez(stream, facts=np.array(text), **arrays)


class RecordFacts(Document):
    """One epoch's record, as ``EpochRecord.to_dict`` gives it."""

    model_config = ConfigDict(allow_inf_nan=True, extra="allow")

    phase: str
    phase_number: int = Field(ge=0)
    epoch: int = Field(ge=1)
    learning_rate: float
    seconds: float
    images_per_second: float
    train: dict[str, float]
    validation: dict[str, float]
    plan: tuple[Annotated[int, Field(ge=1)], ...] = ()


class LastFacts(Document):
    """What ``last.npz`` says beside its arrays; a metric may have no value (NaN).

    Attributes:
        phase_number: The phase at work, from 0.
        epoch: The last finished epoch of it, from 1.
        records: Of every epoch so far, as ``EpochRecord.to_dict`` gives them.
    """

    model_config = ConfigDict(allow_inf_nan=True)

    phase_number: int = Field(ge=0)
    epoch: int = Field(ge=1)
    records: tuple[RecordFacts, ...] = Field(min_length=1)


class PhaseFacts(Document):
    """What ``phase-<n>.npz`` says beside its arrays: the phase's name and metrics."""

    model_config = ConfigDict(allow_inf_nan=True)

    phase: str
    validation: dict[str, float]


def load_snapshot(path: Path) -> Snapshot:
    """Read a file of ``save_snapshot``; nothing in it is ever unpickled.

    Raises:
        RunError: If the file is damaged.
    """
    with _opened(path) as stored:
        facts = json.loads(str(stored["facts"]))
        if not isinstance(facts, dict):
            raise ValueError("its facts are no mapping")
        values = {name: stored[name] for name in stored.files if name != "facts"}
    own = [name for name in values if name.startswith(_EXTRA)]
    extras = {name.removeprefix(_EXTRA): values.pop(name) for name in own}
    return Snapshot(values, facts, extras)


def load_last(path: Path) -> Snapshot:
    """Read ``last.npz``, whose facts are those of ``LastFacts``.

    Raises:
        RunError: If the file is damaged.
    """
    found = load_snapshot(path)
    try:
        LastFacts.model_validate(found.facts, strict=False)
    except ValidationError as error:
        raise _call_damaged(path, error) from error
    return found


def load_facts(path: Path) -> dict[str, Any]:
    """Read the facts of ``phase-<n>.npz``, without its arrays.

    Raises:
        RunError: If the file is damaged.
    """
    with _opened(path) as stored:
        return PhaseFacts.model_validate_json(str(stored["facts"])).model_dump()


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with open_regular(path) as stream:
            _check_archive(stream)
            with np.load(stream, allow_pickle=False) as stored:
                yield stored
    except OSError as error:  # nothing is known of the state itself: it may be whole
        raise RunError(
            f"{path}: the training state cannot be read: {error.strerror or error}; mend that "
            "and resume the run, its state is kept"
        ) from error
    except Exception as error:  # whatever bytes that nobody wrote make NumPy and zipfile raise
        raise _call_damaged(path, error) from error


def _check_archive(stream: BinaryIO) -> None:
    """Refuse an archive that holds more than its own size: NumPy stores arrays as they are."""
    size = stream.seek(0, os.SEEK_END)
    with zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
    is_stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    if not is_stored or sum(entry.file_size for entry in entries) > size:
        raise ValueError("it is compressed, which a state never is")
    stream.seek(0)


def _call_damaged(path: Path, error: Exception) -> RunError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return RunError(
        f"{path}: the training state is damaged ({reason}); delete the run's state folder and "
        "train again"
    )


def restore_variables(snapshot: Snapshot, variables: Sequence[keras.Variable], where: Path) -> None:
    """Give variables their saved values.

    Raises:
        RunError: If the saved variables are not these: another recipe or version.
    """
    names = variable_names(variables)
    if names != list(snapshot.arrays):
        unmatched = sorted(set(names) ^ set(snapshot.arrays))[:3]
        raise RunError(
            f"{where}: the saved state is of another network: {len(snapshot.arrays)} variables "
            f"saved, {len(names)} expected; first differences: {unmatched}"
        )
    for name, variable in zip(names, variables, strict=True):
        variable.assign(snapshot.arrays[name])


def address_dropout(network: keras.Model, seed: int, phase: int, epoch: int) -> None:
    """Set every random layer's seed from (seed, phase, epoch, layer).

    Dropout then depends on where the training is, not on how it came there, so
    the random layers need no saved state.
    """
    weights = {id(variable) for variable in network.weights}
    generators = [variable for variable in network.variables if id(variable) not in weights]
    for number, variable in enumerate(generators):
        text = f"{seed}/{phase}/{epoch}/{number}".encode()
        digest = hashlib.sha256(text).digest()
        words = np.frombuffer(digest[:8], dtype=np.uint32)
        variable.assign(words.reshape(tuple(variable.shape)).astype(variable.dtype))
