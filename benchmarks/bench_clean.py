r"""How many changed labels are found among photos of clothes, and what mending them gains.

    python benchmarks/bench_clean.py --data ../shared/data/clothing.zip --work bench_clean

Labels of 5 % of each sender's photos are changed to another class, drawn by seed and sender.
Every photo is judged by a logistic regression on features of a frozen EfficientNet-Lite0 that
learned from the photos of other senders: five folds, as ``tfclassify crossval`` deals them.
``find_label_issues`` ranks what they say, and cleanlab ranks the same probabilities. Then the
first 200 are looked at by somebody who never errs: changed ones get their label back, the
others are kept; and all is trained again. Before and after are judged by the labels as
published, on all photos; the difference is an interval of senders drawn with replacement.
Last, the labels as published are searched, and the first suspects put on a sheet.

    python benchmarks/bench_clean.py --data ../shared/data/clothing.zip --work bench_clean_cv \
        --crossval recipes/clothing_hub.yaml --seeds 1 --set model.backbone=efficientnet_lite0 \
        --set model.input_range=null --set data.image_size=160

takes the product's own verbs instead: ``crossval`` of a recipe judges, with the changed labels
named to it by ``data.corrections``, ``clean`` lists the suspects and writes its page with their
pictures. A seed trains two cross-validations, and the labels as published one. What is there
already, from a run that was stopped, is taken or resumed.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measuring import describe_machine
from PIL import Image, ImageDraw

import tfclassify as tfc
from tfclassify.data.corrections import Correction, write_corrections
from tfclassify.data.images import decode_image
from tfclassify.data.index import Index
from tfclassify.data.readers import read_source
from tfclassify.data.scan import scan
from tfclassify.data.splits import make_folds
from tfclassify.files import write_json
from tfclassify.judging.folds import read_folds
from tfclassify.labelling.confident import LabelIssues, find_label_issues
from tfclassify.labelling.lookalikes import project
from tfclassify.labelling.suggestions import LEARNED, train_labels
from tfclassify.recipe.schema import DataRecipe, ModelRecipe
from tfclassify.runs.crossval_directory import CrossvalDirectory
from tfclassify.runs.directory import is_crossval
from tfclassify.scoring.comparison import resample_difference
from tfclassify.scoring.intervals import plan_resamples
from tfclassify.scoring.tasks import find_class_ids

FOLDS = 5
#: How many of the first suspects are counted.
DEPTHS = (50, 100, 200, 300)


def read_photos(data: Path, limit: int | None) -> Index:
    """Read the photos as the recipe for clothes does, each sender one group."""
    section: dict[str, Any] = {
        "source": str(data),
        "table": "images.csv",
        "images": "images",
        "columns": {"file": "image", "label": "label", "group": "sender_id"},
        "extension": ".jpg",
        "drop_labels": ("Not sure", "Other", "Skip"),
    }
    index = scan(read_source(DataRecipe.model_validate(section)).index).index.usable()
    return index if limit is None else index.with_frame(index.frame.iloc[:limit])


def see_photos(index: Index, size: int, weights: str) -> np.ndarray:
    """Return the features of every photo, ``(n, d)``."""
    from tfclassify.model.assembly import build_classifier

    model = ModelRecipe(backbone="efficientnet_lite0", weights=weights)
    network = build_classifier(model, 2, (size, size), seed=0).backbone
    parts, paths = [], index.paths()
    for start in range(0, len(paths), 64):
        batch = [
            decode_image(Path(path), (size, size), "letterbox")
            for path in paths[start : start + 64]
        ]
        parts.append(np.mean(network(np.stack(batch).astype(np.float32)), axis=(1, 2)))
    return np.concatenate(parts)


def change_labels(index: Index, share: float, seed: int) -> np.ndarray:
    """Return class ids of which some were changed, ``(n,)``: drawn sender by sender."""
    given, groups = (
        find_class_ids(index.targets()).copy(),
        index.frame["group"].to_numpy(dtype=object),
    )
    for number, sender in enumerate(sorted(set(groups))):
        rows = np.flatnonzero(groups == sender)
        generator = np.random.default_rng([seed, number])
        is_changed = generator.random(len(rows)) < share
        steps = generator.integers(1, len(index.classes), size=len(rows))
        given[rows] = np.where(is_changed, (given[rows] + steps) % len(index.classes), given[rows])
    return given


def judge_out_of_fold(index: Index, unit: np.ndarray, given: np.ndarray, seed: int) -> np.ndarray:
    """Return probabilities of heads that did not learn from the photo's sender, ``(n, C)``."""
    places = {image: row for row, image in enumerate(index.frame["image"])}
    probabilities = np.zeros((len(index), len(index.classes)))
    for fold in make_folds(index, folds=FOLDS, seed=seed):
        rows = np.array([places[image] for image in fold.frame["image"]])
        is_judged = (fold.frame["split"] == "test").to_numpy()
        marks = np.eye(len(index.classes), dtype=bool)[given[rows[~is_judged]]]
        answers = train_labels(unit, rows[~is_judged], marks)
        probabilities[rows[is_judged]] = answers[rows[is_judged]]
    return probabilities


