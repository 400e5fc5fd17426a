"""Loads a SavedModel that anyone may have made, after a look at what it could do.

Owns: which operations of TensorFlow a stranger's graph may hold, and loading one that
holds no other. Does not own: calling it (``hub_layer``), checksums (``model.bundle``).

A SavedModel is a program: its graph may read and write files, call the network or run
Python. What computes without a state is allowed, but for the few that name files or
hand code to a compiler; what has a state only if it is a variable, a random number, a
table in memory, or control flow. Every function that the file holds is looked at, whoever
calls it. Only the two that save and restore a checkpoint, which every export carries and
nothing here calls, are left out, and only where no one else can call them.

TensorFlow 1's format is refused as a whole: its loader runs the main graph, with the
nodes that it names for saving and restoring, and cannot do without operations on files.
"""

from __future__ import annotations

import re
import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from tfclassify.backbones.footprint import limited_memory
from tfclassify.errors import ModelError, explain_unread

_GRAPH = "saved_model.pb"
_LARGEST_GRAPH = 1 << 30  # bytes, without weights; a large network's takes some megabytes
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_CHECKPOINT = frozenset(
    {"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename", "ShardedFilespec"}
)
_INTERFACE = "api_implements"
#: Operations without a state that name files, addresses or code all the same.
_REFUSED = re.compile(
    r"Dataset|File|Reader|^Debug|Xla|TPU|Tpu|Proto|^ImmutableConst$|^GenerateVocabRemapping$"
    r"|^BatchFunction$|^SymbolicGradient$|Rpc|Snapshot|Checkpoint|PyFunc|^Abort$|^Copy(Host)?$"
    r"|^ParseTensor$|Queue|Barrier|Infeed|Prelinearize"
)
#: Operations with a state that touch nothing but the memory of the network.
_STATEFUL = re.compile(
    r"^(VarHandleOp|VarIsInitializedOp|ReadVariableOp|VariableShape|Assign(Add|Sub)?VariableOp"
    r"|ResourceGather(Nd)?|DestroyResourceOp|DisableCopyOnRead|Assert|If|While|Case"
    r"|StatefulPartitionedCall|TensorArray\w*V3|Stack\w*V2|Multinomial"
    r"|Random(Crop|Gamma|PoissonV?2?|Shuffle|StandardNormal|Uniform|UniformInt)"
    r"|TruncatedNormal|ParameterizedTruncatedNormal|Stateful\w*(Uniform|Normal|Int|Binomial)\w*"
    r"|(Anonymous)?(Mutable|MutableDense)?HashTable\w*|InitializeTableV2|LookupTable\w+V2"
    r"|FusedBatchNorm\w*|CudnnRNN\w*|Rng\w+|StatefulStandardNormalV2|StatelessRandomGetAlg"
    r"|StatelessRandomGetKeyCounter\w*)$"
)


_EXPORT = "it was not used; take another module, or export the network anew"
#: Operations of all functions with what they call written out, and calls within calls;
#: ConvNeXtXLarge's takes some 20,000.
_MOST_NODES, _DEEPEST = 1_000_000, 100
#: Seconds that one image may take in a module that nobody has run before.
LONGEST_RUN_S = 60.0


def load_saved_model(folder: Path) -> Any:
    """Load a SavedModel of TensorFlow 2 that does nothing but compute.

    Raises:
        ModelError: If it could do more, or is damaged.
    """
    check_saved_model(folder)
    import tensorflow as tf

    try:
        return tf.saved_model.load(str(folder))
    except Exception as error:  # a damaged file makes the loader raise anything
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"{folder}: TensorFlow cannot load the SavedModel: {reason}; export or download it anew"
        ) from error


def check_saved_model(folder: Path) -> None:
    """Refuse a SavedModel that could do more than compute.

    Args:
        folder: The SavedModel; only its ``saved_model.pb`` is read, and nothing is run.

    Raises:
        ModelError: If it is none of TensorFlow 2, or holds operations that are not
            allowed, which are listed.
    """
    graphs = _read(folder).meta_graphs
    # TensorFlow takes any other for its old format.
    if len(graphs) != 1 or not graphs[0].object_graph_def.nodes:
        raise ModelError(
            f"{folder}: the SavedModel is in TensorFlow 1's format, whose loader runs whatever it "
            "names, and was not loaded; take a TF2 SavedModel: rebuild the network in Keras and "
            "export it anew"
        )
    _check_extent(folder, graphs[0])
    found = Counter(_list_unsafe(graphs[0]))
    if found:
        names = ", ".join(f"{name} ({count}x)" for name, count in sorted(found.items()))
        raise ModelError(
            f"{folder}: the SavedModel holds operations that could read or write files, reach a "
            f"network or run code, and was not loaded: {names}; take a module that only "
            "computes, or rebuild the network in Keras and export it anew"
        )


def _read(folder: Path) -> Any:
    """Read the graphs of a SavedModel."""
    path = folder / _GRAPH
    model = saved_model_pb2.SavedModel()
    try:
        if path.stat().st_size > _LARGEST_GRAPH:
            raise ValueError(f"it is over {_LARGEST_GRAPH} bytes")
        model.ParseFromString(path.read_bytes())
        if not model.meta_graphs:
            raise ValueError("it holds no graph")
    except (OSError, ValueError, DecodeError) as error:
        reason = explain_unread(error, "export or download it anew")
        raise ModelError(f"{path}: is not a readable SavedModel: {reason}") from error
    return model


