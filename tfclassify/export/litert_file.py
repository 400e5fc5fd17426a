"""Writes a traced network as a LiteRT (TensorFlow Lite) file, by its built-in operators.

Owns: the conversion, quantisation, what is told inside the file.
Does not own: the trace (``saved_model``), the check that it agrees (``proof``).
"""

from __future__ import annotations

import io
import os
import re
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tensorflow as tf

from tfclassify.errors import ExportError, MissingExtraError
from tfclassify.export.saved_model import Graph, write_saved_model


def import_litert() -> Any:
    """Import the package of LiteRT.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        import ai_edge_litert.interpreter
    except ImportError as error:
        raise MissingExtraError(
            f"export: litert files need what is not installed ({error}); "
            "pip install 'tfclassify[litert]'"
        ) from error
    return ai_edge_litert


def write_litert(
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
        metadata: Texts by file name; they lie in the file, which is a zip as well.
        precision: ``float32``; ``float32-sparse``, where zeros are left out of the file;
            ``float16`` for the weights; ``int8`` for weights and
            activations, with float32 images and probabilities at the ends;
            ``int8-dynamic`` for weights alone.
        calibration: Images ``(n, H, W, 3)`` that the ranges of activations are taken from.
        floats: int8: regular expressions of layers that stay in float.

    Raises:
        ExportError: If the network needs an operator that LiteRT lacks.
    """
    import_litert()
    with TemporaryDirectory(prefix="tfclassify-") as work:
        folder = Path(work, "saved")
        write_saved_model(folder, graph, {})
        try:
            content = _convert(folder, precision, calibration, floats)
        except Exception as error:  # whatever the converter meets
            reason = " ".join(str(error).split())[:300]
            raise ExportError(
                f"{path.name}: LiteRT's converter refuses the network: {reason}; nothing was "
                "written. Use --format savedmodel or onnx"
            ) from error
    path.write_bytes(_add_metadata(content, metadata))


def _convert(
    folder: Path, precision: str, calibration: np.ndarray | None, floats: Sequence[str]
) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    if precision == "float32":
        return bytes(converter.convert())
    if precision == "float32-sparse":
        converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
        return bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision != "int8":
        return bytes(converter.convert())

    def represent() -> Iterator[list[np.ndarray]]:
        for image in np.asarray(calibration, np.float32):
            yield [image[None]]

    converter.representative_dataset = represent
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
        tf.lite.OpsSet.TFLITE_BUILTINS,
    ]
    with _silence():
        return _quantise(converter, represent, floats)


def _quantise(
    converter: Any, represent: Callable[[], Iterator[list[np.ndarray]]], floats: Sequence[str]
) -> bytes:
    # An 8-bit softmax knows steps of 1/256 only, and its rows do not sum to 1.
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=["SOFTMAX"])

    def quantise() -> bytes:
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=represent, debug_options=options
        )
        return bytes(debugger.get_nondebug_quantized_model())

    content = quantise()
    if floats:
        options.denylisted_nodes = _find_nodes(content, floats)
        content = quantise()
    return content


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the converter's own lines, which it writes past Python, off the terminal."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    sys.stderr.flush()
    os.dup2(nowhere, 2)
    try:
        with warnings.catch_warnings():
            # Its calibrator is TensorFlow's own interpreter, which warns of its end.
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _find_nodes(content: bytes, patterns: Sequence[str]) -> list[str]:
    """List the tensors of a file that any of the patterns finds by name."""
    from ai_edge_litert.interpreter import Interpreter

    details = Interpreter(model_content=content).get_tensor_details()
    names = {detail["name"] for detail in details}
    return sorted(name for name in names if any(re.search(each, name) for each in patterns))


def _add_metadata(content: bytes, metadata: Mapping[str, str]) -> bytes:
    """Append the texts as a zip, where programs look for a model's labels.

    A flat buffer is read from its start and a zip from its end, so a file can be both.
    """
    stream = io.BytesIO(content)
    stream.seek(0, io.SEEK_END)
    with zipfile.ZipFile(stream, "a") as archive:
        for name, text in metadata.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return stream.getvalue()
