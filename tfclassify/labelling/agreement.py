"""How well labellers agree: coefficients with intervals, pairs, classes, and who differs.

Owns: what is asked of the answers, resampling of images, the bands. Does not own: the
formulas (``coefficients``), the table of answers (``ratings``), the page.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfclassify.errors import RequestError
from tfclassify.labelling.coefficients import (
    Coefficient,
    class_agreement,
    cohen_kappa,
    confuse,
    fleiss_kappa,
    krippendorff_alpha,
    measure_disagreement,
    raw_agreement,
)
from tfclassify.labelling.ratings import Ratings
from tfclassify.scoring.intervals import Interval, make_interval, plan_resamples

#: A coefficient up to this is called so; the limits are those of Landis and Koch (1977),
#: who say poor, slight, fair, moderate, substantial and almost perfect.
BANDS = {
    "poor": 0.0,
    "slight": 0.2,
    "half": 0.4,
    "good": 0.6,
    "great": 0.8,
    "perfect": 1.0,
}


def find_band(value: float | None) -> str:
    """Name the band of a coefficient; a dash where it has no value.

    >>> find_band(0.61)
    'great'
    """
    if value is None or value != value:
        return "–"
    if value < 0.0:
        return "poor"
    # A hair of tolerance: 0.2 may be computed as 0.2000000001.
    return next(name for name, most in list(BANDS.items())[1:] if value <= most + 1e-9)


@dataclass(frozen=True)
class PairAgreement:
    """Two labellers on the images that both answered.

    Attributes:
        first: One labeller.
        second: The other.
        raw: Share of equal answers, or how alike sets are.
        kappa: Cohen's.
        confusion: What the first said by what the second said, ``(cells, 3)``: two codes and
            the images; only those that occur.
    """

    first: str
    second: str
    raw: Interval
    kappa: Interval
    confusion: NDArray[np.int64]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "first": self.first,
            "second": self.second,
            "raw": self.raw.to_dict(),
            "kappa": _with_band(self.kappa),
            "confusion": self.confusion.tolist(),
        }


@dataclass(frozen=True)
class ClassAgreement:
    """One class against all others.

    Attributes:
        name: Of the class.
        named: Images with two answers or more of which one names it.
        again: Chance that a second answer names it, given that one does.
        alpha: Krippendorff's, of named or not.
    """

    name: str
    named: int
    again: Interval
    alpha: Interval

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "name": self.name,
            "named": self.named,
            "again": self.again.to_dict(),
            "alpha": _with_band(self.alpha),
        }


@dataclass(frozen=True)
class LabellerAgreement:
    """One labeller against the others.

    Attributes:
        name: Of the labeller.
        answers: Images answered.
        shared: Of these, images that somebody else answered too.
        raw: How alike this labeller's answers and the others' are.
        alpha_without: Krippendorff's alpha of the others; None where there are fewer than two.
        gain: How much alpha rises without this labeller, on the same resamples.
    """

    name: str
    answers: int
    shared: int
    raw: Interval
    alpha_without: Interval | None
    gain: Interval | None

    @property
    def is_different(self) -> bool:
        """Whether agreement is surely better without: the gain's interval is above 0."""
        return self.gain is not None and self.gain.low is not None and self.gain.low > 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "name": self.name,
            "answers": self.answers,
            "shared": self.shared,
            "raw": self.raw.to_dict(),
            "alpha_without": self.alpha_without and self.alpha_without.to_dict(),
            "gain": self.gain and self.gain.to_dict(),
            "is_different": self.is_different,
        }


@dataclass(frozen=True)
class Agreement:
    """How well labellers agree.

    Attributes:
        ratings: The answers.
        shared: Images with two answers or more.
        raw: How alike two answers of an image are.
        alpha: Krippendorff's.
        fleiss: Fleiss' kappa, on the images with ``fleiss_answers`` answers.
        fleiss_answers: Answers an image, the most frequent number of two or more.
        pairs: Every two labellers with images in common.
        classes: Each class that was named on a shared image.
        labellers: Each labeller, who differs most first.
        bands: Shared images in each band, by their own kappa: how alike their answers are,
            less what chance gives.
    """

    ratings: Ratings
    shared: int
    raw: Interval
    alpha: Interval
    fleiss: Interval
    fleiss_answers: int
    pairs: tuple[PairAgreement, ...]
    classes: tuple[ClassAgreement, ...]
    labellers: tuple[LabellerAgreement, ...]
    bands: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "images": len(self.ratings.images),
            "shared": self.shared,
            "distance": self.ratings.distance,
            "raw": self.raw.to_dict(),
            "alpha": _with_band(self.alpha),
            "fleiss": _with_band(self.fleiss) | {"answers": self.fleiss_answers},
            "bands": dict(self.bands),
            "values": [list(value) for value in self.ratings.values],
            "pairs": [pair.to_dict() for pair in self.pairs],
            "classes": [each.to_dict() for each in self.classes],
            "labellers": [each.to_dict() for each in self.labellers],
        }