def _check_extent(folder: Path, graph: Any) -> None:
    """Refuse functions that call one another without end, or too often to be written out."""
    functions = {each.signature.name: each.node_def for each in graph.graph_def.library.function}
    calls = {
        name: [called for node in nodes for called in (node.op, *_list_called(node))]
        for name, nodes in functions.items()
    }
    try:
        order = list(TopologicalSorter(calls).static_order())
    except CycleError as error:
        raise ModelError(
            f"{folder}: the SavedModel's functions call one another without end; {_EXPORT}"
        ) from error
    sizes, depths = Counter[str](), Counter[str]()
    for name in order:
        inner = [called for called in calls.get(name, ()) if called in functions]
        sizes[name] = len(functions.get(name, ())) + sum(sizes[called] for called in inner)
        depths[name] = 1 + max((depths[called] for called in inner), default=0)
    if max(sizes.values(), default=0) > _MOST_NODES or max(depths.values(), default=0) > _DEEPEST:
        raise ModelError(
            f"{folder}: the SavedModel's calls are {max(sizes.values()):,} operations when written "
            f"out, {max(depths.values()):,} deep, allowed are {_MOST_NODES:,} and {_DEEPEST}; "
            f"{_EXPORT}"
        )


@contextmanager
def bounded_run(where: str, seconds: float = LONGEST_RUN_S) -> Iterator[None]:
    """Let what a stranger's graph does inside this block end in time and within the memory.

    Args:
        where: What the message begins with.
        seconds: After which the functions that run are cancelled.

    Raises:
        ModelError: If they were, or more memory was asked for than the machine may give.
    """
    from tensorflow.python.eager import cancellation

    manager = cancellation.CancellationManager()
    timer = threading.Timer(seconds, manager.start_cancel)
    timer.daemon = True
    timer.start()
    try:
        with limited_memory(), cancellation.CancellationManagerContext(manager):
            yield
    except Exception as error:
        if isinstance(error, MemoryError) or "OOM when allocating" in str(error):
            raise ModelError(
                f"{where}: one image takes more memory than this machine may give; {_EXPORT}"
            ) from error
        if manager.is_cancelled:
            raise ModelError(
                f"{where}: one image took over {seconds:.0f} s, and was given up; {_EXPORT}"
            ) from error
        raise
    finally:
        timer.cancel()


def _list_unsafe(graph: Any) -> Iterator[str]:
    """Yield the operations of one graph that are not allowed."""
    functions = list(graph.graph_def.library.function)
    names = {function.signature.name for function in functions}
    savers = _find_savers(graph, names)
    idle = _find_idle(graph, functions, savers)
    main = [node for node in graph.graph_def.node if node.name not in savers]
    yield from (node.op for node in main if not _is_allowed(node, names))
    for function in functions:
        allowed = _CHECKPOINT if function.signature.name in idle else frozenset()
        for node in function.node_def:
            if node.op not in allowed and not _is_allowed(node, names):
                yield node.op


def _find_savers(graph: Any, names: Collection[str]) -> dict[str, str]:
    """Return the two nodes that save and restore a checkpoint, with what each calls."""
    wanted = {
        graph.saver_def.save_tensor_name.partition(":")[0],
        graph.saver_def.restore_op_name.removeprefix("^"),
    }
    return {
        node.name: node.attr["f"].func.name
        for node in graph.graph_def.node
        if node.name in wanted and node.op in _CALLS and node.attr["f"].func.name in names
    }


def _find_idle(graph: Any, functions: Sequence[Any], savers: dict[str, str]) -> set[str]:
    """Return the functions that only the saver's two nodes call."""
    calls: defaultdict[str, set[str]] = defaultdict(set)
    for function in functions:
        own = calls[function.signature.name]
        own.update(*map(_list_named, function.node_def), _list_texts(function.attr))
    idle = _follow(savers.values(), calls)
    # Two functions of one interface may be exchanged for one another when they run.
    used = {each.signature.name for each in functions if _INTERFACE in each.attr}
    used |= ({*calls} - idle) | set(_list_offered(graph))
    for node in graph.graph_def.node:
        used |= set() if node.name in savers else _list_named(node)
    return idle - _follow(used, calls)


def _list_offered(graph: Any) -> Iterator[str]:
    """Yield the functions that a graph's objects and gradients name."""
    objects, library = graph.object_graph_def, graph.graph_def.library
    yield from objects.concrete_functions
    for node in objects.nodes:
        yield from node.function.concrete_functions
        yield node.bare_concrete_function.concrete_function_name
        yield node.captured_tensor.concrete_function
    for gradient in (*library.gradient, *library.registered_gradients):
        yield gradient.gradient_func


def _follow(names: Iterable[str], calls: Mapping[str, set[str]]) -> set[str]:
    """Return functions with all that they call."""
    pending, seen = list(names), set()
    while pending:
        name = pending.pop()
        if name in calls and name not in seen:
            seen.add(name)
            pending += calls[name]
    return seen


def _list_named(node: Any) -> set[str]:
    """Return every name in a node that may be that of a function."""
    return {node.op, *_list_called(node), *_list_texts(node.attr)}


def _list_called(node: Any) -> Iterator[str]:
    """Yield the functions that a node's attributes are."""
    for value in node.attr.values():
        yield from (each.name for each in (value.func, *value.list.func) if each.name)


def _list_texts(attributes: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts among attributes, some of which name functions."""
    for value in attributes.values():
        yield from (text.decode("utf-8", "replace") for text in (value.s, *value.list.s))


def _is_allowed(node: Any, functions: Collection[str]) -> bool:
    """Say whether a node does nothing but compute, and calls nothing from elsewhere."""
    if any(name not in functions for name in _list_called(node)):
        return False
    definition = op_def_registry.get(node.op)
    if definition is None:
        return node.op in functions  # a call of what is looked at itself
    if definition.is_stateful:
        return _STATEFUL.match(node.op) is not None
    return _REFUSED.search(node.op) is None
