"""Every command and every recipe key is documented, and the pages are current."""

from __future__ import annotations

import typer

from tests.docs import NOTE, PAGES, ROOT
from tfclassify.cli.app import app


def test_generated_pages_are_current() -> None:
    stale = [
        name
        for name, render in PAGES.items()
        if (ROOT / name).read_text("utf-8") != NOTE + render().rstrip() + "\n"
    ]
    assert stale == [], "run: python -m tests.docs --write"


def test_every_command_has_help_an_example_and_a_place_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for name, command in typer.main.get_command(app).commands.items():
        assert command.help, name
        assert f"tfclassify {name}" in (command.epilog or ""), name
        assert f"tfclassify {name}" in readme, name
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name} {parameter.name}"
