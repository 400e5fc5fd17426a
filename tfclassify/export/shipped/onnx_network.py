"""Runs an ONNX file; needs NumPy and onnxruntime."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

# From 1.29 on, onnxruntime tells its makers which models it runs, unless this is set before.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime


class Network:
    """Images (n, H, W, 3) float32 0..255 to probabilities (n, classes) float32."""

    def __init__(self, file: Path, threads: int = 0) -> None:
        """Load the file; ``threads`` 0 leaves their number to the runtime."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities of each image."""
        (answer,) = self._session.run(None, {"images": images})
        return np.asarray(answer)
