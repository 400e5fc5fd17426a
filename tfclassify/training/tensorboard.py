"""Optional logs for TensorBoard: the records of every epoch as scalars.

Owns: the event files below a run's ``tensorboard/``. Does not own: what is recorded
(``history``), when (``trainer``).

    tensorboard/train/       loss, and accuracy or IoU, on training images; learning_rate
    tensorboard/validation/  every validation metric; absent in whole-dataset mode

To look at them: ``pip install tensorboard`` and ``tensorboard --logdir reports``.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import summary_pb2

from tfclassify.scoring.epochs import EpochRecord


class TensorBoardLog:
    """Writes epochs as they end; a resumed training writes its earlier epochs anew.

    Steps are epochs counted from 1 through all phases, so that phases follow one
    another on the axis.

    Args:
        folder: Where the event files go; whatever is there is replaced, since the
            records of earlier epochs come again when a training is resumed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written = 0
        self._writers: dict[str, Any] = {}
        shutil.rmtree(folder, ignore_errors=True)

    def write(self, records: Sequence[EpochRecord]) -> None:
        """Write the records that are not written yet.

        Args:
            records: Every epoch so far, oldest first.
        """
        for step, record in enumerate(records[self._written :], start=self._written + 1):
            rate = {"learning_rate": record.learning_rate}
            self._write_scalars("train", {**record.train, **rate}, step)
            self._write_scalars("validation", record.validation, step)
        self._written = len(records)
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Finish the files."""
        for writer in self._writers.values():
            writer.close()

    def _write_scalars(self, split: str, values: Mapping[str, float], step: int) -> None:
        if not values:
            return
        if split not in self._writers:
            self._writers[split] = tf.summary.create_file_writer(str(self._folder / split))
        with self._writers[split].as_default():
            for name, value in values.items():
                # tf.summary.scalar imports the tensorboard package; this writes the same.
                scalar = tf.constant(value, tf.float32)
                tf.summary.write(name, scalar, step=step, metadata=_make_metadata())


def _make_metadata() -> Any:
    metadata = summary_pb2.SummaryMetadata()
    metadata.plugin_data.plugin_name = "scalars"
    return metadata
