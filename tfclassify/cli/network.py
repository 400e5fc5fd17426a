"""Verbs about networks: ``backbones`` and ``profile``."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfclassify import api
from tfclassify.cli.command import command, complete_backbones, complete_runs
from tfclassify.cli.output import print_or_write, to_json
from tfclassify.pages.tables import Column, render_table

if TYPE_CHECKING:
    from tfclassify.workflows.backbones import BackboneExport, BackboneRow
    from tfclassify.workflows.profile import Profiled


class ProfileFormat(StrEnum):
    """Forms of the result."""

    table = "table"
    csv = "csv"
    json = "json"
    html = "html"


def _render_export(result: BackboneExport, *, as_json: bool) -> str:
    """Write where a hub module was written, and how a recipe uses it."""
    if as_json:
        return to_json({**vars(result), "folder": str(result.folder)})
    (height, width), (low, high) = result.image_size, result.input_range
    size = str(height) if height == width else f"[{height}, {width}]"
    return (
        f"{result.folder}: {result.features} features of an image of {height}x{width}\n"
        f"in a recipe: data: {{image_size: {size}}}, "
        f"model: {{backbone: hub:{result.folder}, input_range: [{low:g}, {high:g}]}}"
    )


def _render_backbones(rows: Sequence[BackboneRow], *, as_json: bool) -> str:
    """Write the list of backbones."""
    if as_json:
        return to_json([vars(row) for row in rows])
    columns = [
        Column("name"),
        Column("parameters", "right"),
        Column("input size", "right"),
        Column("source"),
        Column("weights"),
    ]
    return render_table(
        columns,
        [
            [
                row.name,
                f"{row.parameters / 1e6:.1f} M" if row.parameters else "",
                " x ".join(map(str, row.image_size)),
                row.source,
                _say_weights(row),
            ]
            for row in rows
        ],
    )


def _say_weights(row: BackboneRow) -> str:
    if row.parameters is None:
        return "none"
    return "here" if row.has_weights_here else "download"


def _render_profiles(found: Sequence[Profiled], form: str) -> str:
    """Write profiles as ``table``, ``csv``, ``json`` or ``html``."""
    from tfclassify.pages.profile_page import (
        render_networks,
        render_profile,
        render_profile_page,
        write_layers_csv,
        write_networks_csv,
    )
    from tfclassify.workflows.profile import describe_network

    if form == "json":
        contents = [each.profile.to_dict(each.layers) for each in found]
        return to_json(contents[0] if len(contents) == 1 else contents)
    networks = [describe_network(each, is_whole=form == "html") for each in found]
    if form == "html":
        from tfclassify.pages.rendering import format_now

        return render_profile_page(networks, created=format_now())
    of_one, of_several = (
        (render_profile, render_networks)
        if form == "table"
        else (write_layers_csv, write_networks_csv)
    )
    return of_one(networks[0]) if len(networks) == 1 else of_several(networks)


@command(
    api.backbones,
    "tfclassify backbones efficientnet_lite0 --export lite0_hub",
    name={"autocompletion": complete_backbones},
)
def backbones(result: tuple[BackboneRow, ...] | BackboneExport, *, as_json: bool) -> str:
    """Write the list of backbones, or what was exported."""
    if isinstance(result, tuple):
        return _render_backbones(result, as_json=as_json)
    return _render_export(result, as_json=as_json)


def _complete_targets(incomplete: str) -> list[str]:
    return [*complete_backbones(incomplete), *complete_runs(incomplete)]


def _own(name: str, kind: Any, default: Any, meaning: str) -> Parameter:
    told = Annotated[kind, typer.Option(f"--{name}", help=meaning)]
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=told, default=default)


@command(
    api.profile,
    "tfclassify profile resnet50 --no-latency --top 10",
    own=(
        _own("format", ProfileFormat, ProfileFormat.table, "table, csv, json or html."),
        _own("out", Path | None, None, "File to write."),
    ),
    targets={"autocompletion": _complete_targets},
    batch_size={"min": 1},
    depth={"min": 1},
    top={"min": 1},
    sweep={"metavar": "image_size=A,B"},
)
def profile(
    found: Profiled | tuple[Profiled, ...], *, format: ProfileFormat, out: Path | None
) -> None:
    """Write profiles, to a file if one is named."""
    networks = found if isinstance(found, tuple) else (found,)
    print_or_write(_render_profiles(networks, format.value), out)
