"""``label``: finding, making and following a session."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import make_photo, make_photo_folder
from tests.tiny_run import TinyRun
from tfclassify.data.journals import ADJUDICATOR, Answer
from tfclassify.errors import DataError, RequestError, RunError, TfclassifyError
from tfclassify.labelling.board import Wish
from tfclassify.labelling.session import open_session
from tfclassify.workflows import label
from tfclassify.workflows.label import (
    LabelRequest,
    finish_labelling,
    guess_name,
    start_labelling,
)


@pytest.fixture
def photos(in_tmp: Path) -> Path:
    return make_photo_folder(in_tmp / "photos", 2, (4, 4))


def ask(**given: object) -> LabelRequest:
    return LabelRequest(**{"source": "photos", "labeller": "ann", **given})


def answer(request: LabelRequest, **labels: str) -> None:
    """Answer images, by their places as ``p0``, as the request's labeller."""
    work = start_labelling(request)
    answers = {
        int(place[1:]): Answer("", "", (name,) if name else (), is_skipped=not name)
        for place, name in labels.items()
    }
    work.board.answer(work.labeller, answers, seconds=2, seen={})
    work.board.close()


def test_a_session_is_made_beside_others_and_opened_by_either_name(photos: Path) -> None:
    answer(ask(), p0="red", p1="blue", p2="")
    for source in ("photos", "sessions/photos"):
        work = start_labelling(ask(source=source))
        work.board.close()
        result = work.conclude()
        assert (result.session, result.labeller) == (Path("sessions/photos"), "ann")
        assert (result.images, result.answered, result.skipped) == (6, 2, 1)
        assert result.images_per_hour == pytest.approx(3600 * 2 / 2, abs=3)
    facts = open_session(Path("sessions/photos")).facts
    assert facts.vocabulary.names == ("blue", "green", "red")
    assert Path(facts.data["source"]) == photos.resolve()


def test_a_recipe_and_a_table_name_their_images(photos: Path) -> None:
    recipe = "name: flowers\ndata: {source: photos}\nmodel: {backbone: resnet18}\n"
    recipe += "phases: [{name: all, train: all, epochs: 1, learning_rate: 1.0e-3}]\n"
    Path("flowers.yaml").write_text(recipe, "utf-8")
    work = start_labelling(ask(source="flowers.yaml"))
    work.board.close()
    assert len(work.board.images.names) == 6
    again = start_labelling(ask(source="flowers.yaml"))
    again.board.close()
    Path("photos/t.csv").write_text("file,label\nred/000.png,red\ngone.png,blue\n", "utf-8")
    table = start_labelling(ask(source="photos/t.csv", session=Path("job")))
    table.board.close()
    assert table.board.images.names == ("red/000.png",)


def test_images_without_labels_need_words(in_tmp: Path) -> None:
    (in_tmp / "photos").mkdir()
    make_photo(1).save(in_tmp / "photos" / "a.png")
    with pytest.raises(RequestError, match=r"have no labels yet, so say which there are: --labels"):
        start_labelling(ask())
    assert not Path("sessions").exists()
    with pytest.raises(RequestError, match="both say the labels; use one of the two"):
        start_labelling(ask(labels=("a",), vocabulary=Path("words.yaml")))
    work = start_labelling(ask(labels=("cat", "dog"), several=True))
    work.board.close()
    assert work.board.vocabulary.several


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": ("a", "b")}, r"has begun with other words \(blue, green, red\)"),
        ({"overlap": 0.5}, r"has begun with --overlap 0, got 0\.5; leave it out"),
        ({"source": "others", "session": Path("sessions/photos")}, r"is a session on .*photos"),
        ({"labeller": "../x"}, r"--labeller '\.\./x': a name has up to 60"),
    ],
)
def test_a_session_that_has_begun_stays_what_it_is(
    photos: Path, change: dict[str, object], words: str
) -> None:
    answer(ask(), p0="red")
    make_photo_folder(Path("others"), 1, (4, 4))
    with pytest.raises(TfclassifyError, match=words):
        start_labelling(ask(**change))
    assert len(open_session(Path("sessions/photos")).read_answers("ann")) == 1


def test_a_source_that_has_changed_is_told_once_and_nothing_is_lost(photos: Path) -> None:
    answer(ask(), p0="red")
    make_photo(77).save(photos / "red" / "new.png")
    (photos / "blue" / "000.png").unlink()
    (photos / "blue" / "001.png").unlink()
    work = start_labelling(ask())
    work.board.close()
    [remark] = work.remarks
    assert "6 images then, 5 now; 1 answered image no longer there, kept" in remark
    assert set(work.board.session.read_answers("ann")) == {"blue/000.png"}
    again = start_labelling(ask())
    again.board.close()
    assert again.remarks == ()


