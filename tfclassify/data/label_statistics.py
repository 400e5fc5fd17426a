"""Numbers on images that may have several labels: how many, and which together.

Owns: counting. Does not own: images of each class (``statistics``), drawing (``report``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tfclassify.data.index import Index


@dataclass(frozen=True)
class LabelSets:
    """How labels are spread over images.

    Attributes:
        classes: Class names, the order of ``together``.
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


def count_label_sets(index: Index) -> LabelSets:
    """Count the labels of the usable images."""
    marks = index.usable().mark_labels()
    per_image = np.bincount(marks.sum(axis=1), minlength=1)
    # float64 counts exactly and multiplies fast; integers do not.
    together = (marks.T.astype(np.float64) @ marks.astype(np.float64)).astype(np.int64)
    if not len(marks):
        per_image = np.zeros(1, dtype=np.int64)
    return LabelSets(index.classes, tuple(per_image.tolist()), tuple(map(tuple, together.tolist())))
