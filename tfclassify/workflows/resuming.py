"""What stops a training, and resuming it only where it would end as it would have.

Owns: turning Ctrl-C, a polite kill, a full disk and a lost image into one line that says how
to resume; noting and comparing recipe, images and software of a training's beginning, and the
refusal. Does not own: keeping the state (``training.trainer``), the images' own bytes
(``data.scan``), what the system's errors mean elsewhere (``start.verb``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfclassify.data.index import Index
from tfclassify.data.scan import find_changed_files, fingerprint_index
from tfclassify.errors import DataError, InterruptedTraining, RunError, StorageError
from tfclassify.events import Observer, stop_signals
from tfclassify.recipe.schema import Recipe, fill_defaults
from tfclassify.runs.directory import RunDirectory
from tfclassify.runs.documents import Beginning, Environment, read_document
from tfclassify.runs.environment import describe_environment, describe_processor, list_packages
from tfclassify.workflows.start import start_tensorflow

#: Packages whose version decides what a training computes.
DECISIVE = ("tfclassify", "tensorflow", "keras", "numpy")
#: Lines of a refusal that are shown of one kind.
_SHOWN = 10


def note_beginning(run: RunDirectory, recipe: Recipe, index: Index) -> None:
    """Note what a training begins with, unless that was noted before."""
    if not run.beginning_path.exists():
        _save(run, recipe, index)


def accept_changes(run: RunDirectory, recipe: Recipe, index: Index, changes: list[str]) -> None:
    """Take the present state for the beginning, and tell in ``environment.json`` what changed."""
    _save(run, recipe, index)
    if not changes:
        return
    facts = read_environment(run)
    despite = (*facts.resumed_despite, *changes)
    facts.model_copy(update={"resumed_despite": despite}).write(run.environment_path)


def read_environment(run: RunDirectory) -> Environment:
    """Read what a run was made with; where that was removed, resuming writes it anew.

    Raises:
        RunError: If that cannot be read.
    """
    return read_document(Environment, run.environment_path, "remove it, and resume")


def _save(run: RunDirectory, recipe: Recipe, index: Index) -> None:
    Beginning(
        recipe=_plain(recipe),
        images=fingerprint_index(index),
        packages=list_packages(),
        teacher=_hash_teacher(recipe),
    ).write(run.beginning_path)


def _hash_teacher(recipe: Recipe) -> str:
    if recipe.distil is None:
        return ""
    start_tensorflow()
    from tfclassify.export.artefact import hash_model

    return hash_model(Path(recipe.distil.teacher))


def find_changes(run: RunDirectory, recipe: Recipe, index: Index) -> list[str]:
    """Name what has changed since a run began: recipe, index, software; not the files.

    Raises:
        RunError: If what it began with cannot be read.
    """
    if not run.beginning_path.exists():  # nothing was trained yet
        return []
    way_out = "train anew, or remove the file to resume unchecked"
    began = read_document(Beginning, run.beginning_path, way_out)
    changes = [f"recipe: {line}" for line in name_changes(began.recipe, _plain(recipe))]
    if began.images != fingerprint_index(index):
        changes.append(f"{run.index_path}: lists other images, labels or splits")
    teacher = _hash_teacher(recipe)
    if began.teacher != teacher:
        named = recipe.distil.teacher if recipe.distil else "absent"
        changes.append(
            f"distil.teacher: {named} holds another model, {began.teacher[:12] or 'none'} -> "
            f"{teacher[:12] or 'none'} of its SHA-256"
        )
    now, before = list_packages(), began.packages
    for name in DECISIVE:
        if before.get(name) != now.get(name):
            changes.append(f"{name}: {before.get(name, 'absent')} -> {now.get(name, 'absent')}")
    return changes


def refuse_changes(place: Path, changes: list[str], command: str) -> None:
    """Refuse to go on where anything has changed.

    Args:
        place: What is to be resumed.
        changes: Their lines.
        command: The command line that resumes.

    Raises:
        RunError: If there is any change; it lists them line by line.
    """
    if not changes:
        return
    lines = [*changes[:_SHOWN]]
    if len(changes) > _SHOWN:
        lines.append(f"and {len(changes) - _SHOWN} more")
    listed = "\n".join(f"  {line}" for line in lines)
    raise RunError(
        f"{place}: not what the training began with, so it would not end as it would have:\n"
        f"{listed}\nundo that, train anew, or resume all the same with: {command} --force"
    )


def check_unchanged(
    run: RunDirectory,
    recipe: Recipe,
    index: Index,
    command: str,
    observer: Observer,
    *,
    force: bool,
) -> None:
    """Refuse to go on with what has changed, unless that is forced.

    Args:
        run: The run.
        recipe: Its recipe, as it is now.
        index: Its images.
        command: The command line that resumes.
        observer: Warned of another machine.
        force: Take what there is now.

    Raises:
        RunError: If anything has changed; it lists the differences line by line.
    """
    changes = [*find_changes(run, recipe, index), *find_changed_files(index)]
    if force:
        accept_changes(run, recipe, index, changes)
    else:
        refuse_changes(run.path, changes, command)
    warn_of_other_machine(run, observer)


def warn_of_other_machine(run: RunDirectory, observer: Observer) -> None:
    """Warn where the run was begun on another processor, whose last bits may differ."""
    if not run.environment_path.exists():
        describe_environment().write(run.environment_path)
    before = read_environment(run).processor
    now = describe_processor()
    if before != now:
        observer.on_warning(
            f"{run.path}: began on {before!r}, this is {now!r}; the last bits may differ"
        )


def find_recipe_changes(before: Recipe, now: Recipe) -> list[str]:
    """Name the keys in which two recipes differ, as lines of a refusal."""
    return [f"recipe: {line}" for line in name_changes(_plain(before), _plain(now))]


def list_values(recipe: Recipe) -> dict[str, object]:
    """List what a recipe says and something is computed from, by dotted keys."""
    return dict(_flatten("", _plain(recipe)))


def _plain(recipe: Recipe) -> dict[str, object]:
    content: dict[str, object] = fill_defaults(recipe).model_dump(mode="json")
    content.pop("description")  # nothing is computed from it
    return content


def name_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Name each value that differs between two mappings, nested ones by their dotted path.

    >>> name_changes({"phases": [{"epochs": 3}]}, {"phases": [{"epochs": 5}]})
    ['phases[0].epochs: 3 -> 5']
    """
    one, other = dict(_flatten("", before)), dict(_flatten("", now))
    return [
        f"{key}: {_show(one, key)} -> {_show(other, key)}"
        for key in dict.fromkeys([*one, *other])
        if key not in one or key not in other or one[key] != other[key]
    ]


