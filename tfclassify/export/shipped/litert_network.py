"""Runs a LiteRT (TensorFlow Lite) file; needs NumPy and ai-edge-litert."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


class Network:
    """Images (n, H, W, 3) float32 0..255 to probabilities (n, classes) float32."""

    def __init__(self, file: Path, threads: int = 0) -> None:
        """Load the file; ``threads`` 0 leaves their number to the runtime."""
        self._interpreter = Interpreter(str(file), num_threads=threads or None)
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._shape: tuple[int, ...] = ()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities of each image."""
        if images.shape != self._shape:
            self._interpreter.resize_tensor_input(self._input, images.shape)
            self._interpreter.allocate_tensors()
            self._shape = images.shape
        self._interpreter.set_tensor(self._input, images)
        self._interpreter.invoke()
        return np.array(self._interpreter.get_tensor(self._output))
