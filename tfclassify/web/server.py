"""The start and the end of a server on this machine, the same for every page that is served.

Owns: binding, the application with its errors, style sheet and scripts, opening the browser,
signals. Does not own: who may ask (``gate``), what is answered (``studio`` and its like).

    with listen("127.0.0.1", 8400) as door:
        app = make_app("Studio", door)
        serve(app, door, observer, opens_browser=True)
"""

from __future__ import annotations

import errno
import os
import secrets
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from tfclassify.errors import MissingExtraError, RequestError, StorageError, TfclassifyError
from tfclassify.events import Observer

if TYPE_CHECKING:
    from fastapi import FastAPI

    from tfclassify.web.gate import Door

#: Scripts and style sheets of the pages that are served.
STATIC = Path(__file__).parent / "static"
#: Ports after a taken one that are tried for a suggestion.
_TRIED_PORTS = 50
#: Seconds that answers under way have when the server stops.
_GRACE = 2
#: What the errors that HTTP itself knows are called.
_KINDS = {404: "not_found", 405: "wrong_method", 413: "too_large"}


def require_web() -> None:
    """Check that what the servers need is installed.

    Raises:
        MissingExtraError: If it is not.
    """
    if any(find_spec(name) is None for name in ("fastapi", "uvicorn", "python_multipart")):
        raise MissingExtraError(
            "pages that are served need the extra web; install it: pip install 'tfclassify[web]'"
        )


@contextmanager
def listen(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    has_token: bool = True,
    names: tuple[str, ...] = (),
) -> Iterator[Door]:
    """Take a port, and make the token that a visitor needs.

    Args:
        host: Address or name of this machine to listen at; others than 127.0.0.1 are
            reached from elsewhere.
        port: The port; 0 for any that is free.
        has_token: Whether visitors need one.
        names: Further host names that the server is called by, as behind a proxy.

    Yields:
        The door, closed when the block ends.

    Raises:
        MissingExtraError: If the extra ``web`` is not installed.
        RequestError: If the port is taken, needs rights, or the host is none of this
            machine's.
    """
    require_web()
    from tfclassify.web.gate import Door

    if not 0 <= port <= 65535:
        raise RequestError(f"--port {port}: a port is a number from 0 to 65535, where 0 is any")
    try:
        listener = _bind(host, port)
    except OSError as error:
        raise RequestError(_explain_binding(host, port, error)) from error
    with listener:
        token = secrets.token_urlsafe(24) if has_token else ""
        yield Door(listener, host, listener.getsockname()[1], token, names)


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":  # where it would share a port that is in use
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def _explain_binding(host: str, port: int, error: OSError) -> str:
    """Say why a port could not be taken, and what to ask for instead."""
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"--host {host}: no address of this machine; use 127.0.0.1, or 0.0.0.0 for all"
    if error.errno == errno.EADDRINUSE:
        free = _find_free(host, port)
        return f"--port {port}: another program listens there; use --port {free}"
    if error.errno == errno.EACCES:
        return f"--port {port}: the system does not allow it; use a port from 1024 on"
    return f"--host {host} --port {port}: cannot listen there ({error.strerror})"


def _find_free(host: str, port: int) -> int:
    """Return the next free port, or 0, which means any."""
    for other in range(port + 1, min(port + _TRIED_PORTS, 65536)):
        try:
            _bind(host, other).close()
        except OSError:
            continue
        return other
    return 0


def make_app(title: str, door: Door, *, has_schema: bool = False, **gate: Any) -> FastAPI:
    """Make an application with its gate, its errors and its static files.

    Args:
        title: Its name.
        door: Where it will listen.
        has_schema: Whether it shows its OpenAPI schema at ``/openapi.json``. The usual
            pages that draw it load scripts of another host, so there are none.
        gate: Further arguments of ``gate.Gate``.

    Returns:
        The application, to which routes are added. What it raises becomes JSON:
        ``{"error": message}``.
    """
    from fastapi import FastAPI
    from starlette.responses import FileResponse
    from starlette.staticfiles import StaticFiles

    from tfclassify import __version__
    from tfclassify.pages.rendering import STYLE_SHEET
    from tfclassify.web.gate import Gate

    schema = "/openapi.json" if has_schema else None
    app = FastAPI(
        title=title, version=__version__, docs_url=None, redoc_url=None, openapi_url=schema
    )
    app.add_middleware(Gate, door=door, **gate)
    _add_errors(app)

    def give_style() -> FileResponse:
        return FileResponse(STYLE_SHEET, headers={"cache-control": "no-cache"})

    app.add_api_route("/static/style.css", give_style, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC))
    return app


