"""What lies beside an ONNX file for those who serve it."""

from __future__ import annotations

import onnx
import pytest

from tfclassify.export.onnx_file import write_triton_config

FREE = """\
backend: "onnxruntime"
max_batch_size: 32
input [{ name: "images" data_type: TYPE_FP32 dims: [96, 64, 3] }]
output [{ name: "probabilities" data_type: TYPE_FP32 dims: [8] }]
dynamic_batching { max_queue_delay_microseconds: 2000 }
"""
FIXED = """\
backend: "onnxruntime"
max_batch_size: 0
input [{ name: "images" data_type: TYPE_FP32 dims: [4, 96, 64, 3] }]
output [{ name: "probabilities" data_type: TYPE_FP32 dims: [4, 8] }]
"""


@pytest.mark.parametrize(("batch", "expected"), [("batch", FREE), (4, FIXED)])
def test_triton_is_told_what_goes_in_and_out(batch: str | int, expected: str) -> None:
    kind = onnx.TensorProto.FLOAT
    ends = [
        onnx.helper.make_tensor_value_info("images", kind, [batch, 96, 64, 3]),
        onnx.helper.make_tensor_value_info("probabilities", kind, [batch, 8]),
    ]
    graph = onnx.helper.make_graph([], "network", ends[:1], ends[1:])
    assert write_triton_config(onnx.helper.make_model(graph)) == expected
