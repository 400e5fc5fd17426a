"""Verbs that show a model at work: ``explain``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfclassify import api
from tfclassify.api.progress import choose_observer
from tfclassify.cli.options import Json, Quiet, RunPath, Tta, Verbose
from tfclassify.cli.output import show, to_json
from tfclassify.errors import DataError
from tfclassify.pages.tables import Column, render_table
from tfclassify.pages.wording import count_of

if TYPE_CHECKING:
    from tfclassify.inference.explanation import Explanations


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
    found = api.explain(
        run,
        images,
        classes=classes or (),
        tta=tta,
        method=method.value,
        out=out,
        maps=maps,
        overlays=overlays,
        progress=choose_observer(not quiet, verbose=verbose),
    )
    written = [path for path in (out, maps, overlays) if path is not None]
    show(_render_explain(found, written, as_json=as_json))
    if not found:
        raise DataError(f"explain: none of {count_of(len(found.failed), 'file')} could be used")


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
