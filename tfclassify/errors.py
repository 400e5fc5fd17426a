"""The error family.

Owns: every exception that tfclassify raises on purpose, and its exit code.
Does not own: how an error is printed (``cli``).

    TfclassifyError                 exit 1  the work failed
    ├── RequestError                exit 2  what was asked for is wrong
    │   ├── RecipeError                     the recipe, all problems at once
    │   ├── TargetError                     a run, model or path that is not there
    │   ├── AbsentNameError                 a name that is looked up, such as a metric's
    │   └── MissingExtraError               an optional dependency is absent
    ├── DataError                           the images or their table
    │   ├── SourceError                     a source cannot be read at all
    │   │   └── AbsentSourceError   exit 2      no such source, or no image in it
    │   ├── ArchiveError                    an unsafe or damaged archive
    │   ├── ImageError                      one image cannot be used
    │   └── IntegrityError                  bad images under ``strict``
    ├── DownloadError                       no network, wrong checksum
    ├── WeightsError                        pretrained weights are not usable
    ├── ModelError                          a model cannot be built
    │   └── BundleError                     a bundle is damaged or unsafe
    ├── RunError                            a run folder is locked or inconsistent
    ├── StorageError                the system refused to read or write
    ├── TrainingError                       training cannot go on (NaN, no images)
    ├── ScoringError                        a metric has no value on this input
    ├── JobError                    jobs failed, each named with its reason
    ├── PublishError                a model cannot be published, fetched or verified
    ├── ExportError                         an export disagrees with the model
    └── ProfileError                        a network cannot be profiled

A message reads ``where: what is wrong, what was got, what is allowed, what to do``.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self


class TfclassifyError(Exception):
    """Base of every error that tfclassify raises on purpose."""

    exit_code = 1


class RequestError(TfclassifyError):
    """What was asked for is wrong; nothing was started."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One fault of a recipe.

    Attributes:
        path: Dotted path of the key, such as ``phases[1].epochs``; may be empty.
        message: What is wrong, what was got, what is allowed.
        line: Line in the file, from 1, or None where there is no line.
        source: File that holds the line, where it is not the recipe itself; or ``--set``.
    """

    path: str
    message: str
    line: int | None = None
    source: str | None = None


class RecipeError(RequestError):
    """A recipe has one or more problems, all of which are listed.

    Attributes:
        where: The recipe's path as the user gave it.
        problems: Every problem found, in file order.
    """

    def __init__(self, where: str, problems: Sequence[Problem]) -> None:
        self.where = where
        self.problems = tuple(problems)
        super().__init__(self._render())

    def _render(self) -> str:
        count = len(self.problems)
        lines = [f"{self.where}: {count} problem{'s' if count != 1 else ''}"]
        places = [self._place(problem) for problem in self.problems]
        width = max((len(place) for place in places), default=0)
        for place, problem in zip(places, self.problems, strict=True):
            subject = f"{problem.path}: " if problem.path else ""
            shown = f"{place:<{width}}  " if width else ""
            lines.append(f"  {shown}{subject}{problem.message}")
        return "\n".join(lines)

    @staticmethod
    def _place(problem: Problem) -> str:
        line = f"line {problem.line}" if problem.line is not None else ""
        return ", ".join(part for part in (problem.source, line) if part)


class TargetError(RequestError):
    """A run, a model or a path that was named is not there or not of its kind."""


class AbsentNameError(RequestError, KeyError):
    """A name that was looked up is none of those that there are; the nearest is given."""

    __str__ = Exception.__str__  # KeyError's puts the message into quotes


class MissingExtraError(RequestError):
    """An optional dependency is needed; the message holds the install command."""


class DataError(TfclassifyError):
    """The images or their table cannot be used."""


class SourceError(DataError):
    """A data source cannot be read at all."""


class AbsentSourceError(SourceError):
    """There is no such data source, or none of its kind in it: the request is wrong."""

    exit_code = 2


class ArchiveError(DataError):
    """An archive is unsafe, damaged or over its limits."""


class ImageError(DataError):
    """One image cannot be used.

    Attributes:
        kind: Which fault it is, by its name in ``data.integrity.KINDS``.
    """

    def __init__(self, message: str, kind: str = "unreadable") -> None:
        self.kind = kind
        super().__init__(message)


class IntegrityError(DataError):
    """Bad images were found and the recipe says ``strict``."""


class DownloadError(TfclassifyError):
    """A download failed: no network, or a wrong checksum."""


class WeightsError(TfclassifyError):
    """Pretrained weights are missing, damaged or of another network."""


class ModelError(TfclassifyError):
    """A model cannot be built as asked."""


class BundleError(ModelError):
    """A bundle is damaged, unsafe or of an unknown format."""


class RunError(TfclassifyError):
    """A run folder is locked, incomplete or inconsistent."""


#: What to do about the system's errors, by their numbers.
_WAYS_OUT = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EFBIG: "choose a disk that takes files of this size",
    errno.EROFS: "make it writable",
    errno.EACCES: "make it readable and writable, or choose another place",
    errno.EPERM: "make it readable and writable, or choose another place",
    errno.ENOENT: "put it back, or name what is there",
    errno.ENOTDIR: "name a folder",
    errno.EISDIR: "name a file",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit of open files: ulimit -n",
}


#: What a copy is refused for the sake of the place where it goes.
_OF_TARGETS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})


def explain_unread(error: Exception, way_out: str) -> str:
    """Say why a file could not be read, and what to do.

    Args:
        error: What the system or a reader said.
        way_out: What to do about a file that is absent or damaged; a missing right, or a
            disk that fails, is no reason to train again, and has its own.
    """
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
        way_out = _WAYS_OUT.get(error.errno or 0, way_out)
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())
    return f"{reason}; {way_out}"


class StorageError(TfclassifyError):
    """The system refused to read or write something.

    Attributes:
        fact: The file and the system's reason.
        way_out: What to do, in the imperative.
    """

    def __init__(self, fact: str, way_out: str = "mend that and do it again") -> None:
        self.fact, self.way_out = fact, way_out
        super().__init__(f"{fact}; {way_out}")

    @classmethod
    def explain(cls, error: OSError) -> Self:
        """Say what an error of the system means."""
        if error.args and isinstance(error.args[0], list):  # shutil's, of every file of a folder
            _, target, said = error.args[0][0]
            found = re.match(r"\[Errno (\d+)\] ([^:]+)", said)
            error = OSError(int(found[1]), found[2], target) if found else OSError(said)
        reason = error.strerror or str(error) or type(error).__name__
        place = error.filename
        if error.errno in _OF_TARGETS and error.filename2 is not None:  # of a copy
            place = error.filename2
        fact = f"{place}: {reason}" if place is not None else reason
        return cls(fact, _WAYS_OUT.get(error.errno or 0, "mend that"))

    @classmethod
    def lack_memory(cls, reason: str) -> Self:
        """Say that the machine's memory does not do; ``reason`` may be empty."""
        fact = "memory: there is not enough" + (f" ({reason})" if reason else "")
        return cls(fact, "lower batch_size or data.image_size, or free some")


class TrainingError(TfclassifyError):
    """Training cannot start or cannot go on."""


class InterruptedTraining(TfclassifyError):
    """The user stopped the training; the message says how to go on."""

    exit_code = 130


class ScoringError(TfclassifyError):
    """A metric has no value on this input."""


class JobError(TfclassifyError):
    """Some of several independent jobs failed; the others are done.

    Attributes:
        failed: Reason by the job's name.
    """

    def __init__(self, total: int, failed: Mapping[str, str], way_on: str = "") -> None:
        self.failed = dict(failed)
        lines = [f"  {name}: {reason}" for name, reason in failed.items()]
        done = total - len(failed)
        head = f"{len(failed)} of {total} jobs failed, {done} done:"
        lines += [way_on] if way_on else []
        super().__init__("\n".join([head, *lines]) if total else "".join(failed.values()))

    @classmethod
    def of_executor(cls, reason: str) -> JobError:
        """Say why no job could run at all."""
        return cls(0, {"executor": reason})


class PublishError(TfclassifyError):
    """A model cannot be published, fetched or verified."""


class ExportError(TfclassifyError):
    """An export failed its check against the model it came from."""


class ProfileError(TfclassifyError):
    """A network cannot be profiled."""
