"""The studio in a browser: keys, grid, marks, trouble, screens, and no loss by kill -9."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.builders import make_photo, make_photo_folder
from tests.web.desk import Desk, open_desk
from tfclassify.labelling.board import Suggestion
from tfclassify.labelling.session import open_session

SCHOOL = """
labels:
  - {name: pen, sublabels: [ballpoint, felt]}
  - pencil
  - <b>ruler</b>
marks: [{name: broken, key: x}, {name: dark, key: d}]
"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """12 photos without labels; the last one's name is markup."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(11):
        make_photo(number, (60, 80)).save(folder / f"{number:02}.png")
    make_photo(99, (60, 80)).save(folder / "<img src=x onerror=alert(1)>.png")
    return folder


@pytest.fixture
def desk(photos: Path, tmp_path: Path, serve_app: Callable[..., Any]) -> Any:
    with open_desk(photos, tmp_path / "job", serve_app, labels=("pen", "pencil", "ruler")) as desk:
        yield desk


@pytest.fixture
def page(desk: Desk, open_page: Callable[..., Any]) -> Any:
    return open_ready(open_page, desk)


def open_ready(open_page: Callable[..., Any], desk: Desk, **options: Any) -> Any:
    page = open_page(desk.address, **options)
    page.wait_for_selector("body[data-ready]")
    return page


def press(page: Any, key: str, shown: str) -> None:
    """Press a key, and wait until an image is shown."""
    page.keyboard.press(key)
    wait_for(page, "#name", shown)


def wait_for(page: Any, selector: str, text: str) -> None:
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector).textContent.includes(text)",
        arg=[selector, text],
    )
    # What is pressed while the page waits for its server is passed over.
    page.wait_for_selector("body:not([aria-busy='true'])")


def labels_of(desk: Desk) -> dict[str, str]:
    return {image: "+".join(each.labels) for image, each in desk.answers().items()}


def test_a_key_answers_and_the_next_image_comes(desk: Desk, page: Any) -> None:
    press(page, "2", "01.png")
    press(page, "1", "02.png")
    press(page, ",", "03.png")
    assert labels_of(desk) == {"00.png": "pencil", "01.png": "pen", "02.png": ""}
    assert desk.answers()["02.png"].is_skipped
    assert page.inner_text("#progress").startswith("2 done · 9 to do · 1 skipped")
    press(page, "Backspace", "02.png")
    press(page, "ArrowLeft", "01.png")
    assert "your answer: pen" in page.inner_text("#facts")
    # Another label replaces it; on without an answer changes nothing.
    press(page, "3", "02.png")
    press(page, "ArrowRight", "03.png")
    press(page, "ArrowRight", "04.png")
    assert labels_of(desk) == {"00.png": "pencil", "01.png": "ruler", "02.png": ""}


def test_the_next_images_are_there_before_they_are_asked_for(page: Any) -> None:
    page.wait_for_function(
        "() => performance.getEntriesByType('resource')"
        ".filter(each => each.name.includes('/image/')).length >= 7"
    )
    fetched = {url.split("/image/")[1].split("/")[0] for url in page.asked if "/image/" in url}
    assert fetched == set("0123456")


def test_the_page_says_order_progress_and_speed(desk: Desk, page: Any) -> None:
    page.click("#filters")
    with page.expect_response("**/api/list"):
        page.select_option("[name=order]", "random")
    wait_for(page, "#progress", "0 done · 12 to do · at random")
    for number in range(1, 4):
        page.keyboard.press("1")
        wait_for(page, "#progress", f"{number} done")
    assert re.search(r"3 done · 9 to do · [\d,]+ an hour · at random", page.inner_text("#progress"))


def test_caps_lock_changes_no_key(desk: Desk, page: Any) -> None:
    page.keyboard.press("D")
    press(page, "3", "01.png")
    assert desk.answers()["00.png"].marks == {"dark"}


SWIPE = """
([from, to]) => {
  const stage = document.getElementById("stage");
  const box = stage.getBoundingClientRect();
  const send = (kind, x) => stage.dispatchEvent(new PointerEvent(kind, {
    pointerId: 1, pointerType: "touch", clientX: box.left + x, clientY: box.top + 50, bubbles: true,
  }));
  send("pointerdown", from); send("pointermove", to); send("pointerup", to);
}
"""


