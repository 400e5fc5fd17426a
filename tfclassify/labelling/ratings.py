"""Who said what of which image, as numbers that agreement can be computed from.

Owns: the table of codes with its gaps, and how far two answers are apart. Does not own: the
answers (``data.journals``), coefficients (``coefficients``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tfclassify.data.journals import Answer
from tfclassify.errors import RequestError

Distance = Literal["nominal", "jaccard", "masi"]
#: What one labeller says of one image: its labels in the order of the classes.
Value = tuple[str, ...]
#: Answers that may differ from one another where distances between them are needed.
MOST_SETS = 6000
#: Stands between a label and its sub-label.
SUBLABEL_SIGN = " / "


@dataclass(frozen=True, eq=False)
class Ratings:
    """Images by labellers, with gaps where somebody did not answer.

    Attributes:
        images: ``n`` stable names.
        labellers: ``m`` names.
        classes: The ``C`` labels, in order.
        values: The ``k`` different answers.
        codes: ``(n, m)``: which of the values each said, -1 where nothing.
        distance: How far two values are apart.
    """

    images: tuple[str, ...]
    labellers: tuple[str, ...]
    classes: tuple[str, ...]
    values: tuple[Value, ...]
    codes: NDArray[np.int64]
    distance: Distance = "nominal"

    @property
    def is_answered(self) -> NDArray[np.bool_]:
        """Who answered which image, ``(n, m)``."""
        return self.codes >= 0

    @property
    def counts(self) -> NDArray[np.int64]:
        """Answers of each image, ``(n,)``."""
        return np.asarray(self.is_answered.sum(axis=1))

    @cached_property
    def distances(self) -> NDArray[np.float32] | None:
        """Distance of any two values, ``(k, k)`` from 0 to 1; None where it is nominal.

        Raises:
            RequestError: If there are too many different sets for such a table.
        """
        if self.distance == "nominal":
            return None
        if len(self.values) > MOST_SETS:
            raise RequestError(
                f"agree: {len(self.values):,} different sets of labels are more than the "
                f"{MOST_SETS:,} whose distances are held; ask for --distance nominal, or see the "
                "agreement by class"
            )
        return find_distances(self.mark_values(), self.distance)

    def mark_values(self) -> NDArray[np.bool_]:
        """Say which labels each value holds, ``(k, C)``."""
        positions = {name: number for number, name in enumerate(self.classes)}
        marks = np.zeros((len(self.values), len(self.classes)), dtype=bool)
        for row, value in enumerate(self.values):
            marks[row, [positions[name] for name in value]] = True
        return marks

    def shared(self) -> Ratings:
        """Return the images with two answers or more."""
        rows = np.flatnonzero(self.counts > 1)
        images = tuple(self.images[row] for row in rows)
        return replace(self, images=images, codes=self.codes[rows])

    def without(self, *labellers: int) -> Ratings:
        """Return the same without the answers of some; the table keeps its shape."""
        codes = self.codes.copy()
        codes[:, list(labellers)] = -1
        return replace(self, codes=codes)

    def of_class(self, number: int) -> Ratings:
        """Return whether each answer holds one class: values ``()`` and ``(class,)``."""
        holds = self.mark_values()[:, number].astype(np.int64)
        codes = np.where(self.is_answered, holds[self.codes], -1)
        name = self.classes[number]
        return Ratings(self.images, self.labellers, (name,), ((), (name,)), codes)


def make_ratings(
    answers: Iterable[Answer],
    classes: Sequence[str],
    *,
    distance: Distance = "nominal",
    with_sublabels: bool = False,
) -> Ratings:
    """Put answers into a table.

    Args:
        answers: One an image and labeller; of several the last one holds. One that skips its
            image is none.
        classes: Every label, in order.
        distance: How far two answers are apart: ``nominal``, the same or not; ``jaccard``
            and ``masi`` between sets of labels.
        with_sublabels: Whether a label and its sub-label are told apart as one label.

    Raises:
        RequestError: If a label is none of the classes.
    """
    last = {(answer.image, answer.labeller): answer for answer in answers}
    told = {
        key: _name_value(answer, with_sublabels)
        for key, answer in last.items()
        if not answer.is_skipped
    }
    names = _order_names({name for value in told.values() for name in value}, classes)
    rank = {name: number for number, name in enumerate(names)}
    told = {
        key: tuple(sorted(dict.fromkeys(value), key=rank.__getitem__))
        for key, value in told.items()
    }
    values = sorted(set(told.values()), key=lambda value: [rank[name] for name in value])
    code = {value: number for number, value in enumerate(values)}
    images = tuple(sorted({image for image, _ in told}))
    labellers = tuple(sorted({labeller for _, labeller in told}))
    rows = {image: row for row, image in enumerate(images)}
    columns = {labeller: column for column, labeller in enumerate(labellers)}
    codes = np.full((len(images), len(labellers)), -1, dtype=np.int64)
    for (image, labeller), value in told.items():
        codes[rows[image], columns[labeller]] = code[value]
    return Ratings(images, labellers, names, tuple(values), codes, distance)


def _name_value(answer: Answer, with_sublabels: bool) -> Value:
    if with_sublabels and answer.sublabel:
        return tuple(f"{label}{SUBLABEL_SIGN}{answer.sublabel}" for label in answer.labels)
    return answer.labels


def _order_names(used: set[str], classes: Sequence[str]) -> tuple[str, ...]:
    """Put labels in the order of the classes, those with sub-labels behind their own."""
    order = {name: number for number, name in enumerate(classes)}

    def place(name: str) -> tuple[int, str]:
        own = name if name in order else name.rpartition(SUBLABEL_SIGN)[0]
        if own not in order:
            raise RequestError(
                f"agree: the label {name!r} is none of the {len(classes)} of the vocabulary; add "
                "it there, or label these images again"
            )
        return order[own], name

    split = {name.rpartition(SUBLABEL_SIGN)[0] for name in used}
    return tuple(sorted(used | {name for name in classes if name not in split}, key=place))


def find_distances(marks: NDArray[np.bool_], distance: Distance) -> NDArray[np.float32]:
    """Measure how far apart sets of labels are.

    Jaccard's distance is ``1 - |A and B| / |A or B|``. MASI weighs the overlap by how the
    sets lie: 1 for equal ones, 2/3 where one holds the other, 1/3 where they merely overlap,
    0 where nothing is shared. Two empty sets are equal.

    Args:
        marks: Which labels each set holds, ``(k, C)``.
        distance: ``jaccard`` or ``masi``.

    Returns:
        ``(k, k)``, symmetric, 0 on the diagonal.

    Reference:
        Passonneau 2006, Measuring Agreement on Set-valued Items (MASI), LREC.
    """
    whole = marks.astype(np.float32)
    sizes = whole.sum(axis=1)
    shared = whole @ whole.T
    either = sizes[:, None] + sizes[None, :] - shared
    share = np.divide(shared, either, out=np.ones_like(shared), where=either > 0)
    if distance == "masi":
        smaller = np.minimum(sizes[:, None], sizes[None, :])
        weight = np.where(shared == either, 1.0, np.where(shared == smaller, 2 / 3, 1 / 3))
        share = share * weight
    return np.asarray(1.0 - share, dtype=np.float32)
