"""The folder of one training: where everything about it is.

Owns: the names in a run's folder, the numbering of runs, finding a run from what a user
typed, and that one process at a time works in it. Does not own: what the files hold.

    reports/<name>/<number>/
    ├── recipe.yaml        the resolved recipe; makes the folder a run
    ├── environment.json   software and machine
    ├── index.csv          every image with its split and status
    ├── integrity.json     what was found wrong with the images
    ├── journal.jsonl      one line an epoch
    ├── state/             what resuming needs
    ├── bundle/            the model and all it takes to use it
    ├── tensorboard/       logs, where the recipe asks for them
    ├── mining.csv         weight and misses of each training image, where the recipe mines
    └── metrics.json, predictions.csv, figures/, report.html
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tfclassify.errors import RunError, TargetError
from tfclassify.files import is_unfinished, write_json, write_text
from tfclassify.recipe.wording import find_nearest, join_names
from tfclassify.runs.environment import describe_environment
from tfclassify.runs.journal import Journal
from tfclassify.runs.numbering import make_numbered

RECIPE_FILE, ENVIRONMENT_FILE = "recipe.yaml", "environment.json"
#: What makes a folder a cross-validation, whose folds are runs.
CROSSVAL_FILE = "crossval.json"


@dataclass(frozen=True)
class RunDirectory:
    """One run's folder.

    Attributes:
        path: The folder, as the user named it.
    """

    path: Path

    @classmethod
    def create(cls, root: Path, name: str, recipe_text: str) -> RunDirectory:
        """Make the next run of a name, ``root/<name>/<number>/``.

        Two processes at once get two numbers.

        Args:
            root: The reports folder.
            name: The recipe's name.
            recipe_text: The resolved recipe.

        Raises:
            RunError: If the folder cannot be made.
        """
        family = root / name
        try:
            last = max((int(run.name) for run in _list_numbered(family)), default=0)
            return cls._start(make_numbered(family, last), recipe_text)
        except OSError as error:
            raise RunError(
                f"{family}: the run's folder cannot be made: {error.strerror}"
            ) from error

    @classmethod
    def create_at(cls, path: Path, recipe_text: str) -> RunDirectory:
        """Make a run in exactly this folder, which must be empty or absent.

        Raises:
            TargetError: If something is there already.
            RunError: If the folder cannot be made.
        """
        if is_run(path):
            raise TargetError(
                f"{path}: there is a run already; go on with it by "
                f"`tfclassify train --resume {path}`, or choose another folder"
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not is_unstarted(path, (ENVIRONMENT_FILE,)):
                raise TargetError(f"{path}: the folder is not empty; choose a new one for the run")
            return cls._start(path, recipe_text)
        except FileExistsError as error:
            raise TargetError(f"{path}: is a file; choose a new folder for the run") from error
        except OSError as error:
            raise RunError(f"{path}: the run's folder cannot be made: {error.strerror}") from error

    @classmethod
    def _start(cls, path: Path, recipe_text: str) -> RunDirectory:
        run = cls(path)
        write_json(run.environment_path, describe_environment())
        write_text(run.recipe_path, recipe_text)  # last: it is what makes the folder a run
        return run

    @classmethod
    def open(cls, path: str | Path, *, needs_bundle: bool = False) -> RunDirectory:
        """Find the run that a user named.

        Args:
            path: A run's folder, or a folder of numbered runs, which means the newest.
            needs_bundle: Whether the run must have a finished model.

        Raises:
            TargetError: If it is not a run, or has no model where one is needed; the
                message names what is near.
        """
        run = cls(_find_run(Path(path)))
        if needs_bundle and not run.bundle_dir.is_dir():
            raise TargetError(
                f"{run.path}: the run has no model yet, since its training has not ended; go on "
                f"with it by `tfclassify train --resume {run.path}`{_name_finished(run.path)}"
            )
        return run

    @classmethod
    def newest(cls, root: Path) -> RunDirectory:
        """Return the run with the highest number in a folder of numbered runs.

        Raises:
            TargetError: If there is none.
        """
        runs = [run for run in _list_numbered(root) if is_run(run)]
        if not runs:
            raise TargetError(f"{root}: no run in it; `tfclassify train` makes one")
        return cls(runs[-1])

    @property
    def recipe_path(self) -> Path:
        """The resolved recipe."""
        return self.path / RECIPE_FILE

    @property
    def environment_path(self) -> Path:
        """Software and machine."""
        return self.path / ENVIRONMENT_FILE

    @property
    def index_path(self) -> Path:
        """Every image with its split and status."""
        return self.path / "index.csv"

    @property
    def integrity_path(self) -> Path:
        """What was found wrong with the images."""
        return self.path / "integrity.json"

    @property
    def journal_path(self) -> Path:
        """One line an epoch."""
        return self.path / "journal.jsonl"

    @property
    def journal(self) -> Journal:
        """The journal, for reading and writing."""
        return Journal(self.journal_path)

    @property
    def ensemble_path(self) -> Path:
        """The members and their weights, where the run is an ensemble."""
        return self.path / "ensemble.json"

    @property
    def state_dir(self) -> Path:
        """What resuming needs."""
        return self.path / "state"

    @property
    def beginning_path(self) -> Path:
        """What the training began with."""
        return self.state_dir / "began.json"

    @property
    def bundle_dir(self) -> Path:
        """The model and all it takes to use it."""
        return self.path / "bundle"

    @property
    def metrics_path(self) -> Path:
        """Scores with their intervals."""
        return self.path / "metrics.json"

    @property
    def predictions_path(self) -> Path:
        """Predictions on the held-out images."""
        return self.path / "predictions.csv"

    @property
    def mining_path(self) -> Path:
        """What hard-example mining made of each training image, where the recipe mines."""
        return self.path / "mining.csv"

    @property
    def figures_dir(self) -> Path:
        """Figures as files."""
        return self.path / "figures"

    @property
    def tensorboard_dir(self) -> Path:
        """Logs for TensorBoard, where the recipe asks for them."""
        return self.path / "tensorboard"

    @property
    def report_path(self) -> Path:
        """The page."""
        return self.path / "report.html"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from working in this run until the block ends.

        The system lets go of the lock when a process dies, however it dies.

        Raises:
            RunError: If another process holds it.
        """
        with self._open_lock() as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                stream.seek(0)
                holder = stream.read().strip() or "unknown"
                raise RunError(
                    f"{self.path}: process {holder} is working in this run; wait until it ends"
                ) from error
            stream.truncate(0)
            stream.write(f"{os.getpid()}\n")
            stream.flush()
            yield

    def _open_lock(self) -> TextIO:
        try:
            return (self.path / ".lock").open("a+")
        except OSError as error:
            raise RunError(
                f"{self.path}: cannot be worked in: {error.strerror}; make the folder writable, "
                "or copy it to where it is"
            ) from error


