"""Says whether a SavedModel could do more than compute, without loading it.

Owns: which operations of TensorFlow a stranger's graph may hold. Does not own: loading
(``hub_layer``), checksums (``model.bundle_modules``).

A SavedModel is a program: its graph may read and write files, call the network or run
Python. What computes without a state is allowed, but for the few that name files or
hand code to a compiler; what has a state only if it is a variable, a random number, a
table in memory, or control flow. A graph can also not hide what it calls: every function
that the module offers is followed, and only the two that save and restore a checkpoint,
which nothing here calls, are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from tfclassify.errors import ModelError

_GRAPH = "saved_model.pb"
_LARGEST_GRAPH = 1 << 30  # bytes, without weights; a large network's takes some megabytes
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
    r"|FusedBatchNorm\w*|Rng\w+|StatefulStandardNormalV2|StatelessRandomGetAlg"
    r"|StatelessRandomGetKeyCounter\w*)$"
)


def check_saved_model(folder: Path) -> None:
    """Refuse a SavedModel that could do more than compute.

    Args:
        folder: The SavedModel; only its ``saved_model.pb`` is read, and nothing is run.

    Raises:
        ModelError: If it is none, or holds operations that are not allowed, which are
            listed.
    """
    found: Counter[str] = Counter()
    for graph in _read(folder).meta_graphs:
        found.update(_list_unsafe(graph))
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
        raise ModelError(
            f"{path}: is not a readable SavedModel: {error}; export or download it anew"
        ) from error
    return model


def _list_unsafe(graph: Any) -> Iterator[str]:
    """Yield the operations of one graph that are not allowed."""
    library = graph.graph_def.library
    functions = {function.signature.name: function.node_def for function in library.function}
    gradients = {entry.function_name: entry.gradient_func for entry in library.gradient}
    saver = {
        graph.saver_def.save_tensor_name.partition(":")[0],
        graph.saver_def.restore_op_name.removeprefix("^"),
    }
    nodes = [node for node in graph.graph_def.node if node.name not in saver]
    yield from (node.op for node in nodes if not _is_allowed(node.op, functions))
    offered = list(graph.object_graph_def.concrete_functions)
    pending = [*offered, *_list_called(nodes, functions)]
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        if name in seen or name not in functions:
            continue
        seen.add(name)
        yield from (node.op for node in functions[name] if not _is_allowed(node.op, functions))
        pending += _list_called(functions[name], functions)
        pending += [gradients[name]] if name in gradients else []


def _list_called(nodes: Iterable[Any], functions: dict[str, Any]) -> list[str]:
    """List the functions that some nodes call or name."""
    called = []
    for node in nodes:
        called += [node.op] if node.op in functions else []
        for value in node.attr.values():
            called += [value.func.name, *(function.name for function in value.list.func)]
    return [name for name in called if name]


def _is_allowed(operation: str, functions: dict[str, Any]) -> bool:
    """Say whether an operation does nothing but compute."""
    if operation in functions:
        return True  # a call, which is followed
    definition = op_def_registry.get(operation)
    if definition is None:
        return False
    if definition.is_stateful:
        return _STATEFUL.match(operation) is not None
    return _REFUSED.search(operation) is None
