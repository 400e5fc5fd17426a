"""What the operators of an ONNX or LiteRT file cost, as a profile.

Owns: reading the files' own graphs and counting their operators. Does not own: what a
count means (``profiler.results``), SavedModels and Keras files (``profiler``).

Multiply-accumulates are those of convolutions and matrix products, whatever their type:
the number of outputs times the length of the dot product behind each. Every other
operator that computes counts one element-wise operation an output.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfclassify.errors import ExportError
from tfclassify.export.artefact import load_artefact
from tfclassify.export.litert_file import import_litert
from tfclassify.export.onnx_file import import_onnx
from tfclassify.export.reading import read_facts, refusing, try_alone
from tfclassify.profiler.latency import measure_whole
from tfclassify.profiler.results import Cost, LayerProfile, Profile, add_costs

#: Operators that move or retype numbers and compute none.
_MOVES = frozenset(
    (
        *("Reshape", "Transpose", "Concat", "Split", "Slice", "Gather", "Squeeze", "Unsqueeze"),
        *("Shape", "Cast", "Identity", "Pad", "Constant", "ConstantOfShape", "Flatten", "Expand"),
        *("Tile", "Range", "ReverseSequence"),
        *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
        *("RESHAPE", "TRANSPOSE", "CONCATENATION", "SPLIT", "SLICE", "STRIDED_SLICE", "GATHER"),
        *("SQUEEZE", "EXPAND_DIMS", "SHAPE", "CAST", "PAD", "PADV2", "PACK", "UNPACK", "FILL"),
        *("REVERSE_V2", "BROADCAST_TO", "QUANTIZE", "DEQUANTIZE"),
        "DENSIFY",
    )
)
#: Operator -> the axes of its weights that one output is a product over.
_PRODUCTS: Mapping[str, tuple[int, ...]] = {
    "Conv": (1, 2, 3),  # (out, in / groups, h, w)
    "ConvInteger": (1, 2, 3),
    "Gemm": (0,),  # (in, out), unless it is turned
    "MatMul": (-2,),
    "MatMulInteger": (-2,),
    "CONV_2D": (1, 2, 3),  # (out, h, w, in / groups)
    "DEPTHWISE_CONV_2D": (1, 2),  # (1, h, w, out)
    "FULLY_CONNECTED": (1,),  # (out, in)
    "BATCH_MATMUL": (-2,),
}


@dataclass(frozen=True)
class Operator:
    """One operator of a file.

    Attributes:
        name: Its own, or that of what it gives.
        kind: Its type.
        inputs: Shapes of its inputs; None where unknown.
        output: Shape of its first output; None where unknown.
        is_turned: Whether its weights are transposed.
    """

    name: str
    kind: str
    inputs: tuple[tuple[int, ...] | None, ...]
    output: tuple[int, ...] | None
    is_turned: bool = False

    def count(self) -> Cost:
        """Return what it costs for the file's batch.

        >>> Operator("a", "Conv", ((1, 3, 8, 8), (4, 3, 5, 5)), (1, 4, 8, 8)).count().macs
        19200
        """
        if self.kind in _MOVES:
            return Cost()
        if self.output is None:
            return Cost(uncounted=Counter({self.kind: 1}))
        outputs = math.prod(self.output)
        axes = _PRODUCTS.get(self.kind)
        if axes is None:
            return Cost(elementwise=Counter({self.kind: outputs}))
        weights = self.inputs[1] if len(self.inputs) > 1 else None
        if weights is None:
            return Cost(uncounted=Counter({self.kind: 1}))
        if self.is_turned:
            axes = tuple(-3 - axis if axis < 0 else 1 - axis for axis in axes)
        return Cost(outputs * math.prod(weights[axis] for axis in axes))


def read_onnx(path: Path) -> tuple[list[Operator], list[np.ndarray]]:
    """Return the operators of an ONNX file at one image a call, and its constants.

    The file is run once on a black image with every operator's result shown, since shapes
    that depend on a free batch cannot all be told from the file.
    """
    onnx, _, runtime = import_onnx()
    proto = onnx.load(path)
    graph = proto.graph
    constants = [onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer]
    batch, *rest = (side.dim_value for side in graph.input[0].type.tensor_type.shape.dim)
    image = np.zeros((batch or 1, *rest), np.float32)
    names = list(dict.fromkeys(node.output[0] for node in graph.node))
    del graph.output[:]
    graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = runtime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    results = session.run(names, {"images": image})
    shapes = {name: tuple(value.shape) for name, value in zip(names, results, strict=True)}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    shapes["images"] = image.shape
    found = []
    for node in graph.node:
        turned = any(each.name == "transB" and each.i for each in node.attribute)
        inputs = tuple(shapes.get(name) for name in node.input)
        if node.op_type == "Constant":
            constants += [onnx.numpy_helper.to_array(each.t) for each in node.attribute]
        name = node.name or node.output[0]
        found.append(Operator(name, node.op_type, inputs, shapes.get(node.output[0]), turned))
    return found, constants


def read_litert(path: Path) -> tuple[list[Operator], list[np.ndarray]]:
    """Return the operators of a LiteRT file at its batch, and its constants as bytes."""
    import_litert()
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    names = {
        value: name
        for name, value in vars(schema.BuiltinOperator).items()
        if not name.startswith("_")
    }
    graph = model.subgraphs[0]
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    shapes = [
        tuple(int(side) for side in tensor.shape) if tensor.shape is not None else ()
        for tensor in graph.tensors
    ]
    found = []
    for each in graph.operators:
        kind = names[codes[each.opcodeIndex]]
        turned = kind == "BATCH_MATMUL" and bool(each.builtinOptions.adjY)
        result = graph.tensors[each.outputs[0]]
        name = result.name.decode() if isinstance(result.name, bytes) else str(result.name)
        inputs = tuple(shapes[place] if place >= 0 else None for place in each.inputs)
        found.append(Operator(name.split(";")[0], kind, inputs, shapes[each.outputs[0]], turned))
    return found, _read_constants(model, graph)


def _read_constants(model: Any, graph: Any) -> list[np.ndarray]:
    """Return a LiteRT file's constants; what is sparse in it has its zeros again at the end."""
    data = {
        tensor.buffer: model.buffers[tensor.buffer].data
        for tensor in graph.tensors
        if model.buffers[tensor.buffer].data is not None
    }
    types = {tensor.buffer: tensor.type for tensor in graph.tensors}
    dense = {
        tensor.buffer: math.prod(tensor.shape)
        for tensor in graph.tensors
        if tensor.sparsity is not None
    }
    sizes = {0: np.float32, 1: np.float16, 2: np.int32, 4: np.int64, 9: np.int8}
    constants = [
        np.frombuffer(bytes(content), sizes.get(types[place], np.uint8))
        for place, content in data.items()
    ]
    # What is left out of the file is zero, and is there again once the file is loaded.
    for turn, place in enumerate(data):
        left_out = max(0, dense.get(place, 0) - constants[turn].size)
        constants[turn] = np.pad(constants[turn], (0, left_out))
    return constants


