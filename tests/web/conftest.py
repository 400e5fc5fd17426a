"""A real server on a free port and a real browser, for the tests of pages that are served.

``serve_app(build)`` starts ``build(door)`` in a thread. ``open_page(address)`` opens a page
in Chromium; the test fails if the page asks any other machine for anything, or if the
console shows an error that is not in ``page.expected_errors``.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tfclassify.web.gate import Door
from tfclassify.web.server import listen, make_server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
#: Of the browser, nothing but this machine can be reached.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--use-fake-device-for-media-stream",  # a camera that shows a moving pattern
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]
_OWN_SCHEMES = ("data", "blob", "about")


@dataclass(frozen=True)
class Served:
    """A server that runs in a thread of the test's process."""

    door: Door
    client: httpx.Client

    @property
    def address(self) -> str:
        """What a user would open; it holds the token."""
        return self.door.address


@pytest.fixture
def serve_app() -> Iterator[Callable[..., Served]]:
    """Serve ``build(door)``; the client is let in, and sends the origin a page would."""
    with ExitStack() as stack:

        def start(build: Callable[[Door], Any], **door: Any) -> Served:
            opened = stack.enter_context(listen(**door))
            server = make_server(build(opened))
            work = threading.Thread(target=server.run, kwargs={"sockets": [opened.listener]})
            work.start()

            def stop() -> None:
                server.should_exit = True
                work.join()

            stack.callback(stop)
            base = f"http://127.0.0.1:{opened.port}"
            headers = {"origin": base}
            if opened.token:
                headers["authorization"] = f"Bearer {opened.token}"
            client = httpx.Client(base_url=base, headers=headers, timeout=300, trust_env=False)
            # The listener is bound already, so this waits until the server answers.
            stack.enter_context(client).get("/static/style.css").raise_for_status()
            return Served(opened, client)

        yield start


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, without a window.

    While it is open, Playwright keeps an event loop in this thread, in which none other can
    run: a server is then in another thread.
    """
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open pages; options are those of Playwright's ``new_context``."""
    pages: list[Any] = []
    contexts: list[Any] = []

    def open_one(address: str, *, beside: Any = None, **options: Any) -> Any:
        # A second tab of the same visitor shares the cookies of the first.
        context = beside.context if beside else browser.new_context(**options)
        if beside is None:
            contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(300_000)
        page.expected_errors, page.errors, page.asked = [], [], []
        page.on("console", lambda said: page.errors.append(said.text) if _is_bad(said) else None)
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("request", lambda asked: page.asked.append(asked.url))
        pages.append(page)
        page.goto(address)
        return page

    yield open_one
    faults = []
    for page in pages:
        faults += [address for address in page.asked if not _is_own(address)]
        faults += [
            error
            for error in page.errors
            if not any(words in error for words in page.expected_errors)
        ]
    for context in contexts:
        context.close()
    assert not faults


def _is_bad(said: Any) -> bool:
    return said.type in ("error", "warning")


def _is_own(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme in _OWN_SCHEMES or parts.hostname in ("127.0.0.1", "localhost")
