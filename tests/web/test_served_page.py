"""The frame of every page that is served, in a browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.responses import HTMLResponse

from tfclassify.pages.rendering import render_page
from tfclassify.web.gate import SERVED_TEMPLATES, Door
from tfclassify.web.server import make_app

PAGE = """{% extends "served.html" %}
{% block title %}A page{% endblock %}
{% block header %}<h1>A page</h1>{% endblock %}
{% block scripts %}<script type="module" src="/static/absent.js"></script>{% endblock %}
{% block main %}<p>Words</p>{% endblock %}"""


def test_the_shared_style_and_frame_are_served(
    serve_app: Callable[..., Any], open_page: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_text(PAGE, "utf-8")

    def build_page(door: Door) -> Any:
        app = make_app("Test", door)

        @app.get("/")
        def give() -> HTMLResponse:
            return HTMLResponse(render_page("page.html", tmp_path, SERVED_TEMPLATES))

        return app

    page = open_page(serve_app(build_page).address)
    page.expected_errors.append("404")  # the script that is not there
    assert page.inner_text("h1") == "A page"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert "token" not in page.url
