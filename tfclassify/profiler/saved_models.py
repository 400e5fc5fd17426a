"""Opens a SavedModel, from a folder or TensorFlow Hub, at a fixed input size.

Owns: choosing its inference function, and its graph with every shape worked out. Does
not own: counting (``saved_model_profile``).

A signature's own graph has free sizes and calls functions within functions, whose shapes
nothing infers. So the functions are inlined, the inputs are given their size, each
variable is replaced by an input of its shape, and the graph is imported anew: no weight
is copied, and TensorFlow infers the rest.
"""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfclassify.errors import DownloadError, ProfileError
from tfclassify.profiler.inlining import inline_functions
from tfclassify.profiler.subjects import Size, fix_shapes
from tfclassify.profiler.tracing import Shape

#: Seconds without a byte after which a download has failed.
_PATIENCE_S = 20.0
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


def fetch_module(handle: str) -> Path:
    """Return the folder of a TensorFlow Hub module, from its cache or the network.

    Raises:
        DownloadError: If it is not cached and cannot be fetched.
    """
    cached = find_cached_module(handle)
    if cached is not None:
        return cached
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE_S)
    try:
        import tensorflow_hub as hub

        return Path(hub.resolve(handle))
    except Exception as error:  # the resolver raises whatever the network does
        reason = " ".join(str(error).split())[:200]
        raise DownloadError(
            f"{handle}: is not in TensorFlow Hub's cache and cannot be fetched: {reason}; "
            "download its SavedModel elsewhere, unpack it and name the folder, or set "
            "TFHUB_CACHE_DIR to a cache that has it"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def find_cached_module(handle: str) -> Path | None:
    """Return where TensorFlow Hub keeps a module that it fetched before, or None.

    Its cache is ``$TFHUB_CACHE_DIR``, else ``tfhub_modules`` in the temporary folder; a
    module's folder is the SHA-1 of its address.
    """
    cache = os.environ.get("TFHUB_CACHE_DIR")
    root = Path(cache) if cache else Path(tempfile.gettempdir()) / "tfhub_modules"
    folder = root / hashlib.sha1(handle.encode(), usedforsecurity=False).hexdigest()
    return folder if (folder / "saved_model.pb").is_file() else None


def open_saved_model(folder: Path, size: Size | None) -> SavedGraph:
    """Open a SavedModel's inference function.

    Args:
        folder: The SavedModel.
        size: ``(height, width)`` in pixels, or None for its own.

    Raises:
        ProfileError: If it cannot be read or has no usable function.
        RequestError: If its size is not fixed, or is another one.
    """
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # a damaged file makes the loader raise anything
        reason = " ".join(str(error).split())[:200]
        raise ProfileError(
            f"{folder}: is not a SavedModel that TensorFlow can load: {reason}; export it anew"
        ) from error
    function = _choose_function(folder, loaded)
    arguments = _list_arguments(function)
    if not arguments or any(spec.shape.rank is None for _, spec in arguments):
        raise ProfileError(
            f"{folder}: its inference function takes {[str(spec) for _, spec in arguments]}, "
            "which cannot be given a size; export it with the rank of its input fixed"
        )
    free = [tuple(spec.shape.as_list()[1:]) for _, spec in arguments]
    shapes = fix_shapes(str(folder), free, size)
    graph, inputs, outputs, variables = _import_graph(function, arguments, shapes)
    names = tuple(name for name, _ in arguments)
    return SavedGraph(graph, inputs, outputs, variables, names, shapes, function, loaded)


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


def _import_graph(
    function: Any, arguments: Sequence[tuple[str, Any]], shapes: Sequence[Shape]
) -> tuple[Any, tuple[Any, ...], tuple[Any, ...], dict[str, Any]]:
    inlined = inline_functions(function)
    inputs = [tensor.op.name for tensor in function.inputs[: len(arguments)]]
    fixed = dict(zip(inputs, shapes, strict=True))
    variables = {
        inner.op.name: variable
        for outer, inner in function.graph.captures
        if (variable := _find_variable(function, outer)) is not None
    }
    carriers = _follow_handles(inlined, variables)
    for node in inlined.node:
        # Shapes that were noted at export hide those that follow from the new size.
        node.attr.pop("_output_shapes", None)
        if node.name in fixed:
            shape = tf.TensorShape((1, *fixed[node.name]))
            node.attr["shape"].shape.CopyFrom(shape.as_proto())
        elif node.name in carriers:
            _hold_value(node, carriers[node.name])
        elif node.op == "ReadVariableOp" and _source_of(node) in carriers:
            node.op = "Identity"
            node.attr["T"].type = node.attr["dtype"].type
            del node.attr["dtype"]
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(inlined, name="")
    return (
        graph,
        tuple(graph.get_tensor_by_name(f"{name}:0") for name in inputs),
        tuple(graph.get_tensor_by_name(tensor.name) for tensor in function.outputs),
        {f"{name}:0": variable for name, variable in variables.items()},
    )


def _find_variable(function: Any, handle: Any) -> Any:
    for variable in function.graph.variables:
        if variable.handle is handle:
            return variable
    return None


def _source_of(node: Any) -> str:
    return str(node.input[0]).partition(":")[0]


def _follow_handles(graph: Any, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variable whose handle a node holds or passes on, by the node's name."""
    carriers = dict(variables)
    passing = [
        node
        for node in graph.node
        if node.op == "Identity" and node.attr["T"].type == tf.resource.as_datatype_enum
    ]
    found = True
    while found:
        found = False
        for node in passing:
            if node.name not in carriers and _source_of(node) in carriers:
                carriers[node.name] = carriers[_source_of(node)]
                found = True
    return carriers


def _hold_value(node: Any, variable: Any) -> None:
    """Have a node hold a variable's value where it held its handle."""
    if node.op == "Identity":
        node.attr["T"].type = variable.dtype.as_datatype_enum
        return
    node.attr["dtype"].type = variable.dtype.as_datatype_enum
    node.attr["shape"].shape.CopyFrom(variable.shape.as_proto())


def run_saved(saved: SavedGraph, tensors: Sequence[Any]) -> Any:
    """Run a SavedModel's inference on its inputs, given in a row."""
    return saved.function(**dict(zip(saved.names, tensors, strict=True)))
