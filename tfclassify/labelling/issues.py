"""Images whose label, or whose content, should be looked at, ranked, each with its reasons.

Owns: the kinds of issues, their order, what is said of each. Does not own: confident learning
(``confident``), near-duplicates (``data.leaks``), neighbours (``lookalikes``), the measures of
photos (``quality``), what becomes of it (``data.corrections``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfclassify.data.leaks import find_near_groups
from tfclassify.labelling.confident import RankBy, find_label_issues, find_set_issues
from tfclassify.labelling.lookalikes import find_neighbours
from tfclassify.labelling.quality import DARK, EMPTY, find_blur_limit
from tfclassify.recipe.data_schema import JOINING_SIGN
from tfclassify.scoring.tasks import find_class_ids
from tfclassify.scoring.verdicts import Answers, name_labels

Floats = NDArray[np.floating[Any]]
#: Each kind and its title, in the order in which they are worth a look.
KINDS = {
    "label": "label that the model contradicts",
    "duplicate": "near-duplicates under different labels",
    "outlier": "unlike every other image",
    "empty": "empty",
    "dark": "too dark",
    "blurred": "blurred",
    "loss": "label that the model finds hardest to believe",
}
#: Share of the images that are remarked on for their loss alone.
HARDEST = 0.01
#: Neighbours whose likeness says whether an image is an outlier.
_NEIGHBOURS = 10
#: Images from which an outlier can be told.
_LEAST_IMAGES = 50


@dataclass(frozen=True)
class Issue:
    """One reason to look at an image.

    Attributes:
        row: Of the image.
        kind: A key of ``KINDS``.
        score: From 0, the worst, to 1.
        reason: In words.
        suggestion: Labels to look for instead, joined with ``|``; empty for none.
    """

    row: int
    kind: str
    score: float
    reason: str
    suggestion: str = ""


@dataclass(frozen=True)
class Suspect:
    """An image to look at.

    Attributes:
        row: Its place among the images.
        image: Its stable name.
        path: Where the file is.
        given: Its labels, joined with ``|``.
        issues: Why, the weightiest first.
    """

    row: int
    image: str
    path: str
    given: str
    issues: tuple[Issue, ...]

    @property
    def kind(self) -> str:
        """The weightiest kind."""
        return self.issues[0].kind

    @property
    def suggestion(self) -> str:
        """The first label suggested; empty for none."""
        return next((each.suggestion for each in self.issues if each.suggestion), "")

    @property
    def reason(self) -> str:
        """All reasons, in words."""
        return "; ".join(each.reason for each in self.issues)


def rank_suspects(answers: Answers, issues: Iterable[Issue]) -> list[Suspect]:
    """Put all issues of an image together, and the images in order: by kind, then by score."""
    order = {kind: number for number, kind in enumerate(KINDS)}
    by_row: dict[int, list[Issue]] = defaultdict(list)
    for issue in issues:
        by_row[issue.row].append(issue)
    names = answers.label_names

    def rank(issue: Issue) -> tuple[int, float]:
        return order[issue.kind], issue.score

    suspects = [
        Suspect(
            row,
            answers.images[row],
            answers.paths[row],
            JOINING_SIGN.join(names[row]),
            tuple(sorted(found, key=rank)),
        )
        for row, found in by_row.items()
    ]
    return sorted(suspects, key=lambda each: (*rank(each.issues[0]), each.row))


def find_contradicted(answers: Answers, by: RankBy = "self_confidence") -> list[Issue]:
    """Find labels that the model contradicts, by confident learning; the most suspect first."""
    if answers.task.is_multi_label:
        return list(_find_contradicted_sets(answers))
    given = find_class_ids(answers.targets)
    found = find_label_issues(given, answers.probabilities.astype(np.float64))
    classes = answers.classes
    issues = []
    for row in found.rank(by).tolist():
        own, other = found.self_confidence[row], answers.probabilities[row, found.suggested[row]]
        label, suggestion = classes[given[row]], classes[found.suggested[row]]
        score = own if by == "self_confidence" else (found.margin[row] + 1) / 2
        reason = f"the model gives {label} {_percent(own)}, {suggestion} {_percent(other)}"
        issues.append(Issue(row, "label", float(score), reason, suggestion))
    return issues


def _find_contradicted_sets(answers: Answers) -> Iterator[Issue]:
    found = find_set_issues(answers.targets > 0.5, answers.probabilities.astype(np.float64))
    suggested = name_labels(answers.classes, found.suggested)
    for row in found.rank().tolist():
        columns = np.flatnonzero(found.is_issue[row])
        columns = columns[np.argsort(found.self_confidence[row, columns], kind="stable")]
        told = [
            f"{answers.classes[column]} is {'there' if found.given[row, column] else 'absent'}, "
            f"which the model gives {_percent(found.self_confidence[row, column])}"
            for column in columns
        ]
        yield Issue(
            row,
            "label",
            float(found.score[row]),
            "; ".join(told),
            JOINING_SIGN.join(suggested[row]),
        )


def find_hardest(answers: Answers, share: float = HARDEST) -> list[Issue]:
    """Find the images of the highest loss, where the model is wrong; at most a share of all."""
    each = answers.task.find_likelihoods(answers.targets, answers.probabilities)
    # Of several labels the mean loss decides; as a likelihood, their geometric mean.
    likelihoods = np.exp(np.log(np.maximum(each.astype(np.float64), 1e-12)).mean(axis=1))
    count = max(1, round(share * len(answers))) if len(answers) else 0
    rows = np.argsort(likelihoods, kind="stable")[:count]
    is_right = answers.is_right()
    return [
        Issue(
            row,
            "loss",
            float(likelihoods[row]),
            f"the model gives its label {_percent(float(likelihoods[row]))}, among the lowest "
            f"{_percent(share)} of all images",
        )
        for row in rows.tolist()
        if not is_right[row]
    ]


def find_conflicting(answers: Answers, thumbnails: NDArray[np.uint8]) -> list[Issue]:
    """Find images that nearly equal one under another label.

    Args:
        answers: The images.
        thumbnails: In their order, ``(n, 9, 9, 3)``.
    """
    names = [JOINING_SIGN.join(labels) for labels in answers.label_names]
    issues: dict[int, Issue] = {}
    for left, right, bits in find_near_groups(thumbnails):
        if names[left] == names[right]:
            continue
        for row, other in ((left, right), (right, left)):
            reason = (
                f"nearly equals {answers.images[other]}, labelled {names[other] or 'none'} "
                f"({bits} of 144 bits differ)"
            )
            found = Issue(row, "duplicate", bits / 144, reason, names[other])
            issues[row] = min(issues.get(row, found), found, key=lambda each: each.score)
    return list(issues.values())


def find_outliers(values: Floats, is_there: NDArray[np.bool_]) -> list[Issue]:
    """Find images whose nearest others are far away: beyond Tukey's outer fence.

    The fence stands on the logarithm of the distance, 1 less the mean cosine to the nearest
    others: distances themselves are lopsided, and single ones would always lie beyond it.

    Args:
        values: Features, ``(n, d)``.
        is_there: Which images have some, ``(n,)``.
    """
    rows = np.flatnonzero(is_there)
    if len(rows) < _LEAST_IMAGES:
        return []
    likeness = find_neighbours(values[rows], _NEIGHBOURS).similarities.mean(axis=1)
    distance = np.log(np.maximum(1.0 - likeness, 1e-6))
    low, high = np.quantile(distance, [0.25, 0.75])
    middle = float(np.median(likeness))
    return [
        Issue(
            int(rows[place]),
            "outlier",
            float(max(0.0, likeness[place])),
            f"its {_NEIGHBOURS} nearest images are {likeness[place]:.2f} like it, those of half of "
            f"all images {middle:.2f} or more",
        )
        for place in np.flatnonzero(distance > high + 3 * (high - low))
    ]


def find_poor_photos(measured: Floats) -> list[Issue]:
    """Find photos that are too dark, empty or blurred.

    Args:
        measured: From ``quality.measure_photos``, ``(n, 3)``.
    """
    brightness, contrast, sharpness = measured.T
    limit = find_blur_limit(sharpness)
    issues = []
    for row in np.flatnonzero(contrast < EMPTY).tolist():
        reason = f"nearly one colour: its grey varies by {contrast[row]:.1f} of 255"
        issues.append(Issue(row, "empty", contrast[row] / EMPTY, reason))
    for row in np.flatnonzero((brightness < DARK) & (contrast >= EMPTY)).tolist():
        reason = f"95 % of its pixels are darker than {brightness[row]:.0f} of 255"
        issues.append(Issue(row, "dark", brightness[row] / DARK, reason))
    for row in np.flatnonzero(sharpness < limit).tolist():
        typical = float(np.nanmedian(sharpness))
        reason = f"sharpness {sharpness[row]:.3f}, that of half of all images {typical:.3f} or more"
        issues.append(Issue(row, "blurred", sharpness[row] / limit, reason))
    return issues


def _percent(share: float) -> str:
    """Write a share in per cent, with a digit more where it is small."""
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %"
