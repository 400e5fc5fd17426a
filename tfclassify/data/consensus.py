"""One label for an image that several people labelled: majority, adjudicated, rejected.

Owns: the vote, joining marks, the three tables. Does not own: who said what (``journals``),
how well they agree (``labelling.agreement``).

Skipping an image is no vote. The adjudicator has the last word; one who skips an image
rejects it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from tfclassify.data.journals import ADJUDICATOR, Answer
from tfclassify.files import render_csv, write_text
from tfclassify.recipe.data_schema import JOINING_SIGN

Said = TypeVar("Said")
Outcome = Literal["majority", "adjudicated", "rejected"]
OUTCOMES: tuple[Outcome, ...] = ("majority", "adjudicated", "rejected")


@dataclass(frozen=True)
class Consensus:
    """What is settled of one image.

    Attributes:
        image: Its stable name.
        outcome: ``majority``: more than half of the votes say so; ``adjudicated``: somebody
            decided; ``rejected``: neither, or decided against.
        labels: Empty where rejected.
        sublabel: What more than half of those with these labels say; may be empty.
        marks: Those that anybody set, in the order of the alphabet.
        answers: What each labeller said, by name, without the adjudicator.
        votes: How many of them say exactly these labels.
    """

    image: str
    outcome: Outcome
    labels: tuple[str, ...]
    sublabel: str
    marks: tuple[str, ...]
    answers: Mapping[str, Answer]
    votes: int

    @property
    def is_disputed(self) -> bool:
        """Whether labellers said what no majority says, and nobody has decided yet."""
        return self.outcome == "rejected" and any(
            not answer.is_skipped for answer in self.answers.values()
        )


def settle_answers(
    answers: Iterable[Answer], *, is_multi_label: bool = False, classes: Sequence[str] = ()
) -> dict[str, Consensus]:
    """Settle every image that was answered, in the order of their names.

    Args:
        answers: One an image and labeller, the adjudicator's among them; of several the last
            one holds.
        is_multi_label: Whether each label is voted on by itself.
        classes: The order of the labels of a set.
    """
    by_image: dict[str, dict[str, Answer]] = defaultdict(dict)
    for answer in answers:
        by_image[answer.image][answer.labeller] = answer
    return {
        image: _settle(image, by_image[image], classes if is_multi_label else None)
        for image in sorted(by_image)
    }


def _settle(image: str, answers: dict[str, Answer], classes: Sequence[str] | None) -> Consensus:
    decision = answers.pop(ADJUDICATOR, None)
    votes = [answer for answer in answers.values() if not answer.is_skipped]
    outcome: Outcome = "majority"
    sublabel, labels = "", None
    if decision is not None:
        outcome = "rejected" if decision.is_skipped else "adjudicated"
        labels, sublabel = decision.labels, decision.sublabel
    else:
        said = [answer.labels for answer in votes]
        labels = vote(said) if classes is None else vote_on_labels(said, classes)
        outcome = "rejected" if labels is None else "majority"
    if outcome == "rejected" or labels is None:
        labels, sublabel = (), ""
    agreeing = [answer for answer in votes if set(answer.labels) == set(labels)]
    if outcome == "majority":
        sublabel = vote([answer.sublabel for answer in agreeing]) or ""
    marked = [decision] if decision is not None else answers.values()
    return Consensus(
        image,
        outcome,
        labels,
        sublabel,
        tuple(sorted({mark for answer in marked for mark in answer.marks})),
        dict(sorted(answers.items())),
        0 if outcome == "rejected" else len(agreeing),
    )


def vote(said: Sequence[Said]) -> Said | None:
    """Return what more than half say; None where nothing has so many.

    >>> vote(["pen", "pen", "ruler"])
    'pen'
    """
    if not said:
        return None
    value, count = Counter(said).most_common(1)[0]
    return value if 2 * count > len(said) else None


def vote_on_labels(
    said: Sequence[tuple[str, ...]], classes: Sequence[str]
) -> tuple[str, ...] | None:
    """Return the labels that more than half name; None where exactly half name one."""
    counted = Counter(label for labels in said for label in set(labels))
    if not said or any(2 * count == len(said) for count in counted.values()):
        return None
    return tuple(name for name in classes if 2 * counted[name] > len(said))


def write_tables(folder: Path, settled: Iterable[Consensus]) -> dict[Outcome, Path]:
    """Write ``majority.csv``, ``adjudicated.csv`` and ``rejected.csv``, each atomically.

    The columns are ``file,label,sublabel,marks,votes,answers`` and ``said``, who said what;
    several labels, and several marks, are joined with ``|``.
    """
    import pandas as pd

    rows: dict[Outcome, list[list[object]]] = {outcome: [] for outcome in OUTCOMES}
    for each in settled:
        rows[each.outcome].append(_list_cells(each))
    paths = {outcome: folder / f"{outcome}.csv" for outcome in OUTCOMES}
    for outcome, path in paths.items():
        write_text(path, render_csv(pd.DataFrame(rows[outcome], columns=list(_COLUMNS))))
    return paths


_COLUMNS = ("file", "label", "sublabel", "marks", "votes", "answers", "said")


def _list_cells(each: Consensus) -> list[object]:
    said = "; ".join(f"{name}: {describe(answer)}" for name, answer in each.answers.items())
    return [
        each.image,
        JOINING_SIGN.join(each.labels),
        each.sublabel,
        JOINING_SIGN.join(each.marks),
        each.votes,
        len(each.answers),
        said,
    ]


def describe(answer: Answer) -> str:
    """Write an answer as people read it, such as ``pen / blue`` or ``cat, dog``."""
    if answer.is_skipped:
        return "skipped"
    labels = ", ".join(answer.labels) or "none"
    return f"{labels} / {answer.sublabel}" if answer.sublabel else labels
