"""How much faster XNNPACK runs EfficientNet-Lite0 once most of its 1x1 weights are zero.

The network has random weights: this measures speed alone. The padding of its strided
convolutions is made symmetric, as XNNPACK's sparse kernels ask for, and nothing is
fine-tuned.

    python benchmarks/bench_sparse.py --size 224 --out sparse.json
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from measuring import describe_machine

from tfclassify.backbones.building import build_backbone
from tfclassify.compress.measuring import time_interleaved, zip_size
from tfclassify.export.artefact import open_network
from tfclassify.files import write_json
from tfclassify.profiler.tracing import hooked_layers
from tfclassify.training.pruning import keep_largest

SPARSITIES = (0.0, 0.8, 0.9)


def build(size: int) -> keras.Model:
    """Build Lite0 with a head of eight classes."""
    images = keras.Input((size, size, 3))
    features = build_backbone("efficientnet_lite0", (size, size), weights="none")(images)
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    return keras.Model(images, keras.layers.Dense(8, activation="softmax")(pooled))


def prune(model: keras.Model, sparsity: float) -> None:
    """Zero the smallest weights of every 1x1 convolution."""
    for weight in model.trainable_variables:
        if weight.name == "kernel" and tuple(weight.shape[:2]) == (1, 1):
            values = weight.numpy()
            kept = round((1 - sparsity) * values.size)
            weight.assign(values * keep_largest(values, kept))


def pad_evenly(part: Any, call: Any, arguments: Any, keywords: Any) -> Any:
    """Pad convolutions of stride 2 alike on each side: the stem and the depthwise ones."""
    is_depthwise = isinstance(part, keras.layers.DepthwiseConv2D)
    is_plain = isinstance(part, keras.layers.Conv2D)
    if not (is_depthwise or is_plain) or tuple(part.strides) != (2, 2):
        return call(*arguments, **keywords)
    side = part.kernel_size[0] // 2
    padded = tf.pad(arguments[0], [[0, 0], [side, side], [side, side], [0, 0]])
    kernel = tf.convert_to_tensor(part.kernel)
    if is_depthwise:
        return tf.nn.depthwise_conv2d(padded, kernel, (1, 2, 2, 1), "VALID")
    return tf.nn.conv2d(padded, kernel, 2, "VALID")


def convert(model: keras.Model, size: int, path: Path, *, is_sparse: bool) -> None:
    """Write the model as LiteRT, its zeros encoded or not."""
    spec = tf.TensorSpec((1, size, size, 3), tf.float32, name="images")
    with hooked_layers(model, pad_evenly), TemporaryDirectory() as work:
        function = tf.function(lambda images: model(images, training=False), autograph=False)
        module = tf.Module()
        module.weights = [variable.value for variable in model.variables]
        module.serve = function
        tf.saved_model.save(module, work, signatures=function.get_concrete_function(spec))
        converter = tf.lite.TFLiteConverter.from_saved_model(work)
        if is_sparse:
            converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
        path.write_bytes(converter.convert())


def main() -> None:
    """Time the variants in turn on one thread and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--sparsity", type=float, nargs="*", default=list(SPARSITIES))
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    model, rows = build(options.size), []
    with TemporaryDirectory() as work:
        files = {}
        for sparsity in options.sparsity:
            prune(model, sparsity)
            for is_sparse in (False, True):
                name = f"{100 * sparsity:g} % zero, {'encoded' if is_sparse else 'dense'}"
                files[name] = Path(work, f"{len(files)}.tflite")
                convert(model, options.size, files[name], is_sparse=is_sparse)
        networks = {name: open_network("litert", file, 1) for name, file in files.items()}
        image = np.random.default_rng(0).uniform(0, 255, (1, options.size, options.size, 3))
        times = time_interleaved(networks, image.astype(np.float32), rounds=options.rounds)
        dense = times[next(iter(files))].p50_ms
        for name, file in files.items():
            found = times[name]
            row = {
                "variant": name,
                "p50_ms": found.p50_ms,
                "p95_ms": found.p95_ms,
                "times_as_fast": dense / found.p50_ms,
                "size_bytes": file.stat().st_size,
                "zipped_bytes": zip_size(file),
            }
            rows.append(row)
            print(
                f"{name:20} {found.p50_ms:8.2f} ms (p95 {found.p95_ms:.2f}) "
                f"{row['times_as_fast']:5.2f}x  {row['size_bytes']:>10,} B"
            )
    if options.out:
        write_json(options.out, {"machine": describe_machine(), "variants": rows})


if __name__ == "__main__":
    main()
