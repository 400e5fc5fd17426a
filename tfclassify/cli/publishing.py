"""Verbs that give a model to others: ``publish``, ``verify``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfclassify import api
from tfclassify.cli.options import Json, Quiet, RunPath, Verbose
from tfclassify.cli.output import call, show, to_json
from tfclassify.pages.wording import format_bytes

if TYPE_CHECKING:
    from tfclassify.workflows.publish import PublishResult
    from tfclassify.workflows.verify import VerifyResult


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command(
        "publish",
        epilog="Example: tfclassify publish reports/plants/001 hf:me/plants --license mit",
    )(publish)
    app.command("verify", epilog="Example: tfclassify verify hf:me/plants")(verify)


def publish(
    run: RunPath,
    target: Annotated[str, typer.Argument(help="hf:user/name on Hugging Face's Hub, or a folder.")],
    format: Annotated[
        list[str] | None,
        typer.Option("--format", help="Artefact that goes along, such as onnx; repeatable."),
    ] = None,
    license: Annotated[
        str, typer.Option("--license", help="Terms of the model, such as apache-2.0.")
    ] = "",
    samples: Annotated[
        int, typer.Option("--samples", min=0, help="Held-out photos to publish; 0: drawn images.")
    ] = 0,
    file_names: Annotated[
        bool, typer.Option("--file-names", help="Names of the data's files may appear.")
    ] = False,
    private: Annotated[
        bool, typer.Option("--private", help="A repository that is made is private.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be published.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Publish a model with its card and with what its scores follow from."""
    result = call(api.publish, locals())
    if as_json:
        show(to_json(asdict(result) | {"is_dry": dry_run}))
    else:
        show(_describe(result, is_dry=dry_run))


def verify(
    run: Annotated[
        Path, typer.Argument(help="Folder of a published model, or its hf:user/name address.")
    ],
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compute what a published model claims of itself once more; exit code 1 if it differs."""
    result = call(api.verify, locals())
    if as_json:
        checks = [asdict(check) for check in result.checks]
        show(to_json({"is_right": result.is_right, "checks": checks}))
    else:
        show(_describe_checks(result))
    if not result.is_right:
        raise typer.Exit(1)


def _describe(result: PublishResult, *, is_dry: bool) -> str:
    lines = [f"{format_bytes(size):>10}  {name}" for name, size in result.files.items()]
    total = format_bytes(sum(result.files.values()))
    if is_dry:
        lines += ["", result.card, f"{total} would be published to {result.place}; nothing was"]
    else:
        lines.append(f"{total} published: {result.place}")
    return "\n".join(lines)


def _describe_checks(result: VerifyResult) -> str:
    lines = [
        f"{'ok ' if check.is_right else 'NO '} {check.name}: {check.found}"
        for check in result.checks
    ]
    return "\n".join(lines)