def _with_band(interval: Interval) -> dict[str, Any]:
    """Return a coefficient as plain values, with what it is called."""
    return interval.to_dict() | {"band": find_band(interval.value)}


def measure_agreement(ratings: Ratings, *, seed: int = 0, resamples: int = 1000) -> Agreement:
    """Measure how well labellers agree, with intervals from resampled images.

    Args:
        ratings: The answers.
        seed: Of the resamples.
        resamples: How many.

    Raises:
        RequestError: If there are fewer than two labellers, or no image has two answers.
    """
    _check(ratings)
    everybody, ratings = ratings, ratings.shared()
    pairs = [
        (one, other)
        for one, other in itertools.combinations(range(len(ratings.labellers)), 2)
        if _is_shared_by(ratings, one, other).any()
    ]
    answers = _find_usual_answers(ratings)
    classes = _list_named_classes(ratings)
    wanted: dict[Any, Coefficient] = {
        "raw": raw_agreement(ratings),
        "alpha": krippendorff_alpha(ratings),
        "fleiss": fleiss_kappa(ratings, answers),
    }
    for one, other in pairs:
        both = _keep(ratings, (one, other))
        wanted["raw", one, other] = raw_agreement(both)
        codes = ratings.codes
        wanted["kappa", one, other] = cohen_kappa(
            codes[:, one], codes[:, other], len(ratings.values)
        )
    for number in classes:
        own = ratings.of_class(number)
        wanted["again", number], wanted["own", number] = (
            class_agreement(own),
            krippendorff_alpha(own),
        )
    for column in range(len(ratings.labellers)):
        wanted["with", column] = _with_others(ratings, column)
        wanted["without", column] = krippendorff_alpha(ratings.without(column))
    found = _Resampled(wanted, len(ratings.images), seed, resamples)
    return _gather(everybody, ratings, found, pairs, classes, answers)


def _check(ratings: Ratings) -> None:
    """Refuse answers that say nothing of agreement."""
    if len(ratings.labellers) < 2:
        got = f"only {ratings.labellers[0]!r}" if ratings.labellers else "nobody"
        raise RequestError(
            f"agree: needs the answers of two labellers at least, {got} has answered; let "
            "somebody else label some of the same images"
        )
    if not (ratings.counts > 1).any():
        raise RequestError(
            f"agree: none of {len(ratings.images):,} images was labelled by two of the "
            f"{len(ratings.labellers)} labellers, so nothing can be compared; label with "
            "--overlap 0.2"
        )


def _is_shared_by(ratings: Ratings, one: int, other: int) -> NDArray[np.bool_]:
    return np.asarray(ratings.is_answered[:, one] & ratings.is_answered[:, other])


def _keep(ratings: Ratings, columns: Sequence[int]) -> Ratings:
    """Return the table with the answers of some labellers alone."""
    return ratings.without(*sorted(set(range(len(ratings.labellers))) - set(columns)))


def _find_usual_answers(ratings: Ratings) -> int:
    """Return the most frequent number of answers an image, of two or more."""
    counted = Counter(ratings.counts.tolist())
    return max(counted, key=lambda answers: (counted[answers], answers))


def _list_named_classes(ratings: Ratings) -> list[int]:
    """List the classes that are named on an image."""
    used = np.unique(ratings.codes[ratings.is_answered])
    return np.flatnonzero(ratings.mark_values()[used].any(axis=0)).tolist()


