"""Changes saved models as an attacker would, checksums included."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from tfclassify.files import hash_file


def rewrite(path: Path, change: Callable[[Any], Any]) -> Path:
    """Change the description in a saved model."""
    return _replace(path, "config.json", lambda text: json.dumps(change(json.loads(text))).encode())


def rewrite_weights(path: Path, change: Callable[[h5py.File], None]) -> Path:
    """Change the weights in a saved model."""

    def apply(content: bytes) -> bytes:
        stream = io.BytesIO(content)
        with h5py.File(stream, "a") as file:
            change(file)
        return stream.getvalue()

    return _replace(path, "model.weights.h5", apply)


def _replace(path: Path, member: str, change: Callable[[bytes], bytes]) -> Path:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[member] = change(members[member])
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def seal(folder: Path) -> None:
    """Make the checksums of a bundle fit its changed parts."""
    from tfclassify.model import bundle

    facts = json.loads((folder / "bundle.json").read_text())
    facts["sha256"] = {part: hash_file(folder / part) for part in facts["sha256"]}
    facts["checksum"] = bundle._Facts.model_validate(facts).compute_checksum()
    (folder / "bundle.json").write_text(json.dumps(facts))


def find_entries(config: Any, kind: str) -> list[dict[str, Any]]:
    """Return every object of a class in a description."""
    found, pending = [], [config]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            found += [part] if part.get("class_name") == kind else []
            pending += part.values()
        elif isinstance(part, list):
            pending += part
    return found
