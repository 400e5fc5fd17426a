"""Sessions: nothing that was confirmed is lost."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tfclassify.data.journals import ADJUDICATOR, Answer
from tfclassify.errors import DataError, RequestError, RunError, TargetError
from tfclassify.labelling.session import (
    Facts,
    Session,
    StaleAnswerError,
    create_session,
    hash_names,
    open_session,
)
from tfclassify.labelling.vocabulary import make_vocabulary

NAMES = ("pen", "pencil", "ruler")


@pytest.fixture
def session(tmp_path: Path) -> Session:
    facts = Facts(data={"source": "photos"}, vocabulary=make_vocabulary(NAMES), overlap=0.5)
    return create_session(tmp_path / "job", facts)


def say(image: str, label: str, **more: Any) -> dict[str, Answer]:
    return {image: Answer(image, "", (label,) if label else (), **more)}


def test_what_was_made_is_opened(session: Session) -> None:
    assert open_session(session.folder) == session
    assert session.facts.created
    assert session.list_labellers() == ()
    assert session.list_answers() == []


def test_answers_of_two_labellers_are_read_while_one_is_writing(session: Session) -> None:
    with session.open_journal("ann") as ann, session.open_journal("ben") as ben:
        ann.answer(say("a.png", "pen", marks=frozenset({"dark"}), note="so"), seconds=2.5)
        ben.answer(say("a.png", "ruler"))
        (first, second) = session.list_answers()
    assert (first.labeller, first.labels, first.marks) == ("ann", ("pen",), {"dark"})
    assert (first.note, first.seconds, first.entry) == ("so", 2.5, 1)
    assert (second.labeller, second.labels) == ("ben", ("ruler",))
    assert [each.image for each in session.settle().values() if each.is_disputed] == ["a.png"]
    with session.open_journal(ADJUDICATOR) as judge:
        judge.answer(say("a.png", "ruler"))
    assert session.settle()["a.png"].labels == ("ruler",)
    assert session.list_labellers() == ("ann", "ben")


def test_undo_of_any_depth_survives_a_restart(session: Session) -> None:
    with session.open_journal("ann") as journal:
        journal.answer(say("a.png", "pen"))
        journal.answer(say("a.png", "ruler") | say("b.png", "ruler"))
        journal.answer(say("b.png", "", is_skipped=True))
    with session.open_journal("ann") as journal:
        assert journal.undo()["b.png"].labels == ("ruler",)
    with session.open_journal("ann") as journal:
        assert {image: each and each.labels for image, each in journal.undo().items()} == {
            "a.png": ("pen",),
            "b.png": None,
        }
        assert journal.undo() == {"a.png": None}
        assert journal.undo() == {}
        assert journal.answers == {}


def test_one_process_writes_for_a_labeller(session: Session) -> None:
    message = r"'ann' is labelling in another process; close that one"
    with session.open_journal("ann"), pytest.raises(RunError, match=message):
        session.open_journal("ann").__enter__()
    with session.open_journal("ann"):
        pass


def test_a_second_tab_does_not_write_over_the_first(session: Session) -> None:
    with session.open_journal("ann") as journal:
        number = journal.answer(say("a.png", "pen"), seen={"a.png": 0})
        with pytest.raises(StaleAnswerError, match=r"a\.png: was answered in another tab"):
            journal.answer(say("a.png", "ruler"), seen={"a.png": 0})
        assert journal.answers["a.png"].labels == ("pen",)
        journal.answer(say("a.png", "ruler"), seen={"a.png": number})
        assert journal.answers["a.png"].labels == ("ruler",)


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_leaves_the_journal_as_it_was(
    session: Session, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write

    def fail(descriptor: int, data: Any = b"") -> int:
        real(descriptor, b'{"half')
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with session.open_journal("ann") as journal:
        journal.answer(say("a.png", "pen"))
        before = session.find_journal("ann").read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            with pytest.raises(OSError, match=r"No space left on device: .*ann\.jsonl"):
                journal.answer(say("b.png", "pen"))
            with pytest.raises(OSError, match="No space left"):
                journal.undo()
        assert session.find_journal("ann").read_bytes() == before
        assert set(journal.answers) == {"a.png"}
        journal.answer(say("b.png", "ruler"))
    assert set(session.read_answers("ann")) == {"a.png", "b.png"}


def test_an_end_that_was_never_confirmed_is_cut_off(session: Session) -> None:
    with session.open_journal("ann") as journal:
        journal.answer(say("a.png", "pen"))
    path = session.find_journal("ann")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"n":2,"answers":{"b.png":{"labels":["pen"]}}}')
    assert set(session.read_answers("ann")) == {"a.png"}
    with session.open_journal("ann") as journal:
        assert path.read_bytes() == whole
        journal.answer(say("c.png", "pen"))
    assert set(session.read_answers("ann")) == {"a.png", "c.png"}


WRITER = """
import sys
from pathlib import Path
from tfclassify.data.journals import Answer
from tfclassify.labelling.session import open_session
session = open_session(Path(sys.argv[1]))
with session.open_journal("ann") as journal:
    print(len(journal.answers), flush=True)
    while True:
        image = f"{len(journal.answers)}.png"
        journal.answer({image: Answer(image, "", ("pen",), note="x" * 500)})
        print(image, flush=True)
