"""Ports, browsers, signals and errors of every server."""

from __future__ import annotations

import errno
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tfclassify.errors import DataError, ImageError, MissingExtraError, RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.web import server
from tfclassify.web.gate import Door
from tfclassify.web.server import listen, make_app, open_browser, serve


def build(door: Door) -> Any:
    app = make_app("Test", door)
    faults = {
        "ours": DataError("a.png: is broken"),
        "image": ImageError("b.png: ends early", "truncated"),
        "request": RequestError("no such thing"),
        "full": OSError(errno.ENOSPC, "No space left on device", "labels.jsonl"),
        "system": OSError(errno.EIO, "Input/output error"),
        "bug": ZeroDivisionError("by nought"),
    }

    @app.get("/fail/{kind}")
    def fail(kind: str) -> None:
        raise faults[kind]

    @app.get("/number/{value}")
    def number(value: int) -> int:
        return value

    return app


@pytest.mark.parametrize(
    ("path", "status", "kind", "words"),
    [
        ("fail/ours", 409, "failed", "a.png: is broken"),
        ("fail/image", 409, "truncated", "b.png: ends early"),
        ("fail/request", 400, "bad_request", "no such thing"),
        ("fail/full", 507, "no_space", "labels.jsonl: No space left on device; make room"),
        ("fail/system", 500, "storage", "Input/output error; mend that"),
        ("fail/bug", 500, "unexpected", "unexpected ZeroDivisionError: by nought"),
        ("number/x", 422, "bad_parameter", "path.value: Input should be a valid integer, unable"),
        ("nowhere", 404, "not_found", "/nowhere: there is nothing at this path"),
        ("static/../server.py", 404, "not_found", "/server.py: there is nothing at this path"),
        ("static/%2e%2e/server.py", 404, "not_found", "/static/../server.py: there is nothing at"),
    ],
)
def test_an_error_is_a_line_of_json(
    serve_app: Callable[..., Any], path: str, status: int, kind: str, words: str
) -> None:
    answer = serve_app(build).client.get(path)
    assert answer.status_code == status
    assert answer.json()["type"] == kind
    assert answer.json()["error"].startswith(words)


def test_a_taken_port_names_the_next_free_one() -> None:
    with listen() as door:
        with pytest.raises(RequestError, match=r"another program listens there") as caught:
            listen(port=door.port).__enter__()
        suggested = int(str(caught.value).rsplit(" ", 1)[1])
        with listen(port=suggested) as other:
            assert other.port == suggested > door.port


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("127.0.0.1", 70000, r"--port 70000: a port is a number from 0 to 65535"),
        ("192.0.2.1", 0, r"--host 192\.0\.2\.1: no address of this machine"),
        ("no such host", 0, r"--host no such host: no address of this machine"),
    ],
)
def test_a_place_that_cannot_be_listened_at(host: str, port: int, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        listen(host, port).__enter__()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, r"--port 80: the system does not allow it; use a port from 1024 on"),
        (errno.EAFNOSUPPORT, r"--host ::1 --port 80: cannot listen there"),
    ],
)
def test_what_the_system_says_of_a_port(
    number: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr(server, "_bind", fail)
    with pytest.raises(RequestError, match=words):
        listen("::1", 80).__enter__()


def test_a_missing_extra_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tfclassify\[web\]'"):
        listen().__enter__()


class Listening(Observer):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def on_warning(self, message: str) -> None:
        self.warnings.append(message)


@pytest.mark.parametrize(
    ("has_token", "who"), [(True, "whoever has its token"), (False, "anybody")]
)
def test_a_door_to_other_machines_is_warned_of(has_token: bool, who: str) -> None:
    observer = Listening()
    with listen("0.0.0.0", has_token=has_token) as door:
        app = make_app("Test", door)

        def stop() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            serve(app, door, observer, on_ready=stop)
    assert f"other machines reach this server, {who} can use it" in observer.warnings[0]
    assert door.address.startswith(f"http://127.0.0.1:{door.port}/")


def test_a_browser_needs_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(server.webbrowser, "open", lambda url: not opened.append(url))
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(server.sys, "platform", "linux")
    assert not open_browser("http://127.0.0.1/")
    monkeypatch.setenv("DISPLAY", ":0")
    assert open_browser("http://127.0.0.1/")
    assert opened == ["http://127.0.0.1/"]


SERVE = """
import signal
from tfclassify.events import SILENT
from tfclassify.web.server import listen, make_app, serve
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda *given: print("not ours"))
with listen() as door:
    serve(make_app("Test", door), door, SILENT, on_ready=lambda: print(door.address, flush=True))
print("done", flush=True)
signal.raise_signal(signal.SIGTERM)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_order(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True) as work:
        try:
            assert work.stdout is not None
            address = work.stdout.readline()
            port = int(address.split(":")[2].split("/")[0])
            # A connection that stays open does not keep it.
            with socket.create_connection(("127.0.0.1", port)):
                work.send_signal(number)
                out, _ = work.communicate(timeout=300)
        finally:
            work.kill()
    assert work.returncode == 0
    # Afterwards signals mean what they meant before.
    assert out.split("\n") == ["done", "not ours", ""]


def test_a_server_elsewhere_than_in_the_main_thread_takes_no_signals() -> None:
    import threading

    heard: list[BaseException] = []
    with listen() as door:

        def work() -> None:
            try:
                serve(make_app("Test", door), door, SILENT, on_ready=end)
            except BaseException as error:
                heard.append(error)

        def end() -> None:
            raise RuntimeError("ended")

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert [str(error) for error in heard] == ["ended"]
