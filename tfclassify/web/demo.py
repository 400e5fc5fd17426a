"""The demo: a page on which one shows photos to models.

Owns: its paths, what it takes, the start. Does not own: the models' answers (``exhibits``),
the page itself (``templates/demo.html``, ``static/demo.js``), the page without Python
(``static_demo``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfclassify.errors import DataError, RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.pages.rendering import render_page
from tfclassify.web.server import listen, make_app, require_web, serve
from tfclassify.workflows.start import start_tensorflow, verb

if TYPE_CHECKING:
    from tfclassify.web.exhibits import Exhibit
    from tfclassify.web.gate import Door

#: Bytes of a photo that the page may send.
BODY_LIMIT = 64 << 20
#: Models side by side; more do not fit a screen.
MOST_RUNS = 4


@dataclass(frozen=True)
class DemoRequest:
    """What to show.

    Attributes:
        runs: Runs, bundles or artefacts, one or several side by side.
        host: Address to listen at.
        port: Port; 0 for any that is free.
        opens_browser: Whether to open the page in the user's browser.
        static: Folder to write the page to, without Python behind it; None serves it.
        runtime: static: the npm package of onnxruntime-web to put in; None leaves it out.
    """

    runs: tuple[Path, ...]
    host: str = "127.0.0.1"
    port: int = 0
    opens_browser: bool = True
    static: Path | None = None
    runtime: Path | None = None


@verb
def run_demo(
    request: DemoRequest,
    observer: Observer = SILENT,
    on_ready: Callable[[str], None] = lambda address: None,
) -> Path | None:
    """Serve the page until it is stopped, or write it as a folder.

    Args:
        request: What to show.
        observer: Told of progress and warnings.
        on_ready: Called with the page's address when the models are warm.

    Returns:
        The folder that was written; None where the page was served.

    Raises:
        MissingExtraError: If the extra ``web`` is not installed.
        TargetError: If there is no such run.
        RequestError: If the port is taken, or too many runs are named.
    """
    names = name_exhibits(request.runs)
    if request.static is not None:
        from tfclassify.web.static_demo import write_static_demo

        start_tensorflow()
        return write_static_demo(
            request.runs, names, request.static, observer, runtime=request.runtime
        )
    if request.runtime is not None:
        raise RequestError("--runtime: goes with --static FOLDER only")
    require_web()
    with listen(request.host, request.port) as door:
        start_tensorflow()
        exhibits = open_exhibits(request.runs, names, observer)
        app = make_demo(door, exhibits)
        serve(
            app,
            door,
            observer,
            opens_browser=request.opens_browser,
            on_ready=lambda: on_ready(door.address),
        )
    return None


def name_exhibits(runs: Sequence[Path]) -> list[str]:
    """Name runs by the last parts of their paths that tell them apart.

    Raises:
        RequestError: If there is none, or there are more than fit a screen.
    """
    if not 1 <= len(runs) <= MOST_RUNS:
        raise RequestError(f"demo: shows 1 to {MOST_RUNS} runs side by side, got {len(runs)}")
    parts = 1
    while True:
        names = ["/".join(run.parts[-parts:]) for run in runs]
        if max(Counter(names).values()) == 1 or parts > max(len(run.parts) for run in runs):
            is_number = any(name.isdigit() for name in names)
            return names if not is_number else ["/".join(run.parts[-2:]) for run in runs]
        parts += 1


def open_exhibits(
    runs: Sequence[Path], names: Sequence[str], observer: Observer = SILENT
) -> list[Exhibit]:
    """Load the models; each is asked once, since the first answer takes longest."""
    from tfclassify.web.exhibits import Exhibit

    exhibits = []
    observer.on_task_start("loading models", len(runs))
    for number, (run, name) in enumerate(zip(runs, names, strict=True), start=1):
        exhibits.append(Exhibit(run, name))
        observer.on_task_step("loading models", number)
    observer.on_task_end("loading models")
    return exhibits


def make_demo(door: Door, exhibits: Sequence[Exhibit]) -> Any:
    """Make the application that answers the page."""
    from fastapi import Body, Response
    from starlette.responses import HTMLResponse

    from tfclassify.web.gate import SERVED_TEMPLATES

    app = make_app("tfclassify demo", door, body_limit=BODY_LIMIT)
    page = render_page("demo.html", SERVED_TEMPLATES, is_static=False, title=_title(exhibits))
    photo = Body(media_type="application/octet-stream")

    def find(number: int) -> Exhibit:
        if not 0 <= number < len(exhibits):
            raise RequestError(f"model: there are {len(exhibits)}, got number {number}")
        return exhibits[number]

    @app.get("/", include_in_schema=False)
    def give_page() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/api/models")
    def describe() -> list[dict[str, Any]]:
        return [exhibit.describe() for exhibit in exhibits]

    # Plain functions, which FastAPI runs in threads: a photo being answered stops no other.
    @app.post("/api/answer")
    def answer(model: int, views: bool = False, body: bytes = photo) -> dict[str, Any]:
        return find(model).answer(_take(body), with_views=views)

    @app.post("/api/map")
    def draw_map(model: int, column: int, views: bool = False, body: bytes = photo) -> Response:
        drawn = find(model).draw_map(_take(body), column, with_views=views)
        return Response(drawn, media_type="image/png")

    @app.get("/api/example")
    def give_example(model: int, number: int) -> Response:
        return Response(find(model).read_example(number), media_type="image/png")

    return app


def _take(body: bytes) -> bytes:
    if not body:
        raise DataError("the photo: is empty, got 0 bytes; choose a file of an image")
    return body


def _title(exhibits: Sequence[Exhibit]) -> str:
    return " and ".join(exhibit.name for exhibit in exhibits)
