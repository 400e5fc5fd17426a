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

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tfclassify.errors import RunError, TargetError
from tfclassify.files import write_json, write_text
from tfclassify.recipe.wording import join_names
from tfclassify.runs.directory import (
    CROSSVAL_FILE,
    RunDirectory,
    describe_epochs,
    is_crossval,
    is_run,
    is_unstarted,
    refuse_irregular,
)
from tfclassify.runs.numbering import make_numbered

RECIPE_FILE = "crossval.yaml"
_FORMAT = 1
_NAME = re.compile(r"cv-(\d+)")


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
class CrossvalDirectory:
    """One cross-validation's folder.

    Attributes:
        path: The folder, as the user named it.
        plan: Its folds and repeats.
    """

    path: Path
    plan: FoldPlan

    @classmethod
    def create(cls, root: Path, name: str, recipe_text: str, plan: FoldPlan) -> CrossvalDirectory:
        """Make the next cross-validation of a recipe's name, ``root/<name>/cv-<number>/``.

        Raises:
            RunError: If the folder cannot be made.
        """
        family = root / name
        try:
            taken = [_NAME.fullmatch(item.name) for item in _list_inside(family)]
            last = max((int(found[1]) for found in taken if found), default=0)
            return cls._start(make_numbered(family, last, "cv-"), recipe_text, plan)
        except OSError as error:
            raise RunError(
                f"{family}: the cross-validation's folder cannot be made: {error.strerror}"
            ) from error

    @classmethod
    def create_at(cls, path: Path, recipe_text: str, plan: FoldPlan) -> CrossvalDirectory:
        """Make a cross-validation in exactly this folder, which must be empty or absent.

        Raises:
            TargetError: If something is there already.
            RunError: If the folder cannot be made.
        """
        if is_crossval(path):
            raise TargetError(
                f"{path}: there is a cross-validation already; go on with it by "
                f"`tfclassify crossval --resume {path}`, or choose another folder"
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
            refuse_irregular(path)
            if not is_unstarted(path, (RECIPE_FILE,)):
                raise TargetError(f"{path}: the folder is not empty; choose a new one")
            return cls._start(path, recipe_text, plan)
        except FileExistsError as error:
            raise TargetError(f"{path}: is a file; choose a new folder") from error
        except OSError as error:
            raise RunError(f"{path}: the folder cannot be made: {error.strerror}") from error

    @classmethod
    def _start(cls, path: Path, recipe_text: str, plan: FoldPlan) -> CrossvalDirectory:
        write_text(path / RECIPE_FILE, recipe_text)
        facts = {"format": _FORMAT, "folds": plan.folds, "repeats": plan.repeats}
        write_json(path / CROSSVAL_FILE, facts)  # last: it makes the folder what it is
        return cls(path, plan)

    @classmethod
    def open(cls, path: Path) -> CrossvalDirectory:
        """Find the cross-validation that a user named.

        Raises:
            TargetError: If it is none; those that are near are named.
            RunError: If its facts are damaged.
        """
        if not is_crossval(path):
            near = [item for item in _list_inside(path) if is_crossval(item)]
            named = f"; there are {join_names([str(item) for item in near], 'and')}" if near else ""
            kind = "is a run, not" if is_run(path) else "is not"
            raise TargetError(
                f"{path}: {kind} a cross-validation{named or '; `tfclassify crossval` makes one'}"
            )
        refuse_irregular(path)
        try:
            facts = json.loads((path / CROSSVAL_FILE).read_text("utf-8"))
            plan = FoldPlan(int(facts["folds"]), int(facts["repeats"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{path / CROSSVAL_FILE}: cannot be read ({error}); start the cross-validation anew"
            ) from error
        return cls(path, plan)

    def fold(self, repeat: int, number: int) -> RunDirectory:
        """Return the run of a fold, which need not be there yet; both count from 1."""
        above = self.path / f"repeat-{repeat}" if self.plan.repeats > 1 else self.path
        return RunDirectory(above / f"fold-{number}")

    def lock(self) -> AbstractContextManager[None]:
        """Keep other processes from working in it; see ``RunDirectory.lock``."""
        return RunDirectory(self.path).lock()

    def describe_way_on(self) -> str:
        """Say how an unfinished one is ended."""
        words = ["tfclassify", "crossval", "--resume", str(self.path)]
        return f"go on with it by `{shlex.join(words)}`"

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

    @property
    def index_path(self) -> Path:
        """Every image, before it was dealt."""
        return self.path / "index.csv"

    @property
    def integrity_path(self) -> Path:
        """What was found wrong with the images."""
        return self.path / "integrity.json"

    @property
    def metrics_path(self) -> Path:
        """Scores out of fold and of each fold."""
        return self.path / "metrics.json"

    @property
    def predictions_path(self) -> Path:
        """Predictions of every image by a model that did not train on it."""
        return self.path / "predictions.csv"

    @property
    def figures_dir(self) -> Path:
        """Figures as files."""
        return self.path / "figures"

    @property
    def report_path(self) -> Path:
        """The page."""
        return self.path / "report.html"


def find_crossval(run: Path) -> CrossvalDirectory | None:
    """Return the cross-validation that a run is a fold of, or None."""
    above = [folder for folder in list(run.absolute().parents)[:2] if is_crossval(folder)]
    return CrossvalDirectory.open(above[0]) if above else None


def _list_inside(path: Path) -> list[Path]:
    return sorted(item for item in path.iterdir()) if path.is_dir() else []