_READERS = {"onnx": read_onnx, "litert": read_litert}


def _read(facts: Mapping[str, Any], folder: Path) -> tuple[list[Operator], list[np.ndarray]]:
    """Read the file of an artefact, which may be a stranger's."""
    try_alone(folder, facts["checksum"])
    with refusing(folder / facts["file"]):
        return _READERS[facts["artefact"]](folder / facts["file"])


def profile_artefact(folder: Path, target: str) -> Profile:
    """Count what an ONNX or LiteRT artefact costs for one image, operator by operator.

    Args:
        folder: The artefact.
        target: What the user named.

    Raises:
        BundleError: If it is damaged or changed.
        MissingExtraError: If its package is not installed.
    """
    facts = read_facts(folder)
    operators, constants = _read(facts, folder)
    batch = max(1, facts["batch"])
    with refusing(folder / facts["file"]):  # names that are no text, shapes that are none
        layers = tuple(_make_layer(each, batch) for each in operators)
        peak = _estimate_peak(operators, batch)
    height, width = facts["image_size"]
    return Profile(
        folder.name,
        target,
        ((height, width, 3),),
        layers,
        add_costs(layer.cost for layer in layers),
        sum(each.size for each in constants),
        0,
        sum(each.nbytes for each in constants),
        peak,
        precision=facts["precision"],
        remarks=(
            f"a {facts['artefact']} artefact of {facts['size_bytes']:,} bytes: lines are its "
            "operators, and only the whole is timed",
        ),
    )


def is_counted_here(folder: Path) -> bool:
    """Say whether an artefact is counted by its own operators, not as what lies inside."""
    return read_facts(folder)["artefact"] in _READERS


def time_artefact(profile: Profile, folder: Path, batch_size: int) -> Profile:
    """Time an artefact by its own runtime, on the CPU."""
    bundle = load_artefact(folder)
    draw = np.random.default_rng(0)
    batches = {
        size: [draw.uniform(0, 255, (size, *bundle.image_size, 3)).astype(np.float32)]
        for size in {1, batch_size}
    }
    run = bundle.model.probabilities
    return replace(profile, latency=measure_whole(profile, run, batches, "cpu:0"))


def count_weights(folder: Path) -> tuple[int, int]:
    """Return the numbers that an ONNX or LiteRT artefact holds, and those that are not zero."""
    facts = read_facts(folder)
    _, constants = _read(facts, folder)
    total = sum(each.size for each in constants)
    return total, sum(int(np.count_nonzero(each)) for each in constants)


def check_zeros(folder: Path, zeros: int) -> tuple[int, int]:
    """Check that what was pruned is zero in an artefact too; see ``count_weights``.

    Raises:
        ExportError: If fewer numbers are zero than were pruned.
    """
    total, nonzeros = count_weights(folder)
    if total - nonzeros < zeros:
        raise ExportError(
            f"{folder}: {zeros:,} weights were pruned, and only {total - nonzeros:,} of its "
            f"{total:,} numbers are zero; please report this"
        )
    return total, nonzeros


def _make_layer(each: Operator, batch: int) -> LayerProfile:
    cost = each.count()
    shared = Cost(
        cost.macs // batch,
        Counter({name: count // batch for name, count in cost.elementwise.items()}),
        cost.uncounted,
    )
    shape = None if each.output is None else each.output[1:]
    values = 0 if each.output is None else math.prod(each.output) // batch
    return LayerProfile(
        tuple(each.name.split("/")),
        each.kind,
        output_shape=shape,
        activation_bytes=0 if each.kind in _MOVES else 4 * values,
        cost=shared,
    )


def _estimate_peak(operators: Sequence[Operator], batch: int) -> int:
    """Return the most bytes that one operator's inputs and output take at four a number."""

    def weigh(shapes: Iterable[Any]) -> int:
        return sum(math.prod(shape) for shape in shapes if shape is not None)

    held = (weigh([*each.inputs[:1], each.output]) for each in operators)
    return 4 * max(held, default=0) // batch
