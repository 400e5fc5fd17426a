"""The folder of one search: its trials are inside it.

Owns: the names in the folder, what was asked for, which trials there are.
Does not own: what a trial leaves in its own folder (``workflows.tune``).

    reports/<name>/search-<number>/
    ├── search.yaml        the resolved recipe, with its search section
    ├── search.json        what was asked for; makes the folder a search
    ├── index.csv, integrity.json   every image and its split, the same for all trials
    ├── trials.jsonl       proposals and how they ended
    ├── trial-0000/ …      what each said of the validation images, and its epochs
    ├── features/          of frozen backbones, shared by the trials; removed at the end
    ├── fold-1/ …          with --folds: a search on other images than fold 1 is judged on,
    │                      and the runs of its start and its choice
    └── best.yaml, trials.csv, report.html
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from tfclassify.errors import TargetError
from tfclassify.files import Document, write_text
from tfclassify.runs.directory import (
    ResultsFolder,
    RunDirectory,
    make_empty,
    make_next,
    refuse_irregular,
)
from tfclassify.runs.documents import MOST_FOLDS, read_document
from tfclassify.tuning.trials import TrialJournal

FACTS_FILE, RECIPE_FILE = "search.json", "search.yaml"

Cost = Literal["macs", "size", "parameters", "latency"]


class SearchFacts(Document):
    """``search.json``: what a search was asked for.

    Attributes:
        format: Of this file.
        trials: Trials at most, the start included.
        seconds: Time at most, or None.
        sampler: Who proposes values; see ``proposals``.
        pruner: none, median or hyperband.
        seed: Of the proposals.
        also: The second aim, or None.
        max_macs: Multiply-accumulates an image at most, or None.
        folds: Nested folds, of which each has a search of its own; 0 for none.
    """

    format: int = 1
    trials: int = Field(ge=1)
    seconds: float | None = Field(default=None, gt=0)
    sampler: Literal["tpe", "random", "grid", "cma_es"] = "tpe"
    pruner: Literal["none", "median", "hyperband"] = "none"
    seed: int = Field(default=0, ge=0)
    also: Cost | None = None
    max_macs: float | None = Field(default=None, gt=0)
    folds: int = Field(default=0, ge=0, le=MOST_FOLDS)

    @property
    def seconds_each(self) -> float | None:
        """Time of the search and of each fold's, which share it evenly."""
        return None if self.seconds is None else self.seconds / (self.folds + 1)


@dataclass(frozen=True)
class SearchFolder(ResultsFolder):
    """One search's folder.

    Attributes:
        facts: What was asked for.
    """

    facts: SearchFacts

    @classmethod
    def create(
        cls, root: Path, name: str, out: Path | None, recipe_text: str, facts: SearchFacts
    ) -> SearchFolder:
        """Make the next search of a recipe's name, or one in exactly ``out``.

        Raises:
            TargetError: If something is in ``out`` already.
            RunError: If the folder cannot be made.
        """
        if out is not None and (out / FACTS_FILE).exists():
            way_on = cls(out, facts).describe_way_on()
            raise TargetError(
                f"{out}: there is a search already; {way_on}, or choose another folder"
            )
        if out is None:
            path = make_next(root / name, "search", "search-")
        else:
            path = out
            make_empty(path, "search", (RECIPE_FILE,))
        write_text(path / RECIPE_FILE, recipe_text)
        facts.write(path / FACTS_FILE)  # last: it makes the folder what it is
        return cls(path, facts)

    @classmethod
    def open(cls, path: Path) -> SearchFolder:
        """Find the search that a user named.

        Raises:
            TargetError: If it is none.
            RunError: If its facts are damaged.
        """
        if not (path / FACTS_FILE).exists():
            raise TargetError(f"{path}: is not a search; `tfclassify tune` makes one")
        refuse_irregular(path)
        return cls(path, read_document(SearchFacts, path / FACTS_FILE, "start the search anew"))

    def describe_way_on(self) -> str:
        """Say how an unfinished one is ended."""
        return f"resume it with `{self.command}`"

    def describe_kept(self) -> str:
        """Say what is not lost where the search is broken off."""
        ended = len(self.journal().order)
        return f"{ended} finished trial{'s' if ended != 1 else ''} are kept"

    def journal(self) -> TrialJournal:
        """Read the trials."""
        return TrialJournal.open(self.path / "trials.jsonl")

    def trial(self, number: int) -> RunDirectory:
        """Return a trial's folder, which holds what a run holds before it is judged."""
        return RunDirectory(self.path / f"trial-{number:04d}")

    def fold(self, number: int) -> Path:
        """Return where the search of a nested fold is, folds counted from 1."""
        return self.path / f"fold-{number}"

    def choice(self, number: int) -> RunDirectory:
        """Return the run of a trial that a nested fold is judged by."""
        return RunDirectory(self.path / f"choice-{number:04d}")

    def answers_path(self, number: int) -> Path:
        """What a trial says of the validation images."""
        return self.trial(number).path / "validation.npy"

    @property
    def command(self) -> str:
        """The command that resumes the search."""
        return shlex.join(["tfclassify", "tune", "--resume", str(self.path)])

    @property
    def recipe_path(self) -> Path:
        """The resolved recipe, with its search section."""
        return self.path / RECIPE_FILE

    @property
    def features_dir(self) -> Path:
        """Features that the trials share."""
        return self.path / "features"

    @property
    def best_path(self) -> Path:
        """The best trial's recipe."""
        return self.path / "best.yaml"

    @property
    def table_path(self) -> Path:
        """Every trial, one row each."""
        return self.path / "trials.csv"
