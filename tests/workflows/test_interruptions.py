from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tfclassify.errors import DataError, ImageError, InterruptedTraining, RunError, TrainingError
from tfclassify.workflows.interruptions import explain_interruption


def stop_by(place: Path, error: BaseException) -> None:
    with explain_interruption(place, lambda: "2 epochs are kept", "tfclassify train --resume x"):
        raise error


def make_error(number: int) -> OSError:
    return OSError(number, os.strerror(number), "state/last.npz")


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "Make room, then"),
        (errno.EROFS, "Make it writable, then"),
        (errno.EACCES, "Make it readable and writable, or choose another place, then"),
        (errno.ENOENT, "Put it back, or name what is there, then"),
        (errno.EIO, "Mend that, then"),
    ],
)
def test_the_systems_errors_say_how_to_go_on(tmp_path: Path, number: int, advice: str) -> None:
    with pytest.raises(RunError) as raised:
        stop_by(tmp_path, make_error(number))
    assert raised.value.exit_code == 1
    assert str(raised.value) == (
        f"{tmp_path}: stopped: state/last.npz: {os.strerror(number)}; 2 epochs are kept. "
        f"{advice} resume with: tfclassify train --resume x"
    )


def test_an_error_without_a_number_is_told_by_its_text(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="stopped: cannot write data; 2 epochs are kept"):
        stop_by(tmp_path, OSError("cannot write data"))
    with pytest.raises(RunError, match="stopped: OSError; 2 epochs"):
        stop_by(tmp_path, OSError())


def test_an_interruption_has_its_own_exit_code(tmp_path: Path) -> None:
    with pytest.raises(InterruptedTraining, match=r"stopped; 2 epochs are kept\. Go on") as e:
        stop_by(tmp_path, KeyboardInterrupt())
    assert e.value.exit_code == 130


def test_a_lost_image_says_how_to_go_on_if_anything_is_left(tmp_path: Path) -> None:
    lost = ImageError("a.png: no such file", "missing")
    with pytest.raises(DataError, match=r"a\.png: no such file; 2 epochs are kept\. Then"):
        stop_by(tmp_path, lost)
    with pytest.raises(ImageError, match=r"^a\.png: no such file$"):
        stop_by(tmp_path / "gone", lost)


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"^loss$"):
        stop_by(tmp_path, TrainingError("loss"))


def test_what_became_of_a_signal_in_native_code_is_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfclassify.workflows.interruptions.stop_signals", [15])
    with (
        pytest.raises(InterruptedTraining, match=r"stopped; 2 epochs are kept\. Go on with: again"),
        explain_interruption(tmp_path, lambda: "2 epochs are kept", "again"),
    ):
        raise SystemError("returned a result with an exception set")
    monkeypatch.setattr("tfclassify.workflows.interruptions.stop_signals", [])
    with (
        pytest.raises(SystemError),
        explain_interruption(tmp_path, lambda: "2 epochs are kept", "again"),
    ):
        raise SystemError("returned a result with an exception set")
