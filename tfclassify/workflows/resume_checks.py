"""Going on with a training only where it would end as it would have.

Owns: comparing recipe, images and software with what a training began with, and the
refusal. Does not own: the notes (``runs.beginning``), the files (``data.changes``).
"""

from __future__ import annotations

import json
from pathlib import Path

from tfclassify.data.index import Index
from tfclassify.data.scan import find_changed_files, fingerprint_index
from tfclassify.errors import RunError
from tfclassify.events import Observer
from tfclassify.files import write_json
from tfclassify.recipe.schema import Recipe, settle
from tfclassify.runs.beginning import DECISIVE, load_beginning, name_changes, save_beginning
from tfclassify.runs.directory import RunDirectory
from tfclassify.runs.environment import describe_processor, list_packages

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
    facts = json.loads(run.environment_path.read_text("utf-8"))
    facts["resumed_despite"] = [*facts.get("resumed_despite", []), *changes]
    write_json(run.environment_path, facts)


def _save(run: RunDirectory, recipe: Recipe, index: Index) -> None:
    content, images = _plain(recipe), fingerprint_index(index)
    save_beginning(run.beginning_path, content, images, list_packages())


def find_changes(run: RunDirectory, recipe: Recipe, index: Index) -> list[str]:
    """Name what has changed since a run began: recipe, index, software; not the files.

    Raises:
        RunError: If what it began with cannot be read.
    """
    began = load_beginning(run.beginning_path)
    if began is None:  # nothing was trained yet
        return []
    changes = [f"recipe: {line}" for line in name_changes(began["recipe"], _plain(recipe))]
    if began["images"] != fingerprint_index(index):
        changes.append(f"{run.index_path}: lists other images, labels or splits")
    now, before = list_packages(), began["packages"]
    for name in DECISIVE:
        if before.get(name) != now.get(name):
            changes.append(f"{name}: {before.get(name, 'absent')} -> {now.get(name, 'absent')}")
    return changes


def refuse_changes(place: Path, changes: list[str], command: str) -> None:
    """Refuse to go on where anything has changed.

    Args:
        place: What is to be gone on with.
        changes: Their lines.
        command: The command line that goes on.

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
        f"{listed}\nundo that, train anew, or go on all the same with: {command} --force"
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
        command: The command line that goes on.
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
    try:
        before = json.loads(run.environment_path.read_text("utf-8")).get("processor")
    except (OSError, ValueError, AttributeError):
        return
    now = describe_processor(Path("/proc/cpuinfo"))
    if before is not None and before != now:
        observer.on_warning(
            f"{run.path}: began on {before!r}, this is {now!r}; the last bits may differ"
        )


def find_recipe_changes(before: Recipe, now: Recipe) -> list[str]:
    """Name the keys in which two recipes differ, as lines of a refusal."""
    return [f"recipe: {line}" for line in name_changes(_plain(before), _plain(now))]


def _plain(recipe: Recipe) -> dict[str, object]:
    content: dict[str, object] = settle(recipe).model_dump(mode="json")
    content.pop("description")  # nothing is computed from it
    return content
