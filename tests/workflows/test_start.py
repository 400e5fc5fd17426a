from __future__ import annotations

import os

import keras
import pytest

from tests.tiny_run import TinyRun
from tfclassify.recipe.loading import load_recipe
from tfclassify.workflows import start


def test_native_lines_are_muted_and_come_back(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    with start._muted_native_output():
        os.write(2, b"chatter\n")
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    with start._muted_native_output():
        os.write(2, b"wanted\n")
    assert capfd.readouterr().err == "wanted\n"


def test_the_recipe_sets_the_precision(tiny_run: TinyRun) -> None:
    recipe = load_recipe(tiny_run.recipe, ("runtime.mixed_precision=true",))
    try:
        start.set_up_keras(recipe)
        assert keras.config.dtype_policy().name == "mixed_float16"
    finally:
        start.set_up_keras(load_recipe(tiny_run.recipe))
    assert keras.config.dtype_policy().name == "float32"
