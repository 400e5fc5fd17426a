"""The bundle: everything that prediction needs, in one folder.

Owns: its parts, their checksums, and loading nothing that was changed or could run
code. Does not own: which objects a model may hold (``keras_files``), where a run keeps its
bundle (``runs``).

    bundle.json   format, classes, thresholds, temperature, checksums of the parts
    model.keras   image to probabilities, preprocessing included
    recipe.json   the recipe that it was trained with
    modules/<name>/   a hub module that the model runs; its name is made of its content
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from pydantic import ConfigDict

from tfclassify.backbones.hub_layer import HubFeatures, list_module_files
from tfclassify.backbones.saved_models import check_saved_model
from tfclassify.errors import BundleError, RecipeError, explain_unread
from tfclassify.files import (
    Document,
    build_folder,
    find_irregular,
    hash_file,
    read_regular,
    write_json,
)
from tfclassify.model.assembly import Classifier
from tfclassify.model.keras_files import check_keras_file, load_keras_file
from tfclassify.recipe.schema import Recipe
from tfclassify.scoring.tasks import MULTI_CLASS, Task, get_task

FORMAT = 1
FACTS, MODEL, RECIPE = "bundle.json", "model.keras", "recipe.json"
_PARTS = (MODEL, RECIPE)
_MOST_RECIPE_BYTES = 16 << 20
_MAKERS = ("keras", "tensorflow")


class _Format(Document):
    """Which form of ``bundle.json`` a file has."""

    format: Any = None


class _Facts(Document):
    """What ``bundle.json`` holds."""

    model_config = ConfigDict(extra="forbid")

    format: int
    classes: list[str]
    image_size: list[int]
    resize: Literal["stretch", "crop", "letterbox"]
    max_pixels: int
    temperature: float | None
    views_temperature: float | None = None
    thresholds: dict[str, float] | None
    sha256: dict[str, str]
    made_with: dict[str, str]
    checksum: str  # of all of the above: a renamed class would not fail otherwise

    def compute_checksum(self) -> str:
        """Return the SHA-256 of all facts but the checksum itself."""
        text = json.dumps(self.model_dump(exclude={"checksum"}, exclude_unset=True), sort_keys=True)
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
        thresholds: multi_label: least probability of a class, by its name; None where
            none was searched, for want of validation images.
        folder: Where it was loaded from.
        views_temperature: The temperature for probabilities averaged over the recipe's views.
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
    views_temperature: float | None = None

    @property
    def task(self) -> Task:
        """What the outputs mean."""
        return get_task(self.recipe.task)

    @property
    def label_thresholds(self) -> np.ndarray | None:
        """Least probability of each class, ``(classes,)`` float64; None under multi_class.

        It is 0.5 where no thresholds were stored.
        """
        return self.task.list_thresholds(self.thresholds, self.classes)


def build_probability_model(classifier: Classifier, task: str = MULTI_CLASS) -> keras.Model:
    """Put the task's activation behind the logits; the layers stay shared with the classifier.

    Returns:
        Images ``(b, height, width, 3)`` float32 in 0..255 to probabilities
        ``(b, classes)`` float32, whatever the precision of the layers before: by softmax,
        or by sigmoid under multi_label.
    """
    images = keras.Input(classifier.network.input_shape[1:], name="image")
    activation = get_task(task).activation
    last = keras.layers.Activation(activation, dtype="float32", name="probabilities")
    return keras.Model(images, last(classifier.network(images)), name="model")


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
    model = build_probability_model(classifier, recipe.task)
    save_model(
        folder,
        model,
        classes=classes,
        recipe=recipe,
        temperature=temperature,
        thresholds=thresholds,
    )


def save_model(
    folder: Path,
    model: keras.Model,
    *,
    classes: Sequence[str],
    recipe: Recipe,
    temperature: float | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> None:
    """Write a bundle of a model that gives probabilities already; else as ``save_bundle``."""
    _check_facts(model, classes, temperature, thresholds)
    with build_folder(folder) as work:
        parts = [*_PARTS, *copy_modules(model, work)]
        model.save(work / MODEL)
        check_keras_file(work / MODEL, find_modules(work, parts))
        write_json(work / RECIPE, recipe.model_dump(mode="json"))
        facts = _Facts(
            format=FORMAT,
            classes=list(classes),
            image_size=list(recipe.data.image_size),
            resize=recipe.data.resize,
            max_pixels=recipe.data.max_pixels,
            temperature=temperature,
            thresholds=None if thresholds is None else dict(thresholds),
            sha256={part: hash_file(work / part) for part in parts},
            made_with={name: version(name) for name in _MAKERS},
            checksum="",
        )
        _write_facts(work, facts)


def store_calibration(
    bundle: Bundle,
    *,
    temperature: float | None = None,
    views_temperature: float | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> Bundle:
    """Write what was found on the answers of a bundle into it, and return it with that.

    Args:
        bundle: As loaded.
        temperature: For probabilities of the plain image, or None.
        views_temperature: For those averaged over the recipe's views, or None.
        thresholds: Least probability of a class, by its name, or None.

    Raises:
        BundleError: If one makes no sense, or the bundle on disk is damaged.
    """
    for each in (temperature, views_temperature):
        _check_facts(bundle.model, bundle.classes, each, thresholds)
    found: dict[str, Any] = {
        "temperature": temperature,
        "views_temperature": views_temperature,
        "thresholds": None if thresholds is None else dict(thresholds),
    }
    _write_facts(bundle.folder, _read_facts(bundle.folder).model_copy(update=found))
    return replace(bundle, **found)


def copy_bundle(source: Path, target: Path, recipe: Recipe) -> None:
    """Copy the parts of a bundle into a folder, with another text of its recipe.

    Args:
        source: The bundle.
        target: A folder that is there; other files in it stay.
        recipe: What stands in place of the recipe, such as one without private paths.

    Raises:
        BundleError: If the bundle is damaged.
    """
    facts = _read_facts(source)
    for part, sha256 in facts.sha256.items():
        _check_part(source / part, sha256)
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / part, target / part)
    write_json(target / RECIPE, recipe.model_dump(mode="json"))
    sums = {**facts.sha256, RECIPE: hash_file(target / RECIPE)}
    _write_facts(target, facts.model_copy(update={"sha256": sums}))


def _write_facts(folder: Path, facts: _Facts) -> None:
    checked = facts.model_copy(update={"checksum": facts.compute_checksum()})
    write_json(folder / FACTS, checked.model_dump(exclude_unset=True))


def _check_facts(
    model: keras.Model,
    classes: Sequence[str],
    temperature: float | None,
    thresholds: Mapping[str, float] | None,
) -> None:
    """Refuse facts that do not fit the model."""
    outputs = model.output_shape[-1]
    if len(classes) != outputs or len(set(classes)) != len(classes):
        raise BundleError(
            f"bundle: the network has {outputs} outputs, got {len(classes)} classes of which "
            f"{len(set(classes))} differ; give one name for each output"
        )
    if temperature is not None and not (math.isfinite(temperature) and temperature > 0):
        raise BundleError(
            f"bundle: the temperature must be positive and finite, got {temperature!r}"
        )
    _check_thresholds(thresholds, classes)


def _check_thresholds(thresholds: Mapping[str, float] | None, classes: Sequence[str]) -> None:
    """Refuse thresholds that are not one for each class, from 0 to 1."""
    if thresholds is None:
        return
    unknown = sorted(set(thresholds) - set(classes))
    if unknown:
        raise BundleError(
            f"bundle: thresholds name {unknown}, which are not among the classes {list(classes)}"
        )
    for name in classes:
        value = thresholds.get(name)
        if value is None or not 0.0 <= value <= 1.0:
            raise BundleError(
                f"bundle: the threshold of class {name!r} must be from 0 to 1, got {value!r}"
            )


def load_bundle(folder: Path) -> Bundle:
    """Load a bundle after checking every part of it.

    Raises:
        BundleError: If a part is missing, was changed, is of another format, or could
            run code. Nothing of the model has then been loaded.
    """
    facts = _read_facts(folder)
    for part, sha256 in facts.sha256.items():
        _check_part(folder / part, sha256)
    check_modules(folder, facts.sha256)
    recipe = read_recipe(folder / RECIPE)
    model = load_keras_file(folder / MODEL, find_modules(folder, facts.sha256))
    _check_finite(folder / MODEL, model)
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
        facts.views_temperature,
    )


def list_sums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each part of a bundle, as ``bundle.json`` lists them.

    Raises:
        BundleError: If that is missing, was changed, or is of another format.
    """
    return dict(_read_facts(folder).sha256)