@dataclass(frozen=True)
class Crossval:
    """The product's own cross-validation as the judge.

    Attributes:
        recipe: Of the photos; each sender must be one group.
        changes: Of the recipe, as ``key=value``.
        data: The source.
        work: Folder of the cross-validations.
        index: The photos with the labels as published.
        folds: Parts that the photos are dealt into.
    """

    recipe: Path
    changes: tuple[str, ...]
    data: Path
    work: Path
    index: Index
    folds: int = FOLDS

    def judge(self, given: np.ndarray, name: str) -> np.ndarray:
        """Return what models that saw no photo of its sender say of each photo, ``(n, C)``."""
        folder = self.work / name
        true, images = find_class_ids(self.index.targets()), self.index.frame["image"].tolist()
        changed = [
            Correction(images[row], "relabel", self.index.classes[given[row]])
            for row in np.flatnonzero(given != true)
        ]
        corrections = self.work / f"{name}.csv"
        write_corrections(corrections, changed)
        if is_crossval(folder):
            if not (folder / "metrics.json").exists():
                tfc.crossval(folder, resume=True, progress=False)
        else:
            words = [f"data.source={self.data.resolve()}", *self.changes]
            words += [f"data.corrections={corrections.resolve()}"] if changed else []
            tfc.crossval(self.recipe, folds=self.folds, set=words, out=folder, progress=False)
        said = read_folds(CrossvalDirectory.open(folder)).first
        assert said.classes == self.index.classes, said.classes
        rows = {image: row for row, image in enumerate(said.images)}
        return said.probabilities[[rows[image] for image in images]].astype(np.float64)

    def list_contradicted(self, name: str) -> list[int]:
        """Return the photos that ``clean`` says are labelled wrongly, in its order."""
        rows = {image: row for row, image in enumerate(self.index.frame["image"])}
        found = tfc.clean(self.work / name, features=False, photos=False, progress=False)
        return [rows[each.image] for each in found.suspects if each.kind == "label"]


def clean_published(work: Path) -> dict[str, Any]:
    """Search the labels as published by the verb; return its counts and where its page is."""
    found = tfc.clean(work / "published", progress=False)
    kinds = [each.kind for each in found.suspects]
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    return {"suspects": counts, "page": str(found.page), "table": str(found.queue)}


def count_found(ranked: np.ndarray, is_changed: np.ndarray) -> dict[str, Any]:
    """Say how many of the first suspects were changed."""
    found: dict[str, Any] = {"issues": len(ranked)}
    for depth in (*DEPTHS, int(is_changed.sum()), len(ranked)):
        hits = int(is_changed[ranked[:depth]].sum())
        found[f"first {depth}"] = {
            "precision": hits / max(1, min(depth, len(ranked))),
            "recall": hits / max(1, int(is_changed.sum())),
        }
    return found


def rank_by_cleanlab(given: np.ndarray, probabilities: np.ndarray, by: str) -> np.ndarray:
    """Rank the same suspects by cleanlab."""
    from cleanlab.filter import find_label_issues as find

    return np.asarray(
        find(given, probabilities, filter_by=by, return_indices_ranked_by="self_confidence")
    )


def compare(
    index: Index, true: np.ndarray, before: np.ndarray, after: np.ndarray
) -> dict[str, Any]:
    """Return both scores and their paired difference, by senders drawn with replacement."""
    right = [(each.argmax(axis=1) == true).astype(float) for each in (before, after)]
    plan = plan_resamples(len(index), seed=0, groups=index.frame["group"].tolist())
    first, second = (lambda weights, own=own: weights @ own / weights.sum(axis=1) for own in right)
    return {
        "before": float(right[0].mean()),
        "after": float(right[1].mean()),
        "difference": resample_difference(first, second, plan).to_dict(),
    }


