"""The studio's routes, without a browser: pictures, lists, answers, what is refused."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.builders import make_photo, make_photo_folder
from tests.web.desk import Desk, open_desk
from tfclassify.data.journals import Answer
from tfclassify.labelling import board
from tfclassify.web import studio
from tfclassify.web.studio import Gallery


@pytest.fixture
def desk(tmp_path: Path, serve_app: Callable[..., Any]) -> Iterator[Desk]:
    """A session on 6 photos of 3 classes, served."""
    with open_desk(make_photo_folder(tmp_path / "photos", 2), tmp_path / "job", serve_app) as desk:
        yield desk


def test_the_session_is_described_once(desk: Desk) -> None:
    facts = desk.ask("session")
    assert (facts["images"], facts["labeller"], facts["several"]) == (6, "ann", False)
    assert [label["name"] for label in facts["labels"]] == ["blue", "green", "red"]
    assert facts["given"] == ["blue", "green", "red"]
    assert facts["orders"] == {"name": "by name", "random": "at random"}
    assert (facts["has_model"], facts["learns"]) == (False, False)


def test_an_answer_is_in_the_journal_when_it_is_confirmed(desk: Desk) -> None:
    said = {"place": 1, "labels": ["red"], "marks": ["dark"], "note": " so "}
    assert desk.post("answer", seconds=2, answers=[said]) == {"entry": 1}
    answer = desk.answers()["blue/001.png"]
    assert (answer.labels, answer.marks, answer.note) == (("red",), {"dark"}, "so")
    listed = desk.post("list")
    assert listed["places"] == [0, 2, 3, 4, 5]
    assert listed["progress"]["labels"] == {"red": 1}
    [item] = desk.post("items", places=[1])
    assert item["name"] == "blue/001.png"
    assert item["answer"]["entry"] == 1
    assert desk.post("undo")["items"][0]["answer"] is None
    assert desk.post("undo") == {"items": []}


@pytest.mark.parametrize(
    ("wish", "places"),
    [
        ({"state": "done"}, [0, 1]),
        ({"state": "skipped"}, [2]),
        ({"state": "all"}, [0, 1, 2, 3, 4, 5]),
        ({"state": "done", "label": "red"}, [1]),
        ({"state": "done", "mark": "dark"}, [0]),
        ({"given": "green"}, [3]),
        ({"state": "all", "search": "GREEN/00"}, [2, 3]),
        ({"state": "all", "search": "my note"}, [0]),
    ],
)
def test_what_is_wished_for_is_listed(desk: Desk, wish: dict[str, Any], places: list[int]) -> None:
    first = {"place": 0, "labels": ["blue"], "marks": ["dark"], "note": "My note"}
    desk.post("answer", answers=[first, {"place": 1, "labels": ["red"]}])
    desk.post("answer", answers=[{"place": 2, "skipped": True}])
    assert desk.post("list", **wish)["places"] == places


def test_the_order_at_random_is_the_same_again_and_holds_all(desk: Desk) -> None:
    places = desk.post("list", order="random")["places"]
    assert sorted(places) == [0, 1, 2, 3, 4, 5]
    assert places != sorted(places)
    assert desk.post("list", order="random")["places"] == places


@pytest.mark.parametrize(
    ("route", "given", "status", "words"),
    [
        ("answer", {"answers": [{"place": 0, "labels": ["rde"]}]}, 400, "did you mean 'red'"),
        ("answer", {"answers": [{"place": 9, "labels": ["red"]}]}, 400, "image 9: there are 6"),
        ("answer", {"answers": []}, 422, "at least 1 item"),
        ("answer", {"answers": [{"place": 0}]}, 400, "an answer that says nothing"),
        ("answer", {"answers": [{"place": 0, "lables": []}]}, 422, "Extra inputs"),
        ("answer", {"labeller": "../x", "answers": [{"place": 0}]}, 400, "a name has up to 60"),
        ("items", {"places": [9]}, 400, "image 9: there are 6"),
        ("progress", {"labeller": "adjudicated"}, 400, "--review is that page"),
        ("answer", {"labeller": "adjudicated", "answers": [{"place": 0}]}, 400, "to label, and"),
        ("list", {"state": "disputed"}, 400, "others' answers are not shown to a labeller"),
        ("list", {"by": "ben"}, 400, "others' answers are not shown to a labeller"),
        ("list", {"label": "rde"}, 400, "did you mean 'red'"),
        ("list", {"order": "doubt"}, 400, "--order doubt: there are name, random; others need"),
        ("retrain", {}, 400, "there is no model to train; use --run RUN"),
    ],
)
def test_what_is_asked_for_wrongly_is_said_and_nothing_written(
    desk: Desk, route: str, given: dict[str, Any], status: int, words: str
) -> None:
    answer = desk.client.post(f"/api/{route}", json={"labeller": "ann", **given})
    assert answer.status_code == status
    assert words in answer.json()["error"]
    assert desk.answers() == {}


def test_look_alikes_need_a_model(desk: Desk) -> None:
    answer = desk.client.get("/api/alike/0")
    assert (answer.status_code, "use --run RUN" in answer.text) == (400, True)


def test_two_tabs_do_not_write_over_one_another(desk: Desk) -> None:
    desk.post("answer", answers=[{"place": 0, "labels": ["red"]}])
    late = {"labeller": "ann", "answers": [{"place": 0, "labels": ["blue"], "seen": 0}]}
    answer = desk.client.post("/api/answer", json=late)
    assert answer.status_code == 409
    assert "was answered in another tab meanwhile" in answer.json()["error"]
    assert desk.answers()["blue/000.png"].labels == ("red",)


def test_two_labellers_share_the_work_and_do_not_see_one_another(
    tmp_path: Path, serve_app: Callable[..., Any]
) -> None:
    photos = make_photo_folder(tmp_path / "photos", 20, (4, 4))
    with open_desk(photos, tmp_path / "job", serve_app, overlap=0.3) as desk:
        desk.post("list", labeller="ben")
        # Who has a journal is dealt to; of the rest each has one labeller.
        ann = set(desk.post("list")["places"])
        ben = set(desk.post("list", labeller="ben")["places"])
        assert ann | ben == set(range(60))
        assert 5 < len(ann & ben) < 32
        both, alone = min(ann & ben), min(ann - ben)
        desk.post("answer", answers=[{"place": each, "labels": ["red"]} for each in (both, alone)])
        assert set(desk.post("list", labeller="ben")["places"]) == ben
        [item] = desk.post("items", labeller="ben", places=[both])
        assert (item["answer"], item["others"]) == (None, {})


def test_a_list_is_made_while_others_answer(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"labeller": "ben", "answers": [{"place": 0, "labels": ["red"]}]}
    desk.client.post("/api/answer", json=said).raise_for_status()

    def count_slowly(names: Iterable[str]) -> Counter[str]:
        monkeypatch.setattr(board, "Counter", Counter)
        counted: Counter[str] = Counter()
        for name in names:
            counted[name] += 1
            places = {place: Answer("", "ben", ("red",)) for place in (3, 4)}
            desk.work.board.answer("ben", places, seconds=1, seen={})
        return counted

    monkeypatch.setattr(board, "Counter", count_slowly)
    assert 0 not in desk.post("list")["places"]
    assert set(desk.answers("ben")) == {desk.work.board.images.names[each] for each in (0, 3, 4)}


def test_what_no_majority_says_is_reviewed_first(
    tmp_path: Path, serve_app: Callable[..., Any]
) -> None:
    photos, job = make_photo_folder(tmp_path / "photos", 2), tmp_path / "job"
    said = {
        "ann": ["red", "red", "red"],
        "ben": ["blue", "blue", "red"],
        "cem": ["red", "green", "red"],
    }
    with open_desk(photos, job, serve_app) as desk:
        for who, labels in said.items():
            answers = [{"place": place, "labels": [each]} for place, each in enumerate(labels)]
            desk.post("answer", labeller=who, answers=answers)
    with open_desk(photos, job, serve_app, review=True) as desk:
        assert desk.post("list", state="disputed")["places"] == [1, 0]


def test_review_shows_who_said_what_and_adjudicates(
    tmp_path: Path, serve_app: Callable[..., Any]
) -> None:
    photos, job = make_photo_folder(tmp_path / "photos", 2), tmp_path / "job"
    with open_desk(photos, job, serve_app, overlap=1.0) as desk:
        for labeller, label in (("ann", "red"), ("ben", "blue")):
            same = [{"place": place, "labels": ["green"]} for place in (2, 3)]
            answers = [{"place": 0, "labels": [label]}, *same]
            desk.post("answer", labeller=labeller, answers=answers)
    with open_desk(photos, job, serve_app, review=True) as desk:
        assert desk.labeller == "adjudicated"
        assert desk.post("list", state="disputed")["places"] == [0]
        assert desk.post("list", state="all", by="ben", label="blue")["places"] == [0]
        [item] = desk.post("items", places=[0])
        assert {who: said["labels"] for who, said in item["others"].items()} == {
            "ann": ["red"],
            "ben": ["blue"],
        }
        desk.post("answer", answers=[{"place": 0, "labels": ["blue"]}])
        # The queue becomes shorter, and what was decided is found among what is done.
        assert desk.post("list", state="disputed") == {
            "places": [],
            "progress": {**desk.post("progress"), "done": 1, "todo": 0},
        }
        assert desk.post("list", state="done")["places"] == [0]
        settled = desk.work.board.session.settle()
        assert (settled["blue/000.png"].outcome, settled["blue/000.png"].labels) == (
            "adjudicated",
            ("blue",),
        )
        wrong = desk.client.post("/api/items", json={"labeller": "ann", "places": [0]})
        assert "this page is to review" in wrong.json()["error"]
        wrong = desk.client.post("/api/list", json={"labeller": "adjudicated", "by": "cem"})
        assert "labeller 'cem': has answered nothing here" in wrong.text


def test_pictures_are_upright_shrunk_and_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter
    large, tiny = tmp_path / "large.jpg", tmp_path / "tiny.png"
    make_photo(1, (900, 1600)).save(large, exif=exif)
    make_photo(2, (8, 12)).save(tiny)
    gallery = Gallery((str(large), str(tiny)))
    shown = Image.open(io.BytesIO(gallery.show(0, 200).data))
    assert (shown.size, shown.format) == ((135, 240), "JPEG")
    assert Image.open(io.BytesIO(gallery.show(0, 99_999).data)).size == (900, 1600)
    pixels = Image.open(io.BytesIO(gallery.show(1, 240).data))
    assert (pixels.size, pixels.format) == ((12, 8), "PNG")
    assert gallery.show(0, 240) is gallery.show(0, 240)


def test_what_is_kept_of_pictures_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_photo_folder(tmp_path / "photos", 4, (60, 60))
    gallery = Gallery(tuple(map(str, sorted((tmp_path / "photos").rglob("*.png")))))
    size = len(gallery.show(0, 240).data)
    monkeypatch.setattr(studio, "_CACHE_BYTES", 3 * size)
    for place in range(12):
        gallery.show(place, 240)
    assert 1 <= len(gallery._kept) <= 3
    assert gallery._bytes == sum(len(each.data) for each in gallery._kept.values())


def test_an_image_that_cannot_be_shown_says_why_and_may_come_back(
    desk: Desk, tmp_path: Path
) -> None:
    path = tmp_path / "photos" / "blue" / "000.png"
    whole = path.read_bytes()
    for content, words in (
        (b"", "the%20file%20is%20empty"),
        (whole[:99], "truncated"),
        (None, "no%20such%20file"),
    ):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        answer = desk.client.get("/image/0/240")
        assert answer.headers["content-type"] == "image/svg+xml"
        assert words in answer.headers["x-fault"]
        assert answer.headers["cache-control"] == "no-store"
    path.write_bytes(whole)
    assert "x-fault" not in desk.client.get("/image/0/240").headers
    assert "there%20are%206%20images" in desk.client.get("/image/77/240").headers["x-fault"]


def test_90_megapixels_are_shown_small_and_more_are_refused(tmp_path: Path) -> None:
    large, larger = tmp_path / "large.png", tmp_path / "larger.png"
    Image.new("1", (9_500, 9_500)).save(large)
    Image.new("1", (11_000, 11_000)).save(larger)
    gallery = Gallery((str(large), str(larger)))
    assert Image.open(io.BytesIO(gallery.show(0, 240).data)).size == (240, 240)
    assert "121,000,000 pixels" in gallery.show(1, 240).fault


def test_no_memory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise MemoryError

    monkeypatch.setattr(studio, "shrink_image", fail)
    assert "not enough memory" in Gallery(("a.png",)).show(0, 240).fault
