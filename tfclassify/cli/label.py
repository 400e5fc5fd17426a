"""The verb that labels images in a browser: ``label``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfclassify import api
from tfclassify.cli.options import Columns, Json, Quiet, Verbose, complete_runs
from tfclassify.cli.output import call, show, to_json
from tfclassify.pages.wording import count_of

if TYPE_CHECKING:
    from tfclassify.workflows.label import LabelResult


class Form(StrEnum):
    """What answers are written as."""

    columns = "columns"
    original = "original"
    folders = "folders"


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("label", epilog="Example: tfclassify label photos/ --labels cat,dog")(label)


def label(
    source: Annotated[
        str, typer.Argument(help="Folder, archive, CSV or URL of images, a recipe, or a session.")
    ],
    session: Annotated[
        Path | None,
        typer.Option("--session", help="The session's folder; default: sessions/NAME."),
    ] = None,
    labels: Annotated[
        str | None, typer.Option("--labels", help="Labels: cat,dog; default: the source's own.")
    ] = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option("--vocabulary", help="YAML of labels, keys, colours, sub-labels and marks."),
    ] = None,
    several: Annotated[
        bool, typer.Option("--several", help="An image may have several labels, or none.")
    ] = False,
    labeller: Annotated[
        str | None, typer.Option("--labeller", help="Who labels; default: your user name.")
    ] = None,
    overlap: Annotated[
        float | None,
        typer.Option("--overlap", help="Share of the images that two labellers answer, blindly."),
    ] = None,
    columns: Columns = None,
    answers: Annotated[
        Path | None,
        typer.Option("--answers", help="Somebody's table, or folders by class, to go on with."),
    ] = None,
    review: Annotated[
        bool, typer.Option("--review", help="Show who said what, and adjudicate.")
    ] = False,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            help="A run whose model suggests labels and learns from yours.",
            autocompletion=complete_runs,
        ),
    ] = None,
    order: Annotated[
        str,
        typer.Option(
            "--order",
            help="Which come first: name, random; with --run doubt, disagreement, lookalikes.",
        ),
    ] = "name",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write the answers to this table or folder; no page is served."),
    ] = None,
    form: Annotated[
        Form,
        typer.Option(
            "--form",
            help="columns: file,label,…; original: Name;Label;Sublabel;Extra;Author; folders: "
            "photos by class.",
        ),
    ] = Form.columns,
    host: Annotated[
        str, typer.Option("--host", help="Address to serve the page at; others reach this machine.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option("--port", help="Its port; 0: any; default: 8400.")
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Label images in a browser by keyboard, alone or with others, offline."""
    result = call(api.label, locals())
    show(_render(result, as_json=as_json))


def _render(result: LabelResult, *, as_json: bool) -> str:
    """Say how far the labeller is, or what was written."""
    if as_json:
        from tfclassify.files import to_plain

        facts = to_plain(vars(result))
        return to_json({**facts, "images_per_hour": result.images_per_hour})
    if result.out is not None:
        return f"{result.out}: {result.answered:,} written"
    said = (
        f"{result.labeller} has answered {result.answered:,} of {count_of(result.images, 'image')}"
    )
    if result.skipped:
        said += f", skipped {result.skipped:,}"
    if result.images_per_hour:
        said += f", {result.images_per_hour:,.0f} an hour"
    return f"{said}\nnext: tfclassify label {result.session}"
