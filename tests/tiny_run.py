"""One small training that many tests look at, and the command line inside the test process."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.builders import COLOURS, make_photo
from tfclassify.cli.main import run as run_command_line

#: Every fifth image has a wrong label, so that no model is perfect and mistakes are drawn.
WRONG_EVERY = 5
IMAGES_PER_CLASS, GROUP_SIZE = 15, 3

RECIPE = """\
name: tiny
description: three colours, some of them mislabelled
seed: 3
data:
  source: photos
  table: labels.csv
  columns: {file: file, label: colour, group: painter}
  image_size: 16
  validation: 0.3
  test: 0.2
augment: {flip: [horizontal], rotate: 0.05, mix: {mixup: 0.3}}
model:
  backbone: custom_cnn
  weights: none
  layers:
    - {conv: 8, stride: 2, batch_norm: true}
  head: {dropout: 0.2}
class_weights: balanced
batch_size: 8
phases:
  - {name: head, train: head, epochs: 1, learning_rate: 1.0e-2, features: {views: 1}}
  - {name: whole, train: all, epochs: 2, learning_rate: 1.0e-2, schedule: cosine}
tta: {flips: [horizontal]}
"""


@dataclass(frozen=True)
class TinyRun:
    """A finished run and what it was made of.

    Attributes:
        home: Folder of the recipe and the photos.
        recipe: The recipe's path.
        photos: Folder of the photos and their ``labels.csv``.
        run: The run's folder.
    """

    home: Path
    recipe: Path
    photos: Path
    run: Path


@dataclass(frozen=True)
class Answer:
    """What a command left.

    Attributes:
        code: Exit code.
        out: Standard output.
        err: Standard error.
    """

    code: int
    out: str
    err: str


def make_labelled_photos(folder: Path) -> Path:
    """Write photos in folders of their colour and a ``labels.csv`` with groups."""
    folder.mkdir(parents=True)
    names = list(COLOURS)
    rows = ["file,colour,painter"]
    for number, (name, colour) in enumerate(COLOURS.items()):
        (folder / name).mkdir()
        for position in range(IMAGES_PER_CLASS):
            file = f"{name}/{position:02}.png"
            make_photo(1000 * number + position, (20, 24), colour).save(folder / file)
            is_wrong = position % WRONG_EVERY == 0
            label = names[(number + is_wrong) % len(names)]
            rows.append(f"{file},{label},{name}-{position // GROUP_SIZE}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", "utf-8")
    return folder


def write_recipe(folder: Path, *changes: tuple[str, str]) -> Path:
    """Write the tiny recipe, with pieces of its text replaced."""
    text = RECIPE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "tiny.yaml"
    path.write_text(text, "utf-8")
    return path


class CommandLine:
    """Calls the command line in this process, so that TensorFlow starts only once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture) -> None:
        self._monkeypatch, self._capture = monkeypatch, capture

    def __call__(self, *arguments: str | Path) -> Answer:
        """Run ``tfclassify`` with these arguments."""
        words = [str(argument) for argument in arguments]
        self._monkeypatch.setattr(sys, "argv", ["tfclassify", *words])
        heard = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.getsignal(number) for number in heard}
        self._capture.readouterr()
        try:
            with pytest.raises(SystemExit) as end:
                run_command_line()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        out, err = self._capture.readouterr()
        return Answer(int(end.value.code or 0), out, err)


def command_words(*arguments: str | Path) -> Sequence[str]:
    """Return the words that run ``tfclassify`` in a process of its own."""
    return [sys.executable, "-m", "tfclassify", *map(str, arguments)]