"""


def test_kill_9_at_any_moment_loses_nothing_that_was_confirmed(session: Session) -> None:
    confirmed = 0
    for _ in range(3):
        words = [sys.executable, "-c", WRITER, str(session.folder)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as work:
            assert work.stdout is not None
            assert int(work.stdout.readline()) >= confirmed
            seen = [work.stdout.readline() for _ in range(40)]
            work.send_signal(signal.SIGKILL)
            seen += work.stdout.readlines()
        confirmed = int(seen[-1].split(".")[0]) + 1
        assert len(session.read_answers("ann")) in (confirmed, confirmed + 1)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer("a.png", "", ("pan",)), r"a\.png: label 'pan' is not in the vocabulary; did you"),
        (Answer("a.png", ""), r"a\.png: an answer that says nothing"),
        (Answer("a.png", "", note="x" * 3000), r"the note has 3,000 characters, allowed are 2,000"),
    ],
)
def test_an_answer_outside_the_vocabulary_is_not_written(
    session: Session, answer: Answer, words: str
) -> None:
    with session.open_journal("ann") as journal:
        with pytest.raises(RequestError, match=words):
            journal.answer({"b.png": Answer("b.png", "", ("pen",)), "a.png": answer})
        assert journal.answers == {}


def test_an_unknown_label_in_a_journal_names_its_line(session: Session) -> None:
    with session.open_journal("ann") as journal:
        journal.answer(say("a.png", "pen"))
    path = session.find_journal("ann")
    path.write_text(path.read_text().replace("pen", "pne"))
    with pytest.raises(DataError, match=r"ann\.jsonl: line 1, on 'a\.png': label 'pne' is not"):
        session.read_answers("ann")


@pytest.mark.parametrize("name", ["", ".ann", "../ann", "ann/ben", "a" * 61, "ann.", "ann\n", "*"])
def test_a_name_that_names_no_file(session: Session, name: str) -> None:
    with pytest.raises(RequestError, match=r"a name has up to 60 letters"):
        session.find_journal(name)


def test_names_of_people_are_taken(session: Session) -> None:
    for name in ("a", "José Álvarez", "ann.b@example.org", "李"):
        assert session.find_journal(name).stem == name


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path, session: Session) -> None:
    with pytest.raises(RequestError, match=r"is no empty folder; name another with --session"):
        create_session(session.folder, session.facts)
    with pytest.raises(TargetError, match=r"is no session, it has no session\.yaml"):
        open_session(tmp_path / "jb")


def test_two_that_make_one_session_at_once_do_not_mix_words(
    tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new" / "labels").mkdir(parents=True)  # by another, since the folder was empty
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter(()))
    with pytest.raises(RequestError, match="another process makes a session here just now"):
        create_session(tmp_path / "new", session.facts)
    assert not (tmp_path / "new" / "session.yaml").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("labels: [", r"session\.yaml: is no YAML"),
        ("- a", r"session\.yaml: keys and values are expected, got \['a'\]"),
        ("vocabulary: {labels: []}", r"session\.yaml: vocabulary: the vocabulary has 1 problem"),
        ("vocabulary: {labels: [a]}", r"session\.yaml: data: Field required"),
        ("{data: {}, overlap: 2, vocabulary: {labels: [a]}}", r"session\.yaml: overlap: Input"),
        ("{data: {}, version: 9, vocabulary: {labels: [a]}}", r"session\.yaml: version: Input"),
    ],
)
def test_a_session_file_that_says_what_is_impossible(
    session: Session, text: str, words: str
) -> None:
    (session.folder / "session.yaml").write_text(text, "utf-8")
    with pytest.raises(RequestError, match=words):
        open_session(session.folder)


def test_a_session_with_a_link_is_refused(session: Session) -> None:
    (session.folder / "labels" / "ann.jsonl").symlink_to("/etc/hostname")
    with pytest.raises(RunError, match=r"ann\.jsonl: is a link, which no session holds"):
        open_session(session.folder)


def test_a_hash_of_names_tells_their_borders() -> None:
    assert hash_names(["ab", "c"]) != hash_names(["a", "bc"])
    assert hash_names(["\udc80"])
