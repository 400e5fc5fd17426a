"""A verb has the same words on the command line and in Python."""

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
#: How an answer is shown, which Python leaves to its user.
SHOWN = {"as_json", "quiet", "verbose", "debug", "help"}
#: Forms of the printed answer, where Python returns an object.
FORMS = {"profile": {"format", "out"}, "backbones": set()}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_and_its_function_take_the_same_words(name: str) -> None:
    function = getattr(api, name)
    ours = {word for word in inspect.signature(function).parameters if word != "progress"}
    theirs = {parameter.name for parameter in COMMANDS[name].params} - SHOWN
    assert theirs - FORMS.get(name, set()) == ours


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_an_option_is_spelt_like_its_keyword(name: str) -> None:
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name == "option" and parameter.name not in SHOWN:
            assert f"--{parameter.name.replace('_', '-')}" in parameter.opts


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_is_called_with_the_defaults_of_its_function(name: str) -> None:
    ours = inspect.signature(getattr(api, name)).parameters
    for parameter in COMMANDS[name].params:
        if parameter.name in SHOWN | FORMS.get(name, set()) or parameter.required:
            continue
        default = ours[parameter.name].default
        # What may be repeated is None until it is given; the help says what it stands for.
        if ours[parameter.name].kind is inspect.Parameter.VAR_POSITIONAL or parameter.multiple:
            default = None
        shown = getattr(parameter.default, "value", parameter.default)
        assert shown == default or (name, parameter.name) == ("preview", "out"), parameter.name


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
