"""Starting TensorFlow and Keras, once a workflow knows that it needs them.

Owns: the first import, kept quiet, and the process-wide switches of a recipe.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tfclassify.recipe.schema import Recipe


def start_tensorflow() -> None:
    """Import TensorFlow and Keras without their native start-up lines on standard error."""
    if "tensorflow" in sys.modules:
        return
    with _muted_native_output():
        import keras  # noqa: F401
        import tensorflow as tf

        if not _is_native_output_wanted():
            # Python's side warns of retracing, on which nobody who trains can act.
            tf.get_logger().setLevel("ERROR")
        # The first operation starts the runtime, which has lines of its own.
        tf.zeros(1)


def set_up_keras(recipe: Recipe) -> None:
    """Start Keras and set the process-wide switches that a recipe asks for."""
    start_tensorflow()
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(recipe.seed)
    if recipe.runtime.deterministic:
        tf.config.experimental.enable_op_determinism()
    policy = "mixed_float16" if recipe.runtime.mixed_precision else "float32"
    keras.config.set_dtype_policy(policy)


def _is_native_output_wanted() -> bool:
    return os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0") == "0"


@contextmanager
def _muted_native_output() -> Iterator[None]:
    """Send what native code writes to standard error to nowhere, unless it is asked for.

    The lines come before any log level applies, so only the descriptor helps.
    """
    if _is_native_output_wanted():
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
