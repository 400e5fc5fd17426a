"""``tfclassify label``: what it prints at its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.builders import make_photo_folder
from tests.tiny_run import CommandLine
from tfclassify.data.journals import Answer
from tfclassify.labelling.session import open_session
from tfclassify.web import studio


@pytest.fixture
def stopped(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Photos, and a server that its user stops at once, having answered one."""
    make_photo_folder(in_tmp / "photos", 2, (4, 4))

    def serve(app: Any, door: Any, observer: Any, *, on_ready: Any, **options: Any) -> None:
        on_ready()

    monkeypatch.setattr(studio, "serve", serve)


def test_it_ends_with_how_far_the_labeller_is(stopped: None, tfclassify: CommandLine) -> None:
    words = ("label", "photos", "--labeller", "ann", "--port", "0", "--no-browser")
    done = tfclassify(*words)
    assert done.code == 0
    assert "label at http://127.0.0.1:" in done.err
    assert done.out == "ann has answered 0 of 6 images\nnext: tfclassify label sessions/photos\n"
    with open_session(Path("sessions/photos")).open_journal("ann") as journal:
        journal.answer({"red/000.png": Answer("", "", ("red",))}, seconds=2)
        journal.answer({"red/001.png": Answer("", "", is_skipped=True)}, seconds=2)
    done = tfclassify(*words)
    assert done.out.startswith("ann has answered 1 of 6 images, skipped 1, 900 an hour\n")
    facts = json.loads(tfclassify(*words, "--json").out)
    assert (facts["answered"], facts["images_per_hour"]) == (1, 900.0)


def test_answers_are_written_in_place_of_a_page(stopped: None, tfclassify: CommandLine) -> None:
    tfclassify("label", "photos", "--labeller", "ann", "--port", "0")
    with open_session(Path("sessions/photos")).open_journal("ann") as journal:
        journal.answer({"red/000.png": Answer("", "", ("red",))})
    done = tfclassify("label", "sessions/photos", "--out", "labels.csv")
    assert (done.code, done.out) == (0, "labels.csv: 1 written\n")
    done = tfclassify("label", "photos", "--form", "xml")
    assert done.code == 2
