"""Verbs that carry a model elsewhere: ``export``, ``compress``, ``publish``, ``verify``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from tfclassify import api
from tfclassify.cli.command import command
from tfclassify.cli.output import show, to_json
from tfclassify.recipe.wording import format_bytes

if TYPE_CHECKING:
    from tfclassify.export.artefact import Artefact
    from tfclassify.workflows.compress import CompressResult
    from tfclassify.workflows.export import ExportResult
    from tfclassify.workflows.publish import PublishResult
    from tfclassify.workflows.verify import VerifyResult


@command(api.export, "tfclassify export reports/plants/001 --format onnx --format litert")
def export(result: ExportResult, *, as_json: bool) -> str:
    """Write what was written, and how well each agrees."""
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


@command(api.compress, "tfclassify compress reports/plants/001 --macs 0.5 --int8 static")
def compress(result: CompressResult, *, as_json: bool) -> str:
    """Write what each variant costs and keeps."""
    if as_json:
        from tfclassify.files import to_plain

        return to_json(to_plain(result.report.to_dict()))
    return f"{result.report.to_text()}\n\n{result.page}"


def _describe_published(result: PublishResult, *, is_dry: bool) -> str:
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


@command(
    api.publish,
    "tfclassify publish reports/plants/001 hf:me/plants --license mit",
    samples={"min": 0},
)
def publish(result: PublishResult, *, dry_run: bool, as_json: bool) -> str:
    """Write what was published, or would be."""
    if as_json:
        return to_json(asdict(result) | {"is_dry": dry_run})
    return _describe_published(result, is_dry=dry_run)


@command(api.verify, "tfclassify verify hf:me/plants")
def verify(result: VerifyResult, *, as_json: bool) -> None:
    """Write each check; the exit code is 1 where one fails."""
    if as_json:
        checks = [asdict(check) for check in result.checks]
        show(to_json({"is_right": result.is_right, "checks": checks}))
    else:
        show(_describe_checks(result))
    if not result.is_right:
        raise typer.Exit(1)
