"""Images without a recipe within a time, against the fixed default within the same time.

    python benchmarks/bench_time.py plants digits --minutes 6 --out bench_time.json

Both sides get the same recipe for the images, split and metric included. One is trained by
``train photos/ --time``: networks are probed, backbone and size are chosen. The other keeps
the recipe's own backbone and size, and only its epochs are fitted to the time. Both are
judged on the same held-out images without views (the test part, where there is one), the
difference paired, whole senders drawn where there are senders. About twice the minutes for
each data set.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from measuring import describe_machine

from tfclassify.events import SILENT
from tfclassify.files import write_json
from tfclassify.recipe.loading import load_recipe
from tfclassify.runs.documents import Choice, read_document
from tfclassify.tuning.selection import judge_choices
from tfclassify.workflows.recipes import open_recipe
from tfclassify.workflows.train import TrainRequest, TrainResult, train_recipe


@dataclass(frozen=True)
class Images:
    """A data set.

    Attributes:
        source: What ``train`` is given, below the folder of data sets if it is a path.
        columns: Of its table.
        changes: What its recipe is to have.
    """

    source: str
    columns: dict[str, str | None] = field(default_factory=dict)
    changes: tuple[str, ...] = ()


SETS = {
    "plants": Images("plants.zip"),
    "clothing": Images(
        "clothing.zip",
        {"file": "image", "label": "label", "group": "sender_id"},
        ("data.drop_labels=[Not sure, Other, Skip]", "metric=f1_weighted"),
    ),
    "digits": Images("builtin:digits"),
    "coco256": Images("coco256.zip"),
}


def main() -> None:
    """Print a line a data set, and write all where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("sets", nargs="+", help=f"{', '.join(SETS)}, or a folder of photos")
    parser.add_argument("--minutes", type=float, default=6.0, help="of each side")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="their folder")
    parser.add_argument("--set", action="append", default=[], help="a change of the recipes")
    parser.add_argument("--work", type=Path, help="where the runs stay; default: nowhere")
    parser.add_argument("--out", type=Path, help="JSON to write")
    options = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.sets:
            work = (options.work or Path(folder)) / Path(name).name
            shutil.rmtree(work, ignore_errors=True)
            rows[name] = compare(SETS.get(name, Images(name)), options, work)
            print(f"{name}: {json.dumps(rows[name])}", flush=True)
    if options.out is not None:
        machine = describe_machine()
        write_json(options.out, {"machine": machine, "minutes": options.minutes, "sets": rows})


def compare(images: Images, options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Train both sides, the fixed one first, and set them side by side."""
    path = options.data / images.source
    source, changes = str(path if path.exists() else images.source), images.changes
    changes = (*changes, *options.set)
    default = open_recipe(source, changes, SILENT, images.columns)
    both: dict[str, TrainResult] = {}
    for name, given in (("fixed", default), ("chosen", source)):
        started = time.perf_counter()
        request = TrainRequest(
            given,
            changes if name == "chosen" else (),
            out=work / name,
            columns=images.columns if name == "chosen" else {},
            seconds=60 * options.minutes,
        )
        both[name] = train_recipe(request)
        print(f"  {name}: {time.perf_counter() - started:.0f} s", flush=True)
    fixed, chosen = (both[name].verdicts[-1] for name in ("fixed", "chosen"))
    if fixed.answers.images != chosen.answers.images:
        raise SystemExit(f"{source}: the two sides have other held-out images")
    metric = default.metric
    found = judge_choices(fixed.answers, chosen.answers, (), metric=metric, seed=0)
    return {
        "metric": metric,
        "judged_on": fixed.split,
        "images": len(fixed.answers),
        "fixed": found.start.to_dict(),
        "chosen": found.honest.to_dict(),
        "difference": found.gain.to_dict(),
        **{f"{name}_is": describe(result) for name, result in both.items()},
    }


def describe(result: TrainResult) -> dict[str, Any]:
    """Say what was trained and how long it took."""
    recipe = load_recipe(result.run / "recipe.yaml")
    lines = read_document(Choice, result.run / "choice.json", "").lines
    return {
        "backbone": recipe.model.backbone,
        "image_size": list(recipe.data.image_size),
        "epochs": result.epochs,
        "seconds": round(result.seconds, 1),
        "told": list(lines),
    }


if __name__ == "__main__":
    main()
