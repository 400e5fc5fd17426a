"""Verbs that carry a model elsewhere: ``export``, ``compress``."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfclassify import api
from tfclassify.cli.options import Json, Quiet, RunPath, Verbose, complete_runs
from tfclassify.cli.output import call, show, to_json
from tfclassify.recipe.wording import format_bytes

if TYPE_CHECKING:
    from tfclassify.export.artefact import Artefact
    from tfclassify.workflows.export import ExportResult


class Precision(StrEnum):
    """How a model's numbers are stored."""

    float32 = "float32"
    sparse = "float32-sparse"
    float16 = "float16"
    int8 = "int8"
    int8_dynamic = "int8-dynamic"


class Method(StrEnum):
    """How weights are pruned."""

    magnitude = "magnitude"
    rigl = "rigl"


class Distribution(StrEnum):
    """How a sparsity is shared among kernels."""

    erk = "erk"
    uniform = "uniform"


class Runtime(StrEnum):
    """Where variants are measured."""

    litert = "litert"
    onnx = "onnx"


class Int8(StrEnum):
    """Where the ranges of 8-bit activations come from."""

    static = "static"
    dynamic = "dynamic"
    trained = "trained"


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command(
        "export",
        epilog="Example: tfclassify export reports/plants/001 --format onnx --format litert",
    )(export)
    app.command(
        "compress",
        epilog="Example: tfclassify compress reports/plants/001 --macs 0.5 --int8 static",
    )(compress)


def export(
    run: Annotated[
        Path,
        typer.Argument(
            help="A run, such as reports/plants/001, or a bundle.", autocompletion=complete_runs
        ),
    ],
    format: Annotated[
        list[str], typer.Option("--format", help="savedmodel, litert, onnx or keras; repeatable.")
    ],
    precision: Annotated[
        Precision,
        typer.Option(
            "--precision", help="How the numbers are stored; float32-sparse: litert, without zeros."
        ),
    ] = Precision.float32,
    batch: Annotated[
        int | None,
        typer.Option("--batch", help="Images a call, 0 for any number; default: 1 for litert."),
    ] = None,
    views: Annotated[
        bool, typer.Option("--views", help="Put the recipe's test-time views inside.")
    ] = False,
    images: Annotated[
        Path | None,
        typer.Option("--images", help="Images to compare on; default: the run's held-out."),
    ] = None,
    keep_float: Annotated[
        list[str] | None,
        typer.Option("--keep-float", help="int8: regular expression of layers left in float."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write into; default: RUN/export.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write the model in other forms, each compared in a fresh process before it is written."""
    result = call(api.export, locals())
    show(_render_export(result, as_json=as_json))


def compress(
    run: RunPath,
    prune: Annotated[
        list[float] | None,
        typer.Option("--prune", help="Share of the weights set to zero, 0.8 for 80 %; repeatable."),
    ] = None,
    macs: Annotated[
        list[float] | None,
        typer.Option("--macs", help="Share of the MACs left by removing channels; repeatable."),
    ] = None,
    method: Annotated[
        list[Method] | None,
        typer.Option("--method", help="How weights are chosen; repeatable. Default: magnitude."),
    ] = None,
    distribution: Annotated[
        Distribution, typer.Option("--distribution", help="erk: small kernels stay denser.")
    ] = Distribution.erk,
    layers: Annotated[
        str, typer.Option("--layers", help="Regular expression of the kernels that are pruned.")
    ] = "",
    sparse: Annotated[
        bool,
        typer.Option("--sparse", help="Also prune a network whose zeros LiteRT can skip."),
    ] = False,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=1, help="Epochs of each training; default: the run's."),
    ] = None,
    distil: Annotated[
        list[str] | None,
        typer.Option(
            "--distil",
            help="A backbone, or a recipe whose network is taken, that the run teaches; "
            "repeatable.",
        ),
    ] = None,
    int8: Annotated[
        list[Int8] | None,
        typer.Option(
            "--int8",
            help="Quantise every network; trained: fine-tune it for that, as is done where static "
            "loses over a point. Repeatable.",
        ),
    ] = None,
    format: Annotated[
        list[Runtime] | None, typer.Option("--format", help="litert, onnx; default: both.")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", help="Timed runs of each variant.")] = 30,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write into; default: RUN/compress.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Prune, narrow, distil and quantise the model; one table of what each variant costs."""
    from tfclassify.files import to_plain

    result = call(api.compress, locals())
    if as_json:
        show(to_json(to_plain(result.report.to_dict())))
    else:
        show(f"{result.report.to_text()}\n\n{result.page}")


def _render_export(result: ExportResult, *, as_json: bool) -> str:
    if as_json:
        found = [
            asdict(artefact) | {"folder": str(artefact.folder)} for artefact in result.artefacts
        ]
        return to_json({"artefacts": found, "views": list(result.views)})
    return "\n".join(_describe(artefact) for artefact in result.artefacts)


def _describe(artefact: Artefact) -> str:
    found = artefact.agreement
    told = (
        f"{artefact.folder}: {artefact.format}, {artefact.precision}, "
        f"{format_bytes(artefact.size_bytes)}; on {found.images} images ({found.source}) "
        f"{found.labels_changed} labels differ, probabilities by {found.largest_difference:.1e} "
        "at most"
    )
    if not artefact.precision.startswith("float32") and found.difference is not None:
        told += f"; {found.metric} {found.difference.describe()} from the model's"
    return told
