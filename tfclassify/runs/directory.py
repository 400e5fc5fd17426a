"""The folder of one training: where everything about it is.

Owns: the names in a folder of results, its numbering, finding a run from what a user
typed, and that one process at a time works in it. Does not own: what the files hold
(``documents``), the folder of a cross-validation (``crossval_directory``).

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

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tfclassify.errors import RunError, StorageError, TargetError
from tfclassify.files import (
    find_irregular,
    is_unfinished,
    lock_file,
    read_regular,
    to_plain,
    write_text,
)
from tfclassify.recipe.wording import find_nearest, join_names
from tfclassify.runs.documents import EnsembleFacts, read_document
from tfclassify.runs.environment import describe_environment

RECIPE_FILE, ENVIRONMENT_FILE, LOCK_FILE = "recipe.yaml", "environment.json", ".lock"
#: What makes a run an ensemble, which no training made.
ENSEMBLE_FILE = "ensemble.json"
#: What makes a folder a cross-validation, whose folds are runs.
CROSSVAL_FILE = "crossval.json"
_DIGITS, ATTEMPTS = 3, 1000
_MOST_JOURNAL_BYTES = 64 << 20


@dataclass(frozen=True)
class ResultsFolder:
    """What the folders of runs and of cross-validations have in common.

    Attributes:
        path: The folder, as the user named it.
        made: The folders above that were made along with it, the nearest first.
    """

    path: Path
    made: tuple[Path, ...] = field(default=(), kw_only=True, compare=False, repr=False)

    @property
    def index_path(self) -> Path:
        """Every image with its split and status."""
        return self.path / "index.csv"

    @property
    def integrity_path(self) -> Path:
        """What was found wrong with the images."""
        return self.path / "integrity.json"

    @property
    def metrics_path(self) -> Path:
        """Scores with their intervals."""
        return self.path / "metrics.json"

    @property
    def predictions_path(self) -> Path:
        """Predictions on the held-out images."""
        return self.path / "predictions.csv"

    @property
    def thumbnails_path(self) -> Path:
        """The images of the index in small, by which near-duplicates are found."""
        return self.path / "thumbnails.npz"

    @property
    def figures_dir(self) -> Path:
        """Figures as files."""
        return self.path / "figures"

    @property
    def report_path(self) -> Path:
        """The page."""
        return self.path / "report.html"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from working in this folder until the block ends.

        The system lets go of the lock when a process dies, however it dies.

        Raises:
            RunError: If another process holds it.
        """
        with ExitStack() as held:
            try:
                stream = held.enter_context(lock_file(self.path / LOCK_FILE))
                stream.truncate(0)
                stream.write(f"{os.getpid()}\n".encode())
                stream.flush()
            except BlockingIOError as error:
                raise RunError(
                    f"{self.path}: process {self._name_holder()} is working in this run; wait "
                    "until it ends"
                ) from error
            except OSError as error:
                raise RunError(
                    f"{self.path}: cannot be worked in: {LOCK_FILE}: {error.strerror}; make the "
                    "folder writable, or copy it to where it is"
                ) from error
            yield

    def discard(self) -> None:
        """Remove the folder, and those above that were made for it and hold nothing else."""
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):  # another run is in it by now
            for folder in self.made:
                folder.rmdir()

    def _name_holder(self) -> str:
        try:
            text = read_regular(self.path / LOCK_FILE, limit=1 << 10).decode("ascii", "replace")
        except OSError:
            return "unknown"
        return text.strip() or "unknown"


