"""Judgements of either task through one door."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.builders import make_label_outcome, make_outcome
from tfclassify.errors import ScoringError
from tfclassify.scoring.judgement import Judgement, judge
from tfclassify.scoring.multi_label_judgement import MultiLabelJudgement, judge_labels
from tfclassify.scoring.verdicts import judge_task, read_judgement

CLASSES = ("ash", "birch", "cedar")


def test_each_task_has_its_judgement() -> None:
    targets, probabilities = make_outcome(seed=0, images=30, classes=3)
    one = judge_task(
        "multi_class", np.eye(3)[targets], probabilities, CLASSES, seed=1, temperature=2.0
    )
    assert one == judge(targets, probabilities, CLASSES, seed=1, temperature=2.0)
    sets = make_label_outcome(seed=0, images=30, classes=3)
    many = judge_task("multi_label", *sets, CLASSES, seed=1, thresholds=0.4)
    assert many == judge_labels(*sets, CLASSES, seed=1, thresholds=0.4)


def test_each_is_read_back_as_what_it_was() -> None:
    targets, probabilities = make_outcome(seed=0, images=30, classes=3)
    one = judge(targets, probabilities, CLASSES, seed=1, resamples=5)
    many = judge_labels(*make_label_outcome(0, 30, 3), CLASSES, seed=1, resamples=5)
    for each, kind in ((one, Judgement), (many, MultiLabelJudgement)):
        again = read_judgement(json.loads(json.dumps(each.to_dict())))
        assert type(again) is kind
        assert again == each


def test_scores_from_before_there_were_two_tasks_are_read() -> None:
    targets, probabilities = make_outcome(seed=0, images=30, classes=3)
    judgement = judge(targets, probabilities, CLASSES, seed=1, resamples=5)
    values = judgement.to_dict()
    del values["task"]
    assert read_judgement(values) == judgement


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(ScoringError, match=r"multi_class or multi_label, got 'detect'; evaluate"):
        read_judgement({"task": "detect"})
    with pytest.raises(ScoringError, match=r"metrics: must be of task multi_class, got 'detect'"):
        Judgement.from_dict({"format": 1, "task": "detect"})
