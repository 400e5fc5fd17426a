"""Labelling sessions, with their file or one of their journals damaged.

A session's file is YAML, of which JSON is a part, so both are damaged value by value.
"""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import yaml

from tests.hostile.cases import Case
from tests.hostile.run_folders import SPECIAL, damage_file, damage_json, place_file

_FILES = ("session.yaml", "labels/ann.jsonl", "labels/adjudicated.jsonl")


@cache
def make_scene() -> Path:
    """Make a session in which two have answered and a third has settled something."""
    from tests.builders import make_photo_folder
    from tfclassify.data.journals import ADJUDICATOR, Answer
    from tfclassify.labelling.session import Facts, create_session
    from tfclassify.labelling.vocabulary import make_vocabulary

    home = Path(mkdtemp(prefix="tfclassify-session-"))
    make_photo_folder(home / "photos", 2)
    facts = Facts(
        data={"source": str(home / "photos")}, vocabulary=make_vocabulary(["blue", "green"])
    )
    session = create_session(home / "session", facts)
    names = sorted(path.relative_to(home / "photos") for path in home.rglob("*.png"))
    for labeller, label in (("ann", "blue"), ("ben", "green"), (ADJUDICATOR, "blue")):
        with session.open_journal(labeller) as journal:
            for name in names[: 2 if labeller == ADJUDICATOR else 4]:
                answer = Answer(str(name), labeller, (label,), marks=frozenset(("dark",)))
                journal.answer({str(name): answer})
            if labeller == "ann":
                journal.undo()
    return home


def make_cases() -> list[Case]:
    """Make every damaged session."""
    cases = []
    for file in _FILES:
        good = (make_scene() / "session" / file).read_bytes()
        cases.append(Case("as it is", file, good, {"file": file}))
        if file.endswith(".yaml"):
            damaged = list(damage_json(json.dumps(yaml.safe_load(good)).encode()))
        else:
            first, _, rest = good.partition(b"\n")
            damaged = [(*each, text + b"\n" + rest) for *each, text in damage_json(first)]
        if file.endswith(".yaml"):
            damaged.append(("texts", "aliases", _alias()))
        for group, name, content in (*damaged, *damage_file(good)):
            cases.append(Case(group, f"{file}: {name}", content, {"file": file}))
        cases += [
            Case("no file", f"{file}: {kind}", b"", {"file": file, "special": kind})
            for kind in SPECIAL
        ]
    return cases


def _alias() -> bytes:
    """Make few lines that stand for 2^60 values."""
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    return "\n".join([*lines, "data: *a59", "vocabulary: *a59"]).encode()


def prepare(home: Path) -> None:
    """Read the good one before memory is limited."""
    (home / "first").mkdir()
    good = (make_scene() / "session" / _FILES[0]).read_bytes()
    read(Case("", "", good, {"file": _FILES[0]}), home / "first")


def read(case: Case, folder: Path) -> str:
    """Read a session as the studio does, as agreement does, and as a recipe's source."""
    from tfclassify.data.readers import read_source
    from tfclassify.errors import TfclassifyError
    from tfclassify.labelling.session import open_session
    from tfclassify.recipe.data_schema import DataRecipe

    path = Path(shutil.copytree(make_scene() / "session", folder / "session"))
    place_file(path / case.options["file"], case)
    refused: list[Exception] = []

    def label() -> None:
        session = open_session(path)
        session.list_answers()
        session.settle()
        with session.open_journal("cat") as journal:
            journal.undo()

    for work in (label, lambda: read_source(DataRecipe(source=str(path)))):
        try:
            work()
        except (TfclassifyError, OSError) as error:  # commands word what the system says
            refused.append(error)
    return ("both end well", "one is refused", "both are refused")[len(refused)]
