"""The demo's answers, and its page in a browser."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.tiny_run import TinyRun
from tests.web.models import give
from tfclassify.errors import RequestError, TargetError
from tfclassify.web.demo import DemoRequest, make_demo, name_exhibits, run_demo
from tfclassify.web.exhibits import Exhibit
from tfclassify.workflows.predict import PredictRequest, predict_paths_of_run


@pytest.fixture(scope="module")
def exhibit(tiny_run: TinyRun) -> Exhibit:
    return Exhibit(tiny_run.run, "tiny")


@pytest.fixture(scope="module")
def photos(tiny_run: TinyRun) -> list[Path]:
    return sorted(tiny_run.photos.rglob("*.png"))


@pytest.mark.parametrize("with_views", [False, True])
def test_it_answers_as_predict_does(
    exhibit: Exhibit, tiny_run: TinyRun, photos: list[Path], with_views: bool
) -> None:
    request = PredictRequest(tiny_run.run, [str(photos[0])], use_tta=with_views, is_calibrated=True)
    expected = predict_paths_of_run(request).predictions
    found = exhibit.answer(photos[0].read_bytes(), with_views=with_views)
    assert np.allclose(found["probabilities"], expected.probabilities[0], atol=1e-6)
    assert found["views"] == (2 if with_views else 1)
    assert [exhibit.plain.classes[column] for column in found["labels"]] == [expected[0].label]


def test_trust_is_that_of_the_held_out_images(exhibit: Exhibit, tiny_run: TinyRun) -> None:
    content = json.loads((tiny_run.run / "metrics.json").read_text("utf-8"))
    found = content["splits"]["test"]["plain"]["calibration"]
    (full, *_) = (part for part in found["curve_after"] or found["curve"] if part["count"])
    trust = exhibit.find_trust(full["high"], False)
    assert trust is not None
    assert trust.images == full["count"]
    assert trust.right == round(full["count"] * full["accuracy"])
    assert trust.low <= trust.right / trust.images <= trust.high
    assert sum(each["images"] for each in exhibit.list_trust()) == content["headline"]["n"]


def test_examples_are_misclassified_held_out_images(exhibit: Exhibit, tiny_run: TinyRun) -> None:
    assert exhibit.examples
    for number, example in enumerate(exhibit.examples):
        assert example.truth.startswith("is ")
        with Image.open(io.BytesIO(exhibit.read_example(number))) as shown:
            assert not shown.info
            assert np.array_equal(np.asarray(shown), np.asarray(Image.open(example.path)))
    with pytest.raises(RequestError, match=r"example: there are \d+, got number 99"):
        exhibit.read_example(99)


def test_a_map_covers_the_whole_photo(exhibit: Exhibit, photos: list[Path]) -> None:
    drawn = Image.open(io.BytesIO(exhibit.draw_map(photos[0].read_bytes(), 1)))
    with Image.open(photos[0]) as photo:
        assert drawn.size == photo.size
    assert drawn.mode == "RGBA"
    with pytest.raises(RequestError, match="class: must be from 0 to 2, got 3"):
        exhibit.draw_map(photos[0].read_bytes(), 3)


@pytest.mark.parametrize(
    ("runs", "names"),
    [
        (["reports/plants/003"], ["plants/003"]),
        (["a/plants", "b/plants"], ["a/plants", "b/plants"]),
        (["reports/plants/001", "reports/shoes/001"], ["plants/001", "shoes/001"]),
        (["plants", "shoes"], ["plants", "shoes"]),
    ],
)
def test_names_tell_runs_apart(runs: list[str], names: list[str]) -> None:
    assert name_exhibits([Path(run) for run in runs]) == names


def test_too_many_runs() -> None:
    with pytest.raises(RequestError, match="shows 1 to 4 runs side by side, got 5"):
        name_exhibits([Path(name) for name in "abcde"])


def test_wrong_requests(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="no such run"):
        run_demo(DemoRequest((tmp_path / "none",), opens_browser=False))
    with pytest.raises(RequestError, match="--runtime: goes with --static FOLDER only"):
        run_demo(DemoRequest((tmp_path,), runtime=tmp_path))


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("answer?model=0", b"", 422, "body"),
        ("answer?model=0", b"no image", 409, "not an image"),
        ("answer?model=7", b"x", 400, "model: there are 1, got number 7"),
        ("map?model=0&column=9", b"x", 400, "class: must be from 0 to 2, got 9"),
        ("answer?model=x", b"x", 422, "query.model"),
    ],
)
def test_bad_requests(
    serve_app: Callable[..., Any],
    exhibit: Exhibit,
    path: str,
    body: bytes,
    status: int,
    words: str,
) -> None:
    client = serve_app(lambda door: make_demo(door, [exhibit])).client
    answer = client.post(
        f"/api/{path}", content=body, headers={"content-type": "application/octet-stream"}
    )
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]


@pytest.mark.parametrize("look", [(1280, "light"), (400, "dark")])
def test_the_page(
    serve_app: Callable[..., Any],
    open_page: Callable[..., Any],
    exhibit: Exhibit,
    photos: list[Path],
    look: tuple[int, str],
) -> None:
    served = serve_app(lambda door: make_demo(door, [exhibit]))
    width, scheme = look
    page = open_page(served.address, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.wait_for_selector("body[data-ready]")
    give(page, photos[0])
    expected = exhibit.answer(photos[0].read_bytes())
    shown = page.locator(".bars .share").all_inner_texts()
    best = max(expected["probabilities"])
    assert shown[0] == f"{100 * best:.1f} %"
    assert page.inner_text(".verdict") == exhibit.plain.classes[expected["labels"][0]]
    assert "test images answered with such a confidence" in page.inner_text(".answer .quiet")
    assert "Images of the test split" in page.inner_text("#examples")
    assert page.inner_text("#cautions") == ""
    page.locator(".bars button").nth(1).focus()
    page.wait_for_selector("#map:not([hidden])")
    assert page.get_attribute("#map", "alt").startswith("Where ")
    page.locator("#opacity").fill("20")
    assert page.evaluate("document.getElementById('map').style.opacity") == "0.2"
    page.keyboard.press("Escape")
    page.wait_for_selector("#map", state="hidden")
    page.locator("#views").check()
    page.locator("#history-rows tr").nth(1).wait_for()
    page.locator("#example-list button").first.click()
    page.locator("#history-rows tr").nth(2).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert photos[0].name in page.inner_text("#history-rows")
    with page.expect_download() as loading:
        page.click("#download")
    rows = list(csv.DictReader(io.StringIO(Path(loading.value.path()).read_text("utf-8"))))
    assert [row["file"] for row in rows][:2] == [photos[0].name] * 2
    assert [row["views"] for row in rows] == ["1", "2", "2"]
    written = [float(rows[0][f"probability:{name}"]) for name in exhibit.plain.classes]
    assert np.allclose(written, expected["probabilities"], rtol=1e-6)


def test_a_photo_that_cannot_be_read_is_said(
    serve_app: Callable[..., Any],
    open_page: Callable[..., Any],
    exhibit: Exhibit,
    photos: list[Path],
    tmp_path: Path,
) -> None:
    broken = tmp_path / "<b>broken.png"
    broken.write_bytes(photos[0].read_bytes()[:60])
    page = open_page(serve_app(lambda door: make_demo(door, [exhibit])).address)
    page.expected_errors.append("409")
    page.wait_for_selector("body[data-ready]")
    page.set_input_files("#files", [str(broken)])
    page.wait_for_selector("#trouble:not([hidden])")
    assert page.inner_text("#trouble").startswith("<b>broken.png: ")
    give(page, photos[1])
    assert page.is_hidden("#trouble")


def test_two_models_and_thresholds(
    serve_app: Callable[..., Any],
    open_page: Callable[..., Any],
    exhibit: Exhibit,
    tiny_sets: TinyRun,
    photos: list[Path],
) -> None:
    sets = Exhibit(tiny_sets.run, "sets")
    served = serve_app(lambda door: make_demo(door, [exhibit, sets]))
    page = open_page(served.address)
    page.wait_for_selector("body[data-ready]")
    give(page, photos[0])
    assert page.locator(".answers h2").all_inner_texts() == ["tiny", "sets"]
    panel = page.locator(".answer").nth(1)
    assert panel.locator(".mark").count() == panel.locator(".bars li").count()
    page.locator("#limit").fill("99")
    assert panel.locator(".verdict").inner_text() == "no label"
    page.locator("#limit").fill("1")
    assert panel.locator(".bars .given").count() == panel.locator(".bars li").count()
    page.click("#limit-own")
    expected = sets.answer(photos[0].read_bytes())["labels"]
    assert panel.locator(".bars .given").count() == len(expected)


def test_a_split_that_chose_the_model_comes_with_the_reports_caution(
    serve_app: Callable[..., Any],
    open_page: Callable[..., Any],
    tiny_run: TinyRun,
    photos: list[Path],
    tmp_path: Path,
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(tiny_run.run, copy)
    metrics = json.loads((copy / "metrics.json").read_text("utf-8"))
    del metrics["splits"]["test"]  # as of a recipe that holds no test images out
    (copy / "metrics.json").write_text(json.dumps(metrics), "utf-8")
    caution = "The validation images also chose the best epoch, so new images may score lower."
    metrics["splits"]["validation"]["caution"] = caution
    (copy / "metrics.json").write_text(json.dumps(metrics), "utf-8")
    exhibit = Exhibit(copy, "tiny")
    assert exhibit.describe()["judged_on"] == {"split": "validation", "caution": caution}
    page = open_page(serve_app(lambda door: make_demo(door, [exhibit])).address)
    page.wait_for_selector("body[data-ready]")
    assert page.inner_text("#cautions") == caution
    give(page, next(each for each in photos if exhibit.answer(each.read_bytes())["trust"]))
    assert "validation images answered" in page.inner_text(".answer .quiet")
    assert "held-out" not in page.inner_text("main")
    assert "Images of the validation split" in page.inner_text("#examples")


def test_photos_are_dropped_pasted_and_taken(
    serve_app: Callable[..., Any],
    open_page: Callable[..., Any],
    exhibit: Exhibit,
    photos: list[Path],
) -> None:
    served = serve_app(lambda door: make_demo(door, [exhibit]))
    page = open_page(served.address, permissions=["camera"])
    page.wait_for_selector("body[data-ready]")
    rows = page.locator("#history-rows tr")
    given = [[path.name, list(path.read_bytes())] for path in photos[:2]]
    for event, holder in (("drop", "dataTransfer"), ("paste", "clipboardData")):
        before = rows.count()
        page.evaluate(
            """([event, holder, given]) => {
              const moved = new DataTransfer();
              for (const [name, bytes] of given) {
                moved.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
              }
              const kind = event === "drop" ? DragEvent : ClipboardEvent;
              document.getElementById("drop").dispatchEvent(
                new kind(event, {[holder]: moved, bubbles: true, cancelable: true}));
            }""",
            [event, holder, given],
        )
        rows.nth(before + 1).wait_for()  # several at once, each answered
        names = page.locator("#history-rows tr button").all_inner_texts()
        assert names[:2] == [photos[1].name, photos[0].name]
    page.click("#camera")
    page.wait_for_function("() => document.getElementById('film').videoWidth > 0")
    page.click("#shoot")
    rows.nth(4).wait_for()
    assert "camera " in page.inner_text("#told")
    page.click("#camera")
    assert page.evaluate("document.getElementById('film').srcObject === null")


def test_the_page_goes_by_keys_and_is_told_aloud(
    serve_app: Callable[..., Any],
    open_page: Callable[..., Any],
    exhibit: Exhibit,
    tiny_sets: TinyRun,
    photos: list[Path],
) -> None:
    sets = Exhibit(tiny_sets.run, "sets")
    page = open_page(serve_app(lambda door: make_demo(door, [exhibit, sets])).address)
    page.wait_for_selector("body[data-ready]")
    give(page, photos[0])
    # What a screen reader says when the answer is there, and what each bar is called.
    said = page.locator("[role=status]").inner_text()
    assert said.startswith(f"{photos[0].name}. tiny: ")
    assert "sets: " in said
    assert page.locator(".bars button").first.get_attribute("aria-label").endswith(", given")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, a, video")]
          .filter((each) => each.checkVisibility() && !each.ariaLabel
            && !each.labels?.[0]?.textContent.trim() && !each.textContent.trim())
          .map((each) => each.outerHTML)"""
    )
    assert nameless == []
    # Every control is reached by Tab, and a class's map is kept by Enter and let go by Escape.
    page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
        if page.evaluate("!!document.activeElement.closest('.bars')"):
            break
    assert {"files", "top", "opacity", "limit", "limit-own"} <= reached
    page.keyboard.press("Enter")
    page.wait_for_selector("#map:not([hidden])")
    assert page.locator("[aria-pressed=true]").count() == 1
    page.keyboard.press("Escape")
    page.wait_for_selector("#map", state="hidden")
    page.select_option("#top", "3")
    assert page.locator(".answer").first.locator(".bars li").count() == 3


def test_scores_of_another_version_leave_the_trust_out(
    tiny_run: TinyRun, photos: list[Path], tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(tiny_run.run, copy)
    metrics = json.loads((copy / "metrics.json").read_text("utf-8"))
    for facts in metrics["splits"].values():
        facts["plain"]["format"] = 1
    (copy / "metrics.json").write_text(json.dumps(metrics), "utf-8")
    exhibit = Exhibit(copy, "tiny")
    assert (
        "How often answers are right is not known: metrics: this version reads format"
        in (exhibit.describe()["judged_on"]["caution"])
    )
    assert [exhibit.answer(photo.read_bytes())["trust"] for photo in photos[:2]] == [None, None]
