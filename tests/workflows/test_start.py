from __future__ import annotations

import ast
import errno
import os
import random
import shutil
import signal
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import config

from tests.tiny_run import TinyRun
from tfclassify.errors import StorageError, TrainingError
from tfclassify.events import Observer
from tfclassify.recipe.loading import load_recipe
from tfclassify.workflows import start


def test_native_lines_are_muted_and_come_back(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)  # as in a script or a notebook
    with start._muted_native_output():
        os.write(2, b"more chatter\n")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    with start._muted_native_output():
        os.write(2, b"chatter\n")
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    with start._muted_native_output():
        os.write(2, b"wanted\n")
    assert capfd.readouterr().err == "wanted\n"


def read_switches() -> tuple[object, ...]:
    return (*start._read_switches(), random.getstate(), np.random.get_state()[2])


def test_a_verb_leaves_no_switch_behind(tiny_run: TinyRun) -> None:
    recipe = load_recipe(tiny_run.recipe, ("runtime.precision=float16",))

    @start.verb
    def work() -> str:
        start.set_up_keras(recipe)
        random.random(), np.random.random()
        assert config.is_op_determinism_enabled()
        return str(keras.config.dtype_policy().name)

    before = read_switches()
    assert work() == "mixed_float16"
    assert read_switches() == before
    assert not config.is_op_determinism_enabled()


def test_what_a_notebook_had_set_stays_set(tiny_run: TinyRun) -> None:
    recipe = load_recipe(tiny_run.recipe)

    @start.verb
    def work() -> None:
        start.set_up_keras(recipe)
        raise TrainingError("broken off")

    own = start._read_switches()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        keras.utils.set_random_seed(77)
        tf.config.experimental.enable_op_determinism()
        before = read_switches()
        with pytest.raises(TrainingError, match="broken off"):
            work()
        assert read_switches() == before
    finally:
        start._set_switches(own)


def test_an_error_of_the_system_is_told_with_a_way_out() -> None:
    @start.verb
    def work() -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/data/a.csv")

    with pytest.raises(
        StorageError, match=r"^/data/a\.csv: Permission denied; make it readable and writable, or"
    ):
        work()


def test_a_folder_that_cannot_be_copied_is_told_by_its_first_file(tmp_path: Path) -> None:
    """shutil gathers what went wrong with each file in a list, as text."""
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "a.txt").write_text("a")

    def copy(_source: str, target: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", target)

    @start.verb
    def work() -> None:
        shutil.copytree(tmp_path / "from", tmp_path / "to", copy_function=copy)

    with pytest.raises(StorageError, match=r"^.*to/a\.txt: No space left on device; make room$"):
        work()


DISK = "/runs/model.keras; No space left on device"
TOLD = "/runs/model.keras: No space left on device"
#: What TensorFlow says of a file in a folder that is being built.
BUILT = (
    "{{function_node __wrapped__SaveV2_dtypes_10_device_/job:localhost/device:CPU:0}} "
    "/runs/export/.bbfbeedb42a02d08.tmp/model/variables/part.index.tempstate1; No space left on "
    "device [Op:SaveV2]"
)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), r"^memory: there is not enough; lower batch_size or data\.image_size"),
        (
            np._core._exceptions._ArrayMemoryError((1 << 40,), np.dtype("f4")),
            r"^memory: there is not enough \(Unable to allocate 4\.00 TiB .*\); lower",
        ),
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor [9]\nmore"),
            r"^memory: there is not enough \(OOM when allocating tensor \[9\]\); lower",
        ),
        (tf.errors.ResourceExhaustedError(None, None, DISK), f"^{TOLD}; make room$"),
        (
            tf.errors.ResourceExhaustedError(None, None, BUILT),
            "^/runs/export: No space left on device; make room$",
        ),
        (
            tf.errors.OutOfRangeError(None, None, "/runs/x; File too large [Op:SaveV2]"),
            "^/runs/x: File too large; choose a disk that takes files of this size$",
        ),
        (
            tf.errors.PermissionDeniedError(None, None, "/runs/x; Permission denied"),
            "^/runs/x: Permission denied; make it readable and writable, or choose another",
        ),
        (
            tf.errors.NotFoundError(None, None, "/runs/x; No such file or directory"),
            "^/runs/x: No such file or directory; put it back, or name what is there$",
        ),
    ],
)
def test_what_tensorflow_was_refused_is_told_alike(error: Exception, expected: str) -> None:
    @start.verb
    def work() -> None:
        raise error

    with pytest.raises(StorageError, match=expected):
        work()


def test_other_errors_of_tensorflow_stay_what_they_are() -> None:
    @start.verb
    def work() -> None:
        raise tf.errors.InvalidArgumentError(None, None, "Incompatible shapes")

    with pytest.raises(tf.errors.InvalidArgumentError, match="Incompatible shapes"):
        work()


def test_a_copy_names_the_place_that_is_full() -> None:
    @start.verb
    def work() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/from/a", None, "/to/a")

    with pytest.raises(StorageError, match=r"^/to/a: No space left on device; make room$"):
        work()


def test_a_display_is_taken_away_where_the_work_is_broken_off() -> None:
    stopped = []

    class Display(Observer):
        def on_stop(self) -> None:
            stopped.append(self)

    @start.verb
    def work(observer: Observer, *, is_broken: bool) -> None:
        if is_broken:
            raise KeyboardInterrupt

    display = Display()
    work(display, is_broken=False)
    assert not stopped
    with pytest.raises(KeyboardInterrupt):
        work(observer=display, is_broken=True)
    assert stopped == [display]


def test_signals_wait_for_the_end_of_a_block() -> None:
    done, before = [], signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def work() -> None:
        with start.hold_signals():
            signal.raise_signal(signal.SIGINT)
            done.append(1)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_every_entry_of_a_workflow_is_a_verb() -> None:
    """A function that takes a request and an observer is what a command or the API calls."""
    folder = Path(start.__file__).parent
    entries = [
        (path.name, node.name, [ast.unparse(each) for each in node.decorator_list])
        for path in folder.glob("*.py")
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("_")
        and any(arg.arg == "request" for arg in node.args.args)
        and any(arg.arg == "observer" for arg in node.args.args)
    ]
    assert len(entries) >= 10
    assert [entry for entry in entries if "verb" not in entry[2]] == []
