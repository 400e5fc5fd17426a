"""Reading an artefact: what it says of itself, and its network, without TensorFlow.

Owns: the checks of its facts and files, and opening the file by its form's own program.
Does not own: writing one and using it as a bundle (``artefact``).
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tfclassify.data.memory import total_memory
from tfclassify.errors import (
    BundleError,
    ExportError,
    MissingExtraError,
    TargetError,
    TfclassifyError,
)
from tfclassify.export.formats import SHIPPED, ArtefactFormat, get_format
from tfclassify.export.fresh_process import run_afresh
from tfclassify.files import Document, find_irregular, hash_file, read_regular

FACTS, RECIPE = "artefact.json", "recipe.json"
FORMAT = 1
_MOST_BYTES = 16 << 20
#: Processor time that the network may take for its first image.
MOST_SECONDS = 300


class _Facts(Document):
    """What ``artefact.json`` must hold, whoever wrote it; the rest is for its readers."""

    format: int
    artefact: str
    file: str = Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")
    precision: str
    batch: int = Field(ge=0, le=1 << 20)
    task: Literal["multi_class", "multi_label"]
    classes: list[str] = Field(min_length=1)
    image_size: list[Annotated[int, Field(ge=1, le=1 << 14)]] = Field(min_length=2, max_length=2)
    resize: Literal["stretch", "crop", "letterbox"]
    max_pixels: int = Field(ge=1)
    thresholds: dict[str, float] | None
    temperature: float | None = Field(gt=0)
    views: list[str] = Field(min_length=1)
    sha256: dict[str, str]
    checksum: str
    size_bytes: int = Field(ge=0)

    @model_validator(mode="after")
    def _check_thresholds(self) -> Self:
        if (self.task == "multi_label") != (self.thresholds is not None):
            raise ValueError("thresholds belong to task multi_label, and to no other")
        if self.thresholds is not None and self.thresholds.keys() != set(self.classes):
            raise ValueError("thresholds are not of its classes")
        return self


def is_artefact(folder: Path) -> bool:
    """Say whether a folder is an artefact."""
    return (folder / FACTS).is_file()


def sum_facts(facts: Mapping[str, Any]) -> str:
    """Return the SHA-256 of all facts but the checksum, lest a class be renamed unseen."""
    rest = {key: value for key, value in facts.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def list_files(path: Path) -> list[Path]:
    """List the files that a model is made of: the file, or all of its folder."""
    if path.is_file():
        return [path]
    return sorted(each for each in path.rglob("*") if each.is_file())


def read_facts(folder: Path) -> dict[str, Any]:
    """Read and check what an artefact says of itself.

    Raises:
        TargetError: If there is no artefact.
        BundleError: If it is damaged, changed, or of another version.
    """
    if not is_artefact(folder):
        raise TargetError(
            f"{folder}: no artefact, which has an {FACTS}; write one with tfclassify export RUN"
        )
    path = folder / FACTS
    try:
        irregular = find_irregular(folder)
        if irregular is not None:
            raise BundleError(f"{irregular}; an artefact is made of files and folders alone")
        facts: dict[str, Any] = json.loads(read_regular(path, limit=_MOST_BYTES))
        if isinstance(facts, dict) and facts.get("format", FORMAT) != FORMAT:
            raise BundleError(
                f"{path}: format {facts['format']!r}, this version reads {FORMAT}; export the run "
                "anew"
            )
        sums = _Facts.model_validate(facts).sha256
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BundleError(f"{path}: damaged ({reason}); export the run anew") from error
    if facts["checksum"] != sum_facts(facts):
        raise BundleError(
            f"{path}: was changed after it was written: its checksum is {facts['checksum']}, its "
            f"content's {sum_facts(facts)}; copy the artefact afresh, or export the run anew"
        )
    parts = {*list_files(folder / facts["file"]), folder / RECIPE}
    strange = {each.relative_to(folder).as_posix() for each in parts} ^ set(sums)
    if strange:
        raise BundleError(
            f"{folder}: {min(strange)} is missing, or is not one of its parts; copy the artefact "
            "afresh"
        )
    for name, expected in sums.items():
        if not (folder / name).is_file() or hash_file(folder / name) != expected:
            raise BundleError(
                f"{folder / name}: is missing or was changed after it was written; copy the "
                "artefact afresh, or export the run anew"
            )
    return facts


class OpenNetwork:
    """An artefact's network, opened by its form's own program.

    Args:
        facts: What ``read_facts`` returned.
        folder: The artefact.
        threads: 0 leaves their number to the runtime.

    Raises:
        RequestError: If the form is not known here.
        MissingExtraError: If its runtime is not installed.
        BundleError: If the runtime refuses the file, or does not survive it.
    """

    def __init__(self, facts: Mapping[str, Any], folder: Path, threads: int = 0) -> None:
        self._file = folder / facts["file"]
        self._classes = len(facts["classes"])
        form = get_format(facts["artefact"], str(folder))
        program = load_program(form, folder)
        if form.is_light:
            try_alone(folder, facts["checksum"])
        with refusing(self._file):
            self._network = program.Network(self._file, threads)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities ``(n, classes)`` of images ``(n, H, W, 3)`` 0..255.

        Raises:
            BundleError: If the network fails, or its answers are none.
        """
        with refusing(self._file):
            answer = np.asarray(self._network(images))
            expected = (len(images), self._classes)
            if answer.shape != expected or not np.isfinite(answer).all():
                raise ValueError(f"answers {expected} of finite numbers expected, not these")
        return answer


