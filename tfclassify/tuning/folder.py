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
    └── best.yaml, trials.csv, report.html
"""

from __future__ import annotations

import re
import shlex
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from tfclassify.errors import RunError, TargetError
from tfclassify.files import Document, write_text
from tfclassify.runs.directory import RunDirectory, is_unstarted, refuse_irregular
from tfclassify.runs.documents import read_document
from tfclassify.runs.numbering import make_numbered
from tfclassify.tuning.trials import TrialJournal

FACTS_FILE, RECIPE_FILE = "search.json", "search.yaml"
_NAME = re.compile(r"search-(\d+)")

Cost = Literal["macs", "parameters", "latency"]
COSTS: tuple[Cost, ...] = ("macs", "parameters", "latency")


class SearchFacts(Document):
    """``search.json``: what a search was asked for.

    Attributes:
        format: Of this file.
        trials: Trials at most, the start included.
        seconds: Time at most, or None.
        sampler: One of ``proposals.SAMPLERS``.
        pruner: none, median or hyperband.
        seed: Of the proposals.
        also: The second aim, or None.
        max_macs: Multiply-accumulates an image at most, or None.
    """

    format: int = 1
    trials: int = Field(ge=1)
    seconds: float | None = Field(default=None, gt=0)
    sampler: Literal["tpe", "random", "grid", "cma_es"] = "tpe"
    pruner: Literal["none", "median", "hyperband"] = "none"
    seed: int = Field(default=0, ge=0)
    also: Cost | None = None
    max_macs: float | None = Field(default=None, gt=0)


@dataclass(frozen=True)
class SearchFolder:
    """One search's folder.

    Attributes:
        path: The folder, as the user named it.
        facts: What was asked for.
    """

    path: Path
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
        family = root / name
        try:
            if out is None:
                inside = family.iterdir() if family.is_dir() else ()
                taken = [_NAME.fullmatch(item.name) for item in inside]
                last = max((int(found[1]) for found in taken if found), default=0)
                path = make_numbered(family, last, "search-")
            else:
                path = out
                path.mkdir(parents=True, exist_ok=True)
                if not is_unstarted(path, (RECIPE_FILE,)):
                    raise TargetError(
                        f"{path}: the folder is not empty; choose a new one, or go on with a "
                        f"search by `tfclassify tune --resume {path}`"
                    )
            write_text(path / RECIPE_FILE, recipe_text)
            facts.write(path / FACTS_FILE)  # last: it makes the folder what it is
        except FileExistsError as error:
            raise TargetError(f"{out}: is a file; choose a new folder") from error
        except OSError as error:
            raise RunError(
                f"{out or family}: the search's folder cannot be made: {error.strerror}"
            ) from error
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
        way_out = "start the search anew"
        return cls(path, read_document(SearchFacts, path / FACTS_FILE, way_out))

    def lock(self) -> AbstractContextManager[None]:
        """Keep other processes from working in it; see ``RunDirectory.lock``."""
        return RunDirectory(self.path).lock()

    def journal(self) -> TrialJournal:
        """Read the trials."""
        return TrialJournal.open(self.path / "trials.jsonl")

    def trial(self, number: int) -> RunDirectory:
        """Return a trial's folder, which holds what a run holds before it is judged."""
        return RunDirectory(self.path / f"trial-{number:04d}")

    def answers_path(self, number: int) -> Path:
        """What a trial says of the validation images."""
        return self.trial(number).path / "validation.npy"

    @property
    def command(self) -> str:
        """The command that goes on with the search."""
        return shlex.join(["tfclassify", "tune", "--resume", str(self.path)])

    @property
    def recipe_path(self) -> Path:
        """The resolved recipe, with its search section."""
        return self.path / RECIPE_FILE

    @property
    def index_path(self) -> Path:
        """Every image and its split."""
        return self.path / "index.csv"

    @property
    def integrity_path(self) -> Path:
        """What was found wrong with the images."""
        return self.path / "integrity.json"

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

    @property
    def report_path(self) -> Path:
        """The page."""
        return self.path / "report.html"
