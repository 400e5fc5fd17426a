"""Verbs about labels and those who give them: ``agree``, ``clean``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tfclassify import api
from tfclassify.cli.options import Json, Quiet, Verbose, complete_runs
from tfclassify.cli.output import call, show, to_json


class Distance(StrEnum):
    """How far two answers are apart."""

    nominal = "nominal"
    jaccard = "jaccard"
    masi = "masi"


class Rank(StrEnum):
    """What contradicted labels are ranked by."""

    self_confidence = "self_confidence"
    margin = "margin"


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("agree", epilog="Example: tfclassify agree sessions/clothing")(agree)
    app.command("clean", epilog="Example: tfclassify clean reports/clothing/cv-001")(clean)


def agree(
    session: Annotated[Path, typer.Argument(help="A session of `tfclassify label`.")],
    distance: Annotated[
        Distance | None,
        typer.Option(
            "--distance",
            help="How far two answers are apart; default: masi where an image may have several "
            "labels, else nominal.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for the page and the tables; default: agreement in the session."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the resampled images.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Say how well labellers agree, and settle their answers by majority and adjudication."""
    result = call(api.agree, locals())
    if as_json:
        show(to_json(result.to_dict()))
    else:
        show(f"{result.describe()}\n\n{result.page}")


def clean(
    target: Annotated[
        Path,
        typer.Argument(
            help="A cross-validation, which judges every image, or a run, which judges those that "
            "it held out.",
            autocompletion=complete_runs,
        ),
    ],
    rank: Annotated[
        Rank,
        typer.Option(
            "--rank",
            help="What contradicted labels are ranked by: the label's probability, or that less "
            "the highest of the others.",
        ),
    ] = Rank.self_confidence,
    features: Annotated[
        bool,
        typer.Option(
            "--features/--no-features",
            help="Whether the network looks at all images again, for those unlike all others.",
        ),
    ] = True,
    photos: Annotated[
        bool,
        typer.Option(
            "--photos/--no-photos", help="Whether photos are measured: too dark, blurred, empty."
        ),
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder to write into; default: clean in the target."),
    ] = None,
    review: Annotated[
        bool,
        typer.Option(
            "--review",
            help="Serve a page on which each is kept, relabelled or dropped, until Ctrl-C.",
        ),
    ] = False,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="Of that page; default: 8400, 0: any."),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open that page in the browser.")
    ] = True,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Find labels and photos that look wrong, ranked, each with its reason."""
    result = call(api.clean, locals())
    show(to_json(result.to_dict()) if as_json else result.describe())
