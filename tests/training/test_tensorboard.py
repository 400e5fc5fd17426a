from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.util import event_pb2

from tfclassify.scoring.epochs import EpochRecord
from tfclassify.training.tensorboard import TensorBoardLog


def make_record(epoch: int, phase: int = 0, validation: dict | None = None) -> EpochRecord:
    return EpochRecord(
        phase=f"p{phase}",
        phase_number=phase,
        epoch=epoch,
        learning_rate=0.1 / epoch,
        seconds=1.0,
        images_per_second=9.0,
        train={"loss": 1.0 / epoch, "accuracy": 0.5},
        validation={"loss": 2.0 / epoch} if validation is None else validation,
    )


def read_scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read event files back as TensorBoard does: by the protocol buffer."""
    found: dict[str, list[tuple[int, float]]] = {}
    for file in sorted(folder.iterdir()):
        for line in tf.data.TFRecordDataset(str(file)):
            event = event_pb2.Event.FromString(line.numpy())
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                number = float(tf.make_ndarray(value.tensor))
                found.setdefault(value.tag, []).append((event.step, number))
    return found


def test_every_epoch_is_written_once(tmp_path: Path) -> None:
    log = TensorBoardLog(tmp_path / "logs")
    records = [make_record(1), make_record(2), make_record(1, phase=1)]
    for count in (1, 2, 3):
        log.write(records[:count])
    log.close()
    train = read_scalars(tmp_path / "logs" / "train")
    assert [step for step, _ in train["loss"]] == [1, 2, 3]
    np.testing.assert_allclose([value for _, value in train["loss"]], [1.0, 0.5, 1.0])
    np.testing.assert_allclose([value for _, value in train["learning_rate"]], [0.1, 0.05, 0.1])
    validation = read_scalars(tmp_path / "logs" / "validation")
    assert validation == {"loss": [(1, 2.0), (2, 1.0), (3, 2.0)]}


def test_a_resumed_training_replaces_its_logs(tmp_path: Path) -> None:
    records = [make_record(1), make_record(2)]
    first = TensorBoardLog(tmp_path / "logs")
    first.write(records[:1])
    first.close()
    again = TensorBoardLog(tmp_path / "logs")
    again.write(records[:1])
    again.write(records)
    again.close()
    assert [step for step, _ in read_scalars(tmp_path / "logs" / "train")["loss"]] == [1, 2]


def test_nothing_is_written_without_validation(tmp_path: Path) -> None:
    log = TensorBoardLog(tmp_path / "logs")
    log.write([make_record(1, validation={})])
    log.close()
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["train"]
    assert read_scalars(tmp_path / "logs" / "train")["accuracy"] == [(1, pytest.approx(0.5))]
