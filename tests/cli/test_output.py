from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest

from tfclassify.cli.output import call, show
from tfclassify.events import SILENT


class Kind(StrEnum):
    """A choice, as commands have them."""

    small = "small"


SENTENCE = "The validation images also chose the best epoch, " * 4
ROW = f"{'a cell':40}  {'another cell':60}"


def test_sentences_fit_the_terminal_and_rows_stay_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    show(f"{SENTENCE}\n\n{ROW}\nreport  {'x' * 90}")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [ROW, f"report  {'x' * 90}"]
    assert lines[-3] == ""
    assert max(map(len, lines[:-3])) <= 80
    assert " ".join(lines[:-3]).split() == SENTENCE.split()


def test_a_pipe_gets_the_lines_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    show(SENTENCE)
    assert capsys.readouterr().out == f"{SENTENCE}\n"


def test_a_command_calls_its_function_by_its_own_words() -> None:
    def compare(*runs: str, kind: str, out: str = "unsaid", many: Any = (), progress: Any):
        return runs, kind, out, many, progress

    words = {"runs": ["a", "b"], "kind": Kind.small, "out": None, "many": [Kind.small]}
    shown = {"as_json": True, "quiet": True, "verbose": False}
    assert call(compare, words | shown) == (("a", "b"), "small", "unsaid", ["small"], SILENT)
    with pytest.raises(KeyError, match="kind"):
        call(compare, {"runs": []} | shown)
