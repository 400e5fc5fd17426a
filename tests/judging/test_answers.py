from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.fake_runs import CLASSES, judge_split, make_index, make_recipe, make_run
from tfclassify.data.index import Index
from tfclassify.errors import RunError
from tfclassify.judging.answers import join_answers, judge_answers, read_answers
from tfclassify.scoring.tasks import get_task

TASKS = ("multi_class", "multi_label")


@pytest.mark.parametrize("task", TASKS)
def test_answers_come_back_as_they_were_given(tmp_path: Path, task: str) -> None:
    index, recipe = make_index(tmp_path / "photos", task=task), make_recipe(task)
    run = make_run(tmp_path / "run", recipe, index)
    verdict = judge_split(index, recipe, "test")
    answers = read_answers(run / "predictions.csv", index, "test")
    assert answers.index.frame["image"].tolist() == verdict.index.frame["image"].tolist()
    np.testing.assert_allclose(answers.probabilities, verdict.probabilities, rtol=1e-7)
    if task == "multi_label":
        assert np.array_equal(answers.is_given, verdict.probabilities >= 0.5)
    else:
        best = verdict.probabilities.argmax(axis=1)
        assert np.array_equal(answers.is_given, np.eye(3, dtype=bool)[best])


@pytest.mark.parametrize("task", TASKS)
def test_scores_of_answers_are_those_of_the_run(tmp_path: Path, task: str) -> None:
    index, recipe = make_index(tmp_path / "photos", task=task), make_recipe(task)
    run = make_run(tmp_path / "run", recipe, index)
    told = judge_split(index, recipe, "validation").plain
    answers = read_answers(run / "predictions.csv", index, "validation")
    judged = judge_answers(answers, recipe, None)
    weighting = answers.to_outcome().weigh()
    for name, metric in get_task(task).metrics.items():
        assert judged.metrics[name].value == pytest.approx(told.metrics[name].value, rel=1e-6)
        value = float(metric.weigh(weighting)[0])
        assert value == pytest.approx(told.metrics[name].value or value, rel=1e-6)


def test_right_is_every_label_right(tmp_path: Path) -> None:
    index = make_index(tmp_path / "photos", task="multi_label", images=12)
    run = make_run(tmp_path / "run", make_recipe("multi_label"), index)
    answers = read_answers(run / "predictions.csv", index, "test")
    given = answers.is_given.copy()
    given[:] = answers.index.mark_labels()
    given[1, 0] = ~given[1, 0]
    changed = answers.__class__(answers.index, answers.probabilities, given)
    assert changed.is_right().tolist() == [True, False, True]


def test_answers_are_taken_and_joined_in_order(tmp_path: Path) -> None:
    index = make_index(tmp_path / "photos")
    run = make_run(tmp_path / "run", make_recipe(), index)
    parts = [
        read_answers(run / "predictions.csv", index, split) for split in ("test", "validation")
    ]
    joined = join_answers(parts)
    assert len(joined) == len(parts[0]) + len(parts[1])
    back = joined.take(np.arange(len(parts[0]), len(joined)))
    assert back.index.frame["image"].tolist() == parts[1].index.frame["image"].tolist()
    assert np.array_equal(back.probabilities, parts[1].probabilities)


@pytest.mark.parametrize("task", TASKS)
def test_names_that_a_spreadsheet_would_run_are_read_back(tmp_path: Path, task: str) -> None:
    index = make_index(tmp_path / "photos", task=task)
    odd = {"blue": "=blue", "green": "-green", "red": "red"}
    frame = index.frame.assign(
        label=[
            "|".join(odd[name] for name in text.split("|") if name) for text in index.frame["label"]
        ],
        image=["=" + name for name in index.frame["image"]],
    )
    index = Index(frame, tuple(odd.values()), "photos", is_multi_label=task == "multi_label")
    run = make_run(tmp_path / "run", make_recipe(task), index)
    answers = read_answers(run / "predictions.csv", index, "test")
    assert answers.is_given.any()


def test_other_images_or_a_damaged_table_are_refused(tmp_path: Path) -> None:
    index = make_index(tmp_path / "photos")
    run = make_run(tmp_path / "run", make_recipe(), index)
    path = run / "predictions.csv"
    fewer = index.with_frame(index.frame.iloc[1:])
    shifted = fewer.with_frame(fewer.frame.assign(split=np.roll(fewer.frame["split"], 1)))
    with pytest.raises(RunError, match=r"holds 6 test images that are not the \d of the run's"):
        read_answers(path, shifted, "test")
    table = pd.read_csv(path)
    table.drop(columns=f"probability:{CLASSES[0]}").to_csv(path, index=False)
    with pytest.raises(RunError, match="the predictions cannot be read"):
        read_answers(path, index, "test")
    path.unlink()
    with pytest.raises(RunError, match="the predictions cannot be read"):
        read_answers(path, index, "test")
