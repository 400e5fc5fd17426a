"""The folder of one cross-validation: its folds are ordinary runs inside it.

Owns: the names in the folder, its numbering, which folds there are. Does not own: what a
run's folder holds (``directory``).

    reports/<name>/cv-<number>/
    ├── crossval.yaml      the resolved recipe that every fold was trained by
    ├── crossval.json      folds and repeats; makes the folder a cross-validation
    ├── index.csv, integrity.json   every image, before it was dealt into folds
    ├── fold-1/ …          runs; with several repeats repeat-1/fold-1/ …
    └── metrics.json, predictions.csv, figures/, report.html   out of fold
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tfclassify.errors import TargetError
from tfclassify.files import write_text
from tfclassify.recipe.wording import join_names
from tfclassify.runs.directory import (
    CROSSVAL_FILE,
    ResultsFolder,
    RunDirectory,
    describe_epochs,
    is_crossval,
    is_run,
    list_absent,
    list_folders,
    make_empty,
    make_next,
    refuse_irregular,
)
from tfclassify.runs.documents import CrossvalFacts, read_document

RECIPE_FILE = "crossval.yaml"
_KIND = "cross-validation"


@dataclass(frozen=True)
class FoldPlan:
    """How often and into how many parts the images are dealt.

    Attributes:
        folds: Parts, at least 2.
        repeats: How many times all images are dealt anew, at least 1.
    """

    folds: int
    repeats: int

    def places(self) -> Iterator[tuple[int, int]]:
        """Yield ``(repeat, fold)`` of every training, both from 1."""
        for repeat in range(1, self.repeats + 1):
            for fold in range(1, self.folds + 1):
                yield repeat, fold


@dataclass(frozen=True)
class CrossvalDirectory(ResultsFolder):
    """One cross-validation's folder.

    Attributes:
        plan: Its folds and repeats.
    """

    plan: FoldPlan

    @classmethod
    def create(cls, root: Path, name: str, recipe_text: str, plan: FoldPlan) -> CrossvalDirectory:
        """Make the next cross-validation of a recipe's name, ``root/<name>/cv-<number>/``.

        Raises:
            RunError: If the folder cannot be made.
        """
        made = list_absent(root / name)
        return cls(make_next(root / name, _KIND, "cv-"), plan, made=made)._start(recipe_text)

    @classmethod
    def create_at(cls, path: Path, recipe_text: str, plan: FoldPlan) -> CrossvalDirectory:
        """Make a cross-validation in exactly this folder, which must be empty or absent.

        Raises:
            TargetError: If something is there already.
            RunError: If the folder cannot be made.
        """
        if is_crossval(path):
            raise TargetError(
                f"{path}: there is a cross-validation already; "
                f"{cls(path, plan).describe_way_on()}, or choose another folder"
            )
        place = cls(path, plan, made=list_absent(path.parent))
        make_empty(path, _KIND, (RECIPE_FILE,))
        return place._start(recipe_text)

    def _start(self, recipe_text: str) -> Self:
        write_text(self.recipe_path, recipe_text)
        facts = CrossvalFacts(folds=self.plan.folds, repeats=self.plan.repeats)
        facts.write(self.path / CROSSVAL_FILE)  # last: it makes the folder what it is
        return self

    @classmethod
    def open(cls, path: Path) -> CrossvalDirectory:
        """Find the cross-validation that a user named.

        Raises:
            TargetError: If it is none; those that are near are named.
            RunError: If its facts are damaged.
        """
        if not is_crossval(path):
            near = [item for item in list_folders(path) if is_crossval(item)]
            named = f"; there are {join_names([str(item) for item in near], 'and')}" if near else ""
            kind = "is a run, not" if is_run(path) else "is not"
            raise TargetError(
                f"{path}: {kind} a cross-validation{named or '; `tfclassify crossval` makes one'}"
            )
        refuse_irregular(path)
        facts = read_document(
            CrossvalFacts, path / CROSSVAL_FILE, "start the cross-validation anew"
        )
        return cls(path, FoldPlan(facts.folds, facts.repeats))

    def fold(self, repeat: int, number: int) -> RunDirectory:
        """Return the run of a fold, which need not be there yet; both count from 1."""
        above = self.path / f"repeat-{repeat}" if self.plan.repeats > 1 else self.path
        return RunDirectory(above / f"fold-{number}")

    def describe_way_on(self) -> str:
        """Say how an unfinished one is ended."""
        words = ["tfclassify", "crossval", "--resume", str(self.path)]
        return f"resume it with `{shlex.join(words)}`"

    def describe_kept(self) -> str:
        """Say what is not lost where the training of a fold is broken off."""
        folds = [self.fold(*place) for place in self.plan.places()]
        done = sum(fold.report_path.exists() for fold in folds)
        epochs = sum(fold.count_epochs() for fold in folds)
        return f"{done} of {len(folds)} folds are done, {describe_epochs(epochs)}"

    @property
    def command(self) -> str:
        """The command line that does it again."""
        words = ["tfclassify", "crossval", str(self.recipe_path), "--folds", str(self.plan.folds)]
        words += ["--repeat", str(self.plan.repeats)] if self.plan.repeats > 1 else []
        return shlex.join(words)

    @property
    def recipe_path(self) -> Path:
        """The resolved recipe."""
        return self.path / RECIPE_FILE


def find_crossval(run: Path) -> CrossvalDirectory | None:
    """Return the cross-validation that a run is a fold of, or None."""
    above = [folder for folder in list(run.absolute().parents)[:2] if is_crossval(folder)]
    return CrossvalDirectory.open(above[0]) if above else None
