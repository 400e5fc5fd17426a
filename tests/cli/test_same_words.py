"""A verb of the command line is one of Python, and the other way round."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest
import typer

import tfclassify
from tfclassify import api
from tfclassify.cli.app import app

COMMANDS = typer.main.get_command(app).commands


def test_every_verb_of_the_api_is_a_command() -> None:
    verbs = {name for name in api.__all__ if inspect.isfunction(getattr(api, name))}
    assert set(COMMANDS) == {name for name in verbs if not name.startswith("register_")} - {"load"}


def test_what_is_public_is_listed_and_there() -> None:
    assert dir(tfclassify) == sorted(tfclassify.__all__)
    assert set(COMMANDS) <= set(tfclassify.__all__)
    for name in tfclassify.__all__:
        assert getattr(tfclassify, name) is not None
        assert name == "__version__" or getattr(tfclassify, name).__doc__, name
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        tfclassify.trian  # noqa: B018


ROOMS = {path.parent.name for path in Path(tfclassify.__file__).parent.glob("*/__init__.py")}


@pytest.mark.parametrize("name", sorted(ROOMS & set(tfclassify.__all__)))
def test_a_room_does_not_hide_the_verb_of_its_name(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    importlib.import_module(f"tfclassify.{name}")
    monkeypatch.setattr(api, name, lambda *given, **named: (given, named))
    assert getattr(tfclassify, name)("a", b=1) == (("a",), {"b": 1})
