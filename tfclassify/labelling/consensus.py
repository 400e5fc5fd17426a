"""One label for an image that several people labelled: majority, adjudicated, rejected.

Owns: the vote, joining marks, the three tables. Does not own: who said what (``session``),
the decision of whoever adjudicates (``queues``).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from tfclassify.files import render_csv, write_text
from tfclassify.labelling.ratings import Answer
from tfclassify.recipe.data_schema import JOINING_SIGN

Said = TypeVar("Said")
Outcome = Literal["majority", "adjudicated", "rejected"]
OUTCOMES: tuple[Outcome, ...] = ("majority", "adjudicated", "rejected")


@dataclass(frozen=True)
class Decision:
    """What somebody decided on an image that labellers disagree on.

    Attributes:
        image: Its stable name.
        labels: The labels; of a rejected image none.
        sublabel: Of a single label; may be empty.
        is_rejected: Whether the image is to be left out.
    """

    image: str
    labels: tuple[str, ...] = ()
    sublabel: str = ""
    is_rejected: bool = False


@dataclass(frozen=True)
class Consensus:
    """What is settled of one image.

    Attributes:
        image: Its stable name.
        outcome: ``majority``: more than half of the answers say so; ``adjudicated``: somebody
            decided; ``rejected``: neither, or decided against.
        labels: Empty where rejected.
        sublabel: What more than half of those with these labels say; may be empty.
        marks: Those that anybody set.
        answers: What each labeller said, by name.
        votes: Answers with exactly these labels.
    """

    image: str
    outcome: Outcome
    labels: tuple[str, ...]
    sublabel: str
    marks: tuple[str, ...]
    answers: Mapping[str, Answer]
    votes: int


def settle_answers(
    answers: Iterable[Answer],
    decisions: Iterable[Decision] = (),
    *,
    is_multi_label: bool = False,
    classes: Sequence[str] = (),
) -> list[Consensus]:
    """Settle every image that was answered, in the order of their names.

    Args:
        answers: One an image and labeller; of several the last one holds.
        decisions: One an image; of several the last one holds.
        is_multi_label: Whether each label is voted on by itself.
        classes: The order of the labels of a set.
    """
    by_image: dict[str, dict[str, Answer]] = defaultdict(dict)
    for answer in answers:
        by_image[answer.image][answer.labeller] = answer
    decided = {decision.image: decision for decision in decisions}
    return [
        _settle(image, by_image[image], decided.get(image), is_multi_label, classes)
        for image in sorted(by_image)
    ]


def _settle(
    image: str,
    answers: Mapping[str, Answer],
    decision: Decision | None,
    is_multi_label: bool,
    classes: Sequence[str],
) -> Consensus:
    outcome: Outcome = "majority"
    sublabel = ""
    labels: tuple[str, ...] | None
    if decision is not None:
        outcome = "rejected" if decision.is_rejected else "adjudicated"
        labels, sublabel = decision.labels, decision.sublabel
    else:
        said = [answer.labels for answer in answers.values()]
        labels = vote_on_labels(said, classes) if is_multi_label else vote(said)
        if labels is None:
            outcome, labels = "rejected", ()
    agreeing = [each for each in answers.values() if each.labels == labels]
    if outcome == "majority":
        sublabel = vote([each.sublabel for each in agreeing]) or ""
    return Consensus(
        image,
        outcome,
        labels,
        sublabel,
        tuple(sorted({mark for each in answers.values() for mark in each.marks})),
        dict(sorted(answers.items())),
        len(agreeing) if outcome != "rejected" else 0,
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
    counted = Counter(label for labels in said for label in labels)
    if any(2 * count == len(said) for count in counted.values()):
        return None
    return tuple(name for name in classes if 2 * counted[name] > len(said))


def write_tables(folder: Path, settled: Sequence[Consensus]) -> dict[Outcome, Path]:
    """Write ``majority.csv``, ``adjudicated.csv`` and ``rejected.csv``, each atomically.

    The columns are ``file,label,sublabel,marks,votes,answers`` and ``said``, who said what;
    several labels, and several marks, are joined with ``|``.
    """
    import pandas as pd

    paths = {}
    for outcome in OUTCOMES:
        rows = [_list_cells(each) for each in settled if each.outcome == outcome]
        paths[outcome] = folder / f"{outcome}.csv"
        write_text(paths[outcome], render_csv(pd.DataFrame(rows, columns=list(_COLUMNS))))
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
    labels = ", ".join(answer.labels) or "none"
    return f"{labels} / {answer.sublabel}" if answer.sublabel else labels
