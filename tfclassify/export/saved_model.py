"""A view model as a TensorFlow SavedModel, for where Keras and this package are not.

Owns: the folder's signature and its settings file.
Does not own: who reads it (``codalab_model``).
"""

from __future__ import annotations

import json
from pathlib import Path

import tensorflow as tf

from tfclassify.inference.views import ViewModel


class _Shipped(tf.Module):
    """The graph with the variables it reads, which a SavedModel must know of."""

    def __init__(self, views: ViewModel) -> None:
        super().__init__()
        self.weights = [variable.value for variable in views.model.variables]
        self.serve = tf.function(
            lambda images: {"scores": views.graph(images)},
            input_signature=views.graph.input_signature,
        )


def write_saved_model(folder: Path, views: ViewModel, settings: dict[str, object]) -> None:
    """Write the graph with its views inside, and settings beside it.

    The signature ``serving_default`` takes ``images`` float32 ``(n, H, W, 3)``
    0..255 and gives ``scores`` float32 ``(n, classes)``. The settings lie in
    ``assets.extra/settings.json``, the place that the format keeps for its users.

    Args:
        folder: The SavedModel's folder, made here.
        views: The network and its views.
        settings: What the reader must know, as JSON.
    """
    shipped = _Shipped(views)
    tf.saved_model.save(shipped, str(folder), signatures={"serving_default": shipped.serve})
    extra = folder / "assets.extra"
    extra.mkdir()
    text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    (extra / "settings.json").write_text(text, encoding="utf-8")
