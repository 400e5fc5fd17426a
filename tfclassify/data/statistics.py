"""Numbers that describe a data set: classes, labels an image, sizes, colours, odd shapes.

Owns: computing them, and seeded samples of images. Does not own: drawing (``report``).
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tfclassify.data.images import MAX_PIXELS, decode_image
from tfclassify.events import SILENT, Observer
from tfclassify.recipe.data_schema import JOINING_SIGN

if TYPE_CHECKING:
    import pandas as pd

    from tfclassify.data.index import Index


@dataclass(frozen=True)
class LabelSets:
    """How labels are spread over images.

    Attributes:
        classes: Class names, the order of ``together``; of many the most frequent ones.
        per_image: Images with 0, 1, 2, ... labels.
        together: Images that have both of two classes, row and column by class; on the
            diagonal all images of the class.
    """

    classes: tuple[str, ...]
    per_image: tuple[int, ...]
    together: tuple[tuple[int, ...], ...]

    @property
    def images(self) -> int:
        """Images that were counted."""
        return sum(self.per_image)

    @property
    def labels(self) -> int:
        """Labels on all of them."""
        return sum(count * images for count, images in enumerate(self.per_image))

    @property
    def mean(self) -> float:
        """Labels an image; 0 if there are no images."""
        return self.labels / self.images if self.images else 0.0

    def find_pairs(self, limit: int) -> list[tuple[str, str, int]]:
        """Return the classes that are most often together, with the images of both.

        Args:
            limit: Pairs at most; pairs without an image are left out.
        """
        names = self.classes
        pairs = [
            (names[first], names[second], count)
            for first, row in enumerate(self.together)
            for second, count in enumerate(row)
            if first < second and count
        ]
        return sorted(pairs, key=lambda pair: -pair[2])[:limit]


def count_label_sets(index: Index, most: int = 500) -> LabelSets:
    """Count the labels of the usable images.

    Args:
        index: Multi-label images.
        most: Classes whose pairs are counted, since pairs grow with their square.
    """
    marks = index.usable().mark_labels()
    per_image = np.bincount(marks.sum(axis=1), minlength=1)
    kept = np.sort(np.argsort(-marks.sum(axis=0), kind="stable")[:most])
    classes = tuple(index.classes[number] for number in kept)
    marks = marks[:, kept]
    # float64 counts exactly and multiplies fast; integers do not.
    together = (marks.T.astype(np.float64) @ marks.astype(np.float64)).astype(np.int64)
    if not len(marks):
        per_image = np.zeros(1, dtype=np.int64)
    return LabelSets(classes, tuple(per_image.tolist()), tuple(map(tuple, together.tolist())))


_TASK = "measuring colours"
_LONGEST_SIDE = 512  # larger images are shrunk to it before their colours are measured


@dataclass(frozen=True)
class ClassCount:
    """Images of one class; ``unsplit`` counts those without a split yet."""

    name: str
    train: int
    validation: int
    test: int
    unsplit: int
    quarantined: int

    @property
    def usable(self) -> int:
        """Images that are not quarantined."""
        return self.train + self.validation + self.test + self.unsplit


@dataclass(frozen=True)
class Spread:
    """Smallest, middle and largest of a set of numbers."""

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class ImageShape:
    """One image and its size in pixels."""

    image: str
    path: str
    width: int
    height: int


@dataclass(frozen=True)
class ColourStatistics:
    """Colours of a sample, in units of 0 to 255, for red, green and blue.

    Every image counts the same, whatever its size.

    Attributes:
        mean: Mean of each channel.
        std: Standard deviation of each channel over all pixels.
        images: Images in the sample.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    images: int


