"""Runs an artefact's own predict.py on photos, where its toolkit cannot be imported.

Run by its path as ``python -I check.py FOLDER REQUEST OUTPUT``, never imported.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType


class _Refused:
    """An import hook that refuses packages which the artefact must not need."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = frozenset(names)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] in self.names:
            raise ImportError(f"an artefact must run without {name} installed")
        return None


def main(folder: str, source: str, target: str) -> None:
    """Predict the photos of a request and write labels and probabilities.

    Args:
        folder: The artefact.
        source: JSON with ``files``, and with ``refused``, names of packages.
        target: The ``.npz`` to write: ``probabilities`` ``(n, C)``, ``labels`` ``(n,)``,
            those of an image joined with a line feed.
    """
    sys.dont_write_bytecode = True  # nothing is left in the folder
    request = json.loads(Path(source).read_text(encoding="utf-8"))
    sys.meta_path.insert(0, _Refused(request["refused"]))
    sys.path.insert(0, folder)
    import numpy as np
    import predict  # type: ignore[import-not-found]

    labels, probabilities = predict.main(request["files"])
    np.savez(target, probabilities=probabilities, labels=["\n".join(each) for each in labels])


if __name__ == "__main__":
    main(*sys.argv[1:])