def draw_sheet(index: Index, issues: LabelIssues, rows: np.ndarray, path: Path) -> None:
    """Draw the first suspects with their label and what is suggested."""
    side, columns = 180, 8
    if not len(rows):
        return
    sheet = Image.new("RGB", (columns * side, -(-len(rows) // columns) * (side + 30)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        left, top = side * (number % columns), (side + 30) * (number // columns)
        pixels = decode_image(Path(index.paths()[row]), (side, side), "letterbox")
        sheet.paste(Image.fromarray(pixels), (left, top))
        given, other = (index.classes[ids[row]] for ids in (issues.given, issues.suggested))
        draw.text((left + 2, top + side), f"{number + 1} {given}\n-> {other}", fill="black")
    sheet.save(path)


def choose_judge(
    options: argparse.Namespace, index: Index
) -> tuple[Crossval | None, Callable[[np.ndarray, str], np.ndarray]]:
    """Return what judges photos under given labels: the product's verb, or a quick stand-in."""
    if options.crossval is not None:
        if options.limit is not None:
            raise SystemExit("--crossval takes all photos of the recipe; leave out --limit")
        where = (options.data, options.work)
        crossval = Crossval(options.crossval, tuple(options.set), *where, index, options.folds)
        return crossval, crossval.judge
    stored = options.work / "features.npy"
    if not stored.exists():
        np.save(stored, see_photos(index, options.size, options.weights))
    unit = project(np.load(stored), dimensions=LEARNED)
    return None, lambda given, name: judge_out_of_fold(index, unit, given, 0)


def try_seed(
    seed: int,
    index: Index,
    judge: Callable[[np.ndarray, str], np.ndarray],
    crossval: Crossval | None,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Change labels, look for them, mend the first suspects and train again."""
    true, given = find_class_ids(index.targets()), change_labels(index, options.share, seed)
    is_changed = given != true
    before = judge(given, f"seed-{seed}-changed")
    issues = find_label_issues(given, before)
    if crossval is not None:
        assert crossval.list_contradicted(f"seed-{seed}-changed") == issues.rank().tolist()
    mended = given.copy()
    looked_at = issues.rank()[: options.look_at]
    mended[looked_at] = true[looked_at]
    after = judge(mended, f"seed-{seed}-mended")
    return {
        "changed": int(is_changed.sum()),
        "found": {
            "ours": count_found(issues.rank(), is_changed),
            "ours, by margin": count_found(issues.rank("margin"), is_changed),
            **{
                f"cleanlab, {by}": count_found(rank_by_cleanlab(given, before, by), is_changed)
                for by in ("confident_learning", "prune_by_noise_rate")
            },
        },
        "suggested is true": float((issues.suggested == true)[issues.is_issue & is_changed].mean()),
        "looked at": len(looked_at),
        "mended": int(is_changed[looked_at].sum()),
        "accuracy": compare(index, true, before, after),
    }


def describe_seed(seed: int, found: dict[str, Any]) -> None:
    """Print what came of a seed."""
    print(f"seed {seed}: {found['changed']} labels changed")
    for name, counts in found["found"].items():
        print(f"  {name}, {counts['issues']} suspects")
        for depth, hit in counts.items():
            if depth != "issues":
                print(f"    {depth}: precision {hit['precision']:.2f}, recall {hit['recall']:.2f}")
    scores, gain = found["accuracy"], found["accuracy"]["difference"]
    print(
        f"  of changed suspects {found['suggested is true']:.0%} are suggested the true label\n"
        f"  {found['mended']} of the first {found['looked at']} mended and trained again: accuracy "
        f"{scores['before']:.3f} to {scores['after']:.3f}, by {gain['value']:+.3f} "
        f"({gain['low']:+.3f} to {gain['high']:+.3f})",
        flush=True,
    )


def main() -> None:
    """Run all of it; features that are there are taken."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--look-at", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--crossval", type=Path, help="a recipe for the product's own judges")
    parser.add_argument("--set", action="append", default=[], help="a change of that recipe")
    parser.add_argument("--folds", type=int, default=FOLDS, help="of that cross-validation")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    index = read_photos(options.data, options.limit)
    started = time.perf_counter()
    crossval, judge = choose_judge(options, index)
    true = find_class_ids(index.targets())
    result: dict[str, Any] = {
        "images": len(index),
        "senders": int(index.frame["group"].nunique()),
        "judge": f"{options.crossval} {' '.join(options.set)}" if crossval else options.size,
        "ready_seconds": time.perf_counter() - started,
        "seeds": [],
    }
    for seed in range(options.seeds):
        found = try_seed(seed, index, judge, crossval, options)
        result["seeds"].append(found)
        describe_seed(seed, found)
    published = judge(true, "published")
    issues = find_label_issues(true, published)
    draw_sheet(index, issues, issues.rank()[:48], options.work / "suspects.png")
    result |= {
        "published": {
            "accuracy": float((published.argmax(axis=1) == true).mean()),
            "issues": int(issues.is_issue.sum()),
            "share": float(issues.is_issue.mean()),
            **(clean_published(options.work) if crossval else {}),
        },
        "seconds": time.perf_counter() - started,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "machine": describe_machine(),
    }
    write_json(options.out or options.work / "clean.json", result)
    print(f"labels as published: {result['published']}\n{result['seconds']:.0f} s")


if __name__ == "__main__":
    main()
