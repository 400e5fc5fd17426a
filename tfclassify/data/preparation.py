"""From a recipe to images that can be trained on.

Owns: the order of reading, scanning and splitting, and the report over all of it.
Does not own: any of these steps.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tfclassify.data.index import Index, load_index, save_index
from tfclassify.data.integrity import (
    CORRECTED_KINDS,
    STORAGE_KINDS,
    Finding,
    IntegrityReport,
    make_report,
)
from tfclassify.data.leaks import find_near_duplicates, find_shared_groups
from tfclassify.data.readers import ReadResult, read_source
from tfclassify.data.scan import Scan, scan
from tfclassify.data.shards import is_shards
from tfclassify.data.splits import make_folds, split_index
from tfclassify.data.statistics import count_labels
from tfclassify.errors import DataError, explain_unread
from tfclassify.events import SILENT, Observer
from tfclassify.files import write_json
from tfclassify.recipe.schema import DataRecipe, Recipe
from tfclassify.recipe.wording import suggest


@dataclass(frozen=True)
class PreparedData:
    """Images that were read, looked at and split.

    Attributes:
        index: Every image with its status and split.
        integrity: What was found wrong or unusual.
        thumbnails: The images in small, ``(n, 9, 9, 3)`` uint8, by which near-duplicates
            are found; None where they were not made just now.
    """

    index: Index
    integrity: IntegrityReport
    thumbnails: np.ndarray | None = None

    def save(self, index_path: Path, integrity_path: Path) -> None:
        """Write both parts, each atomically."""
        write_json(integrity_path, self.integrity.to_dict())
        save_index(self.index, index_path)

    @classmethod
    def load(cls, index_path: Path, integrity_path: Path) -> PreparedData:
        """Read what ``save`` wrote.

        Raises:
            DataError: If a file is absent or damaged.
        """
        try:
            integrity = IntegrityReport.read(integrity_path)
        except (OSError, ValueError) as error:
            reason = explain_unread(error, "train again")
            raise DataError(
                f"{integrity_path}: the integrity report cannot be read: {reason}"
            ) from error
        return cls(load_index(index_path), integrity)


def survey_source(data: DataRecipe, *, observer: Observer = SILENT) -> PreparedData:
    """Read and check a source without splitting it; its images may be unlabelled.

    Args:
        data: Names the source; only a source's own split is in the index.
        observer: Told of progress; the findings are in the result alone.

    Raises:
        SourceError: If the source cannot be read.
        ArchiveError: If an archive is unsafe or damaged.
        DownloadError: If an address cannot be fetched.
    """
    read = read_source(data, observer=observer)
    scanned = scan(read.index, max_pixels=data.max_pixels, observer=observer)
    findings = [*read.findings, *scanned.findings]
    if read.index.classes:
        findings += find_few_images(scanned.index, data)
    only = _find_only_class(read.index, Path(data.source))
    if only is not None:
        told = f"{only!r} is the only class; training needs 2 or more"
        findings.append(Finding("", "one_class", told))
    return PreparedData(scanned.index, _report(scanned.index, findings))


def prepare_labelled(
    recipe: Recipe,
    source: str,
    classes: tuple[str, ...],
    *,
    observer: Observer = SILENT,
) -> PreparedData:
    """Read and check other images for a model that is trained, as its recipe reads its own.

    Dropped and merged labels are treated as in the recipe, without having to occur.

    Args:
        recipe: What the model was trained by.
        source: Source of the labelled images.
        classes: The model's classes, in its order.
        observer: Told of progress, and warned of what was found.

    Returns:
        The index with the model's classes and without new splits, and the report.

    Raises:
        DataError: If the images have no labels.
        SourceError: If the source cannot be read, or a label is not among the classes.
        IntegrityError: If images are unusable and ``data.strict`` is set.
    """
    data = recipe.data.model_copy(
        update={
            "source": source,
            "sha256": None,
            "download_from": None,
            "classes": classes,
            "corrections": None,
        }
    )
    read = _read(data, recipe, observer, is_other=True)
    if not (read.index.frame["label"] != "").any():
        advice = "put each class into a folder of its own"
        if recipe.task == "multi_label":
            advice = "list them in a table as the recipe reads it"
        raise DataError(
            f"{source}: the images have no labels to judge by; {advice}, or use `tfclassify "
            "predict`"
        )
    scanned = scan(read.index, max_pixels=data.max_pixels, observer=observer)
    integrity = _report(scanned.index, [*read.findings, *scanned.findings])
    if data.strict:
        integrity.check_strict()
    tell_findings(integrity, observer)
    return PreparedData(scanned.index, integrity, scanned.thumbnails)


def prepare_data(
    recipe: Recipe,
    *,
    observer: Observer = SILENT,
    folds: int | None = None,
) -> PreparedData:
    """Read, check and split the images of a recipe for training.

    Args:
        recipe: Its section ``data`` and its seed are used.
        observer: Told of progress, and warned of what was found.
        folds: Where the images will be dealt into so many folds: no validation images are
            split off, and near-duplicates are looked for across the folds.

    Returns:
        The index, split, and the integrity report.

    Raises:
        SourceError: If the source cannot be read.
        ArchiveError: If an archive is unsafe or damaged.
        DownloadError: If an address cannot be fetched.
        IntegrityError: If images are unusable and ``data.strict`` is set.
        DataError: If the images are not labelled, or too few to split.
    """
    data = recipe.data
    read = _read(data, recipe, observer)
    _check_labelled(read.index, recipe)
    scanned = scan(read.index, max_pixels=data.max_pixels, observer=observer)
    findings = [*read.findings, *scanned.findings, *find_few_images(scanned.index, data)]
    _check_usable(read.index, scanned, recipe)
    if data.strict:
        _report(scanned.index, findings).check_strict()
    split, found = _split(scanned, recipe, observer, folds)
    findings += found
    integrity = _report(split, findings)
    if data.strict:
        integrity.check_strict()
    tell_findings(integrity, observer)
    return PreparedData(split, integrity, scanned.thumbnails)


def _read(
    data: DataRecipe, recipe: Recipe, observer: Observer, *, is_other: bool = False
) -> ReadResult:
    """Read a source, as one label an image where a task of one reads columns of marks.

    Raises:
        DataError: If an image has no mark, or several, and the task is multi_class.
    """
    read = read_source(data, observer=observer, is_other=is_other)
    if recipe.task == "multi_label" or not (read.index.is_multi_label and data.columns.one_hot):
        return read
    for image, labels in zip(read.index.frame["image"], read.index.label_sets(), strict=True):
        if len(labels) != 1:
            raise DataError(
                f"{data.source}: task multi_class needs exactly one class an image, got "
                f"{', '.join(labels) or 'none'} for {image!r}; set task: multi_label"
            )
    return replace(read, index=replace(read.index, is_multi_label=False))


def _split(
    scanned: Scan, recipe: Recipe, observer: Observer, folds: int | None
) -> tuple[Index, list[Finding]]:
    """Split what was scanned, and find what the split is not to be trusted for."""
    data, index = recipe.data, scanned.index
    if folds is not None:
        split = split_index(index, validation=0.0, test=data.test, seed=recipe.seed)
        return split, [
            *_find_straddling(index, split),
            *find_shared_groups(split),
            *_find_near_across(split, scanned, recipe.seed, folds),
        ]
    own = int((index.usable().frame["split"] == "validation").sum())
    if own and data.validation == 0.0:
        observer.on_note(
            f"{index.source}: data.validation is 0, so its {own:,} validation images are "
            "trained on too"
        )
    split = split_index(index, validation=data.validation, test=data.test, seed=recipe.seed)
    return split, [
        *_find_straddling(index, split),
        *find_shared_groups(split),
        *_find_not_held_out(split),
        *find_near_duplicates(split, scanned.thumbnails),
    ]


def _find_near_across(index: Index, scanned: Scan, seed: int, folds: int) -> list[Finding]:
    """Find images that nearly equal one of another fold or a test image, each of them once."""
    found = find_near_duplicates(index, scanned.thumbnails)
    for fold in make_folds(index, folds=folds, seed=seed):
        is_kept = index.frame["image"].isin(fold.frame["image"]).to_numpy()
        held = fold.with_frame(fold.frame.replace({"split": {"test": "the fold"}}))
        found += find_near_duplicates(held, scanned.thumbnails[is_kept])
    return list({finding.image: finding for finding in found}.values())


def tell_findings(report: IntegrityReport, observer: Observer) -> None:
    """Tell an observer each kind; how files are stored, and what was asked for, are but notes."""
    for kind, line in zip(report.counts, report.describe(), strict=True):
        is_note = kind in STORAGE_KINDS | CORRECTED_KINDS
        tell = observer.on_note if is_note else observer.on_warning
        tell(f"{report.source}: {line}")


def _find_only_class(index: Index, source: Path) -> str | None:
    """Return the one class, or the only folder in a folder, which makes no class by itself."""
    if index.classes or not source.is_dir() or is_shards(source):
        return index.classes[0] if len(index.classes) == 1 else None
    folders = set(map(os.path.dirname, index.frame["path"]))
    only = Path(folders.pop()).resolve()
    return None if folders or only == source.resolve() else only.name


def find_few_images(index: Index, data: DataRecipe) -> list[Finding]:
    """Find classes with fewer usable images than ``data.min_images``."""
    return [
        Finding("", "few_images", f"class {name!r} has {count} usable images")
        for name, count in count_labels(index).items()
        if count < data.min_images
    ]


def _check_labelled(index: Index, recipe: Recipe) -> None:
    """Raise unless the images are of two classes or more, and labelled as the task needs."""
    if index.task != recipe.task:
        raise DataError(
            f"{index.source}: task {recipe.task} needs images with "
            f"{'several labels' if recipe.task == 'multi_label' else 'one label'} each, which "
            "this source does not say; name its table in data.table, or its annotations in "
            "data.coco"
        )
    labels = sorted({label for labels in index.label_sets() for label in labels})
    if len(labels) < 2:
        raise DataError(
            f"{index.source}: training needs images of at least 2 classes, got "
            f"{len(labels)} ({', '.join(map(repr, labels)) or 'images without labels'}); put each "
            "class into a folder of its own, or name a CSV in data.table"
        )


def _check_usable(before: Index, scanned: Scan, recipe: Recipe) -> None:
    """Raise if what is left after looking at the images is not what is to be trained on.

    That is fewer than two classes, a split of the source's own of which nothing is left, or a
    class with a weight that is not there.
    """
    index, usable = scanned.index, scanned.index.usable()
    lost = [line for line in scanned.report.describe() if "(quarantined)" in line]
    why = "".join(f"\n  {line}" for line in lost)
    counts = count_labels(index)
    there = [name for name, count in counts.items() if count]
    if len(there) < 2:
        gone = [name for name, count in counts.items() if not count]
        raise DataError(
            f"{index.source}: of {len(index):,} images {len(usable):,} can be used, in "
            f"{len(there)} of {len(counts)} classes; training needs 2. None is left of "
            f"{', '.join(map(repr, gone[:5]))}{' …' if len(gone) > 5 else ''}: mend its images, or "
            f"leave it out by data.drop_labels{why}"
        )
    for split in ("train", "validation", "test"):
        if split == "validation" and recipe.data.validation == 0.0:
            continue
        named = int((before.frame["split"] == split).sum())
        if named and not (usable.frame["split"] == split).any():
            raise DataError(
                f"{index.source}: none of the {named:,} images that the source names as {split} "
                f"can be used, and others are not taken in their place; mend them, or leave the "
                f"source's split unread{why}"
            )
    if not isinstance(recipe.class_weights, str):
        for name in recipe.class_weights:
            if name not in index.classes:
                raise DataError(
                    f"class_weights.{name}: {index.source} has no class {name!r}; it has "
                    f"{len(index.classes)}: {', '.join(index.classes[:8])}"
                    f"{' …' if len(index.classes) > 8 else ''}{suggest(name, index.classes)}"
                )


def _report(index: Index, findings: list[Finding]) -> IntegrityReport:
    quarantined = int((index.frame["status"] != "ok").sum())
    return make_report(index.source, len(index), quarantined, findings)


def _find_straddling(before: Index, after: Index) -> list[Finding]:
    """Find the images that were quarantined by splitting."""
    frame = after.frame
    is_new = (frame["status"] != "ok") & (before.frame["status"] == "ok")
    held = frame[(frame["status"] == "ok") & frame["split"].isin(["validation", "test"])]
    twins = dict(zip(held["sha256"], held["image"], strict=True))
    return [
        Finding(image, "straddling", f"same bytes as {twins[digest]}")
        for image, digest in zip(frame["image"][is_new], frame["sha256"][is_new], strict=True)
    ]


def _find_not_held_out(index: Index) -> list[Finding]:
    """Find classes that the validation or test images lack, where there are such images."""
    usable = index.usable()
    marks, splits = usable.mark_labels(), usable.frame["split"].to_numpy(dtype=object)
    findings = []
    for split in ("test", "validation"):
        held = marks[splits == split]
        if len(held):
            absent = np.flatnonzero(marks.any(axis=0) & ~held.any(axis=0)).tolist()
            findings += [
                Finding(
                    "", "not_held_out", f"class {index.classes[number]!r} has no {split} images"
                )
                for number in absent
            ]
    return findings
