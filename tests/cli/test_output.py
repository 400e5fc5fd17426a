from __future__ import annotations

import pytest

from tfclassify.cli.output import show

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


def test_json_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = f'{{\n  "caution": "{SENTENCE}"\n}}'
    show(text)
    assert capsys.readouterr().out == f"{text}\n"
