"""The bundle: everything that prediction needs, in one folder.

Owns: its parts, their checksums, and loading nothing that was changed or could run
code. Does not own: which objects a model may hold (``safety``), where a run keeps its
bundle (``runs``).

    bundle.json   format, classes, thresholds, temperature, checksums of the parts
    model.keras   image to probabilities, preprocessing included
    recipe.json   the recipe that it was trained with
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import keras
from pydantic import BaseModel, ConfigDict, ValidationError

from tfclassify.backbones import preprocessing
from tfclassify.errors import BundleError
from tfclassify.files import build_folder, hash_file, write_json
from tfclassify.model.assembly import Classifier
from tfclassify.model.safety import check_model_file
from tfclassify.recipe.schema import Recipe

FORMAT = 1
FACTS, MODEL, RECIPE = "bundle.json", "model.keras", "recipe.json"
_PARTS = (MODEL, RECIPE)
_MAKERS = ("keras", "tensorflow")
# Keras finds this class by its module's having been imported.
_NEEDED = (preprocessing.ReverseChannels,)


class _Facts(BaseModel):
    """What ``bundle.json`` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    format: int
    classes: list[str]
    image_size: list[int]
    resize: Literal["stretch", "crop", "letterbox"]
    max_pixels: int
    temperature: float | None
    thresholds: dict[str, float] | None
    sha256: dict[str, str]
    made_with: dict[str, str]
    checksum: str  # of all of the above: a renamed class would not fail otherwise

    def compute_checksum(self) -> str:
        """Return the SHA-256 of all facts but the checksum itself."""
        text = json.dumps(self.model_dump(exclude={"checksum"}), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Bundle:
    """A classifier that is ready to predict.

    Attributes:
        model: Images ``(b, height, width, 3)`` float32 in 0..255 to probabilities
            ``(b, classes)`` float32.
        classes: Class names; a probability's column is its place here.
        image_size: ``(height, width)`` in pixels.
        resize: How an image of another shape is brought to ``image_size``.
        max_pixels: Images of more pixels are not read.
        recipe: What the model was trained with.
        temperature: Fitted on validation; the model's probabilities are without it.
        thresholds: Least probability of a class, by its name, or None.
        folder: Where it was loaded from.
    """

    model: keras.Model
    classes: tuple[str, ...]
    image_size: tuple[int, int]
    resize: Literal["stretch", "crop", "letterbox"]
    max_pixels: int
    recipe: Recipe
    temperature: float | None
    thresholds: dict[str, float] | None
    folder: Path


def build_probability_model(classifier: Classifier) -> keras.Model:
    """Put the softmax behind the logits; the layers stay shared with the classifier.

    Returns:
        Images ``(b, height, width, 3)`` float32 in 0..255 to probabilities
        ``(b, classes)`` float32, whatever the precision of the layers before.
    """
    images = keras.Input(classifier.network.input_shape[1:], name="image")
    softmax = keras.layers.Activation("softmax", dtype="float32", name="probabilities")
    return keras.Model(images, softmax(classifier.network(images)), name="model")


def save_bundle(
    folder: Path,
    classifier: Classifier,
    *,
    classes: Sequence[str],
    recipe: Recipe,
    temperature: float | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> None:
    """Write a bundle; ``folder`` appears whole or stays as it was.

    Args:
        folder: Where to; what is there is replaced.
        classifier: The trained network.
        classes: Class names in the order of the logits.
        recipe: What the network was trained with.
        temperature: Fitted on validation, or None.
        thresholds: Least probability of a class, by its name, or None.

    Raises:
        BundleError: If the facts do not fit the network, or ``load_bundle`` would
            refuse what it holds.
    """
    _check_facts(classifier, classes, temperature, thresholds)
    with build_folder(folder) as work:
        build_probability_model(classifier).save(work / MODEL)
        check_model_file(work / MODEL)
        write_json(work / RECIPE, recipe.model_dump(mode="json"))
        facts = _Facts(
            format=FORMAT,
            classes=list(classes),
            image_size=list(recipe.data.image_size),
            resize=recipe.data.resize,
            max_pixels=recipe.data.max_pixels,
            temperature=temperature,
            thresholds=None if thresholds is None else dict(thresholds),
            sha256={part: hash_file(work / part) for part in _PARTS},
            made_with={name: version(name) for name in _MAKERS},
            checksum="",
        )
        checked = facts.model_copy(update={"checksum": facts.compute_checksum()})
        write_json(work / FACTS, checked.model_dump())


def _check_facts(
    classifier: Classifier,
    classes: Sequence[str],
    temperature: float | None,
    thresholds: Mapping[str, float] | None,
) -> None:
    """Refuse facts that do not fit the network."""
    outputs = classifier.network.output_shape[-1]
    if len(classes) != outputs or len(set(classes)) != len(classes):
        raise BundleError(
            f"bundle: the network has {outputs} outputs, got {len(classes)} classes of which "
            f"{len(set(classes))} differ; give one name for each output"
        )
    if temperature is not None and not (math.isfinite(temperature) and temperature > 0):
        raise BundleError(
            f"bundle: the temperature must be positive and finite, got {temperature!r}"
        )
    unknown = sorted(set(thresholds or ()) - set(classes))
    if unknown:
        raise BundleError(
            f"bundle: thresholds name {unknown}, which are not among the classes {list(classes)}"
        )


def load_bundle(folder: Path) -> Bundle:
    """Load a bundle after checking every part of it.

    Raises:
        BundleError: If a part is missing, was changed, is of another format, or could
            run code. Nothing of the model has then been loaded.
    """
    facts = _read_facts(folder)
    for part in _PARTS:
        _check_part(folder / part, facts.sha256.get(part))
    recipe = _read_recipe(folder / RECIPE)
    model = _load_model(folder / MODEL)
    height, width = facts.image_size
    expected = ((None, height, width, 3), (None, len(facts.classes)))
    if (model.input_shape, model.output_shape) != expected:
        raise BundleError(
            f"{folder / MODEL}: takes {model.input_shape} and gives {model.output_shape}, but "
            f"{FACTS} says {expected[0]} and {expected[1]}; the parts are of two bundles"
        )
    return Bundle(
        model,
        tuple(facts.classes),
        (height, width),
        facts.resize,
        facts.max_pixels,
        recipe,
        facts.temperature,
        facts.thresholds,
        folder,
    )


def _read_facts(folder: Path) -> _Facts:
    """Read and check ``bundle.json``."""
    path = folder / FACTS
    if not folder.is_dir():
        raise BundleError(
            f"{folder}: a bundle is a folder with {FACTS}, {MODEL} and {RECIPE}, "
            f"{'got a file' if folder.exists() else 'there is none'}; single model files such "
            "as .h5 are not loaded. Give the bundle folder of a run"
        )
    if not path.is_file():
        raise BundleError(f"{path}: the part is missing; train the model again")
    try:
        content: Any = json.loads(path.read_text("utf-8"))
        got = content.get("format") if isinstance(content, dict) else None
        if got != FORMAT:
            raise BundleError(
                f"{path}: format {got!r}, this version reads {FORMAT}; "
                "use the version of tfclassify that wrote it"
            )
        facts = _Facts.model_validate(content)
    except (ValidationError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise BundleError(f"{path}: damaged or changed: {reason}; train the model again") from error
    is_whole = len(facts.image_size) == 2 and sorted(facts.sha256) == sorted(_PARTS)
    if not is_whole or facts.checksum != facts.compute_checksum():
        raise BundleError(
            f"{path}: damaged or changed: its checksum is {facts.checksum}, its content's "
            f"{facts.compute_checksum()}, its parts {sorted(facts.sha256)}, expected "
            f"{sorted(_PARTS)}; copy the bundle afresh, or train the model again"
        )
    return facts


def _check_part(path: Path, sha256: str | None) -> None:
    """Refuse a part that is missing or is not the one that was written."""
    if not path.is_file():
        raise BundleError(f"{path}: the part is missing; train the model again")
    got = hash_file(path)
    if got != sha256:
        raise BundleError(
            f"{path}: was changed after it was written: sha256 is {got}, {FACTS} says {sha256}; "
            "train the model again, or copy the bundle afresh"
        )


def _read_recipe(path: Path) -> Recipe:
    """Read the recipe that the model was trained with."""
    try:
        return Recipe.model_validate_json(path.read_bytes())
    except ValidationError as error:
        reason = " ".join(str(error).split())
        raise BundleError(
            f"{path}: not a recipe of this version: {reason}; "
            "use the version of tfclassify that wrote it"
        ) from error


def _load_model(path: Path) -> keras.Model:
    """Load the model with Keras' safe mode on, after our own look into it."""
    check_model_file(path)
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever a description that nobody wrote makes Keras raise
        reason = " ".join(str(error).split())[:300]
        raise BundleError(
            f"{path}: Keras cannot load it: {type(error).__name__}: {reason}; train the model again"
        ) from error