def test_a_swipe_goes_on_and_back_and_writes_nothing(desk: Desk, page: Any) -> None:
    page.evaluate(SWIPE, [250, 100])
    wait_for(page, "#name", "01.png")
    page.evaluate(SWIPE, [100, 250])
    wait_for(page, "#name", "00.png")
    page.evaluate(SWIPE, [100, 130])  # too short to be meant
    assert page.inner_text("#name") == "00.png"
    assert desk.answers() == {}


def test_a_review_begins_with_the_marks_of_all_and_ends_when_all_is_decided(
    photos: Path, tmp_path: Path, serve_app: Callable[..., Any], open_page: Callable[..., Any]
) -> None:
    with open_desk(photos, tmp_path / "job", serve_app, labels=("pen", "pencil")) as desk:
        for who, label, mark in (("ann", "pen", "dark"), ("ben", "pencil", "blurred")):
            said = {"place": 3, "labels": [label], "marks": [mark]}
            desk.post("answer", labeller=who, answers=[said])
    with open_desk(photos, tmp_path / "job", serve_app, review=True) as desk:
        page = open_ready(open_page, desk)
        assert page.inner_text("#name") == "03.png"
        told = " ".join(page.inner_text("#others").split())
        assert told == "ann pen (dark) ben pencil (blurred)"
        page.keyboard.press("Enter")  # marks that others set are no decision
        wait_for(page, "#trouble", "Choose a label first")
        page.keyboard.press("d")  # it is not dark
        page.keyboard.press("2")
        wait_for(page, "#stage", "All done")
        [answer] = desk.answers("adjudicated").values()
        assert (answer.labels, answer.marks) == (("pencil",), {"blurred"})


def test_marks_and_notes_go_with_the_answer(desk: Desk, page: Any) -> None:
    page.keyboard.press("d")
    assert page.get_attribute("#marks [data-name=dark]", "aria-pressed") == "true"
    page.keyboard.press(";")
    page.keyboard.type("1 of a kind")
    page.keyboard.press("Escape")
    press(page, "1", "01.png")
    answer = desk.answers()["00.png"]
    assert (answer.labels, answer.marks, answer.note) == (("pen",), {"dark"}, "1 of a kind")
    assert page.input_value("#note") == ""
    assert 0 < answer.seconds < 600


def test_undo_goes_back_as_far_as_wished_and_through_a_restart(
    desk: Desk, page: Any, open_page: Callable[..., Any]
) -> None:
    press(page, "1", "01.png")
    press(page, "2", "02.png")
    press(page, "Control+z", "01.png")
    other = open_ready(open_page, desk)
    assert other.inner_text("#name") == "01.png"
    press(other, "Control+z", "00.png")
    assert desk.answers() == {}
    other.keyboard.press("Control+z")
    wait_for(other, "#trouble", "nothing left to undo")


def test_an_image_needs_a_label_or_a_mark(desk: Desk, page: Any) -> None:
    page.keyboard.press("Enter")
    wait_for(page, "#trouble", "Choose a label first")
    assert desk.answers() == {}
    page.keyboard.press("x")
    press(page, "Enter", "01.png")
    assert desk.answers()["00.png"].marks == {"wrong"}


def test_names_and_labels_are_text_and_never_markup(
    photos: Path, tmp_path: Path, serve_app: Callable[..., Any], open_page: Callable[..., Any]
) -> None:
    words = tmp_path / "words.yaml"
    words.write_text(SCHOOL, "utf-8")
    with open_desk(photos, tmp_path / "job", serve_app, vocabulary=words) as desk:
        page = open_ready(open_page, desk)
        page.click("#filters")
        page.fill("[name=search]", "<IMG")
        page.keyboard.press("Enter")
        wait_for(page, "#name", "<img src=x onerror=alert(1)>.png")
        assert page.inner_text("#labels [data-name^='<b>'] span") == "<b>ruler</b>"
        assert page.locator("b b, label b, #labels b, dd b").count() == 0
        # Where there are sub-labels, the page waits for Enter.
        page.keyboard.press("1")
        page.wait_for_selector("#sublabels [data-name=felt]")
        page.keyboard.press("f")
        assert desk.answers() == {}
        page.keyboard.press("Enter")
        wait_for(page, "#stage", "No image here")
        answer = desk.answers()["<img src=x onerror=alert(1)>.png"]
        assert (answer.labels, answer.sublabel) == (("pen",), "felt")


