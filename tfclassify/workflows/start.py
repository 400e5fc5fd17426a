"""The beginning and the end of a verb: TensorFlow's start, and nothing left behind.

Owns: ``verb``, which every entry of a workflow wears; the first import of TensorFlow, kept
quiet; a recipe's process-wide switches. Does not own: what stops a training and how to go
on with it (``resuming``).
"""

from __future__ import annotations

import errno
import functools
import os
import random
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from tfclassify.errors import StorageError
from tfclassify.events import Observer
from tfclassify.recipe.schema import Recipe
from tfclassify.recipe.wording import format_bytes

Given = ParamSpec("Given")
Result = TypeVar("Result")
#: Address space that TensorFlow takes at its start, and room for a small network.
_LEAST_ADDRESSES = 4 << 30
#: What the system says of files; TensorFlow's errors know no numbers, only the words.
_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.ENOENT)
#: Fields of requests that name models.
_MODELS = {"model", "run", "runs", "targets"}


def verb(work: Callable[Given, Result]) -> Callable[Given, Result]:
    """Make a function the entry of a verb.

    Whatever comes of the call, the process-wide switches of Keras, TensorFlow, NumPy and
    Python's ``random`` are afterwards what they were, and its observer takes its display
    away where it was broken off. Where a request names a model on the Hub, ``hf:user/name``,
    it is fetched first and stands for its folder. What the system refused and nobody turned
    into an error of ours (an ``OSError``, a lack of memory, either of them from TensorFlow's
    native code) is a ``StorageError`` with the file, the system's reason and a way out.
    """

    @functools.wraps(work)
    def call(*given: Given.args, **named: Given.kwargs) -> Result:
        try:
            with _keep_switches():
                return work(*map(_fetch_models, given), **named)
        except BaseException as error:
            for one in (*given, *named.values()):
                if isinstance(one, Observer):
                    one.on_stop()
            refused = _find_refusal(error)
            if refused is not None:
                raise refused from error
            raise

    return call


def _fetch_models(given: Any) -> Any:
    """Return a request whose models on the Hub are folders of this machine."""
    if not is_dataclass(given) or isinstance(given, type):
        return given
    changes = {}
    for name in _MODELS & {field.name for field in fields(given)}:
        value = getattr(given, name)
        brought = tuple(map(_fetch, value)) if isinstance(value, tuple) else _fetch(value)
        if brought != value:
            changes[name] = brought
    return replace(given, **changes) if changes else given


def _fetch(model: Any) -> Any:
    if not isinstance(model, (str, Path)) or not str(model).startswith("hf:"):
        return model
    from tfclassify.publishing.hub import fetch, parse_address

    return type(model)(fetch(parse_address(str(model))))


def _find_refusal(error: BaseException) -> StorageError | None:
    """Return what the system refused, where an error says so."""
    if isinstance(error, OSError):
        return StorageError.explain(error)
    if isinstance(error, MemoryError):
        return StorageError.lack_memory(str(error))
    if "tensorflow" not in sys.modules:
        return None
    from tensorflow import errors

    if not isinstance(error, errors.OpError):
        return None
    said = str(error.message).strip().splitlines()[0] if error.message else type(error).__name__
    # {{node}} path; reason [Op:name], where the path may be of a folder that is being built.
    found = re.search(r"(?:^|\s)(/[^;]*); ([^;\[]+)", said)
    reason = found[2].strip() if found else said
    number = next((n for n in _REFUSALS if os.strerror(n) == reason), None)
    if found and number is not None:
        place = re.sub(r"/\.[0-9a-f]{16}\.tmp.*", "", found[1])
        return StorageError.explain(OSError(number, reason, place))
    is_memory = isinstance(error, errors.ResourceExhaustedError)
    return StorageError.lack_memory(said) if is_memory else None


