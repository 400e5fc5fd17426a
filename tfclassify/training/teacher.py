"""The teacher of a distillation: what a trained network says of the student's own images.

Owns: asking it about images just as the student sees them, and laying its answers behind
the labels. Does not own: which network it is (``workflows.material``), when its answers are
kept (``sources``), what they cost (``losses``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfclassify.errors import ModelError


class Teacher:
    """A trained network that is asked and never changed.

    Args:
        probabilities: Images ``(b, height, width, 3)`` float32 in 0..255 to its own
            probabilities ``(b, classes)``.
        image_size: ``(height, width)`` that it takes; images of another size are resized,
            whatever was done to them before.
        columns: For each class of the student, its place among the teacher's.
        digest: SHA-256 of its parts; its answers are the same where this is.
        caution: A sentence where it was trained on images that the student is judged on.

    Attributes:
        digest: As given.
        caution: As given.
    """

    def __init__(
        self,
        probabilities: Callable[[Any], np.ndarray],
        image_size: tuple[int, int],
        columns: Sequence[int],
        digest: str = "",
        caution: str = "",
    ) -> None:
        self._probabilities, self._image_size = probabilities, image_size
        self._columns = list(columns)
        self.digest, self.caution = digest, caution

    def ask(self, images: Any) -> np.ndarray:
        """Return its probabilities, ``(b, classes)`` float32, in the order of the student's.

        Args:
            images: ``(b, height, width, 3)`` of any number type, 0..255.

        Raises:
            ModelError: If an answer is not finite.
        """
        shown = tf.cast(tf.convert_to_tensor(images), tf.float32)
        if tuple(shown.shape[1:3]) != self._image_size:
            shown = tf.image.resize(shown, self._image_size, antialias=True)
        answers = np.asarray(self._probabilities(shown), np.float32)[:, self._columns]
        if not np.isfinite(answers).all():
            raise ModelError(
                "distil.teacher: its answer is not finite (NaN or infinite) for an image; "
                "evaluate it on its own, or choose another teacher"
            )
        return answers

    def join(self, images: Any, targets: Any) -> np.ndarray:
        """Lay its answers behind the soft labels of the same images: ``(b, 2 * classes)``."""
        return np.concatenate([np.asarray(targets), self.ask(images)], axis=1)