def test_the_grid_answers_a_range_at_once(desk: Desk, page: Any) -> None:
    page.keyboard.press("F2")
    page.wait_for_selector("#tile-11")
    page.click("#tile-1")
    page.click("#tile-4", modifiers=["Shift"])
    page.click("#tile-2")
    assert page.inner_text("#selected") == "3 selected"
    page.keyboard.press("2")
    wait_for(page, "#selected", "0 selected")
    assert labels_of(desk) == dict.fromkeys(("01.png", "03.png", "04.png"), "pencil")
    assert page.inner_text("#tile-3 b") == "pencil"
    assert page.get_attribute("#tile-3 img", "alt") == "03.png: pencil"
    # One act is undone by one undo, and marks come to the answers that are there.
    page.click("#tile-3")
    page.keyboard.press("d")
    wait_for(page, "#selected", "0 selected")
    assert desk.answers()["03.png"].marks == {"dark"}
    page.keyboard.press("Control+z")
    page.wait_for_selector("body[aria-busy='false']")
    assert page.inner_text("#tile-3 b") == "pencil"
    page.keyboard.press("Control+z")
    wait_for(page, "#progress", "0 done")
    assert desk.answers() == {}


def test_the_grid_goes_by_keys_alone(desk: Desk, page: Any) -> None:
    page.keyboard.press("F2")
    page.wait_for_selector("#tile-11")
    for key in ("ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    assert page.inner_text("#selected") == "3 selected"
    page.keyboard.press("Escape")
    page.keyboard.press(" ")
    page.keyboard.press("1")
    wait_for(page, "#selected", "0 selected")
    assert labels_of(desk) == {"03.png": "pen"}
    page.keyboard.press("Control+a")
    assert page.inner_text("#selected") == "12 selected"
    page.keyboard.press("3")
    wait_for(page, "#progress", "12 done · 0 to do")
    page.keyboard.press("Enter")
    wait_for(page, "#name", "03.png")


def test_filters_and_search_list_what_is_wished_for(desk: Desk, page: Any) -> None:
    press(page, "1", "01.png")
    page.keyboard.press("d")
    press(page, "2", "02.png")
    page.keyboard.press("/")
    page.select_option("[name=state]", "done")
    wait_for(page, "#facts", "1 of 2")
    page.select_option("[name=mark]", "dark")
    wait_for(page, "#facts", "1 of 1")
    assert page.inner_text("#name") == "01.png"
    page.select_option("[name=mark]", "")
    page.select_option("[name=label]", "pen")
    wait_for(page, "#name", "00.png")


def test_a_second_tab_is_told_and_keeps_nothing_stale(
    desk: Desk, page: Any, open_page: Callable[..., Any]
) -> None:
    other = open_page(page.url, beside=page)
    other.wait_for_selector("body[data-ready]")
    press(page, "1", "01.png")
    other.expected_errors.append("409")
    other.keyboard.press("2")
    wait_for(other, "#trouble", "answered in another tab meanwhile")
    wait_for(other, "#facts", "your answer: pen")
    assert labels_of(desk) == {"00.png": "pen"}
    press(other, "2", "01.png")
    assert labels_of(desk) == {"00.png": "pencil"}


def test_two_labellers_in_two_tabs(desk: Desk, page: Any, open_page: Callable[..., Any]) -> None:
    other = open_ready(open_page, desk)
    other.click("#filters")
    other.fill("[name=labeller]", "ben")
    with other.expect_response("**/api/list"):
        other.keyboard.press("Enter")
    other.wait_for_selector("body[aria-busy=false]")
    shown = other.inner_text("#name")
    press(page, "1", "01.png")
    other.keyboard.press("2")
    wait_for(other, "#progress", "1 done")
    assert {image: each.labels for image, each in desk.answers("ben").items()} == {
        shown: ("pencil",)
    }
    assert labels_of(desk) == {"00.png": "pen"}


def test_a_broken_image_is_shown_as_such_and_marked(desk: Desk, page: Any, photos: Path) -> None:
    (photos / "02.png").write_bytes(b"no image")
    (photos / "03.png").unlink()  # after the page had begun
    page.reload()
    page.wait_for_selector("body[data-ready]")
    press(page, "1", "01.png")
    press(page, "1", "02.png")
    assert "the file is not an image" in page.inner_text("#stage .fault")
    page.keyboard.press("Enter")
    wait_for(page, "#trouble", "or the mark “wrong”")
    page.keyboard.press("x")
    press(page, "Enter", "03.png")
    assert "there is no such file" in page.inner_text("#stage .fault")
    assert desk.answers()["02.png"].marks == {"wrong"}


def test_a_full_disk_is_told_and_the_answer_can_be_sent_again(
    desk: Desk, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    page.expected_errors.append("507")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        page.keyboard.press("2")
        wait_for(page, "#trouble", "No space left on device; make room Nothing was written")
    assert page.inner_text("#name") == "00.png"
    assert desk.answers() == {}
    press(page, "Enter", "01.png")
    assert labels_of(desk) == {"00.png": "pencil"}


def test_zoom_brightness_and_the_key_map(page: Any) -> None:
    style = "() => document.querySelector('#stage img').style"
    for key in ("+", "]"):
        page.keyboard.press(key)
    assert "scale(1.5)" in page.evaluate(f"{style}.transform".replace("() => ", ""))
    assert "1.25" in page.evaluate(f"{style}.filter".replace("() => ", ""))
    press(page, "1", "01.png")
    assert page.evaluate("document.querySelector('#stage img').style.transform") == ""
    page.keyboard.press("?")
    assert page.evaluate("keys.scrollTop") == 0  # it begins with its title
    keys = page.inner_text("#keys dl")
    assert "undo the last act" in keys
    assert re.search(r"2\s+pencil", keys)
    page.keyboard.press("3")  # nothing is labelled behind an open dialog
    page.keyboard.press("Escape")
    assert page.inner_text("#name") == "01.png"


def test_several_labels_and_none(
    photos: Path, tmp_path: Path, serve_app: Callable[..., Any], open_page: Callable[..., Any]
) -> None:
    request = {"labels": ("cat", "dog", "tree"), "several": True}
    with open_desk(photos, tmp_path / "job", serve_app, **request) as desk:
        page = open_ready(open_page, desk)
        for key in ("3", "1", "2", "2"):
            page.keyboard.press(key)
        press(page, " ", "01.png")
        press(page, " ", "02.png")
        assert labels_of(desk) == {"00.png": "cat+tree", "01.png": ""}
        assert not desk.answers()["01.png"].is_skipped


def test_ten_thousand_classes_are_found_by_name(
    photos: Path, tmp_path: Path, serve_app: Callable[..., Any], open_page: Callable[..., Any]
) -> None:
    names = tuple(f"class {number}" for number in range(10_000))
    with open_desk(photos, tmp_path / "job", serve_app, labels=names) as desk:
        page = open_ready(open_page, desk)
        assert page.locator("#labels .word").count() == 40
        assert "9,960 more" in page.inner_text("#labels")
        page.keyboard.press("/")
        page.keyboard.type("Class 777")
        page.keyboard.press("Enter")
        wait_for(page, "#name", "01.png")
        assert labels_of(desk) == {"00.png": "class 777"}


def test_a_tab_of_a_server_that_has_ended_says_so(desk: Desk, page: Any) -> None:
    page.expected_errors.append("401")
    page.context.clear_cookies()  # as after a new start, whose token is another
    page.keyboard.press("1")
    wait_for(page, "#trouble", "open the address that tfclassify printed last")
    assert desk.answers() == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_screens_show_everything_within_their_width(
    desk: Desk, open_page: Callable[..., Any], width: int, scheme: str
) -> None:
    page = open_ready(
        open_page,
        desk,
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
        has_touch=width == 400,
    )
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(18, 23, 29)")
    for turned in (False, True):
        if turned:
            page.click("#view")
            page.wait_for_selector("#tile-11")
        page.click("#filters")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        small = page.evaluate(
            "[...document.querySelectorAll('button, select')].filter(each => each.offsetHeight"
            " && each.offsetHeight < 28).map(each => each.outerHTML)"
        )
        assert small == []
    page.set_viewport_size({"width": width, "height": 420})
    edges = page.evaluate(
        "() => [...document.querySelectorAll('.tile')].map(each => each.getBoundingClientRect())"
        ".map(each => [each.left, each.top, each.bottom, each.width])"
    )
    for left, top, bottom, side in edges:
        assert bottom - top == pytest.approx(side, abs=1)
        below = [each[1] for each in edges if each[0] == left and each[1] > top]
        assert not below or min(below) >= bottom
    page.set_viewport_size({"width": width, "height": 800})
    if width == 400:  # by touch alone
        page.click("#view")
        page.tap("#labels [data-name=pencil]")
        wait_for(page, "#name", "01.png")
        assert labels_of(desk) == {"00.png": "pencil"}


def test_everything_that_can_be_pressed_has_a_name(page: Any) -> None:
    for state in range(2):
        if state:
            page.keyboard.press("F2")
            page.wait_for_selector("#tile-11")
        nameless = page.evaluate(
            "[...document.querySelectorAll('button, input, select, textarea, img, [role]')]"
            ".filter(each => each.offsetParent && !(each.getAttribute('aria-label')"
            " || each.alt || each.labels?.length || each.textContent.trim()"
            " || each.querySelector('img')?.alt"
            " || each.getAttribute('role') === 'status'))"
            ".map(each => each.outerHTML)"
        )
        assert nameless == []


class Known:
    """A model that says pencil of every even image, and knows which are alike."""

    orders: ClassVar = {"doubt": "least sure first"}
    learns = True

    def __init__(self) -> None:
        self.learned: Any = None

    def suggest(self, place: int) -> Suggestion | None:
        return None if place % 2 else Suggestion(("pencil",), place / 12, f"like {place}")

    def order(self, kind: str, answers: Any) -> list[int]:
        return list(range(11, -1, -1))

    def find_alike(self, place: int, count: int) -> list[int]:
        return [5, 3, 1]

    def retrain(self, answers: Any) -> str:
        self.learned = sorted(answers)
        return "learned"


def test_a_model_suggests_orders_and_learns(desk: Desk, open_page: Callable[..., Any]) -> None:
    adviser = desk.work.board.adviser = Known()
    page = open_ready(open_page, desk)
    # What the page knows of the session was settled before there was a model.
    page.evaluate("document.getElementById('retrain').hidden = false")
    said = page.inner_text("#suggestion")
    assert "The model says pencil (0 %)" in said
    assert "like 0" in said
    press(page, ".", "01.png")
    assert labels_of(desk) == {"00.png": "pencil"}
    assert not page.is_visible("#suggestion")
    page.keyboard.press(".")  # nothing is suggested, so nothing is written
    press(page, "1", "02.png")
    page.click("#retrain")
    wait_for(page, "#trouble", "learned")
    assert adviser.learned == [0, 1]
    listed = desk.post("list", order="doubt")
    assert listed["places"][:2] == [11, 10]
    assert desk.post("list", doubt=0.5)["places"] == [2, 4, 6]
    assert desk.post("list", state="done", is_against=True)["places"] == []
    page.keyboard.press("F2")
    page.wait_for_selector("#tile-8")
    page.evaluate("document.querySelector('[data-do=alike]').hidden = false")
    page.click("#tile-2")
    page.click("[data-do=alike]")
    wait_for(page, "#trouble", "look most like")
    names = page.evaluate("() => [...document.querySelectorAll('.tile')].map(t => t.title)")
    assert names == ["04.png", "05.png", "03.png", "01.png"]


SERVE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import tfclassify.api as api
print(api.label(sys.argv[1], session=sys.argv[2], labels="pen,pencil", labeller="ann", port=0,
                browser=False, progress=False).answered)
"""


def test_kill_9_loses_nothing_that_the_page_confirmed(
    tmp_path: Path, open_page: Callable[..., Any]
) -> None:
    photos, job = make_photo_folder(tmp_path / "photos", 20, (8, 8)), tmp_path / "job"
    confirmed = 0
    for number in (signal.SIGKILL, signal.SIGINT):
        words = [sys.executable, "-c", SERVE, str(photos), str(job)]
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as work:
            try:
                assert work.stderr is not None
                address = work.stderr.readline().split()[-1]
                page = open_page(address)
                page.wait_for_selector("body[data-ready]")
                assert f"{confirmed} done" in page.inner_text("#progress")
                for _ in range(8):
                    confirmed += 1
                    page.keyboard.press("2")
                    wait_for(page, "#progress", f"{confirmed} done")
                page.expected_errors.append("net::ERR")
                page.keyboard.press("1")  # on its way while the server dies
                work.send_signal(number)
                out, err = work.communicate(timeout=300)
            finally:
                work.kill()
        written = len(open_session(job).read_answers("ann"))
        assert written in (confirmed, confirmed + 1)
        confirmed = written
    assert (work.returncode, out.strip()) == (0, str(confirmed)), err