def test_the_same_labeller_twice_is_refused_and_another_is_not(photos: Path) -> None:
    work = start_labelling(ask())
    with pytest.raises(RunError, match="'ann' is labelling in another process"):
        start_labelling(ask())
    other = start_labelling(ask(labeller="ben"))
    other.board.close()
    work.board.close()
    with pytest.raises(RequestError, match="--labeller adjudicated: is who reviews; use --review"):
        start_labelling(ask(labeller="adjudicated"))


def test_a_journal_with_an_unknown_label_is_named_before_anything_opens(photos: Path) -> None:
    answer(ask(), p0="red")
    path = Path("sessions/photos/labels/ann.jsonl")
    path.write_text(path.read_text().replace("red", "rde"))
    with pytest.raises(DataError, match=r"ann\.jsonl: line 1, .*label 'rde'.*did you mean 'red'"):
        start_labelling(ask())


def test_somebodys_answers_are_gone_on_with(photos: Path) -> None:
    answer(ask(), p0="red")
    Path("his.csv").write_text(
        "file,label,labeller\nblue/000.png,blue,ann\nblue/001.png,blue,ann\n"
        "red/000.png,red,ben\nx.png,red,ben\n",
        "utf-8",
    )
    work = start_labelling(ask(answers=Path("his.csv")))
    work.board.close()
    assert list(work.remarks) == [
        "his.csv: 2 answers taken in",
        "his.csv: 1 answer passed over, answered here already",
        "his.csv: 1 row passed over, of no image of this source: 'x.png'",
    ]
    session = work.board.session
    assert session.read_answers("ann")["blue/000.png"].labels == ("red",)
    assert set(session.read_answers("ben")) == {"red/000.png"}


def test_answers_are_written_as_tables_and_folders(photos: Path) -> None:
    answer(ask(), p0="red", p2="blue")
    answer(ask(labeller="ben"), p0="blue", p4="green")
    answer(ask(review=True), p0="green")
    assert "adjudicated.jsonl" in {p.name for p in Path("sessions/photos/labels").iterdir()}
    table = finish_labelling(ask(out=Path("out.csv")))
    assert (table.answered, table.out) == (5, Path("out.csv"))
    assert f",{ADJUDICATOR}," in Path("out.csv").read_text("utf-8")
    sorted_ = finish_labelling(ask(out=Path("sorted"), form="folders"))
    assert sorted_.answered == 3
    found = {path.as_posix() for path in Path("sorted").rglob("*.png")}
    assert found == {
        "sorted/green/blue/000.png",
        "sorted/blue/green/000.png",
        "sorted/green/red/000.png",
    }
    with pytest.raises(RequestError, match=r"--form xml: must be one of columns, original"):
        finish_labelling(replace(ask(out=Path("x")), form="xml"))


def test_there_is_nothing_to_write_or_review_before_somebody_labelled(photos: Path) -> None:
    for request in (ask(out=Path("out.csv")), ask(review=True)):
        with pytest.raises(RequestError, match=r"sessions/photos: there is no session yet"):
            label._open(request, label.SILENT)


@pytest.mark.parametrize(
    ("name", "guessed"), [("ann", "ann"), ("DOMAIN\\ann b", "DOMAINannb"), ("$", "me")]
)
def test_a_user_name_becomes_a_labeller(
    name: str, guessed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label.getpass, "getuser", lambda: name)
    assert guess_name() == guessed


def test_a_machine_without_users(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(label.getpass, "getuser", fail)
    assert guess_name() == "me"


def test_a_run_suggests_and_puts_the_images_in_its_orders(tiny_run: TinyRun, in_tmp: Path) -> None:
    request = LabelRequest(
        source=str(tiny_run.photos), labeller="ann", run=tiny_run.run, order="doubt"
    )
    work = start_labelling(request)
    board = work.board
    try:
        [first, *rest] = board.list_places("ann", Wish(order="doubt"))
        assert sorted([first, *rest]) == list(range(len(board.images.names)))
        said = [item["suggestion"] for item in board.describe("ann", [first, rest[-1]])]
        assert said[0]["probability"] <= said[1]["probability"]
        assert set(said[0]["labels"]) <= set(board.vocabulary.names)
        assert len(board.find_alike(first, 3)) == 3
        doubtful = board.list_places("ann", Wish(order="doubt", doubt=said[0]["probability"]))
        assert first in doubtful
        assert len(doubtful) <= len(rest)
        assert (board.session.folder / "model").is_dir()
    finally:
        board.close()


def test_an_order_that_needs_a_model_is_refused_before_anything_opens(photos: Path) -> None:
    with pytest.raises(RequestError, match=r"--order doubt: there are name, random; others need"):
        start_labelling(ask(order="doubt"))
    start_labelling(ask()).board.close()  # nobody holds the journal
