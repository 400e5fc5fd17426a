"""Every command that the README shows exists, and the cheap ones are run."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer

from tests.builders import make_photo_folder
from tests.tiny_run import CommandLine
from tfclassify.cli.app import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")

#: Ways to start the program that the README may show.
STARTS = (["tfclassify"], ["poetry", "run", "tfclassify"], [".venv/bin/tfclassify"])
#: Commands that are quick without a run and without training.
CHEAP = ("schema", "backbones", "new", "inspect")


def list_shell_lines(text: str) -> list[list[str]]:
    """Return the words of every command in the ``sh`` blocks, comments left out."""
    lines = []
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            lines += [part for part in split_at_operators(words) if part]
    return lines


def split_at_operators(words: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word in ("&&", "|", ";"):
            parts.append([])
        else:
            parts[-1].append(word)
    return [part[: part.index(">")] if ">" in part else part for part in parts]


def find_our_words(words: list[str]) -> list[str] | None:
    """Return what follows ``tfclassify``, or None for a line of another program."""
    for start in STARTS:
        if words[: len(start)] == start:
            return words[len(start) :]
    return None


def parse(words: list[str]) -> None:
    """Parse a call as the command line does, without doing it."""
    group = typer.main.get_command(app)
    name, *rest = words
    if name.startswith("-"):
        known = {option for parameter in group.params for option in parameter.opts}
        assert name in known | {"-h", "--help"}, name
        return
    assert name in group.commands, f"no command {name!r}"
    if not {"-h", "--help"} & set(rest):
        group.commands[name].make_context(name, list(rest))


LINES = list_shell_lines(README)
OURS = [words for line in LINES if (words := find_our_words(line)) is not None]
# Commands in a table or a sentence: `tfclassify train RECIPE`
INLINE = [shlex.split(text) for text in re.findall(r"`tfclassify ([^`…]+)…?`", README)]


def test_the_reading_of_a_page() -> None:
    page = (
        "```sh\nmake demo  # all of it\n$ tfclassify schema > a.json\n"
        "pip install x && tfclassify \\\n  check a\n```\n"
    )
    assert list_shell_lines(page) == [
        ["make", "demo"],
        ["tfclassify", "schema"],
        ["pip", "install", "x"],
        ["tfclassify", "check", "a"],
    ]


def test_a_wrong_call_is_noticed() -> None:
    with pytest.raises(AssertionError, match="no command 'trian'"):
        parse(["trian", "a.yaml"])
    with pytest.raises(Exception, match="No such option"):
        parse(["train", "a.yaml", "--epoch", "3"])


@pytest.mark.parametrize("words", OURS, ids=" ".join)
def test_a_command_of_a_block_parses(words: list[str]) -> None:
    parse(words)


@pytest.mark.parametrize("words", INLINE, ids=" ".join)
def test_a_command_of_a_sentence_exists(words: list[str]) -> None:
    group = typer.main.get_command(app)
    if words[0].startswith("-"):
        parse(words)
        return
    command = group.commands[words[0]]
    known = {option for item in command.params for option in (*item.opts, *item.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known | {"--help"}


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {line[1] for line in LINES if line[0] == "make" and len(line) > 1}
    named |= set(re.findall(r"`make ([a-z-]+)`", README))
    assert named - targets == set()


def test_every_file_that_is_named_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", README)
    local = {link for link in links if "://" not in link and not link.startswith("mailto:")}
    named = set(re.findall(r"(?:recipes|benchmarks|docs)/[\w/.-]+\.(?:yaml|py|md|png)", README))
    assert sorted(path for path in local | named if not (ROOT / path).exists()) == []


def test_the_cheap_commands_of_the_readme_run(in_tmp: Path, tfclassify: CommandLine) -> None:
    make_photo_folder(in_tmp / "photos", images_per_class=8)
    cheap = [words for words in OURS if words[0] in CHEAP]
    for words in cheap:
        answer = tfclassify(*words)
        assert answer.code == 0, (words, answer.err)
        assert answer.out


@pytest.mark.parametrize("name", sorted(typer.main.get_command(app).commands))
def test_every_command_has_help(tfclassify: CommandLine, name: str) -> None:
    answer = tfclassify(name, "--help")
    assert answer.code == 0
    assert f"Example: tfclassify {name}" in " ".join(answer.out.split())


@pytest.mark.slow  # decodes 1,797 digits and builds EfficientNet-Lite0
def test_the_quickstart_checks(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, tfclassify: CommandLine
) -> None:
    monkeypatch.delenv("TFCLASSIFY_CACHE")
    answer = tfclassify("check", ROOT / "recipes" / "quickstart.yaml")
    assert answer.code == 0, answer.err
    assert "efficientnet_lite0" in answer.out


def test_make_help_lists_every_target() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0
    assert "make demo" in done.stdout
