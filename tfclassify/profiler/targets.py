"""What a user may name to be profiled, told apart without TensorFlow.

Owns: from the text on the command line to a kind of target. Does not own: loading it
(``subjects``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tfclassify.backbones.catalog import BACKBONES
from tfclassify.backbones.hub_modules import PREFIX, is_address
from tfclassify.errors import TargetError, TfclassifyError
from tfclassify.recipe.wording import suggest
from tfclassify.runs.directory import RunDirectory, is_run

Kind = Literal["backbone", "recipe", "run", "bundle", "keras", "saved_model", "hub", "artefact"]

#: What can be named, for messages.
CHOICES = (
    "a backbone such as resnet50 (`tfclassify backbones` lists them), a recipe, a run, an "
    "artefact, a .keras file, a SavedModel folder or a TensorFlow Hub address"
)


@dataclass(frozen=True)
class Target:
    """One thing to profile.

    Attributes:
        kind: What it is.
        text: What the user wrote.
        path: Where it is; for a backbone or an address, not a path.
    """

    kind: Kind
    text: str
    path: Path


def find_target(text: str) -> Target:
    """Tell what a user named.

    Raises:
        TargetError: If it is nothing that can be profiled; the nearest name is given.
    """
    path = Path(text)
    if text in BACKBONES:
        return Target("backbone", text, path)
    if text.startswith(PREFIX):  # as a recipe writes it
        return find_target(text.removeprefix(PREFIX))
    if is_address(text):
        return Target("hub", text, path)
    if path.is_dir():
        return _find_in_folder(text, path)
    if path.is_file():
        return _find_file(text, path)
    hint = suggest(text, BACKBONES) or ";"
    raise TargetError(f"{text}: there is no such model{hint} name {CHOICES}")


def _find_file(text: str, path: Path) -> Target:
    ending = path.suffix.lower()
    if ending in {".yaml", ".yml"}:
        return Target("recipe", text, path)
    if ending == ".keras":
        return Target("keras", text, path)
    if ending in {".h5", ".hdf5"}:
        raise TargetError(
            f"{text}: .h5 models are not loaded, since they can run code; load it where you trust "
            "it and save it anew with model.save('model.keras')"
        )
    if path.name == "saved_model.pb":
        return Target("saved_model", text, path.parent)
    raise TargetError(f"{text}: is no model, its ending is {path.suffix!r}; name {CHOICES}")


def _find_in_folder(text: str, path: Path) -> Target:
    if (path / "saved_model.pb").is_file():
        return Target("saved_model", text, path)
    if (path / "bundle.json").is_file():
        return Target("bundle", text, path)
    if (path / "artefact.json").is_file():
        return Target("artefact", text, path)
    try:
        run = RunDirectory.open(path, needs_bundle=True)
    except TfclassifyError as error:
        if is_run(path):
            raise
        raise TargetError(
            f"{text}: the folder holds no model: neither a saved_model.pb nor a run ({error})"
        ) from error
    return Target("run", text, run.path)


def find_newest_run(root: Path = Path("reports")) -> Target:
    """Return the finished run that was started last.

    Raises:
        TargetError: If there is none; says what can be profiled instead.
    """
    finished = [
        folder
        for folder in root.glob("*/*")
        if is_run(folder) and (folder / "bundle" / "bundle.json").is_file()
    ]
    if not finished:
        raise TargetError(f"{root}: there is no finished run to profile yet; name {CHOICES}")
    newest = max(finished, key=lambda folder: (folder / "recipe.yaml").stat().st_mtime_ns)
    return Target("run", str(newest), newest)
