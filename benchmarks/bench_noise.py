"""Whether a cross-validation of pure noise says that it knows nothing.

    python benchmarks/bench_noise.py --seeds 40 --out reports/bench_noise.json

Random pixels, labels of two classes by chance, half of the images each: whatever a model
answers, it is right in half of the cases. Each seed makes its own images and
cross-validates the same recipe, which chooses the best epoch by accuracy and stops early;
both flatter where the judged images have a part in it. Counted is how often the 95 %
interval of the out-of-fold accuracy holds the 50 % that is true, and how far the mean is
from it. Pages are not drawn: they take longer than the training.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import numpy as np
from measuring import describe_machine
from PIL import Image

from tfclassify.files import write_json

RECIPE = """\
name: noise
seed: {seed}
metric: accuracy
batch_size: 64
data: {{source: {photos}, image_size: 8, validation: 0.25}}
model: {{backbone: custom_cnn, weights: none, layers: [{{conv: 8}}, {{pool: 2}}]}}
phases:
  - name: only
    train: all
    epochs: 6
    learning_rate: 0.01
    keep_best: accuracy
    early_stopping: {{metric: accuracy, patience: 4}}
"""


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def make_noise(folder: Path, images: int, seed: int) -> Path:
    """Write images of random pixels into two folders, half of them into each, by chance."""
    generator = np.random.default_rng(seed)
    for number, half in enumerate(generator.permutation(images) % 2):
        label = folder / "ab"[half]
        label.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(label / f"{number:03}.png")
    return folder


def cross_validate(home: Path, seed: int, images: int, folds: int) -> dict[str, float]:
    """Return the out-of-fold accuracy of noise with the ends of its interval."""
    from tfclassify.workflows import crossval, train

    photos = make_noise(home / "photos", images, seed)
    recipe = home / "noise.yaml"
    recipe.write_text(RECIPE.format(seed=seed, photos=photos), "utf-8")
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(train, "draw_thumbnail", return_value=None))
        stack.enter_context(mock.patch("tfclassify.workflows.reporting.write_run_report"))
        stack.enter_context(mock.patch.object(crossval, "_write_page"))
        request = crossval.CrossvalRequest(recipe, folds=folds, out=home / "cv")
        result = crossval.crossval_recipe(request)
    found = result.judgement.metrics["accuracy"]
    return {"seed": seed, "value": found.value, "low": found.low, "high": found.high}


def main() -> None:
    """Cross-validate one set of noise a seed and count how often the interval holds 50 %."""
    arguments = parse_arguments()
    rows = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        with tempfile.TemporaryDirectory() as home:
            row = cross_validate(Path(home), seed, arguments.images, arguments.folds)
        rows.append(row)
        print("seed {seed:>3}  {value:.3f}  ({low:.3f}-{high:.3f})".format(**row), flush=True)
    values = np.array([row["value"] for row in rows])
    holds = [row["low"] <= 0.5 <= row["high"] for row in rows]
    summary = {
        "seeds": len(rows),
        "images": arguments.images,
        "folds": arguments.folds,
        "holds_half": float(np.mean(holds)),
        "mean_accuracy": float(values.mean()),
        "deviation": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
    }
    print(summary)
    if arguments.out is not None:
        write_json(arguments.out, {**summary, "rows": rows, "machine": describe_machine()})


if __name__ == "__main__":
    main()