@contextmanager
def refusing(file: Path) -> Iterator[None]:
    """Word whatever a runtime makes of a file: their errors share no class."""
    try:
        yield
    except TfclassifyError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise BundleError(
            f"{file}: cannot be run ({reason}); copy the artefact afresh, or export the run anew"
        ) from error


def load_program(form: ArtefactFormat, folder: Path) -> Any:
    """Import the program of a form, whose ``Network`` opens its files.

    Raises:
        MissingExtraError: If its runtime is not installed; names the folder.
    """
    spec = importlib.util.spec_from_file_location(f"tfclassify_{form.name}", form.network)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{folder}: running a model in the form {form.name} needs {error.name}; install it: "
            f"pip install {form.needs}"
        ) from error
    return module


@lru_cache(maxsize=64)
def try_alone(folder: Path, checksum: str) -> None:
    """Run the network on a black image in a process of its own, once for each content.

    A file from a stranger may end the runtime's process, never end itself, or take all the
    memory. SavedModels and ``.keras`` files are looked at instead (``load_artefact``).

    Raises:
        BundleError: If that process fails.
    """
    try:
        run_alone(folder, memory=total_memory() // 2)
    except ExportError as error:
        reason = " ".join(str(error).split())[-300:]
        raise BundleError(
            f"{folder}: its network cannot be run ({reason}); copy the artefact afresh, or export "
            "the run anew"
        ) from error


def run_alone(folder: Path, memory: int = 0) -> int:
    """Run an artefact on black images in a fresh process, by its form's own program.

    Args:
        folder: The artefact.
        memory: Bytes of address space that the process may take; 0 for any number.

    Returns:
        The bytes of memory that loading and running it took.

    Raises:
        ExportError: If the process fails, or computes for more than ``MOST_SECONDS``.
    """
    facts = read_facts(folder)
    form = get_format(facts["artefact"], str(folder))
    file = (folder / facts["file"]).resolve()
    sides = (max(1, facts["batch"]), *facts["image_size"], 3)
    with TemporaryDirectory(prefix="tfclassify-") as work:
        got = Path(work, "got.json")
        words = map(str, (form.network, file, got, memory, MOST_SECONDS, *sides))
        program: list[str | Path] = [SHIPPED / "memory.py", *words]
        run_afresh(program, Path(work), what=str(folder), outcome="it was not opened")
        return int(json.loads(got.read_text("utf-8"))["bytes"])
