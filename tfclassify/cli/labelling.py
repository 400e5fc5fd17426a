"""Verbs about labels and those who give them: ``agree``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tfclassify import api
from tfclassify.cli.options import Json, Quiet, Verbose
from tfclassify.cli.output import call, show, to_json


class Distance(StrEnum):
    """How far two answers are apart."""

    nominal = "nominal"
    jaccard = "jaccard"
    masi = "masi"


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("agree", epilog="Example: tfclassify agree sessions/clothing")(agree)


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
