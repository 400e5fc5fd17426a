"""Who may ask a server of ours, and what a browser may do with the answers.

Owns: the door that a server listens at (address, token), the check of every request's host,
origin, token and size, the headers of every answer. Does not own: what is answered
(``studio`` and its like), starting and stopping (``server``).

A server on this machine is within reach of every page that its user's browser shows. Three
things keep such a page out: it does not know the token; a request that it makes carries its
own origin, which is refused; and a name that it makes lead here (DNS rebinding) is not a
name that this server answers to.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tfclassify.pages.rendering import render_page

#: What a page of ours may load and do: its own server's things, and nothing of another host.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_REFUSED_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
#: Where the templates of served pages are.
SERVED_TEMPLATES = Path(__file__).parent / "templates"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # nosec B104 (compared with, not bound to)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
#: Bytes of a request's body, unless the application takes more.
BODY_LIMIT = 1 << 20


@dataclass(frozen=True)
class Door:
    """Where a server listens, and the key that it asks for.

    Attributes:
        listener: The bound socket.
        host: As the user named it.
        port: The port, which the system chose where 0 was asked for.
        token: What a visitor must know; empty where anybody may ask.
        names: Further host names that it is called by, as behind a proxy.
    """

    listener: socket.socket = field(repr=False)
    host: str
    port: int
    token: str = field(repr=False)
    names: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        """Whether only programs on this machine can reach it."""
        return self.host in _LOOPBACK

    @property
    def address(self) -> str:
        """The address that lets a browser in."""
        host = "127.0.0.1" if self.host in _WILDCARDS else self.host
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    @property
    def cookie(self) -> str:
        """Name of the cookie that holds the token: a host's ports share their cookies."""
        return f"tfclassify-{self.port}"

    def answers_to(self, host: str) -> bool:
        """Say whether a request's host, without its port, is this server."""
        if host in _LOOPBACK or host == self.host or host in self.names:
            return True
        # No page can make a number lead elsewhere, so a server of all addresses takes any.
        return self.host in _WILDCARDS and (_is_address(host) or host == socket.gethostname())

    def is_key(self, given: str) -> bool:
        """Compare a token, in a time that tells nothing."""
        return secrets.compare_digest(given.encode(), self.token.encode())


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class _Refusal(Exception):
    """A request that is not let in; ``challenge`` says what a 401 asks for (RFC 6750)."""

    status: int
    kind: str
    message: str
    challenge: str = ""


class Gate:
    """ASGI middleware in front of an application.

    Args:
        app: What answers those that are let in.
        door: Where it listens.
        open_paths: Paths that need no token, such as a health check's.
        body_limit: Most bytes of a request's body.
        policy: The content security policy of every answer that has none.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        door: Door,
        open_paths: frozenset[str] = frozenset(),
        body_limit: int = BODY_LIMIT,
        policy: str = POLICY,
    ) -> None:
        self.app, self.door, self.open_paths = app, door, open_paths
        self.body_limit, self.policy = body_limit, policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer why not."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks by web sockets
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        guarded = self._add_headers(send)
        try:
            self._check_sender(headers)
            entry = self._find_entry(scope)
            if entry is not None:
                await entry(scope, receive, guarded)
                return
            self._check_token(scope, headers)
            self._check_size(headers)
        except _Refusal as refusal:
            await _answer(refusal, scope, headers)(scope, receive, guarded)
            return
        await self.app(scope, self._count(receive), guarded)

    def _check_sender(self, headers: Headers) -> None:
        """Refuse what was sent to another name, or by a page of another origin."""
        host = headers.get("host", "")
        name = urlsplit(f"//{host}").hostname or ""
        if not self.door.answers_to(name):
            raise _Refusal(
                421,
                "wrong_host",
                f"this server does not answer to the host {name!r}; open the address that "
                "tfclassify printed",
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            raise _Refusal(
                403, "other_origin", f"requests of another origin are refused, got {origin!r}"
            )

    def _find_entry(self, scope: Scope) -> Response | None:
        """Answer an address with the right token: a cookie, and the address without it."""
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = dict(pairs).get("token")
        if given is None or not self.door.token or scope["method"] not in ("GET", "HEAD"):
            return None
        if not self.door.is_key(given):
            raise _ask_for_token(is_wrong=True)
        rest = urlencode([pair for pair in pairs if pair[0] != "token"])
        path = "/" + scope["path"].lstrip("/")  # `//host` would be another server
        entry = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
        entry.set_cookie(self.door.cookie, self.door.token, httponly=True, samesite="strict")
        return entry

    def _check_token(self, scope: Scope, headers: Headers) -> None:
        """Refuse who does not know the token, in a cookie or as a bearer's."""
        if not self.door.token or scope["path"] in self.open_paths:
            return
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.door.is_key(bearer.strip()):
            return
        if not self.door.is_key(_read_cookie(headers, self.door.cookie)):
            raise _ask_for_token(is_wrong=bool(kind))
        # Whoever has the cookie is a browser, which says on whose behalf it writes.
        is_ours = "origin" in headers or headers.get("sec-fetch-site") == "same-origin"
        if scope["method"] not in _SAFE_METHODS and not is_ours:
            raise _Refusal(
                403, "no_origin", "a browser's request that changes something must say its origin"
            )

    def _check_size(self, headers: Headers) -> None:
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.body_limit:
            raise _Refusal(413, "too_large", self._say_limit())

    def _count(self, receive: Receive) -> Receive:
        """Refuse a body that turns out larger than it may be."""
        taken = 0

        async def count() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.body_limit:
                raise HTTPException(413, self._say_limit())
            return message

        return count

    def _say_limit(self) -> str:
        return f"the request is larger than the {self.body_limit:,} bytes allowed; send less"

    def _add_headers(self, send: Send) -> Send:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in {**_HEADERS, "content-security-policy": self.policy}.items():
                    headers.setdefault(name, value)
            await send(message)

        return guarded


_HEADERS: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
_STALE = (
    "this request does not have this server's token; in a browser, open the address that "
    "tfclassify printed last; programs send the header Authorization: Bearer TOKEN"
)


def _ask_for_token(*, is_wrong: bool) -> _Refusal:
    """Refuse who has no token or a wrong one, and say how to send it."""
    challenge = 'Bearer realm="tfclassify"' + (', error="invalid_token"' if is_wrong else "")
    return _Refusal(401, "wrong_token" if is_wrong else "no_token", _STALE, challenge)


def _read_cookie(headers: Headers, name: str) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


def _answer(refusal: _Refusal, scope: Scope, headers: Headers) -> Response:
    """Word a refusal for a browser's window, or for a program."""
    extra = {"www-authenticate": refusal.challenge} if refusal.challenge else {}
    if "text/html" in headers.get("accept", ""):
        page = render_page(
            "refused.html", SERVED_TEMPLATES, message=refusal.message, status=refusal.status
        )
        return HTMLResponse(
            page, refusal.status, {"content-security-policy": _REFUSED_POLICY, **extra}
        )
    return answer_error(scope, refusal.status, refusal.kind, refusal.message, extra)


def answer_error(
    scope: Scope,
    status: int,
    kind: str,
    message: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Answer a program with what is wrong.

    Args:
        scope: The request; where requests have an id, the answer tells it.
        status: HTTP status.
        kind: Which error it is, for programs.
        message: What is wrong, for people.
        headers: Of the answer.
    """
    content, extra = {"error": message, "type": kind}, dict(headers or {})
    request_id = scope.get("state", {}).get("request_id")
    if request_id is not None:
        content["request_id"] = extra["x-request-id"] = request_id
    return Response(json.dumps(content), status, extra, "application/json")
