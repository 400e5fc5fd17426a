"""The demo as a folder that any web server can show, without Python behind it.

Owns: what lies in the folder, the runtime that it needs and its checksum. Does not own: the
page (``demo``), the ONNX files (``export``).

onnxruntime-web is not part of tfclassify: whoever publishes the folder gets it from npm.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfclassify.errors import RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.files import build_folder, write_json, write_text
from tfclassify.pages.rendering import STYLE_SHEET, render_page
from tfclassify.web.server import STATIC
from tfclassify.workflows.export import ExportRequest, export_run

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
