"""What is noted of each request: an id, its place in the counts, a line of JSON.

Owns: the middleware that does it. Does not own: the counts (``metrics``). No line holds a
header, a query or a body, where secrets are.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from secrets import token_hex

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tfclassify.web.metrics import ROUTES, Metrics

_OWN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestLog:
    """ASGI middleware: an id for each request, its place in the counts, a line in the log."""

    def __init__(
        self, app: ASGIApp, *, metrics: Metrics, log: Callable[[str], None] | None = None
    ) -> None:
        self.app, self._metrics, self._log = app, metrics, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note how it was answered."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _choose_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        started, status, sent = time.perf_counter(), 0, 0

        async def note(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            else:
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, note)
        except Exception:  # which is answered by 500 further out
            status = status or 500
            raise
        finally:
            seconds = time.perf_counter() - started
            self._metrics.count_request(_find_route(scope["path"]), status, seconds)
            if self._log is not None:
                self._log(_write_line(scope, request_id, status, seconds, sent))


def _choose_id(scope: Scope) -> str:
    """Return the id that the client gave, if it is harmless, or a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given = value.decode("latin-1")
            if _OWN_ID.fullmatch(given):
                return str(given)
    return token_hex(8)


def _find_route(path: str) -> str:
    return next(
        (route for route in ROUTES if path == route or path.startswith(f"{route}/")), "other"
    )


def _write_line(scope: Scope, request_id: str, status: int, seconds: float, sent: int) -> str:
    client = scope.get("client") or ("",)
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "level": "error" if status >= 500 or not status else "info",
        "request_id": request_id,
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "ms": round(1000 * seconds, 1),
        "images": scope["state"].get("images", 0),
        "bytes": sent,
        "client": client[0],
    }
    return json.dumps(line, ensure_ascii=True)


def log_to_stderr(line: str) -> None:
    """Write a line where a container's logs are read."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