@dataclass(frozen=True)
class RunDirectory(ResultsFolder):
    """One run's folder."""

    @classmethod
    def create(
        cls, root: Path, name: str, recipe_text: str, ensemble: EnsembleFacts | None = None
    ) -> RunDirectory:
        """Make the next run of a name, ``root/<name>/<number>/``.

        Two processes at once get two numbers.

        Args:
            root: The reports folder.
            name: The recipe's name.
            recipe_text: The resolved recipe.
            ensemble: What it is joined from, where it is not trained.

        Raises:
            RunError: If the folder cannot be made.
        """
        made = list_absent(root / name)
        return cls(make_next(root / name, "run"), made=made)._start(recipe_text, ensemble)

    @classmethod
    def create_at(
        cls, path: Path, recipe_text: str, ensemble: EnsembleFacts | None = None
    ) -> RunDirectory:
        """Make a run in exactly this folder, which must be empty or absent.

        An ensemble whose joining was cut off is joined anew in its folder.

        Raises:
            TargetError: If something is there already.
            RunError: If the folder cannot be made.
        """
        run = cls(path, made=list_absent(path.parent))
        is_joined_anew = ensemble is not None and run.is_unfinished_ensemble
        if is_run(path) and not is_joined_anew:
            raise TargetError(
                f"{path}: there is a run already; {run.describe_way_on()}, or choose another folder"
            )
        if is_joined_anew:
            refuse_irregular(path)
        else:
            make_empty(path, "run", (ENSEMBLE_FILE, ENVIRONMENT_FILE))
        return run._start(recipe_text, ensemble)

    def _start(self, recipe_text: str, ensemble: EnsembleFacts | None) -> Self:
        if ensemble is not None:  # first: an ensemble that is cut off must not be trained
            ensemble.write(self.ensemble_path)
        else:
            self.ensemble_path.unlink(missing_ok=True)
        describe_environment().write(self.environment_path)
        write_text(self.recipe_path, recipe_text)  # last: it is what makes the folder a run
        return self

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
        refuse_irregular(run.path)
        if needs_bundle and not run.bundle_dir.is_dir():
            raise TargetError(
                f"{run.path}: the run has no model yet, since it was not finished; "
                f"{run.describe_way_on()}{_name_finished(run.path)}"
            )
        return run

    @property
    def is_finished(self) -> bool:
        """Whether it has a model and its report, which is written last."""
        return self.report_path.exists() and self.bundle_dir.is_dir()

    def drop_state(self, *, is_tried_only: bool = False) -> int:
        """Remove the saved weights that only resuming needs; what the run began with stays.

        Args:
            is_tried_only: Whether only to say what that would free.

        Returns:
            The bytes that are free, or would be.
        """
        files = sorted(self.state_dir.glob("*.npz"))
        size = sum(file.lstat().st_size for file in files)
        if not is_tried_only:
            for file in files:
                file.unlink()
        return size

    @property
    def is_unfinished_ensemble(self) -> bool:
        """Whether it is an ensemble whose joining was cut off."""
        return self.ensemble_path.exists() and not self.report_path.exists()

    def describe_way_on(self) -> str:
        """Say how an unfinished run is ended: ``resume it with …``.

        Raises:
            RunError: If it is an ensemble whose facts are damaged.
        """
        if not self.ensemble_path.exists():
            words = ["tfclassify", "train", "--resume", str(self.path)]
            return f"resume it with `{shlex.join(words)}`"
        facts = read_document(EnsembleFacts, self.ensemble_path, "remove the folder")
        words = ["tfclassify", "ensemble", *(member.run for member in facts.members)]
        words += ["--weights", facts.weights]
        words += ["--allow-different-images"] if facts.allow_different_images else []
        return f"join its members anew by `{shlex.join([*words, '--out', str(self.path)])}`"

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

    def write_journal(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Write ``journal.jsonl``, one line for each finished epoch, atomically.

        Numbers that JSON cannot hold (NaN, infinities) become null.
        """
        texts = (json.dumps(to_plain(each), ensure_ascii=False) for each in records)
        write_text(self.journal_path, "".join(f"{text}\n" for text in texts))

    def read_journal(self) -> list[dict[str, Any]]:
        """Return the record of every finished epoch, oldest first; none without a journal.

        Raises:
            RunError: If a line is no JSON object.
        """
        if not self.journal_path.exists():
            return []
        lines = self._read_lines()
        return [self._read_record(number, line) for number, line in enumerate(lines, start=1)]

    def _read_lines(self) -> list[bytes]:
        try:
            return read_regular(self.journal_path, limit=_MOST_JOURNAL_BYTES).splitlines()
        except OSError as error:
            raise RunError(f"{self.journal_path}: cannot be read: {error.strerror}") from error

    def _read_record(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise RunError(
                f"{self.journal_path}, line {number}: not a JSON object, got {line[:40]!r}; the "
                "file was changed by hand or damaged: restore it, or train anew"
            )
        return record

    def count_epochs(self) -> int:
        """Return how many epochs are finished; 0 where the journal cannot be read."""
        try:
            return len(self._read_lines()) if self.journal_path.exists() else 0
        except RunError:
            return 0

    def describe_kept(self) -> str:
        """Say what is not lost where the training is broken off."""
        return describe_epochs(self.count_epochs())

    @property
    def recipe_path(self) -> Path:
        """The resolved recipe."""
        return self.path / RECIPE_FILE

    @property
    def environment_path(self) -> Path:
        """Software and machine."""
        return self.path / ENVIRONMENT_FILE

    @property
    def journal_path(self) -> Path:
        """One line an epoch."""
        return self.path / "journal.jsonl"

    @property
    def ensemble_path(self) -> Path:
        """The members and their weights, where the run is an ensemble."""
        return self.path / ENSEMBLE_FILE

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
    def answers_path(self) -> Path:
        """The answers behind ``predictions.csv`` as arrays, for programs."""
        return self.path / "predictions.npz"

    @property
    def choice_path(self) -> Path:
        """How the recipe was fitted to a time, where it was."""
        return self.path / "choice.json"

    @property
    def mining_path(self) -> Path:
        """What hard-example mining made of each training image, where the recipe mines."""
        return self.path / "mining.csv"

    @property
    def tensorboard_dir(self) -> Path:
        """Logs for TensorBoard, where the recipe asks for them."""
        return self.path / "tensorboard"


def refuse_irregular(folder: Path) -> None:
    """Refuse a folder that somebody made of links, pipes or devices; see ``find_irregular``.

    Raises:
        RunError: If there is any in it, or a folder in it cannot be read.
    """
    try:
        found = find_irregular(folder)
    except OSError as error:
        raise RunError(
            f"{error.filename or folder}: cannot be read: {error.strerror}; make it readable"
        ) from error
    if found is not None:
        raise RunError(
            f"{found}; a run is made of files and folders alone, and nothing of it is opened "
            "through anything else. If it is yours, put what it leads to in its place"
        )


def is_run(path: Path) -> bool:
    """Say whether a folder is a run: a recipe alone may lie in any working folder."""
    marks = (ENVIRONMENT_FILE, LOCK_FILE)
    return (path / RECIPE_FILE).is_file() and any((path / mark).is_file() for mark in marks)


def describe_epochs(epochs: int) -> str:
    """Say how many finished epochs are kept."""
    if epochs == 1:
        return "1 finished epoch is kept"
    return f"{epochs} finished epochs are kept" if epochs else "no epoch was finished yet"


def list_absent(folder: Path) -> tuple[Path, ...]:
    """Return a folder and those above it that are not there yet, the nearest first."""
    return tuple(each for each in (folder, *folder.parents) if not each.exists())


def make_next(family: Path, kind: str, prefix: str = "") -> Path:
    """Make the folder after the highest number: ``family/<prefix><number>``.

    A number that another process takes meanwhile is passed over.

    Args:
        family: The folder above, which is made too.
        kind: What the folder is of, for a message.
        prefix: What stands before the number.

    Raises:
        RunError: If the system does not let it be made, or none of the next thousand
            numbers is free.
    """
    try:
        family.mkdir(parents=True, exist_ok=True)
        named = [
            re.fullmatch(f"{prefix}([0-9]{{1,18}})", item.name) for item in list_folders(family)
        ]
        last = max((int(found[1]) for found in named if found), default=0)
        for number in range(last + 1, last + 1 + ATTEMPTS):
            path = family / f"{prefix}{number:0{_DIGITS}}"
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return path
    except OSError as error:
        raise _refuse_folder(family, kind, error) from error
    raise RunError(
        f"{family}: no free run number up to {prefix}{last + ATTEMPTS}; move old runs away"
    )


def _refuse_folder(path: Path, kind: str, error: OSError) -> RunError:
    way_out = StorageError.explain(error).way_out
    return RunError(f"{path}: the {kind}'s folder cannot be made: {error.strerror}; {way_out}")


def make_empty(path: Path, kind: str, first_files: Sequence[str]) -> None:
    """Make exactly this folder, which must be absent or empty.

    What a crash left that ended the making of it counts as nothing.

    Args:
        path: The folder.
        kind: What it is to be of, for a message.
        first_files: Names of the files that are written before the one that makes it so.

    Raises:
        TargetError: If something else is there.
        RunError: If the system does not let it be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        refuse_irregular(path)
        left = [item for item in path.iterdir() if not is_unfinished(item)]
    except FileExistsError as error:
        raise TargetError(f"{path}: is a file; choose a new folder for the {kind}") from error
    except OSError as error:
        raise _refuse_folder(path, kind, error) from error
    if any(item.name not in first_files for item in left):
        raise TargetError(f"{path}: the folder is not empty; choose a new one for the {kind}")


def list_folders(path: Path) -> list[Path]:
    """Return the folders inside of a folder by name; none where there is no such folder."""
    return sorted(item for item in path.iterdir() if item.is_dir()) if path.is_dir() else []


def is_crossval(path: Path) -> bool:
    """Say whether a folder is a cross-validation."""
    return (path / CROSSVAL_FILE).is_file()


def _list_numbered(folder: Path) -> list[Path]:
    """Return the folders whose names are numbers, in the numbers' order."""
    found = [item for item in list_folders(folder) if re.fullmatch("[0-9]{1,18}", item.name)]
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
    missing = ENVIRONMENT_FILE if (path / RECIPE_FILE).is_file() else RECIPE_FILE
    raise TargetError(f"{path}: is not a run, it has no {missing}{_suggest(path)}")


def _list_families(root: Path) -> list[Path]:
    """Return the folders in a reports folder that have runs."""
    return [item for item in list_folders(root) if any(map(is_run, _list_numbered(item)))]


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
