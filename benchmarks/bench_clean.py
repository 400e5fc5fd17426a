"""How many changed labels ``clean`` finds among photos of clothes, and what mending them gains.

    python benchmarks/bench_clean.py --data ../shared/data/clothing.zip --work bench_clean

Labels of 5 % of each sender's photos are changed to another class, drawn by seed and sender.
A grouped cross-validation of a frozen EfficientNet-Lite0 judges every photo without having
trained on its sender; ``clean`` ranks what it says, and cleanlab ranks the same probabilities.
Then the first 200 are looked at by somebody who never errs: changed ones get their label back,
the others are kept. The same cross-validation is run again. Both are judged by the labels as
published, on all photos; the difference is an interval of senders drawn with replacement.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

import tfclassify as tfc
from tfclassify.data.corrections import Correction, write_corrections
from tfclassify.data.readers import read_source
from tfclassify.recipe.loading import build_recipe

CHANGED, LOOKED_AT, FOLDS = 0.05, 200, 5


def make_recipe(data: Path, name: str, corrections: Path | None = None) -> dict[str, Any]:
    """Return the recipe: a frozen backbone, a head trained on cached features."""
    return {
        "name": name,
        "data": {
            "source": str(data),
            "table": "images.csv",
            "images": "images",
            "columns": {"file": "image", "label": "label", "group": "sender_id"},
            "extension": ".jpg",
            "drop_labels": ["Not sure", "Other", "Skip"],
            "image_size": 112,
            "resize": "letterbox",
            **({"corrections": str(corrections)} if corrections else {}),
        },
        "model": {"backbone": "efficientnet_lite0", "head": {"dropout": 0.3}},
        "batch_size": 32,
        "phases": [
            {
                "name": "head",
                "train": "head",
                "epochs": 12,
                "learning_rate": 2e-3,
                "schedule": "cosine",
                "features": {"views": 1},
                "augment": False,
            }
        ],
    }


def change_labels(data: Path, path: Path, seed: int) -> dict[str, str]:
    """Write corrections that make labels wrong; return the true labels of all photos."""
    index = read_source(build_recipe(make_recipe(data, "x")).data).index
    frame = index.frame[index.frame["status"] == "ok"]
    changes = []
    for number, sender in enumerate(sorted(set(frame["group"]))):
        generator = np.random.default_rng([seed, number])
        for row in frame[frame["group"] == sender].itertuples():
            others = [name for name in index.classes if name != row.label]
            other = others[generator.integers(len(others))]
            if generator.random() < CHANGED:
                changes.append(Correction(row.image, "relabel", other, "changed on purpose"))
    write_corrections(path, changes)
    return dict(zip(frame["image"], frame["label"], strict=True))


def cross_validate(data: Path, work: Path, name: str, corrections: Path) -> Path:
    """Cross-validate, or go on with what is there; return the folder."""
    place = work / name
    if (place / "report.html").exists():
        return place
    if (place / "crossval.json").exists():
        tfc.crossval(resume=True, out=place)
    else:
        tfc.crossval(make_recipe(data, name, corrections), folds=FOLDS, out=place)
    return place


def main() -> None:
    """Run all of it; what is done already is not done again."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    wrong = options.work / "changed.csv"
    true = change_labels(options.data, wrong, options.seed)
    started = time.perf_counter()
    place = cross_validate(options.data, options.work, "changed", wrong)
    print("cross-validated", round(time.perf_counter() - started), "s")


if __name__ == "__main__":
    main()
