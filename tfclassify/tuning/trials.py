"""Trials of a search, and the journal that remembers them.

Owns: what is known of a trial, and that a kill at any moment loses none that was begun.
Does not own: what is proposed (``proposals``), training it (``workflows.tune``).

The journal is a line of JSON for each thing that happened, flushed to the disk before the
search goes on. A torn last line is what a kill leaves; it is dropped. Optuna's own storages
are not used: its SQLite and journal files lose trials when several processes write, and
leave those of a killed process running for ever.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from tfclassify.errors import RunError
from tfclassify.files import Document, read_regular

_MOST_BYTES = 256 << 20

State = Literal["asked", "complete", "pruned", "failed", "refused"]


class Asked(Document):
    """A proposal was made, and its trial begins.

    Attributes:
        number: From 0, in the order of the proposals.
        values: What it changes, by recipe key.
        known: Trials that had ended when the proposal was made, in that order.
    """

    event: Literal["asked"] = "asked"
    number: int = Field(ge=0)
    values: dict[str, Any]
    known: tuple[int, ...]


class Ended(Document):
    """A trial ended.

    Attributes:
        number: Of the trial.
        state: complete; pruned: stopped early; failed: an error; refused: over a bound,
            not trained.
        score: The recipe's metric on the validation images; None unless complete.
        cost: The second aim, such as MACs; None where there is none.
        seconds: Time that it took.
        curve: The metric after each epoch that was trained.
        at_seconds: Time of the search, over all sittings, when it ended.
        reason: Why it was pruned, failed or refused; what was changed to let it run.
        batch_size: What it was trained with, where memory ran out with the recipe's own.
    """

    event: Literal["ended"] = "ended"
    number: int = Field(ge=0)
    state: Literal["complete", "pruned", "failed", "refused"]
    score: float | None = None
    cost: float | None = None
    seconds: float = Field(default=0.0, ge=0)
    curve: tuple[float | None, ...] = ()
    at_seconds: float = Field(default=0.0, ge=0)
    reason: str = ""
    batch_size: int | None = Field(default=None, ge=1)


Event = Annotated[Asked | Ended, Field(discriminator="event")]
_EVENTS: TypeAdapter[Asked | Ended] = TypeAdapter(Event)


@dataclass(frozen=True)
class Trial:
    """One trial, as far as it is known.

    Attributes:
        asked: The proposal.
        ended: How it ended; None while it runs, or where a kill broke it off.
    """

    asked: Asked
    ended: Ended | None = None

    @property
    def number(self) -> int:
        """From 0, in the order of the proposals."""
        return self.asked.number

    @property
    def state(self) -> State:
        """How it ended, or ``asked``."""
        return self.ended.state if self.ended else "asked"


@dataclass
class TrialJournal:
    """The trials of one search, in memory and on disk.

    Attributes:
        path: The file.
        trials: By number.
        order: Numbers of the ended trials, in the order in which they ended.
    """

    path: Path
    trials: dict[int, Trial] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path) -> TrialJournal:
        """Read the journal, or begin one; a torn last line is cut off.

        Raises:
            RunError: If a line in it is none of a journal, or two do not fit together.
        """
        journal = cls(path)
        if not path.exists():
            return journal
        text = read_regular(path, limit=_MOST_BYTES)
        whole, _, torn = text.rpartition(b"\n")
        for number, line in enumerate(whole.split(b"\n") if whole else (), start=1):
            try:
                journal._take(_EVENTS.validate_json(line))
            except (ValidationError, ValueError) as error:
                raise RunError(
                    f"{path}, line {number}: cannot be read ({_first_line(error)}); the search "
                    "cannot be resumed. Start a new one in another folder"
                ) from error
        if torn:
            with path.open("r+b") as stream:
                stream.truncate(len(whole) + 1 if whole else 0)
        return journal

    def note(self, event: Asked | Ended) -> None:
        """Remember what happened, on the disk before this returns."""
        self._take(event)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as stream:
            line = json.dumps(event.model_dump(mode="json"), ensure_ascii=False, allow_nan=False)
            stream.write(line.encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())

    def _take(self, event: Asked | Ended) -> None:
        known = self.trials.get(event.number)
        if isinstance(event, Asked):
            if event.number != len(self.trials):
                raise ValueError(f"trial {event.number} does not follow {len(self.trials) - 1}")
            self.trials[event.number] = Trial(event)
            return
        if known is None or known.ended is not None:
            raise ValueError(f"trial {event.number} cannot end: it is not running")
        self.trials[event.number] = Trial(known.asked, event)
        self.order.append(event.number)

    def list_ended(self) -> list[Trial]:
        """Return the ended trials, in the order in which they ended."""
        return [self.trials[number] for number in self.order]

    def list_running(self) -> list[Trial]:
        """Return the trials that were begun and have not ended."""
        return [trial for trial in self.trials.values() if trial.ended is None]

    def list_complete(self) -> list[Trial]:
        """Return the trials that have a score, in the order of their numbers."""
        return [trial for trial in self.trials.values() if trial.state == "complete"]


def find_front(trials: Iterable[Trial], *, higher_is_better: bool) -> list[Trial]:
    """Return the trials that no other beats in both score and cost, the cheapest first.

    Args:
        trials: Complete ones with a cost.
        higher_is_better: Which way the score goes; of the cost, less is better.
    """
    sign = -1.0 if higher_is_better else 1.0
    ranked = sorted(
        (trial for trial in trials if trial.ended and trial.ended.score is not None),
        key=lambda trial: (_cost(trial), sign * _score(trial), trial.number),
    )
    front: list[Trial] = []
    for trial in ranked:
        if not front or sign * _score(trial) < sign * _score(front[-1]):
            front.append(trial)
    return front


def _cost(trial: Trial) -> float:
    assert trial.ended is not None
    return trial.ended.cost if trial.ended.cost is not None else 0.0


def _score(trial: Trial) -> float:
    assert trial.ended is not None
    assert trial.ended.score is not None
    return trial.ended.score


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
