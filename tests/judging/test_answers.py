from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.fake_runs import make_index, make_probabilities, make_recipe, make_run
from tfclassify.data.index import Index
from tfclassify.errors import RunError
from tfclassify.judging.answers import make_answers, read_answers, save_answers, write_predictions
from tfclassify.judging.verdicts import Calibrated, judge_answers
from tfclassify.scoring.tasks import get_task
from tfclassify.scoring.verdicts import Answers, Verdict

TASKS = ("multi_class", "multi_label")


def judge_made_up(index: Index, task: str, split: str = "test") -> Verdict:
    held = index.in_split(split)
    plain = make_probabilities(held, skill=1.0)
    averaged = make_probabilities(held, skill=2.0, seed=1)
    answers = make_answers(held, plain, averaged, views=("identity", "flip"))
    calibrated = Calibrated(2.0, 3.0)
    if task == "multi_label":
        calibrated = Calibrated(thresholds=dict(zip(index.classes, (0.3, 0.5, 0.7), strict=True)))
    return judge_answers(answers, split, make_recipe(task), calibrated)


@pytest.mark.parametrize("task", TASKS)
def test_answers_come_back_to_the_last_bit(tmp_path: Path, task: str) -> None:
    index = make_index(tmp_path / "photos", task=task)
    verdicts = [judge_made_up(index, task, split) for split in ("validation", "test")]
    write_predictions(tmp_path / "predictions.csv", verdicts)
    for verdict in verdicts:
        answers = read_answers(tmp_path / "predictions.npz", index, verdict.split)
        for name in ("images", "paths", "digests", "groups", "classes"):
            assert getattr(answers, name) == getattr(verdict.answers, name)
        for name in ("targets", "plain", "averaged", "thresholds"):
            own, told = getattr(answers, name), getattr(verdict.answers, name)
            assert (own is None) == (told is None)
            assert own is None or np.array_equal(own, told)
    table = pd.read_csv(tmp_path / "predictions.csv", keep_default_na=False)
    own = table[table["split"] == "test"]
    names = own["label" if task == "multi_class" else "labels"].tolist()
    averaged = verdicts[1].answers.averaged
    if task == "multi_class":
        assert names == [index.classes[best] for best in averaged.argmax(axis=1)]
    else:
        given = averaged >= np.array([0.3, 0.5, 0.7], np.float32)
        rows = [[name for name, is_in in zip(index.classes, row, strict=True) if is_in]
                for row in given]  # fmt: skip
        assert names == ["|".join(row) for row in rows]


@pytest.mark.parametrize("task", TASKS)
def test_scores_of_answers_are_those_that_were_told(tmp_path: Path, task: str) -> None:
    index = make_index(tmp_path / "photos", task=task)
    told = judge_made_up(index, task)
    weighting = told.answers.outcome.weigh()
    for name, metric in get_task(task).metrics.items():
        value = float(metric.weigh(weighting)[0])
        assert value == pytest.approx(told.headline.metrics[name].value, rel=1e-9)
    assert told.tta is told.headline
    assert told.plain.metrics["loss"].value != told.tta.metrics["loss"].value


def test_right_is_every_label_right(tmp_path: Path) -> None:
    index = make_index(tmp_path / "photos", task="multi_label", images=9, splits=("test",))
    said = index.targets().copy()
    said[1, 0] = 1.0 - said[1, 0]
    expected = [True, False] + [True] * 7
    assert make_answers(index, said).is_right().tolist() == expected


def test_answers_are_taken_and_joined_in_order(tmp_path: Path) -> None:
    index = make_index(tmp_path / "photos", task="multi_label", groups=True)
    parts = [judge_made_up(index, "multi_label", s).answers for s in ("test", "validation")]
    joined = Answers.join(parts)
    assert len(joined) == len(parts[0]) + len(parts[1])
    back = joined.take(np.arange(len(parts[0]), len(joined)))
    for name in ("images", "groups"):
        assert getattr(back, name) == getattr(parts[1], name)
    for name in ("plain", "averaged", "thresholds", "targets"):
        assert np.array_equal(getattr(back, name), getattr(parts[1], name))
    assert joined.units == [*parts[0].groups, *parts[1].groups]
    assert replace(joined, groups=("",) * len(joined)).units is None


def test_other_images_or_damaged_arrays_are_refused(tmp_path: Path) -> None:
    index = make_index(tmp_path / "photos")
    path = make_run(tmp_path / "run", make_recipe(), index) / "predictions.npz"
    names = index.with_frame(index.frame.assign(image=index.frame["image"] + "x"))
    with pytest.raises(RunError, match=r"is not of the 6 test images of the run's index"):
        read_answers(path, names, "test")
    fewer = index.with_frame(index.frame.drop(index.frame.index[index.frame["split"] == "test"][0]))
    with pytest.raises(RunError, match=r"plain has the shape and type \(6, 3\) float32, not"):
        read_answers(path, fewer, "test")
    with zipfile.ZipFile(path) as stored:
        parts = {name: stored.read(name) for name in stored.namelist()}
    parts["test/plain.npy"] += b"\0"  # more than the header says
    with zipfile.ZipFile(path, "w") as changed:
        for name, content in parts.items():
            changed.writestr(name, content)
    with pytest.raises(RunError, match="test/plain holds 73 bytes or more, not 72"):
        read_answers(path, index, "test")
    path.write_bytes(b"no archive")
    with pytest.raises(RunError, match=r"cannot be read: .*; judge the run again by `tfclassify"):
        read_answers(path, index, "test")
    path.unlink()
    with pytest.raises(RunError, match="cannot be read"):
        read_answers(path, index, "test")
    save_answers(path, [])
    with pytest.raises(RunError, match="There is no item named 'test/images"):
        read_answers(path, index, "test")
