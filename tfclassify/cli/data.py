"""Verbs that take images, and what a recipe may say: ``inspect``, ``new``, ``pack``, ``schema``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfclassify import api
from tfclassify.cli.command import command
from tfclassify.cli.output import to_json
from tfclassify.files import to_plain
from tfclassify.pages.wording import count_of, format_bytes

if TYPE_CHECKING:
    from tfclassify.workflows.inspect import InspectResult
    from tfclassify.workflows.pack import PackResult


@command(api.inspect, "tfclassify inspect photos.zip --html photos.html")
def inspect(result: InspectResult, *, as_json: bool) -> str:
    """Write what a source holds."""
    from tfclassify.pages.data_page import describe_integrity, describe_label_sets

    statistics = result.statistics
    if as_json:
        return to_json(
            {
                "source": result.data.source,
                "classes": list(result.data.classes),
                "counts": {name: list(counts) for name, counts in result.data.counts.items()},
                "images": {name: result.data.total(name) for name in result.data.counts},
                "remarks": list(result.remarks),
                "statistics": statistics.to_dict(),
                "quarantined": result.integrity.quarantined,
                "findings": [vars(row) for row in result.integrity.rows],
            }
        )
    colours = statistics.colours
    channels = ("red", "green", "blue")
    pairs = zip(channels, colours.mean, colours.std, strict=True)
    facts = [
        f"width   {_say_spread(statistics.width)}",
        f"height  {_say_spread(statistics.height)}",
        "colours "
        + ", ".join(f"{name} {mean:.0f} ± {std:.0f}" for name, mean, std in pairs)
        + f" (mean ± standard deviation of 0..255, {count_of(colours.images, 'image')})",
    ]
    if statistics.flags:
        marks = (f"{name} {count:,}" for name, count in statistics.flags.items())
        facts.append(f"marks   {', '.join(marks)}")
    parts = ["\n".join(result.remarks)] if result.remarks else []
    parts += [result.data.table.to_text(), "\n".join(facts)]
    if statistics.label_sets is not None:
        parts.insert(-1, describe_label_sets(statistics.label_sets))
    parts.append(describe_integrity(result.integrity))
    if result.html:
        parts.append(f"page  {result.html}")
    return "\n\n".join(parts)


def _say_spread(spread: Any) -> str:
    return f"{spread.low:.0f} to {spread.high:.0f} pixels, median {spread.median:.0f}"


@command(api.new, "tfclassify new flowers --data photos/")
def new(path: Path, *, quiet: bool) -> str:
    """Write what was found out about the images, and what comes next."""
    header = "" if quiet else path.read_text("utf-8").partition("\n#\n")[0]
    told = header.replace("# ", "", 1).replace("\n#", "\n") + "\n" if header else ""
    return f"{told}{path}\nnext: tfclassify check {path} && tfclassify train {path}"


@command(api.pack, "tfclassify pack photos/ --out shards/")
def pack(result: PackResult, *, as_json: bool) -> str:
    """Write what was packed, and what comes next."""
    if as_json:
        return to_json(to_plain(vars(result)))
    lines = [
        *result.remarks,
        f"{result.out}: {count_of(result.images, 'image')} in {count_of(result.shards, 'shard')}, "
        f"{format_bytes(result.size_bytes)}",
        f"next: tfclassify train {result.out}, or data.source: {result.out} in a recipe",
    ]
    return "\n".join(lines)


@command(api.schema, "tfclassify schema > recipe.schema.json")
def schema(content: dict[str, Any]) -> str:
    """Write the schema as JSON."""
    return json.dumps(content, indent=2)
