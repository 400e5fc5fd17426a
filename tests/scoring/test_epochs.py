from __future__ import annotations

import json

import pytest

from tfclassify.scoring.epochs import EpochRecord, best_epoch, is_better


def records(*values: float, metric: str = "loss") -> list[EpochRecord]:
    return [
        EpochRecord("p", 0, number + 1, 0.1, 1.0, 10.0, {}, {metric: value})
        for number, value in enumerate(values)
    ]


def test_a_record_survives_json() -> None:
    record = records(0.5)[0]
    assert EpochRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record
    before = {**record.to_dict()}
    del before["learning_rates"]  # as an earlier version wrote it
    assert EpochRecord.from_dict(before) == record
    rates = EpochRecord("p", 0, 1, 0.1, 1.0, 10.0, {}, {}, (0.3, 0.2, 0.1))
    assert EpochRecord.from_dict(json.loads(json.dumps(rates.to_dict()))) == rates


def test_better_knows_the_direction_of_a_metric() -> None:
    assert is_better("accuracy", 0.8, 0.7)
    assert is_better("loss", 0.7, 0.8)
    assert not is_better("loss", 0.7, 0.7)
    assert not is_better("accuracy", 0.705, 0.7, min_delta=0.01)


def test_a_metric_of_either_task_has_a_direction() -> None:
    assert is_better("map", 0.8, 0.7)
    assert is_better("hamming", 0.1, 0.2)


def test_a_value_that_is_none_loses_to_all() -> None:
    nan = float("nan")
    assert is_better("roc_auc", 0.1, nan)
    assert not is_better("roc_auc", nan, 0.1)
    assert not is_better("roc_auc", nan, nan)
    assert best_epoch([nan, 0.6, nan, 0.5], "roc_auc") == 1


@pytest.mark.parametrize(
    ("values", "metric", "expected"),
    [([], "loss", -1), ([3.0], "loss", 0), ([3, 1, 2, 1], "loss", 1), ([3, 1, 4], "accuracy", 2)],
)
def test_best_epoch_is_the_first_of_equals(values: list[float], metric: str, expected: int) -> None:
    assert best_epoch(values, metric) == expected
