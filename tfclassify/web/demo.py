"""The demo: a page on which one shows photos to models.

Owns: its paths, what it takes, the start; the same page as a folder that any web server can
show, without Python behind it. Does not own: the models' answers (``exhibits``), the page
itself (``templates/demo.html``, ``static/demo.js``), the ONNX files (``export``).

onnxruntime-web, which the folder needs, is not part of tfclassify: whoever publishes the
folder gets it from npm.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfclassify.errors import DataError, RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.files import build_folder, write_json, write_text
from tfclassify.pages.rendering import STYLE_SHEET, render_page
from tfclassify.web.server import STATIC, listen, make_app, require_web, serve
from tfclassify.workflows.export import ExportRequest, export_run
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


RUNTIME = "onnxruntime-web"
RUNTIME_VERSION = "1.30.0"
#: As npm states it: SHA-512 of the package.
RUNTIME_INTEGRITY = (
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7sv"
    "Nc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
RUNTIME_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)
_TEMPLATES = Path(__file__).parent / "templates"
_MARK = "models.json"


def write_static_demo(
    runs: Sequence[Path],
    names: Sequence[str],
    folder: Path,
    observer: Observer = SILENT,
    *,
    runtime: Path | None = None,
) -> Path:
    """Write the page, the models as ONNX, and how to put it online.

    Photos of the run do not go along: the folder is meant to be public.

    Args:
        runs: Runs or bundles.
        names: What to call them.
        folder: Where to; an earlier demo there is replaced.
        observer: Told of the exports.
        runtime: The npm package of onnxruntime-web, whose files are put in; None leaves
            that to the user.

    Returns:
        The folder.

    Raises:
        RequestError: If something else is in the folder, or the package is not the one.
        TargetError: If there is no such run.
        ExportError: If an ONNX file disagrees with its model.
    """
    is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not is_free and not (folder / _MARK).is_file():
        raise RequestError(f"--static {folder}: holds something else; choose a new folder")
    package = None if runtime is None else _check_package(runtime)
    with build_folder(folder) as work:
        models = [
            _add_model(work, run, name, number, observer)
            for number, (run, name) in enumerate(zip(runs, names, strict=True))
        ]
        write_json(work / _MARK, models)
        title = " and ".join(names)
        page = render_page("demo.html", _TEMPLATES, is_static=True, title=title)
        write_text(work / "index.html", page)
        for name in ("demo.js", "demo.css", "resizing.js", "jpeg.js", "jpeg_pixels.js"):
            shutil.copyfile(STATIC / name, work / name)
        shutil.copyfile(STATIC / "demo_onnx.js", work / "demo_answers.js")
        shutil.copyfile(STYLE_SHEET, work / "style.css")
        write_text(work / "README.md", _write_readme(title))
        if package is not None:
            _add_runtime(work / "ort", package)
    return folder


def _add_model(work: Path, run: Path, name: str, number: int, observer: Observer) -> dict[str, Any]:
    """Export one model; return what the page must know of it."""
    from tfclassify.web.exhibits import Exhibit

    place = work / "models" / str(number)
    export_run(ExportRequest(run, ("onnx",), out=place, batch=0), observer)
    file = place / "onnx" / "model.onnx"
    file.replace(work / "models" / f"{number}.onnx")
    shutil.rmtree(place)
    exhibit = Exhibit(run, name)
    return exhibit.describe() | {
        "file": f"models/{number}.onnx",
        "views": 1,
        "resize": exhibit.plain.resize,
        "max_pixels": exhibit.plain.max_pixels,
        "temperature": exhibit.plain.temperature,
        "trust": exhibit.list_trust(),
        "examples": [],
    }


def _check_package(path: Path) -> Path:
    """Refuse a package that is not the one this page was made for."""
    if not path.is_file():
        raise RequestError(f"--runtime {path}: no such file; {_how_to_get()}")
    digest = hashlib.sha512(path.read_bytes()).digest()
    found = "sha512-" + base64.b64encode(digest).decode()
    if found != RUNTIME_INTEGRITY:
        raise RequestError(
            f"--runtime {path}: is not {RUNTIME} {RUNTIME_VERSION}, whose integrity is "
            f"{RUNTIME_INTEGRITY}, got {found}; {_how_to_get()}"
        )
    return path


def _how_to_get() -> str:
    return f"`npm pack {RUNTIME}@{RUNTIME_VERSION}` fetches it"


def _add_runtime(target: Path, package: Path) -> None:
    """Take the three files that the page loads out of the package."""
    target.mkdir()
    with tarfile.open(package) as archive:
        for name in RUNTIME_FILES:
            stream = archive.extractfile(f"package/dist/{name}")
            assert stream is not None  # the package was compared with its checksum
            with stream, (target / name).open("wb") as out:
                shutil.copyfileobj(stream, out)


def _write_readme(title: str) -> str:
    facts = json.dumps(title, ensure_ascii=False)
    files = "\n".join(f"  package/dist/{name} \\" for name in RUNTIME_FILES)[:-2]
    return f"""---
title: {facts}
sdk: static
pinned: false
---

# {title}

A page that says what is on photos. It runs in the visitor's browser: no photo leaves it, and
there is no program on the server.

It needs {RUNTIME} {RUNTIME_VERSION} in `ort/` (MIT licence, from npm). If that folder is not
here yet:

```sh
npm pack {RUNTIME}@{RUNTIME_VERSION}
echo "{RUNTIME_INTEGRITY[7:]}" | base64 -d | xxd -p -c 64 # its SHA-512
mkdir ort && tar xzf {RUNTIME}-{RUNTIME_VERSION}.tgz --strip-components 2 -C ort \\
{files}
```

Try it with `python -m http.server --directory .`; then copy the folder to any web server, or
push it to a Space of Hugging Face, which reads the lines on top of this file.
"""