def _check_finite(path: Path, model: keras.Model) -> None:
    """Refuse weights that are no numbers: every answer would be the first class."""
    for weight in model.weights:
        if not bool(keras.ops.all(keras.ops.isfinite(weight))):
            raise BundleError(
                f"{path}: its weights {weight.path!r} are not all finite (NaN or infinite), so it "
                "cannot predict; the training had diverged: train again at a lower learning_rate"
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
    irregular = find_irregular(folder)
    if irregular is not None:
        raise BundleError(f"{irregular}; a bundle is made of files and folders alone")
    if not path.is_file():
        raise BundleError(f"{path}: the part is missing; train the model again")
    try:
        got = _Format.read(path).format
        if got != FORMAT:
            raise BundleError(
                f"{path}: format {got!r}, this version reads {FORMAT}; "
                "use the version of tfclassify that wrote it"
            )
        facts = _Facts.read(path)
    except (OSError, ValueError) as error:
        reason = explain_unread(error, "train the model again")
        raise BundleError(f"{path}: damaged or changed: {reason}") from error
    others = [part for part in facts.sha256 if not is_module_part(part)]
    is_whole = len(facts.image_size) == 2 and sorted(others) == sorted(_PARTS)
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


def read_recipe(path: Path) -> Recipe:
    """Read the recipe that a model was trained with.

    Raises:
        BundleError: If it is none, or of another version.
    """
    try:
        return Recipe.model_validate_json(read_regular(path, limit=_MOST_RECIPE_BYTES))
    except (OSError, ValueError, RecipeError) as error:
        reason = explain_unread(error, "use the version of tfclassify that wrote it")
        raise BundleError(f"{path}: not a recipe of this version: {reason}") from error


_MODULES = "modules"
#: A file of a module within a bundle: no way out, nothing hidden.
_PART = re.compile(rf"{_MODULES}/(hub_[0-9a-f]{{12}})(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+")


def list_hub_layers(model: keras.Model) -> Iterator[HubFeatures]:
    """Yield the layers of a model that run hub modules, nested models included."""
    for layer in model.layers:
        if isinstance(layer, HubFeatures):
            yield layer
        elif isinstance(layer, keras.Model):
            yield from list_hub_layers(layer)


def copy_modules(model: keras.Model, bundle: Path) -> list[str]:
    """Copy the hub modules that a model runs into a bundle.

    Args:
        model: The model that the bundle is to hold.
        bundle: The bundle's folder.

    Returns:
        The files that were written, relative to the bundle, sorted; none for most models.
    """
    parts = []
    for name, folder in {layer.module: layer.folder for layer in list_hub_layers(model)}.items():
        for file in list_module_files(folder):
            target = bundle / _MODULES / name / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / file, target)
            parts.append(f"{_MODULES}/{name}/{file}")
    return sorted(parts)


def find_modules(bundle: Path, parts: Iterable[str]) -> dict[str, Path]:
    """Return the folder of each hub module of a bundle, by its name.

    Args:
        bundle: The bundle's folder.
        parts: The files that the bundle says it has.
    """
    found = (_PART.fullmatch(part) for part in sorted(parts))
    return {match[1]: bundle / _MODULES / match[1] for match in found if match}


def is_module_part(part: str) -> bool:
    """Say whether a part's name is that of a file of a hub module."""
    return _PART.fullmatch(part) is not None


def check_modules(bundle: Path, parts: Iterable[str]) -> None:
    """Refuse modules with files that the bundle does not name, or that are unsafe.

    Raises:
        BundleError: If there are such files.
        ModelError: If a module could do more than compute.
    """
    known = set(parts)
    present = [
        path.relative_to(bundle).as_posix()
        for path in (bundle / _MODULES).rglob("*")
        if not path.is_dir() or path.is_symlink()
    ]
    extra = sorted(set(present) - known)
    if extra:
        raise BundleError(
            f"{bundle}: holds files that bundle.json does not name, such as {extra[0]}; copy the "
            "bundle afresh, or train the model again"
        )
    for folder in find_modules(bundle, known).values():
        check_saved_model(folder)
