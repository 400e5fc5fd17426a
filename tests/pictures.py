"""Pictures of pages in ``docs/images``: ``python -m tests.pictures SOURCE [CROSSVAL]``.

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
from contextlib import chdir
from pathlib import Path
from typing import Any

from PIL import Image

import tfclassify as tfc
from tfclassify.data.journals import Answer
from tfclassify.web.server import listen, make_server
from tfclassify.web.studio import make_studio
from tfclassify.workflows.label import LabelRequest, LabelWork, start_labelling

FOLDER = Path(__file__).parents[1] / "docs" / "images"
ANSWERED = 180
#: How often two more labellers err, by their names.
ERRING = {"ben": 0.05, "cem": 0.15}
COLOURS = 256


def main() -> None:
    """Take all pictures."""
    home = Path(tempfile.mkdtemp(prefix="pictures_"))
    source = str(Path(sys.argv[1]).absolute())
    request = LabelRequest(source=source, session=home / "clothing", labeller="ann")
    work = start_labelling(request)
    try:
        answer_some(work)
        with listen() as door:
            server = make_server(make_studio(door, work.board, "ann"))
            serving = threading.Thread(target=server.run, kwargs={"sockets": [door.listener]})
            serving.start()
            try:
                take_pictures(door.address)
            finally:
                server.should_exit = True
                serving.join()
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
        shown.wait_for_function("() => [...document.images].every(each => each.complete)")
        save(shown, name)
        browser.close()


def take_pictures(address: str) -> None:
    """Look at one image, and at many."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 760})
        page.goto(address)
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
        browser.close()


def save(page: Any, name: str) -> None:
    """Take a picture in as few colours as it needs, so that it stays small."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    few = picture.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(FOLDER / name, optimize=True)
    print(FOLDER / name)


if __name__ == "__main__":
    main()
