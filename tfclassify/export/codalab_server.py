"""Plays the competition's server: imports an unpacked submission and calls it.

Run by its path as ``python -I codalab_server.py INPUT OUTPUT`` in the folder of
the submission, never imported. It may only use what the server has, and fails if
the submission reaches for this project.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _NoProject:
    """An import hook that refuses the project that wrote the submission."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] == "tfclassify":
            raise ImportError("a submission must run without tfclassify installed")
        return None


def main(source: str, target: str) -> None:
    """Predict every array of images in one file and write the answers to another.

    Args:
        source: An ``.npz`` with arrays of images ``(n, H, W, 3)``, by name.
        target: The ``.npz`` to write: ``ids_<name>`` and ``scores_<name>``.
    """
    import numpy as np
    import tensorflow as tf
    from model import model  # type: ignore[import-not-found]

    submitted = model(".")
    answers: dict[str, Any] = {}
    with np.load(source, allow_pickle=False) as groups:
        for name in groups.files:
            images = tf.convert_to_tensor(groups[name])
            answers[f"ids_{name}"] = np.asarray(submitted.predict(images))
            answers[f"scores_{name}"] = np.asarray(submitted.predict_scores(images))
    np.savez(target, **answers)
    assert "tfclassify" not in sys.modules


if __name__ == "__main__":
    sys.meta_path.insert(0, _NoProject())
    sys.path.insert(0, ".")
    main(*sys.argv[1:])