@dataclass(frozen=True)
class Statistics:
    """What ``inspect`` tells of a source.

    Attributes:
        classes: Counts in the order of the classes; one unnamed if there are none.
        groups: Number of groups; 0 if there is no group column.
        width: Of usable images, pixels.
        height: Of usable images, pixels.
        sizes: The most frequent ``(width, height, images)``, at most ten.
        widest: Images with the largest width over height, widest first.
        tallest: Images with the smallest width over height, tallest first.
        colours: Of a sample.
        label_sets: How many labels images have, and which together; None where an image
            has one label.
        flags: Usable images with each mark that occurs, by name.
    """

    classes: tuple[ClassCount, ...]
    groups: int
    width: Spread
    height: Spread
    sizes: tuple[tuple[int, int, int], ...]
    widest: tuple[ImageShape, ...]
    tallest: tuple[ImageShape, ...]
    colours: ColourStatistics
    label_sets: LabelSets | None = None
    flags: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return what a program may read, of plain types."""
        return asdict(self)


def describe_index(
    index: Index,
    *,
    seed: int = 0,
    sample: int = 500,
    extremes: int = 3,
    max_pixels: int = MAX_PIXELS,
    observer: Observer = SILENT,
) -> Statistics:
    """Describe a scanned index.

    Args:
        index: Scanned, so that sizes are known; split or not.
        seed: Draws the sample whose colours are measured.
        sample: Images in it, at most.
        extremes: Images of the most extreme shapes that are named.
        max_pixels: As for decoding.
        observer: Told of progress.

    Returns:
        The statistics; sizes and colours are zero if no image is usable.
    """
    usable = index.usable().frame
    widths, heights = usable["width"].to_numpy(), usable["height"].to_numpy()
    order = np.argsort(-widths / np.maximum(heights, 1), kind="stable").tolist()
    sizes = Counter(zip(widths.tolist(), heights.tolist(), strict=True))
    ranked = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    picked = usable.iloc[pick_sample(usable["image"], sample, seed)]
    return Statistics(
        classes=count_classes(index),
        groups=usable.loc[usable["group"] != "", "group"].nunique(),
        width=_spread(widths),
        height=_spread(heights),
        sizes=tuple((*size, count) for size, count in ranked[:10]),
        widest=_shapes(usable, order[:extremes]),
        tallest=_shapes(usable, order[::-1][:extremes]),
        colours=measure_colours(picked, max_pixels=max_pixels, observer=observer),
        label_sets=count_label_sets(index) if index.is_multi_label else None,
        flags=count_flags(usable),
    )


def count_classes(index: Index) -> tuple[ClassCount, ...]:
    """Count the images of each class, by split, in the order of the classes.

    An image with several labels counts for each of them.
    """
    frame = index.frame
    side = frame["split"].where(frame["status"] == "ok", "quarantined").replace("", "unsplit")
    names = index.classes or ("",)
    marks = index.mark_labels() if index.classes else np.ones((len(index), 1), dtype=bool)
    sides = ("train", "validation", "test", "unsplit", "quarantined")
    counts = {name: marks[(side == name).to_numpy()].sum(axis=0).tolist() for name in sides}
    return tuple(
        ClassCount(name, **{side: counts[side][number] for side in sides})
        for number, name in enumerate(names)
    )


def count_labels(index: Index) -> dict[str, int]:
    """Count the usable images of each class, in the order of the classes."""
    return {each.name: each.usable for each in count_classes(index)}


def count_flags(frame: pd.DataFrame) -> dict[str, int]:
    """Count the images with each mark, by name."""
    marks = (mark for flags in frame["flags"] if flags for mark in flags.split(JOINING_SIGN))
    return dict(sorted(Counter(marks).items()))


def measure_colours(
    frame: pd.DataFrame, *, max_pixels: int = MAX_PIXELS, observer: Observer = SILENT
) -> ColourStatistics:
    """Measure the mean and standard deviation of each channel over scanned images."""
    shapes = list(
        zip(frame["path"].tolist(), frame["height"].tolist(), frame["width"].tolist(), strict=True)
    )

    def measure(shape: tuple[str, int, int]) -> np.ndarray:
        path, height, width = shape
        size = (min(height, _LONGEST_SIDE), min(width, _LONGEST_SIDE))
        pixels = decode_image(path, size, max_pixels=max_pixels).astype(np.float64)
        return np.stack([pixels.mean(axis=(0, 1)), np.square(pixels).mean(axis=(0, 1))])

    moments = np.zeros((2, 3))
    observer.on_task_start(_TASK, len(shapes))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for done, each in enumerate(pool.map(measure, shapes), start=1):
            moments += each
            observer.on_task_step(_TASK, done)
    observer.on_task_end(_TASK)
    mean, square = moments / max(1, len(shapes))
    std = np.sqrt(np.maximum(square - mean**2, 0.0))
    return ColourStatistics(tuple(mean.tolist()), tuple(std.tolist()), len(shapes))


def measure_lean(index: Index, *, sample: int = 40, seed: int = 0) -> float:
    """Measure how far the images of a class lean to one side, as letters and digits do.

    The part of an image that changes its sign when it is mirrored averages out over photos of
    things that are seen from either side. What is left of it, as a share of its energy,

        lean = (|mean a|^2 - mean |a|^2 / n) / (mean |a|^2 * (1 - 1 / n)),  a = (x - mirror x) / 2

    is 0 where an image is as likely as its mirror image and 1 where all images are alike.

    Args:
        index: Scanned images with one label each.
        sample: Images of each class that are looked at, at most.
        seed: Draws them.

    Returns:
        The mean over classes of 5 images or more; 0 if there are none.
    """
    leans = []
    for paths in pick_per_class(index, sample, seed).values():
        if len(paths) < 5:
            continue
        pixels = np.stack([decode_image(path, (16, 16)).mean(axis=2) for path in paths])
        odd = (pixels - pixels[:, :, ::-1]) / 2
        energy, count = np.square(odd).sum(axis=(1, 2)).mean(), len(paths)
        left = np.square(odd.mean(axis=0)).sum() - energy / count
        leans.append(left / max(energy * (1 - 1 / count), 1e-9))
    return float(np.mean(leans)) if leans else 0.0


def pick_sample(images: Iterable[str], count: int, seed: int) -> list[int]:
    """Pick positions of images at random, by their names and the seed alone.

    Returns:
        At most ``count`` positions, in ascending order.
    """
    digests = [
        hashlib.sha256(f"{seed}:sample:{image}".encode("utf-8", "surrogatepass")).digest()
        for image in images
    ]
    return sorted(sorted(range(len(digests)), key=lambda row: digests[row])[:count])


def pick_per_class(index: Index, count: int, seed: int) -> dict[str, list[str]]:
    """Pick the paths of at most ``count`` usable images of each class, at random."""
    usable = index.usable().frame
    picked = {}
    sets = [labels or ("",) for labels in index.usable().label_sets()]
    for name in index.classes or ("",):
        rows = usable[np.array([name in labels for labels in sets], dtype=bool)]
        paths = rows["path"].tolist()
        picked[name] = [paths[row] for row in pick_sample(rows["image"], count, seed)]
    return picked


def _spread(values: np.ndarray) -> Spread:
    if not len(values):
        return Spread(0.0, 0.0, 0.0)
    return Spread(float(values.min()), float(np.median(values)), float(values.max()))


def _shapes(frame: pd.DataFrame, rows: list[int]) -> tuple[ImageShape, ...]:
    return tuple(
        ImageShape(row.image, row.path, row.width, row.height)
        for row in frame.iloc[rows].itertuples()
    )
