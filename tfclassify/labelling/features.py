"""What a run's network sees in images: features to compare them by, and its answers.

Owns: one pass over many images, and keeping what it gave beside a session or a run. Does not
own: the network (``model``, ``inference``), what features are compared for (``lookalikes``,
``suggestions``, ``issues``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tfclassify.errors import RunError
from tfclassify.events import SILENT, Observer
from tfclassify.files import hash_file
from tfclassify.runs.arrays import load_arrays, save_arrays

if TYPE_CHECKING:
    from tfclassify.model.bundle import Bundle

Floats = NDArray[np.float32]
#: Images that go through the network together.
_BATCH = 32
#: What is kept, beside the session or the run.
FILE = "features.npz"
_TASK = "features"


@dataclass(frozen=True, eq=False)
class Features:
    """What a network sees in ``n`` images and says of them.

    Attributes:
        classes: The network's classes, ``C`` names.
        values: The last feature map, averaged over its positions, ``(n, d)``.
        probabilities: ``(n, C)``.
        is_there: Which images could be read; the others' rows are 0, ``(n,)``.
    """

    classes: tuple[str, ...]
    values: Floats
    probabilities: Floats
    is_there: NDArray[np.bool_]


def read_features(
    bundle: Path, paths: Sequence[str], store: Path | None = None, observer: Observer = SILENT
) -> Features:
    """Run images through a bundle's network, or read what an earlier pass gave.

    Args:
        bundle: The folder.
        paths: Where the images are.
        store: Folder to keep the result in; it is used again while bundle and files are the
            same, by path, size and time of change. None keeps nothing.
        observer: Told of progress, and warned of images that cannot be read.

    Raises:
        BundleError: If the bundle is damaged.
        ModelError: If its network has no feature map.
    """
    from tfclassify.model.bundle import load_bundle

    mark = _fingerprint(bundle, paths)
    place = None if store is None else store / FILE
    loaded = load_bundle(bundle)
    found = None if place is None else _load(place, mark, loaded.classes, len(paths))
    if found is not None:
        return found
    features = extract_features(loaded, paths, observer)
    if place is not None:
        save_arrays(
            place,
            {
                "mark": mark,
                "width": np.array([features.values.shape[1]]),
                "values": features.values,
                "probabilities": features.probabilities,
                "is_there": features.is_there,
            },
        )
    return features


def extract_features(bundle: Bundle, paths: Sequence[str], observer: Observer = SILENT) -> Features:
    """Run images through a network once.

    Raises:
        ModelError: If it has no feature map.
    """
    from tfclassify.inference.activation_maps import ActivationMaps
    from tfclassify.inference.prediction import batch_images

    maps, errors = ActivationMaps(bundle.model), [""] * len(paths)
    values: Floats | None = None
    probabilities = np.zeros((len(paths), len(bundle.classes)), np.float32)
    observer.on_task_start(_TASK, len(paths))
    inputs = [(path, path) for path in paths]
    for done, rows, pixels in batch_images(bundle, inputs, errors, _BATCH):
        seen, probabilities[rows] = maps.read(pixels, bundle.task.activate)
        if values is None:
            values = np.zeros((len(paths), seen.shape[1]), np.float32)
        values[rows] = seen
        observer.on_task_step(_TASK, done)
    observer.on_task_end(_TASK)
    failed = sum(map(bool, errors))
    if failed:
        first = next(error for error in errors if error)
        observer.on_warning(f"{failed:,} of {len(paths):,} images have no features: {first}")
    if values is None:
        values = np.zeros((len(paths), 1), np.float32)
    is_there = np.array([not error for error in errors], dtype=bool)
    return Features(tuple(bundle.classes), values, probabilities, is_there)


def _fingerprint(bundle: Path, paths: Sequence[str]) -> NDArray[np.uint8]:
    """Return the SHA-256 of everything that the features depend on, ``(32,)``."""
    digest = hashlib.sha256(hash_file(bundle / "bundle.json").encode())
    for path in paths:
        try:
            facts = Path(path).stat()
            told = f"{path}\0{facts.st_size}\0{facts.st_mtime_ns}\0"
        except OSError:
            told = f"{path}\0absent\0"
        digest.update(told.encode("utf-8", "surrogateescape"))
    return np.frombuffer(digest.digest(), np.uint8)


def _load(
    path: Path, mark: NDArray[np.uint8], classes: Sequence[str], size: int
) -> Features | None:
    """Read what was kept; None where it is absent, damaged, or of other images."""
    try:
        facts = load_arrays(path, {"mark": ((32,), "uint8"), "width": ((1,), "int64")})
        if not np.array_equal(facts["mark"], mark):
            return None
        found = load_arrays(
            path,
            {
                "values": ((size, int(facts["width"][0])), "float32"),
                "probabilities": ((size, len(classes)), "float32"),
                "is_there": ((size,), "bool"),
            },
        )
    except RunError:
        return None
    return Features(tuple(classes), found["values"], found["probabilities"], found["is_there"])
