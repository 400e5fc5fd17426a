"""Predicts from a bundle's folder in a process of its own.

Run by its path as ``python -I bundle_server.py ROOT REQUEST OUTPUT``: it knows
nothing but the bundle on disk and the image files that the request names.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(request_file: str, target: str) -> None:
    """Predict the files of a request and write their probabilities.

    Args:
        request_file: JSON with ``bundle`` (folder), ``files``, ``tta`` (or null) and
            ``batch_size``.
        target: The ``.npz`` to write: ``probabilities`` ``(files, classes)``.
    """
    import numpy as np

    from tfclassify.inference.prediction import predict_paths
    from tfclassify.model.bundle import load_bundle
    from tfclassify.recipe.schema import TtaRecipe

    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    tta = None if request["tta"] is None else TtaRecipe(**request["tta"])
    bundle = load_bundle(Path(request["bundle"]))
    answers = predict_paths(bundle, request["files"], tta, batch_size=request["batch_size"])
    np.savez(target, probabilities=answers.probabilities)


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    main(*sys.argv[2:])