def is_run(path: Path) -> bool:
    """Say whether a folder is a run."""
    return (path / RECIPE_FILE).is_file()


def is_unstarted(path: Path, first_files: Sequence[str]) -> bool:
    """Say whether a folder is empty, or a crash ended the making of what it was to be.

    Args:
        path: The folder.
        first_files: Names of the files that are written before the one that makes it so.
    """
    return all(item.name in first_files or is_unfinished(item) for item in path.iterdir())


def is_crossval(path: Path) -> bool:
    """Say whether a folder is a cross-validation."""
    return (path / CROSSVAL_FILE).is_file()


def _list_numbered(folder: Path) -> list[Path]:
    """Return the folders whose names are numbers, in the numbers' order."""
    if not folder.is_dir():
        return []
    found = [item for item in folder.iterdir() if item.name.isdecimal() and item.is_dir()]
    return sorted(found, key=lambda item: int(item.name))


def _find_run(path: Path) -> Path:
    """Return the run's folder that ``path`` stands for."""
    if is_run(path):
        return path
    if not path.exists():
        raise TargetError(f"{path}: no such run{_suggest(path)}")
    if path.is_file():
        kind = "a recipe" if path.suffix in (".yaml", ".yml") else "a file"
        hint = f"; train it first: `tfclassify train {path}`" if kind == "a recipe" else ""
        raise TargetError(f"{path}: is {kind}, a run is a folder such as reports/plants/001{hint}")
    if is_crossval(path):
        raise TargetError(
            f"{path}: is a cross-validation, whose folds are runs; name one of them, such as "
            f"{next((str(item.parent) for item in sorted(path.rglob(RECIPE_FILE))), 'fold-1')}"
        )
    if any(is_run(run) for run in _list_numbered(path)):
        return RunDirectory.newest(path).path
    if is_run(path.parent):
        raise TargetError(f"{path}: is a part of a run; name the run itself, {path.parent}")
    families = [str(item) for item in _list_families(path)]
    if families:
        raise TargetError(
            f"{path}: holds runs of several recipes; name one of {join_names(families)}"
        )
    raise TargetError(f"{path}: is not a run, it has no {RECIPE_FILE}{_suggest(path)}")


def _list_families(root: Path) -> list[Path]:
    """Return the folders in a reports folder that have runs."""
    if not root.is_dir():
        return []
    folders = sorted(item for item in root.iterdir() if item.is_dir())
    return [item for item in folders if any(is_run(run) for run in _list_numbered(item))]


def _suggest(path: Path) -> str:
    """Name the run or folder of runs that was probably meant."""
    places = [*_list_numbered(path.parent), *_list_families(path.parent)]
    places += _list_families(Path("reports"))
    names = {place.name: str(place) for place in places if place != path}
    nearest = find_nearest(path.name, names)
    if nearest is not None:
        return f"; did you mean {names[nearest]!r}?"
    if names:
        return f"; there are {join_names(list(names.values())[:5], 'and')}"
    return "; `tfclassify train RECIPE` makes one"


def _name_finished(path: Path) -> str:
    """Name the newest finished run beside an unfinished one."""
    done = [run for run in _list_numbered(path.parent) if RunDirectory(run).bundle_dir.is_dir()]
    return f", or use {done[-1]}" if done else ""
