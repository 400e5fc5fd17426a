"""Builds or loads what a user named, and fixes the size of its input.

Owns: the way from a target to a network. Does not own: telling targets apart
(``targets``), SavedModels (``saved_models``), counting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from tfclassify.backbones.building import build_backbone
from tfclassify.backbones.catalog import BackboneSpec, get_backbone
from tfclassify.backbones.origins import KerasNetwork
from tfclassify.data.readers import read_source
from tfclassify.errors import ModelError, RequestError, TfclassifyError
from tfclassify.events import SILENT, Observer
from tfclassify.model.assembly import build_classifier
from tfclassify.model.bundle import load_bundle
from tfclassify.model.keras_files import load_keras_file
from tfclassify.profiler.targets import Target
from tfclassify.profiler.tracing import Shape
from tfclassify.recipe.loading import load_recipe
from tfclassify.recipe.names import HUB
from tfclassify.recipe.schema import ModelRecipe, Recipe

Size = tuple[int, int]
#: Classes of the published networks, which were trained on ImageNet.
_IMAGENET = 1000


@dataclass(frozen=True)
class Subject:
    """A Keras model that is ready to be profiled.

    Attributes:
        model: The network.
        shapes: The shape of each input, batch left out.
        title: What to call it.
        target: What the user named.
        remarks: What a reader should know.
    """

    model: Any
    shapes: tuple[Shape, ...]
    title: str
    target: str
    remarks: tuple[str, ...] = ()


def load_subject(target: Target, size: Size | None, observer: Observer = SILENT) -> Subject:
    """Build or load a Keras model.

    Args:
        target: Anything but a SavedModel or an address.
        size: ``(height, width)`` in pixels, or None for the model's own.
        observer: Told of progress.

    Raises:
        RequestError: If the model's size is fixed to another, or is not fixed at all.
        TfclassifyError: If the model cannot be built or loaded.
    """
    if target.kind == "backbone":
        return _build_published(target, size)
    if target.kind == "recipe":
        return _build_recipe(target, size, observer)
    if target.kind == "keras":
        model, title = load_keras_file(target.path), target.path.stem
    else:
        folder = target.path / "bundle" if target.kind == "run" else target.path
        model = load_bundle(folder).model
        # A run's own name is a mere number.
        title = "/".join(target.path.resolve().parts[-2:])
    shapes = fix_shapes(target.text, input_shapes(model), size)
    return Subject(model, shapes, title, target.text)


def _build_published(target: Target, size: Size | None) -> Subject:
    """Build a backbone with the classifier that it was published with."""
    spec = get_backbone(target.text)
    if spec.name == "custom_cnn":
        raise RequestError(
            "custom_cnn: its layers are spelt out by a recipe; name the recipe instead"
        )
    height, width = size or spec.default_size
    if min(height, width) < spec.min_size:
        raise RequestError(
            f"--image-size: {spec.name} needs at least {spec.min_size} pixels a side, "
            f"got {height}x{width}"
        )
    model = _construct(spec, (height, width))
    remarks = ("with its ImageNet classifier of 1,000 classes and random weights",)
    return Subject(model, ((height, width, 3),), spec.title, target.text, remarks)


def _construct(spec: BackboneSpec, size: Size) -> Any:
    if isinstance(spec.origin, KerasNetwork):
        constructor = getattr(keras.applications, spec.origin.constructor)
        width = {} if spec.origin.alpha is None else {"alpha": spec.origin.alpha}
        return constructor(weights=None, input_shape=(*size, 3), **width)
    extractor = build_backbone(spec.name, size, weights="none")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(extractor.outputs[0])
    logits = keras.layers.Dense(_IMAGENET, name="logits")(x)
    return keras.Model(extractor.inputs, logits, name=spec.name)


def _build_recipe(target: Target, size: Size | None, observer: Observer) -> Subject:
    """Build the classifier of a recipe, with random weights."""
    recipe = load_recipe(target.path)
    classes, remark = _count_classes(recipe, observer)
    size = size or recipe.data.image_size
    model = _without_weights(recipe.model)
    try:
        network = build_classifier(model, classes, size, seed=recipe.seed).network
    except ModelError as error:
        raise ModelError(f"{target.text}: {error}") from error
    return Subject(network, ((*size, 3),), recipe.name, target.text, remark)


def _without_weights(model: ModelRecipe) -> ModelRecipe:
    """Leave out weights, which cost the same whatever they are; hub modules carry theirs."""

    def drop(backbone: str, weights: str) -> dict[str, object]:
        is_kept = backbone.startswith(HUB)
        return {"weights": weights if is_kept else "none", "weights_sha256": None}

    stack = tuple(
        member.model_copy(update=drop(member.backbone, member.weights)) for member in model.stack
    )
    return model.model_copy(update={**drop(model.backbone, model.weights), "stack": stack})


def _count_classes(recipe: Recipe, observer: Observer) -> tuple[int, tuple[str, ...]]:
    """Return how many classes a recipe has, and a remark where that is not known."""
    declared = recipe.data.classes or ()
    if declared:
        return len(declared), ()
    try:
        if "://" in recipe.data.source:
            raise RequestError("it would have to be downloaded")
        found = read_source(recipe.data, observer=observer).index.classes
    except TfclassifyError as error:
        classes = recipe.data.top_classes or 10
        remark = (
            f"the class layer was given {classes} classes, since the data is not at hand: "
            f"{str(error).splitlines()[0]}"
        )
        observer.on_warning(f"{recipe.name}: {remark}")
        return classes, (remark,)
    return max(2, len(found)), ()


def input_shapes(model: Any) -> list[tuple[int | None, ...]]:
    """Return the shape of each input of a model, batch left out; None where it is free.

    Raises:
        RequestError: If the model does not say.
    """
    inputs = getattr(model, "inputs", None)
    if not inputs:
        raise RequestError(
            f"{model.name}: the model does not say what it takes; build it from keras.Input"
        )
    return [tuple(tensor.shape[1:]) for tensor in inputs]


def fix_shapes(
    name: str, shapes: Sequence[tuple[int | None, ...]], size: Size | None
) -> tuple[Shape, ...]:
    """Fix the input shapes of a model, height and width by the size asked for.

    Args:
        name: The model, for messages.
        shapes: Without the batch axis; None where a length is free.
        size: ``(height, width)`` in pixels, or None.

    Raises:
        RequestError: If a length stays free, or the model's size is another one.
    """
    fixed = []
    for shape in shapes:
        lengths = list(shape)
        if size is not None and len(lengths) == 3:
            own = (lengths[0], lengths[1])
            if any(a is not None and a != b for a, b in zip(own, size, strict=True)):
                raise RequestError(
                    f"{name}: its input is fixed at {own[0]}x{own[1]} pixels, got --image-size "
                    f"{size[0]}x{size[1]}; leave --image-size out, or profile its recipe"
                )
            lengths[:2] = size
        if any(length is None for length in lengths):
            raise RequestError(
                f"{name}: its input {tuple(shape)} has no fixed size; "
                + ("give one with --image-size" if len(shape) == 3 else "fix it in the model")
            )
        fixed.append(tuple(int(length) for length in lengths if length is not None))
    return tuple(fixed)
