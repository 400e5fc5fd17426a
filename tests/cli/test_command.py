"""A command is made of its function of the API: words, defaults, choices, help, the call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import typer
from typer.testing import CliRunner, Result

from tfclassify.api.parameters import AnyPath, Changes, Size, Source
from tfclassify.cli.command import command
from tfclassify.events import SILENT, Observer

CALLS: list[dict[str, Any]] = []


def weigh(
    source: Source,
    *others: AnyPath,
    kind: Literal["small", "very-large"],
    shapes: Sequence[Literal["round", "flat"]] = ("round",),
    set: Changes = (),
    image_size: Size | None = None,
    share: float = 0.5,
    most: int | None = None,
    cost: bool = True,
    dry_run: bool = False,
    tta: bool | None = None,
    out: str | os.PathLike[str] | None = None,
    named: str | Sequence[str] = "all",
    progress: bool | Observer = True,
) -> int:
    """Weigh what ``source`` holds,
    and say how much.

    Further sentences are for Python.

    Args:
        source: What is weighed; from Python also an array, or several; nothing else.
        *others: What else.
        kind: How it is weighed; ``small`` without ``dry_run``:
            in one go.
        shapes: Which; repeatable.
        set: Changes.
        image_size: Pixels.
        share: Of it.
        most: At most.
        cost: Count the cost.
        dry_run: Weigh nothing.
        tta: Over views.
        out: File.
        named: Which names.
        progress: Whether to show any.
    """
    CALLS.append(dict(locals()))
    return len(others)


@command(weigh, "tfclassify weigh a", most={"min": 1}, named={"kind": str}, out={"words": ("-o",)})
def write(result: int, *, dry_run: bool, as_json: bool) -> str | None:
    """Write the result, or nothing."""
    return None if dry_run else f"{result} others, JSON {as_json}"


APP = typer.Typer(add_completion=False)
write(APP)
WEIGH = typer.main.get_command(APP)


def run(*words: str) -> Result:
    CALLS.clear()
    return CliRunner().invoke(APP, list(words))


def test_names_and_help_are_those_of_the_function() -> None:
    meanings = {each.name: each.help for each in WEIGH.params if each.name != "help"}
    spelt = {each.name: each.opts + each.secondary_opts for each in WEIGH.params}
    assert WEIGH.name == "weigh"
    assert WEIGH.help == "Weigh what source holds, and say how much."
    assert WEIGH.epilog == "Example: tfclassify weigh a"
    assert list(meanings)[:3] == ["source", "others", "kind"]
    assert meanings["source"] == "What is weighed; nothing else."
    assert meanings["kind"] == "How it is weighed; small without --dry-run: in one go."
    assert spelt["dry_run"] == ["--dry-run"]
    assert spelt["cost"] == ["--cost", "--no-cost"]
    assert spelt["tta"] == ["--tta", "--no-tta"]
    assert spelt["out"] == ["-o"]
    assert "progress" not in spelt
    assert list(meanings)[-3:] == ["as_json", "quiet", "verbose"]


def test_what_is_not_given_keeps_the_functions_default() -> None:
    assert run("a", "--kind", "very-large", "-q").stdout == "0 others, JSON False\n"
    (given,) = CALLS
    assert given == {
        "source": "a",
        "others": (),
        "kind": "very-large",
        "shapes": ("round",),
        "set": (),
        "image_size": None,
        "share": 0.5,
        "most": None,
        "cost": True,
        "dry_run": False,
        "tta": None,
        "out": None,
        "named": "all",
        "progress": SILENT,
    }


def test_what_is_given_has_its_type_and_may_be_repeated() -> None:
    words = "a b c --kind small --shapes flat --shapes round --set x=1 --set y=2 --share 2"
    words += " --most 3 --no-cost --no-tta -o f --image-size 160x192 --named x,y --json -q"
    assert run(*words.split()).stdout == "2 others, JSON True\n"
    (given,) = CALLS
    assert given["others"] == (Path("b"), Path("c"))
    assert (given["kind"], given["shapes"]) == ("small", ["flat", "round"])
    assert given["set"] == ["x=1", "y=2"]
    assert (given["share"], given["most"]) == (2.0, 3)
    assert (given["cost"], given["tta"]) == (False, False)
    assert given["out"] == Path("f")
    assert (given["image_size"], given["named"]) == ("160x192", "x,y")
    assert run("a", "--kind", "small", "--dry-run", "-q").stdout == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("a", "Missing option '--kind'"),
        ("--kind small", "Missing argument"),
        ("a --kind huge", "'small', 'very-large'"),
        ("a --kind small --most 0", "--most"),
    ],
)
def test_wrong_words_are_refused_before_the_call(words: str, message: str) -> None:
    result = run(*words.split())
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert not CALLS
