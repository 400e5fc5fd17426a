"""Verbs that show a model at work: ``explain``, ``demo``, ``serve``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tfclassify import api
from tfclassify.cli.command import command
from tfclassify.cli.output import show, to_json
from tfclassify.errors import DataError
from tfclassify.pages.tables import Column, render_table
from tfclassify.pages.wording import count_of

if TYPE_CHECKING:
    from tfclassify.inference.evidence import Explanations


@command(
    api.explain,
    "tfclassify explain reports/plants/001 photos/ --out sheet.png",
    images={"metavar": "IMAGES..."},
    classes={"words": ("--class", "--classes")},
)
def explain(
    found: Explanations,
    *,
    out: Path | None,
    maps: Path | None,
    overlays: Path | None,
    as_json: bool,
) -> None:
    """Write where the evidence is strongest, and fail where there is none."""
    written = [path for path in (out, maps, overlays) if path is not None]
    show(_render_explanations(found, written, as_json=as_json))
    if not found:
        raise DataError(f"explain: none of {count_of(len(found.failed), 'file')} could be used")


def _render_explanations(found: Explanations, written: list[Path], *, as_json: bool) -> str:
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
    parts += [error if file in error else f"{file}: {error}" for file, error in found.failed]
    return "\n".join([*parts, *(f"written to {path}" for path in written)])


@command(api.demo, "tfclassify demo reports/plants/001")
def demo(folder: Path | None) -> None:
    """Write nothing: the address was told when the page was there."""


@command(api.serve, "tfclassify serve reports/plants/001 --port 8000")
def serve(nothing: None) -> None:
    """Write nothing: the address was told when the model was ready."""
