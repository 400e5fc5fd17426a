"""How often the intervals of "search, then choose" hold the truth.

    python benchmarks/bench_selection.py --seeds 200

Trials are made up: each is right on an image with a chance of its own, so the truth is
known. A search chooses the best on the images; what ``tuning.selection`` says of the
choice is compared with the chance of the chosen trial. Nothing is trained.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from measuring import describe_machine

from tfclassify.files import write_json
from tfclassify.tuning.selection import TrialAnswers, select

#: Name: trials, images, chance of each, chance of trial 5.
CASES = {
    "60 coins": (60, 100, 0.5, 0.5),
    "20, one at 0.80, the others at 0.60": (20, 200, 0.6, 0.8),
    "20, one at 0.63, the others at 0.60": (20, 400, 0.6, 0.63),
}


def simulate(trials: int, images: int, chance: float, best: float, seeds: int) -> dict[str, float]:
    """Search and choose once a seed; return means and coverages."""
    found = []
    for seed in range(seeds):
        rates = np.full(trials, chance)
        rates[5] = best
        right = np.random.default_rng(seed + 1000).random((trials, images)) < rates[:, None]
        targets = np.eye(2, dtype=np.float32)[np.arange(images) % 2]
        answers = np.where(right[..., None], targets, 1 - targets).astype(np.float32) * 0.8 + 0.1
        chosen = select(
            TrialAnswers("multi_class", "accuracy", targets, range(trials), answers), seed=seed
        )
        truth = rates[chosen.best]
        found.append(
            (
                truth,
                chosen.naive.value,
                chosen.honest.value,
                chosen.honest.low <= truth <= chosen.honest.high,
                chosen.gain.low <= truth - rates[0] <= chosen.gain.high,
            )
        )
    names = ("truth", "naive", "honest", "interval_holds", "difference_holds")
    return dict(zip(names, np.mean(np.array(found, dtype=float), axis=0).tolist(), strict=True))


def main() -> None:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    table = {name: simulate(*case, options.seeds) for name, case in CASES.items()}
    for name, row in table.items():
        print(f"{name:38}", "  ".join(f"{key} {value:.3f}" for key, value in row.items()))
    if options.out is not None:
        write_json(
            options.out, {"machine": describe_machine(), "seeds": options.seeds, "cases": table}
        )


if __name__ == "__main__":
    main()
