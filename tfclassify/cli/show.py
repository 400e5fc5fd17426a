"""Verbs that show a model at work: ``explain``, ``demo``, ``serve``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfclassify import api
from tfclassify.cli.options import Json, Quiet, RunPath, Tta, Verbose, complete_runs
from tfclassify.cli.output import call, show, to_json
from tfclassify.errors import DataError
from tfclassify.pages.tables import Column, render_table
from tfclassify.pages.wording import count_of

if TYPE_CHECKING:
    from tfclassify.inference.evidence import Explanations


class ExplainMethod(StrEnum):
    """How evidence is found."""

    auto = "auto"
    grad_cam = "grad-cam"
    occlusion = "occlusion"


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command(
        "explain", epilog="Example: tfclassify explain reports/plants/001 photos/ --out sheet.png"
    )(explain)
    app.command("demo", epilog="Example: tfclassify demo reports/plants/001")(demo)
    app.command("serve", epilog="Example: tfclassify serve reports/plants/001 --port 8000")(serve)


def explain(
    run: RunPath,
    images: Annotated[
        list[str],
        typer.Argument(help="Images, folders of images, https addresses.", metavar="IMAGES..."),
    ],
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class", "--classes", help="Class to explain; repeatable; default: the prediction."
        ),
    ] = None,
    tta: Tta = None,
    method: Annotated[
        ExplainMethod,
        typer.Option("--method", help="occlusion: cover parts; auto: where there is no map."),
    ] = ExplainMethod.auto,
    out: Annotated[
        Path | None, typer.Option("--out", help="Picture of the photos with their maps.")
    ] = None,
    maps: Annotated[Path | None, typer.Option("--maps", help=".npz of the maps.")] = None,
    overlays: Annotated[
        Path | None,
        typer.Option("--overlays", help="Folder for each photo at its size with its map."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show where in photos a model sees a class."""
    found = call(api.explain, locals())
    written = [path for path in (out, maps, overlays) if path is not None]
    show(_render_explain(found, written, as_json=as_json))
    if not found:
        raise DataError(f"explain: none of {count_of(len(found.failed), 'file')} could be used")


def demo(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Runs, bundles or artefacts, up to four side by side.",
            autocompletion=complete_runs,
        ),
    ],
    host: Annotated[str, typer.Option("--host", help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port; 0: any that is free.")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
    static: Annotated[
        Path | None,
        typer.Option("--static", help="Write the page to a folder, without Python behind it."),
    ] = None,
    runtime: Annotated[
        Path | None,
        typer.Option("--runtime", help="static: npm's package of onnxruntime-web to put in."),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show a page on which one gives photos to models."""
    folder = call(api.demo, locals())
    if folder is not None:
        show(f"{folder}: show it with python -m http.server --directory {folder}")


def serve(
    run: RunPath,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; 0.0.0.0 for all.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port; 0 for any that is free.")] = 8000,
    name: Annotated[
        str, typer.Option("--name", help="What the model is called; default: its recipe's name.")
    ] = "",
    tta: Tta = None,
    workers: Annotated[int, typer.Option("--workers", help="Processes.")] = 1,
    threads: Annotated[
        int, typer.Option("--threads", help="Of an artefact's runtime; 0: as it likes.")
    ] = 0,
    batch_size: Annotated[
        int, typer.Option("--batch-size", help="Images that go through the network together.")
    ] = 32,
    wait_ms: Annotated[
        float, typer.Option("--wait-ms", help="Longest wait for images that are on their way.")
    ] = 5.0,
    queue: Annotated[
        int, typer.Option("--queue", help="Images under way at once; past it, 429.")
    ] = 256,
    max_bytes: Annotated[int, typer.Option("--max-bytes", help="Of a request.")] = 32 << 20,
    max_pixels: Annotated[int, typer.Option("--max-pixels", help="Of an image.")] = 40_000_000,
    max_images: Annotated[int, typer.Option("--max-images", help="Of a request.")] = 64,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds after which a request is given up.")
    ] = 30.0,
    watch: Annotated[
        float | None,
        typer.Option("--watch", help="Seconds between looks for a newer model, to take it over."),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option("--names", help="Further host name that it answers to; repeatable."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help="Holds the token; default: TFCLASSIFY_TOKEN, if set."),
    ] = None,
    log: Annotated[
        bool, typer.Option("--log/--no-log", help="A line of JSON for each request.")
    ] = True,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Answer predictions over HTTP until Ctrl-C."""
    call(api.serve, locals())


def _render_explain(found: Explanations, written: list[Path], *, as_json: bool) -> str:
    if as_json:
        failed = [{"file": file, "error": error} for file, error in found.failed]
        return to_json({"explanations": [row.to_dict() for row in found], "failed": failed})
    columns = [
        Column("file", longest=60),
        Column("class", longest=32),
        Column("probability", "right"),
        Column("strongest at", "right"),
        Column("method"),
    ]
    rows = [
        [
            row.file,
            row.label,
            f"{row.probability:.4f}",
            f"{row.peak[0]}, {row.peak[1]}",
            row.method,
        ]
        for row in found
    ]
    parts = [render_table(columns, rows)] if rows else []
    parts += [f"{file}: {error}" for file, error in found.failed]
    return "\n".join([*parts, *(f"written to {path}" for path in written)])
