"""A labelling session as a source: what is settled is what is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.builders import make_photo_folder
from tfclassify.data.columns import conclude_source
from tfclassify.data.journals import ADJUDICATOR, Answer
from tfclassify.data.readers import read_source
from tfclassify.errors import DataError, SourceError
from tfclassify.events import Observer
from tfclassify.labelling.session import Facts, Session, create_session
from tfclassify.labelling.vocabulary import make_vocabulary
from tfclassify.recipe.schema import DataRecipe, Recipe


class Hearing(Observer):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def on_note(self, message: str) -> None:
        self.notes.append(message)


def make_session(home: Path, **words: Any) -> Session:
    photos = make_photo_folder(home / "photos", 4, (4, 4))
    vocabulary = make_vocabulary(["pen", "ruler", "none"], **words)
    facts = Facts(data={"source": str(photos)}, vocabulary=vocabulary)
    return create_session(home / "job", facts)


def say(session: Session, labeller: str, **answers: tuple[str, ...]) -> None:
    """Answer ``red/00N.png`` by ``rN`` and so on; a last name that is a mark is one."""
    marks = session.vocabulary.mark_names
    folders = {"r": "red", "g": "green", "b": "blue"}
    said = {}
    for place, names in answers.items():
        image = f"{folders[place[0]]}/00{place[1]}.png"
        labels = tuple(name for name in names if name not in marks)
        said[image] = Answer(
            image,
            labeller,
            labels,
            marks=frozenset(names) & frozenset(marks),
            is_skipped=not names and not session.vocabulary.several,
        )
    with session.open_journal(labeller) as journal:
        journal.answer(said)


def test_settled_labels_and_marks_stand_in_the_index(tmp_path: Path) -> None:
    session = make_session(tmp_path)
    say(session, "ann", r0=("pen",), r1=("pen", "dark"), r2=("pen",), r3=("wrong",), g0=())
    say(session, "ben", r0=("pen", "hard"), r1=("ruler",), r2=("ruler",), g1=("none",))
    say(session, ADJUDICATOR, r1=("ruler", "dark"))
    observer = Hearing()
    data = DataRecipe(source=str(session.folder), flag_weights={"hard": 2.0})
    read = read_source(data, observer=observer)
    frame = read.index.frame.set_index("image")
    assert frame["label"].to_dict() == {
        "green/001.png": "none",
        "red/000.png": "pen",
        "red/001.png": "ruler",
    }
    assert frame["flags"].to_dict()["red/001.png"] == "dark"
    assert frame["weight"].to_dict()["red/000.png"] == 2.0
    assert all(Path(path).is_file() for path in frame["path"])
    assert observer.notes[0].endswith(
        "job: 3 labelled images; 6 not answered, 1 disputed, 1 rejected, 1 without label"
    )
    few = read_source(DataRecipe(source=str(session.folder), drop_flags=("dark",)))
    assert set(few.index.frame["label"]) == {"none", "pen"}
    concluded = conclude_source(str(session.folder))
    assert (concluded.task, concluded.data) == ("multi_class", {"source": str(session.folder)})


def test_several_labels_and_none_are_labels(tmp_path: Path) -> None:
    session = make_session(tmp_path, several=True)
    say(session, "ann", r0=("pen", "ruler"), r1=(), g0=("ruler",))
    read = read_source(DataRecipe(source=str(session.folder)))
    assert read.index.is_multi_label
    assert read.index.frame["label"].tolist() == ["ruler", "pen|ruler", ""]
    assert read.index.classes == ("pen", "ruler", "none")
    assert conclude_source(str(session.folder)).task == "multi_label"


def test_a_recipe_of_several_labels_may_name_a_session(tmp_path: Path) -> None:
    session = make_session(tmp_path, several=True)
    recipe = Recipe.from_dict(
        {
            "name": "job",
            "task": "multi_label",
            "data": {"source": str(session.folder), "drop_flags": ["wrong"]},
            "model": {"backbone": "resnet18"},
            "phases": [{"name": "all", "train": "all", "epochs": 1, "learning_rate": 0.001}],
        }
    )
    assert recipe.data.is_session


def test_what_a_session_does_not_have_is_said(tmp_path: Path) -> None:
    session = make_session(tmp_path)
    data = DataRecipe(source=str(session.folder), drop_flags=("drak",))
    with pytest.raises(SourceError, match=r"job: has no mark 'drak' .*did you mean 'dark'"):
        read_source(data)
    with pytest.raises(SourceError, match=r"no image"):
        read_source(DataRecipe(source=str(session.folder)))


@pytest.mark.parametrize("text", ["", "- a", "data: 1\nvocabulary: {labels: [a]}", "labels: ["])
def test_a_damaged_session_file_is_named(tmp_path: Path, text: str) -> None:
    session = make_session(tmp_path)
    (session.folder / "session.yaml").write_text(text, "utf-8")
    with pytest.raises(SourceError, match=r"session\.yaml: is no session's file"):
        read_source(DataRecipe(source=str(session.folder)))


def test_a_session_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    session = make_session(tmp_path)
    path = session.folder / "session.yaml"
    path.rename(tmp_path / "elsewhere.yaml")
    path.symlink_to(tmp_path / "elsewhere.yaml")
    with pytest.raises(SourceError, match=r"session\.yaml: cannot be read"):
        read_source(DataRecipe(source=str(session.folder)))


def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    session = make_session(tmp_path)
    session.find_journal("ann").write_text("{}\n")
    with pytest.raises(DataError, match=r"ann\.jsonl: line 1 is no act of a labeller"):
        read_source(DataRecipe(source=str(session.folder)))