def _add_errors(app: FastAPI) -> None:
    """Turn whatever is raised into ``{"error": message, "type": which}``."""
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import Response

    from tfclassify.web.gate import answer_error

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        message, kind = error.detail, _KINDS.get(error.status_code, "http")
        if error.status_code == 404 and message == "Not Found":
            hint = "; see /docs" if app.openapi_url else ""
            message = f"{request.url.path}: there is nothing at this path{hint}"
        return answer_error(request.scope, error.status_code, kind, message, error.headers)

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"{where}: {first['msg']}, got {first.get('input')!r:.80}"
        return answer_error(request.scope, 422, "bad_parameter", message)

    async def on_ours(request: Request, error: Exception) -> Response:
        if isinstance(error, RequestError):
            return answer_error(request.scope, 400, "bad_request", str(error))
        return answer_error(request.scope, 409, getattr(error, "kind", "failed"), str(error))

    async def on_system(request: Request, error: Exception) -> Response:
        assert isinstance(error, OSError)
        message = str(StorageError.explain(error))
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return answer_error(request.scope, 507, "no_space", message)
        return answer_error(request.scope, 500, "storage", message)

    async def on_any(request: Request, error: Exception) -> Response:
        message = f"unexpected {type(error).__name__}: {error}"
        return answer_error(request.scope, 500, "unexpected", message)

    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(TfclassifyError, on_ours)
    app.add_exception_handler(OSError, on_system)
    app.add_exception_handler(Exception, on_any)


def serve(
    app: FastAPI,
    door: Door,
    observer: Observer,
    *,
    opens_browser: bool = False,
    on_ready: Callable[[], None] | None = None,
    grace: int = _GRACE,
) -> None:
    """Answer until Ctrl-C, SIGTERM or SIGHUP, which are the ordinary ways to end it.

    Args:
        app: What answers.
        door: Where.
        observer: Told of a door that is open to other machines.
        opens_browser: Whether to open the address in the user's browser.
        on_ready: Called when the first request can be answered.
        grace: Seconds that answers under way have when the server stops.
    """
    if not door.is_local:
        who = "whoever has its token" if door.token else "anybody"
        observer.on_warning(
            f"--host {door.host}: other machines reach this server, {who} can use it, and what "
            "is sent is not encrypted; 127.0.0.1 keeps it on this machine"
        )
    server = make_server(app, grace)

    def follow_start() -> None:
        if on_ready is not None:
            on_ready()
        if opens_browser:
            # A browser may take seconds to come, and the page is to be answered meanwhile.
            threading.Thread(target=open_browser, args=(door.address,), daemon=True).start()

    with _stop_by_signal(server):
        _run(server, door, follow_start)


def make_server(app: FastAPI, grace: int = _GRACE) -> Any:
    """Make a uvicorn server that leaves signals, logs and the terminal alone."""
    import uvicorn

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    return Server(
        uvicorn.Config(
            app,
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=grace,
        )
    )


def _run(server: Any, door: Door, follow_start: Callable[[], None]) -> None:
    start = server.startup

    async def startup(sockets: list[socket.socket] | None = None) -> None:
        await start(sockets=sockets)
        if server.started:
            follow_start()

    server.startup = startup
    server.run(sockets=[door.listener])


@contextmanager
def _stop_by_signal(server: Any) -> Iterator[None]:
    """Let signals end the server, a second one at once; elsewhere they mean what they did."""

    def stop(number: int, frame: FrameType | None) -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def open_browser(address: str) -> bool:
    """Open an address in the user's browser, where there is a screen to show it on."""
    has_screen = sys.platform in ("win32", "darwin") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    # Without a screen, a browser that draws in the terminal would be taken.
    try:
        return has_screen and webbrowser.open(address)
    except webbrowser.Error:
        return False
