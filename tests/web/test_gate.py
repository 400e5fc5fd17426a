"""Who is let in, and what is kept out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from tfclassify.web.gate import Door, Gate
from tfclassify.web.server import make_app

OPEN = frozenset({"/health"})


def build(door: Door) -> Any:
    app = make_app("Test", door, open_paths=OPEN, body_limit=100)

    @app.get("/")
    @app.get("/health")
    def give() -> str:
        return "given"

    @app.post("/")
    async def take(request: Request) -> int:
        return len(await request.body())

    return app


def visit(served: Any, **headers: str) -> httpx.Client:
    """Make a visitor with these headers and nothing else."""
    base = f"http://127.0.0.1:{served.door.port}"
    return httpx.Client(base_url=base, headers=headers, timeout=300, trust_env=False)


def test_an_address_with_the_token_becomes_a_cookie(serve_app: Callable[..., Any]) -> None:
    served = serve_app(build)
    with visit(served) as visitor:
        entry = visitor.get(f"/?a=1&token={served.door.token}")
        assert (entry.status_code, entry.headers["location"]) == (303, "/?a=1")
        cookie = entry.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert visitor.get("/").json() == "given"
        # A browser says on whose behalf it writes.
        own = f"http://127.0.0.1:{served.door.port}"
        assert visitor.post("/", content=b"abc", headers={"origin": own}).json() == 3
        same = {"sec-fetch-site": "same-origin"}
        assert visitor.post("/", content=b"abc", headers=same).json() == 3
        unsaid = visitor.post("/", content=b"abc")
        assert (unsaid.status_code, unsaid.json()["type"]) == (403, "no_origin")
        # `//host` after a redirect would be another machine.
        outside = visitor.get(f"{own}//evil.example/?token={served.door.token}")
        assert outside.headers["location"] == "/evil.example/"


@pytest.mark.parametrize(
    ("headers", "status", "kind", "words"),
    [
        ({}, 401, "no_token", "open the address that tfclassify printed last"),
        ({"authorization": "Bearer guess"}, 401, "wrong_token", "have this server's token"),
        ({"authorization": "Basic Z3Vlc3M="}, 401, "wrong_token", "Authorization: Bearer TOKEN"),
        ({"cookie": "tfclassify-1=guess; \x01="}, 401, "no_token", "have this server's token"),
        ({"host": "evil.example"}, 421, "wrong_host", "not answer to the host 'evil.example'"),
        ({"host": "127.0.0.1.evil.example"}, 421, "wrong_host", "does not answer to the host"),
        ({"host": ""}, 421, "wrong_host", "does not answer to the host ''"),
        ({"origin": "http://evil.example"}, 403, "other_origin", "another origin are refused"),
        ({"origin": "null"}, 403, "other_origin", "another origin are refused"),
        ({"origin": "http://127.0.0.1:1"}, 403, "other_origin", "another origin are refused"),
    ],
)
def test_a_stranger_is_refused(
    serve_app: Callable[..., Any], headers: dict[str, str], status: int, kind: str, words: str
) -> None:
    served = serve_app(build)
    with visit(served, **headers) as visitor:
        for method in ("GET", "POST", "DELETE"):
            answer = visitor.request(method, "/")
            assert answer.status_code == status
            assert answer.json()["type"] == kind
            assert words in answer.json()["error"]
            # RFC 9110: every 401 says what it asks for, and nothing else does.
            challenge = answer.headers.get("www-authenticate", "")
            assert challenge.startswith('Bearer realm="tfclassify"') is (status == 401)
            assert ("invalid_token" in challenge) is (kind == "wrong_token")
        assert visitor.get("/?token=guess").status_code == status
        for asked in (visitor.get("/static/style.css"), visitor.get("/openapi.json")):
            assert asked.status_code == status


def test_a_refusal_in_a_window_is_a_page(
    serve_app: Callable[..., Any], open_page: Callable[..., Any]
) -> None:
    served = serve_app(build)
    page = open_page(f"http://127.0.0.1:{served.door.port}/?token=old")
    page.expected_errors.append("401")
    assert "open the address that tfclassify printed last;" in page.inner_text("main")
    assert page.evaluate("getComputedStyle(document.querySelector('.sheet')).maxWidth") == "1040px"


def test_a_health_check_needs_no_token_but_the_right_host(serve_app: Callable[..., Any]) -> None:
    served = serve_app(build)
    with visit(served) as visitor:
        assert visitor.get("/health").json() == "given"
        assert visitor.get("/health", headers={"host": "evil.example"}).status_code == 421


def test_a_server_without_a_token_takes_programs_but_no_other_origin(
    serve_app: Callable[..., Any],
) -> None:
    served = serve_app(build, has_token=False)
    assert served.door.address == f"http://127.0.0.1:{served.door.port}/"
    with visit(served) as visitor:
        assert visitor.post("/", content=b"abc").json() == 3
        other = {"origin": "http://evil.example"}
        assert visitor.post("/", content=b"abc", headers=other).status_code == 403


@pytest.mark.parametrize(
    ("host", "names", "asked", "is_answered"),
    [
        ("127.0.0.1", (), "localhost:9000", True),  # a tunnel from another port
        ("127.0.0.1", ("photos.example",), "photos.example", True),
        ("0.0.0.0", (), "192.0.2.7:80", True),
        ("0.0.0.0", (), "[2001:db8::1]:80", True),
        ("0.0.0.0", (), "evil.example", False),
    ],
)
def test_the_names_that_a_server_answers_to(
    serve_app: Callable[..., Any],
    host: str,
    names: tuple[str, ...],
    asked: str,
    is_answered: bool,
) -> None:
    served = serve_app(build, host=host, names=names)
    with visit(served, host=asked) as visitor:
        assert (visitor.get("/health").status_code == 200) is is_answered


def test_a_body_has_a_limit(serve_app: Callable[..., Any]) -> None:
    client = serve_app(build).client
    assert client.post("/", content=b"x" * 100).json() == 100
    for content in (b"x" * 101, iter([b"x" * 60, b"x" * 60])):  # the second says no length
        answer = client.post("/", content=content)
        assert answer.status_code == 413
        assert "larger than the 100 bytes allowed" in answer.json()["error"]


def test_every_answer_carries_the_policy(serve_app: Callable[..., Any]) -> None:
    served = serve_app(build)
    with visit(served) as stranger:
        for answer in (served.client.get("/"), served.client.get("/nowhere"), stranger.get("/")):
            assert answer.headers["content-security-policy"].startswith("default-src 'none'")
            assert "http" not in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
            assert "server" not in answer.headers


def test_web_sockets_are_closed() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    work = Gate(None, door=None)({"type": "websocket"}, None, send)
    with pytest.raises(StopIteration):  # nothing in it waits for anything
        work.send(None)
    assert sent == [{"type": "websocket.close", "code": 1008}]
