"""A search that learns, against one at random and the recipe as it is, at equal time.

    python benchmarks/bench_search.py plants clothing --minutes 3 --out bench_search.json

For each seed a recipe trains a head on the frozen features of a network, and two searches of
the head get the same minutes: ``--sampler tpe`` and ``--sampler random``. What each found,
and the recipe as it is, are trained as runs and judged on a test part that no trial looked
at, another one for each seed. The rows give each seed's scores, the last one all seeds
together: images that are in several test parts, or of one sender, are drawn together.
About ``seeds x (2 x minutes + 2)`` minutes for each data set.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from measuring import describe_machine

from tfclassify.files import write_json
from tfclassify.scoring.verdicts import Answers
from tfclassify.tuning.selection import judge_choices
from tfclassify.workflows.train import TrainRequest, train_recipe
from tfclassify.workflows.tune import TuneRequest, tune_recipe

SAMPLERS = ("tpe", "random")
SETS: dict[str, dict[str, Any]] = {
    "plants": {"source": "plants.zip"},
    "clothing": {
        "source": "clothing.zip",
        "table": "images.csv",
        "images": "images",
        "columns": {"file": "image", "label": "label", "group": "sender_id"},
        "extension": ".jpg",
        "drop_labels": ["Not sure", "Other", "Skip"],
        "resize": "letterbox",
    },
}


def main() -> None:
    """Print a line a seed, and write all where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("sets", nargs="+", help=f"{', '.join(SETS)}, or a folder of photos")
    parser.add_argument("--minutes", type=float, default=3.0, help="of each search")
    parser.add_argument("--trials", type=int, help="trials at most, in place of the time")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=96, help="height and width in pixels")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--epochs", type=int, default=15, help="epochs of a trial")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="their folder")
    parser.add_argument("--out", type=Path, help="JSON to write")
    options = parser.parse_args()
    found = {}
    for name in options.sets:
        with tempfile.TemporaryDirectory() as work:
            found[name] = compare(name, options, Path(work))
    if options.out is not None:
        facts = {"minutes": options.minutes, "size": options.size, "epochs": options.epochs}
        write_json(options.out, {"machine": describe_machine(), **facts, "sets": found})


def compare(name: str, options: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    """Search with every seed; return a row a seed and one of all together."""
    rows, parts = [], []
    for seed in range(options.seeds):
        answers, facts = search(make_recipe(name, options, seed), options, work / str(seed))
        parts.append(answers)
        rows.append({"seed": seed, **judge(answers), **facts})
        print(f"{name}: {json.dumps(rows[-1])}", flush=True)
    together = {side: join([part[side] for part in parts]) for side in ("as_it_is", *SAMPLERS)}
    rows.append({"seed": "all", **judge(together)})
    print(f"{name}: {json.dumps(rows[-1])}", flush=True)
    return rows


def make_recipe(name: str, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Write a recipe that trains a head on stored features, and holds a test part out."""
    data = dict(SETS.get(name, {"source": name}))
    path = options.data / data["source"]
    data["source"] = str(path if path.exists() else data["source"])
    phase = {"name": "head", "train": "head", "epochs": options.epochs, "schedule": "cosine"}
    return {
        "name": "search",
        "seed": seed,
        "data": data | {"image_size": options.size, "validation": 0.2, "test": 0.2},
        "model": {"backbone": options.backbone, "weights": options.weights},
        "phases": [phase | {"learning_rate": 1e-3, "features": {"views": 1}}],
        "search": "head",
    }


def search(
    recipe: dict[str, Any], options: argparse.Namespace, work: Path
) -> tuple[dict[str, Answers], dict[str, Any]]:
    """Return what the recipe and both searches' best recipes say of the test images."""
    answers = {"as_it_is": train(recipe, work / "as_it_is")}
    facts: dict[str, Any] = {}
    for sampler in SAMPLERS:
        seconds = None if options.trials else 60 * options.minutes
        request = TuneRequest(
            recipe,
            trials=options.trials,
            seconds=seconds,
            sampler=sampler,
            seed=recipe["seed"],
            out=work / f"{sampler}-search",
        )
        result = tune_recipe(request)
        answers[sampler] = train(result.best, work / sampler)
        naive = result.selection.naive.value if result.selection else None
        facts[f"{sampler}_search"] = {
            "trials": len(result.trials),
            "seconds": round(result.seconds),
            "validation_of_the_best": naive,
        }
    return answers, facts


def train(recipe: Any, out: Path) -> Answers:
    """Train a run; return its answers on the test images."""
    return train_recipe(TrainRequest(recipe, out=out)).verdicts[-1].answers


def judge(answers: dict[str, Answers]) -> dict[str, Any]:
    """Return every side's accuracy, and how much the searches are above what is below them."""
    own = answers["as_it_is"]
    found: dict[str, Any] = {"images": len(own)}
    for sampler in SAMPLERS:
        pair = judge_choices(own, answers[sampler], (), metric="accuracy", seed=0)
        found["as_it_is"] = pair.start.to_dict()
        found[sampler] = pair.honest.to_dict()
        found[f"{sampler}_above_as_it_is"] = pair.gain.to_dict()
    pair = judge_choices(answers["random"], answers["tpe"], (), metric="accuracy", seed=0)
    found["tpe_above_random"] = pair.gain.to_dict()
    return found


def join(parts: list[Answers]) -> Answers:
    """Put the seeds' answers behind one another; an image is a group of its own with itself."""
    joined = Answers.join(parts)
    pairs = zip(joined.groups, joined.images, strict=True)
    return replace(joined, groups=tuple(group or f"image {image}" for group, image in pairs))


if __name__ == "__main__":
    main()
