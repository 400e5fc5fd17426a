"""Pages on a real screen: a narrow one, a dark one. Skipped where no Chromium is at hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pages.contents import PAGES

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CLASSES = tuple(f"a class of trees, number {number}" for number in range(12))

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

#: What is looked at: the width that is scrolled, each figure's edges and its smallest words.
_MEASURE = """
() => ({
  scrolled: document.documentElement.scrollWidth,
  figures: [...document.querySelectorAll('figure > svg')].map(svg => {
    const box = svg.getBoundingClientRect();
    const scale = box.width / svg.viewBox.baseVal.width;
    const words = [...svg.querySelectorAll('text')].map(
      text => scale * parseFloat(getComputedStyle(text).fontSize));
    return {name: svg.getAttribute('aria-label'), left: box.left, right: box.right,
            smallest: words.length ? Math.min(...words) : 99};
  }),
  cut: [...document.querySelectorAll('figure, .preview')].filter(
    each => each.tagName === 'FIGURE' && each.scrollWidth > each.clientWidth + 1).length,
})
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


def open_page(browser: Any, kind: str, folder: Path, **options: Any) -> Any:
    """Open a page from the disk; whatever it asks for elsewhere or complains of is kept."""
    path = folder / "page.html"
    path.write_text(PAGES[kind](CLASSES), "utf-8")
    page = browser.new_context(**options).new_page()
    page.heard = []
    page.on("console", lambda message: page.heard.append(message.text))
    page.on("request", lambda asked: page.heard.append(asked.url))
    page.goto(path.as_uri())
    return page


@pytest.mark.parametrize("kind", PAGES)
def test_a_narrow_screen_shows_every_figure_whole(browser: Any, kind: str, tmp_path: Path) -> None:
    page = open_page(browser, kind, tmp_path, viewport={"width": 400, "height": 800})
    found = page.evaluate(_MEASURE)
    assert found["scrolled"] == 400
    assert found["figures"]
    for figure in found["figures"]:
        assert 0 <= figure["left"] < figure["right"] <= 400, figure["name"]
        # Names beside a matrix of twelve rows are the smallest words there are.
        assert figure["smallest"] >= 5.5, figure
    assert found["cut"] == 0
    # Only the page itself was fetched, with the pictures in it, and nothing was refused.
    asked = {address for address in page.heard if not address.startswith("data:")}
    assert asked == {(tmp_path / "page.html").as_uri()}


@pytest.mark.parametrize("kind", PAGES)
def test_a_dark_screen_has_no_white_ground(browser: Any, kind: str, tmp_path: Path) -> None:
    page = open_page(
        browser, kind, tmp_path, viewport={"width": 800, "height": 800}, color_scheme="dark"
    )
    grounds = page.evaluate(
        "() => [document.body, ...document.querySelectorAll('figure, table, th, .hero, pre')]"
        ".map(each => getComputedStyle(each).backgroundColor)"
    )
    assert grounds[0] == "rgb(18, 23, 29)"
    assert "rgb(255, 255, 255)" not in grounds
    # The figures' words follow: the ink of a dark page is light.
    ink = page.evaluate("() => getComputedStyle(document.querySelector('figure > svg text')).fill")
    assert min(int(part) for part in ink.removeprefix("rgb(").rstrip(")").split(",")) > 100
