"""What jobs answer elsewhere is what one process answers, bit for bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.data.builders import Listener
from tests.fake_runs import add_bundle, make_index, make_recipe, make_run
from tests.tiny_run import TinyRun
from tfclassify.errors import (
    ImageError,
    InterruptedTraining,
    JobError,
    ModelError,
    RequestError,
)
from tfclassify.executors.catalogue import EXECUTORS, ExecutorOptions
from tfclassify.executors.jobs import FinishedJob, Here, Job
from tfclassify.files import hash_file
from tfclassify.recipe.schema import TtaRecipe
from tfclassify.workflows import parts
from tfclassify.workflows.compare import CompareRequest, compare_runs
from tfclassify.workflows.ensemble import EnsembleRequest, ensemble_runs
from tfclassify.workflows.evaluate import EvaluateRequest, evaluate_run
from tfclassify.workflows.parts import Question
from tfclassify.workflows.predict import PredictRequest, predict_paths_of_run


class Elsewhere(Here):
    """Runs jobs of this process as another would hear of them: as JSON, the last one first."""

    ran: list[str]

    def submit(self, job: Job) -> None:
        told = json.loads(json.dumps([job.name, job.call, dict(job.arguments)]))
        self._jobs.appendleft(Job(*told))

    def wait(self) -> FinishedJob:
        finished = super().wait()
        self.ran.append(finished.job.name)
        return FinishedJob(finished.job, json.loads(json.dumps(finished.value)), finished.error)

    @property
    def slots(self) -> int:
        return 3


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> ExecutorOptions:
    Elsewhere.ran = []
    monkeypatch.setattr(parts, "_LEAST_IMAGES", 1)
    monkeypatch.setitem(EXECUTORS, "elsewhere", lambda options, observer: Elsewhere(observer))
    parts._open.cache_clear()
    return ExecutorOptions("elsewhere")


@pytest.fixture
def photos(tiny_run: TinyRun, tmp_path: Path) -> Path:
    """Over two batches of photos, one of them empty."""
    folder = Path(shutil.copytree(tiny_run.photos, tmp_path / "photos"))
    for name in ("red", "blue", "green"):
        shutil.copytree(folder / name, folder / f"more-{name}")
    (folder / "blue" / "00.png").write_bytes(b"")
    return folder


def test_predictions_are_the_same_bits(
    tiny_run: TinyRun, photos: Path, elsewhere: ExecutorOptions, tmp_path: Path
) -> None:
    for use_tta in (False, True):
        outs = [tmp_path / f"{where}.csv" for where in ("here", "there")]
        here = predict_paths_of_run(PredictRequest(tiny_run.run, photos, use_tta, out=outs[0]))
        listener = Listener()
        request = PredictRequest(tiny_run.run, photos, use_tta, out=outs[1], executor=elsewhere)
        there = predict_paths_of_run(request, listener)
        np.testing.assert_array_equal(
            there.predictions.probabilities, here.predictions.probabilities
        )
        assert there.predictions.errors == here.predictions.errors
        assert hash_file(outs[0]) == hash_file(outs[1])
        assert any("1 of 90 files could not be used" in each for each in listener.warnings)
    # 64 images a batch, and 32 with two views.
    assert sorted(Elsewhere.ran) == [
        "images 1 to 32",
        "images 1 to 64",
        "images 33 to 64",
        "images 65 to 90",
        "images 65 to 90",
    ]


def test_judgements_are_the_same_bits(tiny_run: TinyRun, elsewhere: ExecutorOptions) -> None:
    here = evaluate_run(EvaluateRequest(tiny_run.run))
    there = evaluate_run(EvaluateRequest(tiny_run.run, executor=elsewhere))
    for one, other in zip(here.verdicts, there.verdicts, strict=True):
        np.testing.assert_array_equal(one.answers.plain, other.answers.plain)
        np.testing.assert_array_equal(one.answers.averaged, other.answers.averaged)
        assert one.headline.to_dict() == other.headline.to_dict()
        assert one.views == other.views
    assert len(Elsewhere.ran) == 2


@pytest.mark.parametrize("weights", ["search", "equal"])
def test_ensembles_are_the_same_bits(
    weights: str, elsewhere: ExecutorOptions, tmp_path: Path
) -> None:
    index = make_index(tmp_path / "photos", images=36)
    recipe = make_recipe().model_copy(update={"tta": TtaRecipe(flips=("horizontal",))})
    runs = []
    for seed, size in ((1, (16, 16)), (2, (8, 8))):
        data = recipe.data.model_copy(update={"image_size": size})
        own = recipe.model_copy(update={"data": data})
        runs.append(make_run(tmp_path / "tiny" / f"00{seed}", own, index))
        add_bundle(runs[-1], own, seed=seed)
    made = [
        ensemble_runs(EnsembleRequest(tuple(runs), weights, out=tmp_path / name, executor=where))
        for name, where in (("here", ExecutorOptions()), ("there", elsewhere))
    ]
    assert made[0].weights == made[1].weights
    for name in ("predictions.csv", "predictions.npz", "index.csv"):
        assert hash_file(made[0].run / name) == hash_file(made[1].run / name)
    assert Elsewhere.ran


def test_comparisons_are_the_same(elsewhere: ExecutorOptions, tmp_path: Path) -> None:
    index, recipe = make_index(tmp_path / "photos", images=36), make_recipe()
    runs = tuple(make_run(tmp_path / "tiny" / name, recipe, index) for name in ("001", "002"))
    for seed, run in enumerate(runs):
        add_bundle(run, recipe, seed=seed)
    here = compare_runs(CompareRequest(runs)).report
    there = compare_runs(CompareRequest(runs, executor=elsewhere)).report
    assert here.to_dict() == there.to_dict()
    assert here.contenders[0].macs
    assert sorted(Elsewhere.ran) == ["tiny/001", "tiny/002"]
    with pytest.raises(RequestError, match="compare --latency: models that are timed side by side"):
        compare_runs(CompareRequest(runs, has_latency=True, executor=elsewhere))


def test_images_in_memory_cannot_be_asked_about_elsewhere(
    tiny_run: TinyRun, elsewhere: ExecutorOptions
) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(RequestError, match=r"--executor: image 0 is in this process's memory"):
        predict_paths_of_run(PredictRequest(tiny_run.run, [pixels], executor=elsewhere))


def test_an_unknown_executor_is_refused(tiny_run: TinyRun, photos: Path) -> None:
    with pytest.raises(RequestError, match="--executor: must be one of here, processes, ray"):
        predict_paths_of_run(
            PredictRequest(tiny_run.run, photos, executor=ExecutorOptions("cloud"))
        )


def test_a_part_that_fails_is_named(
    tiny_run: TinyRun,
    photos: Path,
    elsewhere: ExecutorOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = parts.answer_part

    def fail(question: str, paths: list[str], observer: object) -> dict[str, object]:
        if len(paths) < 64:
            raise ModelError("the network is broken")
        return plain(question, paths)

    monkeypatch.setattr(parts, "answer_part", fail)
    fail.__module__, fail.__name__ = parts.__name__, "answer_part"
    told = r"1 of 2 jobs failed, 1 done:\n  images 65 to 90: the network is broken\nOnce that is"
    with pytest.raises(JobError, match=told):
        predict_paths_of_run(PredictRequest(tiny_run.run, photos, False, executor=elsewhere))


def test_a_broken_image_is_an_error_where_all_are_judged(
    tiny_run: TinyRun, photos: Path, elsewhere: ExecutorOptions
) -> None:
    paths = [str(photos / "red" / "00.png"), str(photos / "blue" / "00.png")]
    question = Question((str(tiny_run.run),), (16, 16), None, 64, has_both=True)
    with pytest.raises(ImageError, match=r"blue/00\.png: the file is empty"):
        parts.ask_strictly(question, paths, elsewhere, Listener(), "evaluate")


def test_an_interruption_says_how_to_go_on(
    tiny_run: TinyRun,
    photos: Path,
    elsewhere: ExecutorOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop(self: Elsewhere) -> FinishedJob:
        raise KeyboardInterrupt

    closed = []
    monkeypatch.setattr(Elsewhere, "wait", stop)
    monkeypatch.setattr(Elsewhere, "close", lambda self: closed.append(self))
    with pytest.raises(InterruptedTraining, match="predict: stopped, and so were all workers; not"):
        predict_paths_of_run(PredictRequest(tiny_run.run, photos, executor=elsewhere))
    assert len(closed) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["processes", "ray"])
def test_real_workers_answer_the_same_bits(
    name: str, tiny_run: TinyRun, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_LEAST_IMAGES", 1)
    here = predict_paths_of_run(PredictRequest(tiny_run.run, photos)).predictions
    where = ExecutorOptions(name, 2)
    there = predict_paths_of_run(PredictRequest(tiny_run.run, photos, executor=where)).predictions
    np.testing.assert_array_equal(there.probabilities, here.probabilities)
    assert there.errors == here.errors
