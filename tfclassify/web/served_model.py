"""A model as a server uses it: image bytes in, probabilities and maps out.

Owns: opening a run, a bundle or an artefact for serving, its version, decoding as it wants its
images, and wording an answer. Does not own: batches (``batching``), requests (``serving``).

An ONNX or LiteRT artefact is opened without TensorFlow, which need not even be installed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tfclassify.data.images import ImageFacts, Resize, decode_with_facts
from tfclassify.errors import BundleError, RequestError
from tfclassify.export.formats import get_format
from tfclassify.export.reading import FACTS, RECIPE, OpenNetwork, is_artefact, read_facts
from tfclassify.export.shipped import predict
from tfclassify.inference.occlusion import OcclusionMaps
from tfclassify.recipe.wording import suggest
from tfclassify.scoring.outcome import apply_thresholds

BUNDLE_FACTS = "bundle.json"
#: Signs of a checksum that name a version.
_VERSION_SIGNS = 12
#: Images of the largest call that is made before the first request comes.
_WARM_BATCH = 8
#: Covered images that an artefact is asked about together: a runtime keeps what it once took.
_OCCLUSION_BATCH = 8

Floats = np.ndarray
Ask = Callable[[Floats], Floats]
Draw = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True)
class ServedModel:
    """A model that is ready to answer.

    Attributes:
        name: What it is called in addresses.
        version: The first signs of its files' checksum.
        folder: The bundle or artefact.
        platform: keras, or the artefact's form.
        classes: Class names, in the order of the probabilities.
        image_size: ``(height, width)``.
        resize: How an image of another shape is brought to it.
        max_pixels: Images of more pixels are not read.
        thresholds: multi_label: least probability of each class, ``(classes,)``; else None.
        temperature: Of the probabilities that it gives, or None.
        views: Names of the views that are averaged.
        method: How maps are made.
        ask: Images ``(n, H, W, 3)`` float32 0..255 to probabilities ``(n, classes)``.
        draw: Images and columns of classes to evidence ``(n, H, W)``.
    """

    name: str
    version: str
    folder: Path
    platform: str
    classes: tuple[str, ...]
    image_size: tuple[int, int]
    resize: Resize
    max_pixels: int
    thresholds: np.ndarray | None
    temperature: float | None
    views: tuple[str, ...]
    method: str
    ask: Ask = field(repr=False)
    draw: Draw = field(repr=False)

    def decode(self, content: bytes, where: str, limit: int) -> tuple[ImageFacts, np.ndarray]:
        """Decode a file as the model wants it: its facts, and uint8 ``(H, W, 3)``.

        Raises:
            ImageError: If it is no image, or has more pixels than the model or ``limit`` takes.
        """
        return decode_with_facts(
            content,
            self.image_size,
            self.resize,
            max_pixels=min(self.max_pixels, limit),
            where=where,
        )

    def soften(self, chances: np.ndarray) -> np.ndarray:
        """Apply the temperature that was fitted on validation to ``(n, classes)``.

        Raises:
            RequestError: If there is none.
        """
        from tfclassify.scoring.calibration import apply_temperature

        if self.temperature is None:
            raise RequestError(f"calibrated: {self.name} has no temperature; leave calibrated out")
        return np.asarray(apply_temperature(chances, self.temperature))

    def list_labels(self, chances: np.ndarray) -> list[str]:
        """Name the labels of one image: the likeliest, or all that reach their threshold."""
        if self.thresholds is None:
            return [self.classes[int(chances.argmax())]]
        (row,) = apply_thresholds(chances[None], self.thresholds)
        return [name for name, is_given in zip(self.classes, row, strict=True) if is_given]

    def rank(self, chances: np.ndarray, count: int) -> list[tuple[str, float]]:
        """Return the likeliest classes of one image with their probabilities, best first."""
        order = np.argsort(-chances, kind="stable")[:count]
        return [(self.classes[number], float(chances[number])) for number in order]

    def find_class(self, name: str) -> int:
        """Return the column of a class.

        Raises:
            RequestError: If the model has no such class.
        """
        if name not in self.classes:
            raise RequestError(
                f"class: {self.name} knows no class {name!r}{suggest(name, self.classes)}"
            )
        return self.classes.index(name)

    def describe(self) -> dict[str, Any]:
        """Say what it is, for JSON."""
        limits = self.thresholds
        return {
            "name": self.name,
            "version": self.version,
            "platform": self.platform,
            "task": "multi_class" if limits is None else "multi_label",
            "classes": list(self.classes),
            "image_size": list(self.image_size),
            "resize": self.resize,
            "thresholds": None
            if limits is None
            else dict(zip(self.classes, limits.tolist(), strict=True)),
            "temperature": self.temperature,
            "views": list(self.views),
            "explained_by": self.method,
        }

    def warm_up(self) -> None:
        """Make the first calls, which take longer than those to come."""
        blank = np.zeros((_WARM_BATCH, *self.image_size, 3), np.float32)
        for images in (blank, blank[:1]):
            self.ask(images)
        if self.method != OcclusionMaps.method:
            self.draw(blank[:1], np.zeros(1, np.int32))


def locate_model(path: Path) -> tuple[Path, str]:
    """Return the bundle or artefact that a path means now, and its version.

    Raises:
        TargetError: If it is none, or a run that has no model yet.
        BundleError: If its facts are damaged.
    """
    if is_artefact(path):
        return path, _read_version(path / FACTS)
    if not (path / BUNDLE_FACTS).is_file():
        from tfclassify.runs.directory import RunDirectory

        path = RunDirectory.open(path, needs_bundle=True).bundle_dir
    return path, _read_version(path / BUNDLE_FACTS)


def _read_version(path: Path) -> str:
    try:
        return str(json.loads(path.read_text("utf-8"))["checksum"])[:_VERSION_SIGNS]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(
            f"{path}: damaged ({error!r}); train or export the model again"
        ) from error


def open_model(
    path: Path, *, name: str = "", use_tta: bool | None = None, threads: int = 0
) -> ServedModel:
    """Open a run, a bundle or an artefact to serve it, and make its first calls.

    Args:
        path: Its folder; that of a run's name means the newest.
        name: What it is called; empty for its recipe's name.
        use_tta: Whether to average over the recipe's views; None: if it has any.
        threads: Of an artefact's runtime; 0 leaves their number to it.

    Raises:
        TargetError: If there is no such model.
        BundleError: If it is damaged, changed, or could run code.
        RequestError: If views are asked for that it does not have.
        MissingExtraError: If an artefact's runtime is not installed.
    """
    folder, version = locate_model(path)
    is_light = is_artefact(folder) and "tensorflow" in _list_refused(folder)
    opened = _open_artefact if is_light else _open_bundle
    model = opened(folder, version, name, use_tta, threads)
    model.warm_up()
    return model


def _list_refused(folder: Path) -> tuple[str, ...]:
    """Return what an artefact runs without."""
    return get_format(read_facts(folder)["artefact"], str(folder)).refused


def _open_artefact(
    folder: Path, version: str, name: str, use_tta: bool | None, threads: int
) -> ServedModel:
    facts = read_facts(folder)
    if use_tta is not None and use_tta != (len(facts["views"]) > 1):
        raise RequestError(
            f"--tta: {folder} shows the views that lie inside, {', '.join(facts['views'])}, and "
            "no others; leave it out, or export the run with or without --views"
        )
    network = OpenNetwork(facts, folder, threads)
    height, width = facts["image_size"]
    limits = facts["thresholds"]

    def ask(images: np.ndarray) -> np.ndarray:
        return predict.ask(network, int(facts["batch"]), np.asarray(images, np.float32))

    return ServedModel(
        name or _name(json.loads((folder / RECIPE).read_text("utf-8"))["name"]),
        version,
        folder,
        facts["artefact"],
        tuple(facts["classes"]),
        (int(height), int(width)),
        facts["resize"],
        int(facts["max_pixels"]),
        None if limits is None else np.array([limits[each] for each in facts["classes"]]),
        facts["temperature"],
        tuple(facts["views"]),
        OcclusionMaps.method,
        ask,
        OcclusionMaps(ask, (int(height), int(width)), _OCCLUSION_BATCH),
    )


def _open_bundle(
    folder: Path, version: str, name: str, use_tta: bool | None, threads: int
) -> ServedModel:
    from tfclassify.workflows.evaluate import choose_views
    from tfclassify.workflows.start import start_tensorflow

    start_tensorflow()
    from tfclassify.export.artefact import open_bundle
    from tfclassify.inference.explanation import Explainer

    bundle = open_bundle(folder)
    is_inside = is_artefact(folder)
    tta = choose_views(bundle.recipe, use_tta, are_inside=is_inside)
    explainer = Explainer(bundle, tta)
    return ServedModel(
        name or _name(bundle.recipe.name),
        version,
        folder,
        read_facts(folder)["artefact"] if is_inside else "keras",
        bundle.classes,
        bundle.image_size,
        bundle.resize,
        bundle.max_pixels,
        bundle.label_thresholds,
        bundle.temperature if tta is None else bundle.views_temperature,
        explainer.views.names,
        explainer.method,
        explainer.views.probabilities,
        explainer.draw,
    )


def _name(text: str) -> str:
    """Make a name that stands in an address as it is."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "model"
