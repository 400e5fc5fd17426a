"""What lies beside an ONNX file for those who serve it."""

from __future__ import annotations

import os
import subprocess
import sys

import onnx
import pytest

from tfclassify.export.formats import SHIPPED
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


@pytest.mark.parametrize(
    "code",
    [
        f"import runpy; runpy.run_path({str(SHIPPED / 'onnx_network.py')!r})",
        "from tfclassify.export.onnx_file import import_onnx; import_onnx()",
    ],
    ids=["shipped", "writing"],
)
def test_the_runtime_sends_nothing(code: str) -> None:
    """It would from its first import on, so the switch must be set when that begins."""
    watch = (
        "import builtins, os\n"
        "own = builtins.__import__\n"
        "def watch(name, *given, **named):\n"
        "    if name == 'onnxruntime':\n"
        "        print(os.environ.get('ORT_DISABLE_TELEMETRY')); os._exit(0)\n"
        "    return own(name, *given, **named)\n"
        "builtins.__import__ = watch\n"
    )
    bare = {name: each for name, each in os.environ.items() if "TELEMETRY" not in name}
    done = subprocess.run(
        [sys.executable, "-u", "-c", watch + code], env=bare, capture_output=True, text=True
    )
    assert done.stdout == "1\n", done.stderr
