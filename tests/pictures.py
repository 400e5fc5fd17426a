"""Pictures of pages in ``docs/images``: ``python -m tests.pictures SOURCE [CROSSVAL]``.

``python -m tests.pictures demo RUN PHOTO`` takes those of the demo and of the prediction server's
reference instead: RUN was trained on photos that may be shown, PHOTO is one.

SOURCE holds labelled photos that may be shown, such as the clothing set, which is CC0. The
studio is served as ``tfclassify label`` serves it, some photos are answered as the source
labels them, and Chromium takes the pictures. ``agree`` compares these answers with those of two
made-up labellers who err. Of a cross-validation the page of ``clean`` is taken too.
"""

from __future__ import annotations

import io
import random
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

import tfclassify as tfc
from tfclassify.data.journals import Answer
from tfclassify.events import SILENT
from tfclassify.web.gate import Door
from tfclassify.web.server import listen, make_server
from tfclassify.web.studio import make_studio
from tfclassify.workflows.label import LabelRequest, LabelWork, start_labelling

FOLDER = Path(__file__).parents[1] / "docs" / "images"
ANSWERED = 180
#: How often two more labellers err, by their names.
ERRING = {"ben": 0.05, "cem": 0.15}
COLOURS = 256


def main() -> None:
    """Take the pictures that are asked for."""
    if sys.argv[1] == "demo":
        picture_demo(*sys.argv[2:])
        return
    home = Path(tempfile.mkdtemp(prefix="pictures_"))
    source = str(Path(sys.argv[1]).absolute())
    request = LabelRequest(source=source, session=home / "clothing", labeller="ann")
    work = start_labelling(request)
    try:
        answer_some(work)
        with serve(lambda door: make_studio(door, work.board, "ann")) as address:
            take_pictures(address)
        answer_wrongly(work)
        work.board.close()
        with chdir(home):  # pages name what was given, and that is no place of this machine
            take_page(tfc.agree("clothing", progress=False).page, "agree.png", 900)
        for crossval in sys.argv[2:]:
            page = tfc.clean(crossval, out=home / "clean", progress=False).page
            take_page(page, "clean.png", 900)
    finally:
        work.board.close()
        shutil.rmtree(home)


@contextmanager
def serve(build: Callable[[Door], Any]) -> Iterator[str]:
    """Serve an application in a thread; yields its address."""
    with listen() as door:
        server = make_server(build(door))
        serving = threading.Thread(target=server.run, kwargs={"sockets": [door.listener]})
        serving.start()
        try:
            yield door.address
        finally:
            server.should_exit = True
            serving.join()


@contextmanager
def open_page(address: str, height: int) -> Iterator[Any]:
    """Open an address in Chromium."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": height})
        page.set_default_timeout(120_000)
        page.goto(address)
        yield page
        browser.close()


def picture_demo(run: str, photo: str) -> None:
    """Take the demo with a photo and its map, and the reference of the prediction server."""
    from tfclassify.web.demo import make_demo
    from tfclassify.web.exhibits import Exhibit
    from tfclassify.web.prediction_server import ServeOptions, build_app

    exhibit = Exhibit(Path(run), Path(run).name)
    demo = serve(lambda door: make_demo(door, [exhibit]))
    with demo as address, open_page(address, 900) as page:
        page.wait_for_selector("body[data-ready]")
        page.set_input_files("#files", photo)
        page.locator(".bars button").first.click()
        page.wait_for_selector("#map:not([hidden])")
        page.wait_for_function(
            "() => [...document.images].slice(0, 8).every(each => each.complete)"
        )
        page.evaluate("document.activeElement.blur()")
        save(page, "demo.png")
    options = ServeOptions(Path(run), has_log=False)
    server = serve(lambda door: build_app(options, door, SILENT))
    with server as address, open_page(address.replace("/?", "/docs?"), 760) as page:
        save(page, "reference.png")


def answer_some(work: LabelWork) -> None:
    """Answer some photos as the source does, but for the first of the list."""
    given = work.board.images.given
    for place in range(len(given) // 3, len(given) // 3 + ANSWERED):
        if given[place]:
            said = Answer("", "ann", given[place])
            work.board.answer("ann", {place: said}, seconds=1.3, seen={})


def answer_wrongly(work: LabelWork) -> None:
    """Give the same photos answers of labellers who err, by seed."""
    draw, words = random.Random(0), work.board.vocabulary.names
    for place, given in enumerate(work.board.images.given):
        if work.board.images.names[place] in work.board.sit_down("ann").answers:
            for name, share in ERRING.items():
                said = given if draw.random() > share else (draw.choice(words),)
                answers = {place: Answer("", name, said)}
                work.board.answer(name, answers, seconds=1.3, seen={})


def take_page(page: Path, name: str, height: int) -> None:
    """Take the beginning of a page that is a file."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1100, "height": height})
        shown.goto(page.absolute().as_uri())
        shown.wait_for_function(  # pictures further down are not loaded until they are seen
            "() => [...document.images].every("
            "each => each.complete || each.getBoundingClientRect().top > innerHeight)"
        )
        save(shown, name)
        browser.close()


def take_pictures(address: str) -> None:
    """Look at one image, and at many."""
    with open_page(address, 760) as page:
        page.wait_for_selector("body[data-ready]")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("d")
        page.wait_for_selector("body[aria-busy=false]")
        save(page, "label.png")
        page.click("#filters")
        page.select_option("[name=state]", "done")
        page.wait_for_selector("body[aria-busy=false]")
        page.keyboard.press("F2")
        page.wait_for_selector("#tile-30")
        page.wait_for_function(
            "() => [...document.images].slice(0, 40).every(each => each.complete)"
        )
        page.click("#filters")
        page.click("#tile-10")
        page.click("#tile-13", modifiers=["Shift"])
        save(page, "label_grid.png")


def save(page: Any, name: str) -> None:
    """Take a picture in as few colours as it needs, so that it stays small."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    few = picture.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(FOLDER / name, optimize=True)
    print(FOLDER / name)


if __name__ == "__main__":
    main()
