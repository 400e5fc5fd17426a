"""Hard-example mining and the best phase, from the recipe to the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.tiny_run import make_labelled_photos, write_recipe
from tfclassify.data.index import Index, make_frame
from tfclassify.errors import InterruptedTraining
from tfclassify.events import Observer
from tfclassify.recipe.schema import MiningRecipe
from tfclassify.training.mining import HardExamples, read_hardest, write_hard_examples
from tfclassify.workflows.train import TrainRequest, resume_training, train_recipe


class StopsAfter(Observer):
    """Presses Ctrl-C when so many epochs are done."""

    def __init__(self, epochs: int) -> None:
        self._left = epochs

    def on_epoch_end(self, epoch: int, values: Mapping[str, float], is_best: bool) -> None:
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt


def test_the_hardest_images_come_first(tmp_path: Path) -> None:
    names = ["a.png", "=b.png", "c.png"]
    index = Index(make_frame(names, names, label=["red", "blue", "red"]), ("blue", "red"), "x")
    examples = HardExamples(MiningRecipe(delta=0.5, ceiling=2.0), np.array([1.0, 1.0, 3.0]))
    examples.count(np.array([False, True, True]))
    examples.count(np.array([False, True, False]))
    write_hard_examples(tmp_path / "mining.csv", index, examples)
    assert (tmp_path / "mining.csv").read_text("utf-8").splitlines() == [
        "image,label,start,weight,misses",
        "'=b.png,blue,1,2,2",
        "c.png,red,3,3,1",
        "a.png,red,1,1,0",
    ]
    # Read back under their own names, without those that were never missed.
    hardest = read_hardest(tmp_path / "mining.csv", index, limit=9)
    assert hardest == [("=b.png", 2, 2.0), ("c.png", 1, 3.0)]
    assert read_hardest(tmp_path / "mining.csv", index, limit=1) == hardest[:1]


@pytest.mark.slow
def test_a_stopped_mining_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    photos = make_labelled_photos(tmp_path / "photos")
    changes = [
        (
            "batch_size: 8\n",
            "batch_size: 8\nmining: {delta: 0.5, ceiling: 2.0}\nkeep_phase: best\n",
        ),
        ("  source: photos", f"  source: {photos}"),
        ("tta: {flips: [horizontal]}\n", ""),
    ]
    recipe = write_recipe(tmp_path, *changes)
    whole = train_recipe(TrainRequest(recipe, out=tmp_path / "whole"))
    with pytest.raises(InterruptedTraining):
        train_recipe(TrainRequest(recipe, out=tmp_path / "broken"), StopsAfter(2))
    resumed = resume_training(tmp_path / "broken", None, ())
    assert resumed.kept_phase == whole.kept_phase
    for name in ("mining.csv", "predictions.csv"):
        assert (resumed.run / name).read_bytes() == (whole.run / name).read_bytes()
    table = pd.read_csv(whole.run / "mining.csv")
    index = pd.read_csv(whole.run / "index.csv")
    assert set(table["image"]) == set(index["image"][index["split"] == "train"])
    assert table["misses"].is_monotonic_decreasing
    assert table["misses"].between(0, 3).all()
    np.testing.assert_allclose(table["weight"], np.minimum(2.0, 1.0 + 0.5 * table["misses"]))
    metrics = json.loads((whole.run / "metrics.json").read_text("utf-8"))
    assert metrics["kept_phase"] == whole.kept_phase
    page = (whole.run / "report.html").read_text("utf-8")
    assert "Best phase" in page
    assert "Hard examples" in page
    assert "Hardest training images" in page
