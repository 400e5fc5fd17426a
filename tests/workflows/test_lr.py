"""A range test from a recipe to its page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tiny_run import CommandLine, TinyRun
from tfclassify.errors import RequestError
from tfclassify.workflows.lr import LrRequest, find_rate


def test_the_command_suggests_and_writes_a_page(
    tiny_run: TinyRun, in_tmp: Path, tfclassify: CommandLine
) -> None:
    answer = tfclassify(
        "lr", tiny_run.recipe, "--phase", "whole", "--lowest", 1e-5, "--steps", 40, "--json", "-q"
    )
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert (told["key"], told["phase"]) == ("phases[1].learning_rate", "whole")
    assert told["rates"][0] == pytest.approx(1e-5)
    assert "it starts from what head learnt" in told["caution"]
    page = Path("lr.html").read_text("utf-8")
    assert "phases[1].learning_rate" in page
    assert "<svg" in page
    assert [path.name for path in in_tmp.iterdir()] == ["lr.html"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"phase": "hed"}, r"--phase: the recipe has no phase 'hed'; did you mean 'head'\?"),
        ({"lowest": 0.0}, "--lowest, --highest: must rise between 0 and 100, got 0 and 1"),
        ({"lowest": 2.0}, "--lowest, --highest: must rise between 0 and 100, got 2 and 1"),
        ({"steps": 9}, "--steps: must be at least 10, got 9"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tiny_run: TinyRun, in_tmp: Path, given: dict[str, object], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        find_rate(LrRequest(tiny_run.recipe, **given))  # type: ignore[arg-type]
    assert list(in_tmp.iterdir()) == []