def _with_others(ratings: Ratings, column: int) -> Coefficient:
    """How alike one labeller's answers and those of the others are, mean over images."""
    own = ratings.codes[:, column]
    alike = np.zeros(len(own))
    partners = np.zeros(len(own))
    for other in range(len(ratings.labellers)):
        rows = np.flatnonzero(_is_shared_by(ratings, column, other))
        if other == column or not len(rows):
            continue
        theirs = ratings.codes[rows, other]
        if ratings.distances is None:
            alike[rows] += own[rows] == theirs
        else:
            alike[rows] += 1.0 - ratings.distances[own[rows], theirs]
        partners[rows] += 1
    is_shared = (partners > 0).astype(np.float64)
    alike = alike / np.maximum(partners, 1)

    def compute(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        images = weights @ is_shared
        none = np.full(len(weights), np.nan)
        return np.divide(weights @ alike, images, out=none, where=images > 0)

    return compute


class _Resampled:
    """Coefficients on all images and on the same resamples of them."""

    def __init__(
        self, wanted: Mapping[Any, Coefficient], images: int, seed: int, resamples: int
    ) -> None:
        plan = plan_resamples(images, seed=seed, resamples=resamples)
        whole = np.ones((1, images))
        self._values = {key: float(each(whole)[0]) for key, each in wanted.items()}
        parts: dict[Any, list[NDArray[np.float64]]] = {key: [] for key in wanted}
        for weights in plan.chunks():
            for key, each in wanted.items():
                parts[key].append(each(weights))
        self._samples = {key: np.concatenate(values) for key, values in parts.items()}

    def show(self, key: Any, n: int, *, is_share: bool = False) -> Interval:
        """Return a coefficient with its interval; ``is_share``: it is a share of images."""
        trials = n if is_share else None
        return make_interval(self._values[key], self._samples[key], n=n, trials=trials)

    def show_gain(self, key: Any, n: int) -> Interval:
        """Return how much a coefficient is above alpha, on the same resamples."""
        value = self._values[key] - self._values["alpha"]
        return make_interval(value, self._samples[key] - self._samples["alpha"], n=n)


def _gather(
    everybody: Ratings,
    ratings: Ratings,
    found: _Resampled,
    pairs: Sequence[tuple[int, int]],
    classes: Sequence[int],
    answers: int,
) -> Agreement:
    shared = len(ratings.images)
    names = ratings.labellers
    pair_rows = []
    for one, other in pairs:
        n = int(_is_shared_by(ratings, one, other).sum())
        table = confuse(ratings.codes[:, one], ratings.codes[:, other])
        raw = found.show(("raw", one, other), n, is_share=True)
        kappa = found.show(("kappa", one, other), n)
        pair_rows.append(PairAgreement(names[one], names[other], raw, kappa, table))
    class_rows = []
    for number in classes:
        own = ratings.of_class(number)
        named = int((own.codes == 1).any(axis=1).sum())
        again = found.show(("again", number), named, is_share=True)
        alpha = found.show(("own", number), shared)
        class_rows.append(ClassAgreement(ratings.classes[number], named, again, alpha))
    return Agreement(
        everybody,
        shared,
        found.show("raw", shared, is_share=True),
        found.show("alpha", shared),
        found.show("fleiss", int((ratings.counts == answers).sum())),
        answers,
        tuple(pair_rows),
        tuple(class_rows),
        _rank_labellers(everybody, ratings, found),
        _count_bands(ratings),
    )


def _rank_labellers(
    everybody: Ratings, ratings: Ratings, found: _Resampled
) -> tuple[LabellerAgreement, ...]:
    """List the labellers, whom the others agree best without first."""
    rows = []
    for column, name in enumerate(ratings.labellers):
        shared = int(ratings.is_answered[:, column].sum())
        left = int((ratings.without(column).counts > 1).sum())
        is_told = left > 0 and shared > 0
        rows.append(
            LabellerAgreement(
                name,
                int(everybody.is_answered[:, column].sum()),
                shared,
                found.show(("with", column), shared, is_share=True),
                found.show(("without", column), left) if is_told else None,
                found.show_gain(("without", column), left) if is_told else None,
            )
        )

    def rank(row: LabellerAgreement) -> tuple[float, float]:
        gain = row.gain.value if row.gain is not None else None
        raw = row.raw.value
        return (np.inf if gain is None else -gain, np.inf if raw is None else raw)

    return tuple(sorted(rows, key=rank))


def _count_bands(ratings: Ratings) -> dict[str, int]:
    """Count the images by the band that they are in."""
    own = 1.0 - measure_disagreement(ratings)
    shares = np.bincount(ratings.codes[ratings.is_answered], minlength=len(ratings.values))
    chance = float(((shares / shares.sum()) ** 2).sum())
    if chance == 1.0:
        return {"perfect": len(own)} | dict.fromkeys(list(BANDS)[-2::-1], 0)
    counted = Counter(find_band(value) for value in ((own - chance) / (1 - chance)).tolist())
    return {name: counted.get(name, 0) for name in reversed(BANDS)}
