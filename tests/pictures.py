"""The pictures of the studio in ``docs/images``: ``python -m tests.pictures SOURCE``.

SOURCE holds labelled photos that may be shown, such as the clothing set, which is CC0. The
studio is served as ``tfclassify label`` serves it, some photos are answered as the source
labels them, and Chromium takes the pictures.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from PIL import Image

from tfclassify.data.journals import Answer
from tfclassify.web.server import listen, make_server
from tfclassify.web.studio import make_studio
from tfclassify.workflows.label import LabelRequest, LabelWork, start_labelling

FOLDER = Path(__file__).parents[1] / "docs" / "images"
ANSWERED = 180
COLOURS = 256


def main() -> None:
    """Take both pictures."""
    home = Path(tempfile.mkdtemp(prefix="pictures_"))
    request = LabelRequest(source=sys.argv[1], session=home / "clothing", labeller="ann")
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