@contextmanager
def _keep_switches() -> Iterator[None]:
    """Set back what ``set_up_keras`` sets, when the block ends."""
    import numpy as np

    states = random.getstate(), np.random.get_state()
    before = _read_switches() if sys.modules.get("tensorflow") else None
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        if sys.modules.get("tensorflow"):
            _set_switches(before)


#: Keras' policy, seed and generator; TensorFlow's seed and whether it is deterministic.
_Switches = tuple[str, int | None, Any, int | None, bool]


def _read_switches() -> _Switches:
    import keras
    from keras.src.backend.common import global_state
    from keras.src.random import seed_generator
    from keras.src.utils import rng_utils
    from tensorflow.python.eager import context
    from tensorflow.python.framework import config

    return (
        keras.config.dtype_policy().name,
        global_state.get_global_attribute(rng_utils.GLOBAL_RANDOM_SEED),
        global_state.get_global_attribute(seed_generator.GLOBAL_SEED_GENERATOR),
        context.global_seed(),
        config.is_op_determinism_enabled(),
    )


def _set_switches(switches: _Switches | None) -> None:
    """Set Keras and TensorFlow to what was read; None stands for their own beginning."""
    import keras
    from keras.src.backend.common import global_state
    from keras.src.random import seed_generator
    from keras.src.utils import rng_utils
    from tensorflow.python.eager import context
    from tensorflow.python.framework import config

    policy, own_seed, generator, seed, is_deterministic = switches or ("", None, None, None, False)
    keras.config.set_dtype_policy(policy or keras.config.floatx())
    global_state.set_global_attribute(rng_utils.GLOBAL_RANDOM_SEED, own_seed)
    global_state.set_global_attribute(seed_generator.GLOBAL_SEED_GENERATOR, generator)
    context.set_global_seed(seed)
    if not is_deterministic:
        config.disable_op_determinism()


def start_tensorflow(*, is_begun: bool = True) -> None:
    """Import TensorFlow and Keras without their native start-up lines on standard error.

    Signals wait meanwhile: an import that is broken off cannot be made up for.

    Args:
        is_begun: Whether its runtime begins too; not where other processes are joined first.

    Raises:
        StorageError: If the process may not have the memory that the import takes.
    """
    if "tensorflow" in sys.modules:
        return
    _check_address_space()
    with hold_signals(), _muted_native_output():
        import keras  # noqa: F401
        import tensorflow as tf

        if not _is_native_output_wanted():
            # Python's side warns of retracing, on which nobody who trains can act.
            tf.get_logger().setLevel("ERROR")
        # The first operation starts the runtime, which has lines of its own.
        if is_begun:
            tf.zeros(1)


def _check_address_space() -> None:
    """Refuse a limit under which TensorFlow's native code aborts the process."""
    if sys.platform == "win32":
        return
    import resource

    allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
    if allowed != resource.RLIM_INFINITY and allowed < _LEAST_ADDRESSES:
        raise StorageError(
            f"ulimit -v: TensorFlow needs {format_bytes(_LEAST_ADDRESSES)} of address space to "
            f"start, got {format_bytes(allowed)}",
            "raise the limit, or limit the memory of a container instead",
        )


def set_up_keras(recipe: Recipe) -> None:
    """Start Keras and set the process-wide switches that a recipe asks for.

    They hold until the verb ends that calls this.
    """
    start_tensorflow()
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(recipe.seed)
    if recipe.runtime.deterministic:
        tf.config.experimental.enable_op_determinism()
    precision = recipe.runtime.precision
    keras.config.set_dtype_policy(precision if precision == "float32" else f"mixed_{precision}")


@contextmanager
def hold_signals() -> Iterator[None]:
    """Let Ctrl-C and its like wait until the block ends."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    heard: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield  # signals come to the main thread alone
        return
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, lambda number, frame: heard.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handler)
    for number in heard[:1]:
        signal.raise_signal(number)


def _is_native_output_wanted() -> bool:
    return os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0"


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
