"""Writes a traced network as ONNX, by the operators of the standard alone.

Owns: the conversion, the file's metadata, half precision and QDQ quantisation, and the
configuration that Triton serves the file by.
Does not own: the trace (``saved_model``), the check that it agrees (``proof``).
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfclassify.errors import ExportError, MissingExtraError
from tfclassify.export.saved_model import Graph
from tfclassify.files import write_text
from tfclassify.runs.environment import has_byte_products

#: Operator set of the files; onnxruntime has read it since 1.12.
OPSET = 17
#: How Triton is to serve the file, and the most images that it puts together.
TRITON_CONFIG, TRITON_BATCH = "config.pbtxt", 32
#: Operators that are quantised with their ranges known; others between them stay in float.
_QUANTISED = ("Conv", "MatMul", "Gemm", "Add", "Relu", "Clip", "GlobalAveragePool")
_LARGEST_BYTES = 2**31 - 1  # of one protocol buffer


def import_onnx() -> tuple[Any, Any, Any]:
    """Import onnx, tf2onnx and onnxruntime, in this order.

    Raises:
        MissingExtraError: If one of them is not installed.
    """
    # From 1.29 on, onnxruntime tells its makers which models it runs, unless this is set before.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnx
        import onnxruntime
        import tf2onnx
    except ImportError as error:
        raise MissingExtraError(
            f"export: onnx files need what is not installed ({error}); "
            "pip install 'tfclassify[onnx]'"
        ) from error
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    return onnx, tf2onnx, onnxruntime


def write_onnx(
    path: Path,
    graph: Graph,
    metadata: Mapping[str, str],
    *,
    precision: str,
    calibration: np.ndarray | None,
    floats: Sequence[str] = (),
) -> None:
    """Convert a traced network and write it.

    Args:
        path: The file.
        graph: The network and its views.
        metadata: Texts for the file's ``metadata_props``.
        precision: ``float32``; ``float16``: weights are stored so, and computed with in
            float32; ``int8``: weights and activations of convolutions and matrix products;
            ``int8-dynamic``: ranges of activations are taken from each image.
        calibration: Images ``(n, H, W, 3)`` that the ranges of activations are taken from.
        floats: int8: regular expressions of layers that stay in float.

    Raises:
        ExportError: If the network needs an operator that the standard lacks, or is too large.
    """
    onnx, _, _ = import_onnx()
    proto = _convert(path, graph)
    _check_operators(path, proto)
    _name_ends(onnx, proto)
    for key, text in metadata.items():
        proto.metadata_props.add(key=key, value=text)
    if precision == "float16":
        _halve_weights(onnx, proto)
    if proto.ByteSize() > _LARGEST_BYTES:
        raise ExportError(
            f"{path.name}: the network has {proto.ByteSize():,} bytes, and an ONNX file holds "
            f"{_LARGEST_BYTES:,}; use --format savedmodel"
        )
    onnx.save(proto, path)
    write_text(path.with_name(TRITON_CONFIG), write_triton_config(proto))
    if precision.startswith("int8"):
        images = calibration if precision == "int8" else None
        _quantise(path, proto, images, floats)


def _convert(path: Path, graph: Graph) -> Any:
    """Freeze a traced network and convert it; ``path`` is for messages."""
    _, tf2onnx, _ = import_onnx()
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    frozen = convert_variables_to_constants_v2(graph.function)
    try:
        proto, _ = tf2onnx.convert.from_graph_def(
            frozen.graph.as_graph_def(),
            input_names=[frozen.inputs[0].name],
            output_names=[frozen.outputs[0].name],
            opset=OPSET,
        )
    except Exception as error:  # whatever the converter meets
        reason = " ".join(str(error).split())[:300]
        raise ExportError(
            f"{path.name}: tf2onnx cannot convert the network: {type(error).__name__}: {reason}; "
            "nothing was written. Use --format savedmodel or litert"
        ) from error
    return proto


def write_triton_config(proto: Any) -> str:
    """Say to Triton what a file takes and gives: its ``config.pbtxt``.

    Triton counts the images of a call apart from the other dimensions, unless their number is
    fixed in the file. Source:
    https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_configuration.md
    """
    shape = proto.graph.input[0].type.tensor_type.shape
    is_free = not shape.dim[0].dim_value

    def describe(value: Any) -> str:
        sides = [side.dim_value for side in value.type.tensor_type.shape.dim]
        dims = ", ".join(map(str, sides[1:] if is_free else sides))
        return f'[{{ name: "{value.name}" data_type: TYPE_FP32 dims: [{dims}] }}]'

    lines = [
        'backend: "onnxruntime"',
        f"max_batch_size: {TRITON_BATCH if is_free else 0}",
        f"input {describe(proto.graph.input[0])}",
        f"output {describe(proto.graph.output[0])}",
    ]
    if is_free:
        lines.append("dynamic_batching { max_queue_delay_microseconds: 2000 }")
    return "\n".join(lines) + "\n"


def _check_operators(path: Path, proto: Any) -> None:
    """Refuse operators that no runtime has: the converter leaves them in and says nothing."""
    foreign = {"", "ai.onnx"}
    unknown = sorted({node.op_type for node in proto.graph.node if node.domain not in foreign})
    onnx, _, _ = import_onnx()
    known = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
    unknown += sorted({node.op_type for node in proto.graph.node} - known - set(unknown))
    if unknown:
        raise ExportError(
            f"{path.name}: the network needs {', '.join(unknown)}, which ONNX does not have; "
            "nothing was written. Use --format savedmodel or litert"
        )


def _name_ends(onnx: Any, proto: Any) -> None:
    """Call the input ``images``, the output ``probabilities`` and a free batch ``batch``."""
    old = {proto.graph.input[0].name: "images", proto.graph.output[0].name: "probabilities"}
    for node in proto.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = old.get(name, name)
    for value in (*proto.graph.input, *proto.graph.output):
        value.name = old[value.name]
        first = value.type.tensor_type.shape.dim[0]
        if not first.dim_value:
            first.dim_param = "batch"
    del proto.graph.value_info[:]  # names the ends as they were
    onnx.checker.check_model(proto)


def _halve_weights(onnx: Any, proto: Any) -> None:
    """Store large float32 constants as float16, each with a node that widens it."""
    graph, casts = proto.graph, []
    for tensor in list(graph.initializer):
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < 16:
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name = f"{tensor.name}_half"
        graph.initializer.remove(tensor)
        graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float16), name))
        casts.append(
            onnx.helper.make_node(
                "Cast", [name], [tensor.name], f"{name}_widen", to=onnx.TensorProto.FLOAT
            )
        )
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _quantise(
    path: Path, proto: Any, calibration: np.ndarray | None, floats: Sequence[str]
) -> None:
    """Quantise a written file in place: by QDQ, or dynamically without calibration images.

    QDQ has a scale for each channel of the weights.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class _Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._images = iter(np.asarray(calibration, np.float32))

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self._images, None)
            return None if image is None else {"images": np.repeat(image[None], size, axis=0)}

    size = proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
    plain = path.with_suffix(".plain.onnx")
    quant_pre_process(path, plain, skip_symbolic_shape=True)
    onnx, _, _ = import_onnx()
    names = [node.name for node in onnx.load(plain).graph.node]
    kept = [name for name in names if any(re.search(pattern, name) for pattern in floats)]
    # Without VNNI, sums of two products of 8 bits overflow 16; 7 bits do not.
    options = {"reduce_range": not has_byte_products(), "nodes_to_exclude": kept}
    if calibration is None:
        # onnxruntime has no integer convolution of signed weights.
        quantize_dynamic(plain, path, weight_type=QuantType.QUInt8, **options)
    else:
        quantize_static(
            plain,
            path,
            _Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_QUANTISED),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            **options,
        )
    plain.unlink()
