"""Opens a SavedModel at a fixed input size.

Owns: choosing its inference function, and its graph with every shape worked out. Does
not own: where a module of TensorFlow Hub lies (``backbones.hub_modules``), what is safe
to run (``backbones.saved_models``), counting (``saved_model_profile``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfclassify.backbones.saved_models import load_saved_model
from tfclassify.errors import ModelError, ProfileError
from tfclassify.profiler.graph_import import import_graph
from tfclassify.profiler.subjects import Size, fix_shapes
from tfclassify.profiler.tracing import Shape

_PREFERRED = ("serving_default", "default")


@dataclass(frozen=True)
class SavedGraph:
    """A SavedModel's inference at a fixed size.

    Attributes:
        graph: Its graph, functions inlined and shapes worked out.
        inputs: The tensors of its inputs, in the order of ``names``.
        outputs: The tensors of its outputs.
        variables: Name of the tensor that stands for a variable -> the variable.
        names: Names of the inputs, as the function takes them.
        shapes: Their shapes, batch left out.
        function: The function itself, of tensors by name.
        loaded: What was loaded, which keeps the variables alive.
    """

    graph: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    variables: dict[str, Any]
    names: tuple[str, ...]
    shapes: tuple[Shape, ...]
    function: Any
    loaded: Any


def open_saved_model(folder: Path, size: Size | None) -> SavedGraph:
    """Open a SavedModel's inference function.

    Args:
        folder: The SavedModel.
        size: ``(height, width)`` in pixels, or None for its own.

    Raises:
        ProfileError: If it cannot be read, could do more than compute, or has no usable
            function.
        RequestError: If its size is not fixed, or is another one.
    """
    try:
        loaded = load_saved_model(folder)
    except ModelError as error:
        raise ProfileError(str(error)) from error
    function = _choose_function(folder, loaded)
    arguments = _list_arguments(function)
    if not arguments or any(spec.shape.rank is None for _, spec in arguments):
        raise ProfileError(
            f"{folder}: its inference function takes {[str(spec) for _, spec in arguments]}, "
            "which cannot be given a size; export it with the rank of its input fixed"
        )
    free = [tuple(spec.shape.as_list()[1:]) for _, spec in arguments]
    shapes = fix_shapes(str(folder), free, size)
    imported = import_graph(function, shapes)
    names = tuple(name for name, _ in arguments)
    return SavedGraph(
        imported.graph,
        imported.inputs,
        imported.outputs,
        imported.variables,
        names,
        shapes,
        function,
        loaded,
    )


def _choose_function(folder: Path, loaded: Any) -> Any:
    """Return the function that predicts: a signature, else the object's own call."""
    signatures: Mapping[str, Any] = getattr(loaded, "signatures", {})
    for name in (*_PREFERRED, *signatures):
        if name in signatures:
            return signatures[name]
    concrete = list(getattr(getattr(loaded, "__call__", None), "concrete_functions", ()))  # noqa: B004
    for function in concrete:
        given, named = function.structured_input_signature
        if True not in (*given, *named.values()):
            return function
    raise ProfileError(
        f"{folder}: the SavedModel has no signature and cannot be called, so there is nothing to "
        "run; export it with one: model.export('folder')"
    )


def _list_arguments(function: Any) -> list[tuple[str, Any]]:
    """Return the name and the specification of each tensor that a function takes."""
    given, named = function.structured_input_signature
    specs = [spec for spec in given if isinstance(spec, tf.TensorSpec)]
    found = [(spec.name or f"argument {n}", spec) for n, spec in enumerate(specs)]
    # A graph takes named arguments in the order of their names.
    found += [(n, spec) for n, spec in sorted(named.items()) if isinstance(spec, tf.TensorSpec)]
    return found


def run_saved(saved: SavedGraph, tensors: Sequence[Any]) -> Any:
    """Run a SavedModel's inference on its inputs, given in a row."""
    return saved.function(**dict(zip(saved.names, tensors, strict=True)))
