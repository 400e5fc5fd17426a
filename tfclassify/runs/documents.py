"""What the JSON files of a run hold, one class a file.

Owns: their fields and bounds. Does not own: how a file is read (``files.Document``),
where it lies (``directory``), the index and the integrity report (``data``), the bundle's
facts (``model.bundle``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field

from tfclassify.errors import RunError
from tfclassify.files import Document

#: More of them than anybody has time for.
MOST_FOLDS, MOST_REPEATS = 100, 1000


class Environment(Document):
    """``environment.json``: what a run was made with.

    Attributes:
        python: Implementation and version.
        system: Name, release and architecture.
        processor: Its name.
        cores: Those that the process might use.
        memory_gib: Of the machine; None where the system does not tell.
        packages: Installed distributions and their versions.
        resumed_despite: What had changed where the training was resumed by force.
    """

    python: str
    system: str
    processor: str
    cores: int = Field(ge=1)
    memory_gib: float | None
    packages: dict[str, str]
    resumed_despite: tuple[str, ...] = ()


class Beginning(Document):
    """``state/began.json``: what a training began with, so that it is resumed with the same.

    Attributes:
        format: Of this file.
        recipe: The recipe as plain values.
        images: Fingerprint of the index.
        packages: Versions by distribution.
    """

    format: int = 1
    recipe: dict[str, Any]
    images: str = ""
    packages: dict[str, str]


class CrossvalFacts(Document):
    """``crossval.json``: what makes a folder a cross-validation.

    Attributes:
        format: Of this file.
        folds: Parts that the images are dealt into.
        repeats: How many times they are dealt anew.
    """

    format: int = 1
    folds: int = Field(ge=2, le=MOST_FOLDS)
    repeats: int = Field(ge=1, le=MOST_REPEATS)


class EnsembleMember(Document):
    """One member of an ensemble.

    Attributes:
        run: Its folder, as the user named it.
        weight: Its share from 0 to 1; None until it is found.
        recipe: Name of its recipe.
        backbone: Of its network.
        image_size: ``(height, width)`` in pixels.
    """

    run: str
    weight: float | None = Field(default=None, ge=0.0, le=1.0)
    recipe: str
    backbone: str
    image_size: tuple[int, int]


class EnsembleFacts(Document):
    """``ensemble.json``: what makes a run an ensemble, written before all else in it.

    Attributes:
        format: Of this file.
        weights: ``search``, ``equal``, or numbers with commas between.
        allow_different_images: Whether the members may have held out different images.
        members: Two or more.
    """

    format: int = 1
    weights: str
    allow_different_images: bool = False
    members: tuple[EnsembleMember, ...] = Field(min_length=2)


Kind = TypeVar("Kind", bound=Document)


def read_document(kind: type[Kind], path: Path, way_out: str) -> Kind:
    """Read a document of a run.

    Args:
        kind: Its class.
        path: The file.
        way_out: What to do where it cannot be read, such as ``train the run again``.

    Raises:
        RunError: If it is absent, damaged, or cannot be read.
    """
    try:
        return kind.read(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RunError(f"{path}: cannot be read: {reason}; {way_out}") from error