def _flatten(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flatten(f"{path}.{key}" if path else str(key), item)
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from _flatten(f"{path}[{number}]", item)
    elif path:
        yield path, value


def _show(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key], ensure_ascii=False) if key in values else "absent"


@contextmanager
def explain_interruption(
    place: Path, describe_kept: Callable[[], str], command: str
) -> Iterator[None]:
    """Turn an interruption into an error whose one line says how to go on.

    Args:
        place: The folder that is worked in.
        describe_kept: Says what is not lost, such as ``3 finished epochs are kept``.
        command: The command line that resumes.

    Raises:
        InterruptedTraining: After Ctrl-C or SIGTERM.
        RunError: If the system could not write or read a file.
        DataError: If an image or table could not be used, and there is a way to go on.
    """
    try:
        with _naming_stops():
            yield
    except KeyboardInterrupt:
        raise InterruptedTraining(
            f"{place}: stopped; {describe_kept()}. Resume with: {command}"
        ) from None
    except OSError as error:
        told = StorageError.explain(error)
        raise RunError(
            f"{place}: stopped: {told.fact}; {describe_kept()}. "
            f"{told.way_out[0].upper()}{told.way_out[1:]}, then resume with: {command}"
        ) from error
    except DataError as error:
        if not place.exists():  # nothing had begun
            raise
        reason = str(error).rstrip(".")
        raise DataError(f"{reason}; {describe_kept()}. Then resume with: {command}") from error


@contextmanager
def _naming_stops() -> Iterator[None]:
    """Let whatever native code made of a signal's exception be that exception again."""
    try:
        yield
    except InterruptedTraining:
        raise
    except Exception as error:
        if stop_signals:
            raise KeyboardInterrupt from error
        raise
