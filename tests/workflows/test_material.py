from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.tiny_run import TinyRun
from tfclassify.data.preparation import PreparedData
from tfclassify.events import SILENT
from tfclassify.recipe.loading import load_recipe
from tfclassify.runs.directory import RunDirectory
from tfclassify.workflows.material import open_material, settle_paths


def test_a_path_beside_the_recipe_gets_its_folder(tiny_run: TinyRun, in_tmp: Path) -> None:
    recipe = load_recipe(tiny_run.recipe)
    (tiny_run.home / "weights.npz").touch()
    model = recipe.model.model_copy(update={"weights": "weights.npz"})
    settled = settle_paths(recipe.model_copy(update={"model": model}), tiny_run.home)
    assert settled.data.source == str(tiny_run.home / "photos")
    assert settled.model.weights == str(tiny_run.home / "weights.npz")
    (in_tmp / "photos").mkdir()
    assert settle_paths(recipe, tiny_run.home).data.source == "photos"


def test_other_sources_stay_as_they_are(tiny_run: TinyRun) -> None:
    recipe = load_recipe(tiny_run.recipe)
    for source in ("builtin:digits", "https://example.org/a.zip", "absent.zip", "/absent"):
        data = recipe.data.model_copy(update={"source": source})
        changed = recipe.model_copy(update={"data": data})
        assert settle_paths(changed, tiny_run.home).data.source == source


def test_material_is_in_the_order_of_the_index(tiny_run: TinyRun) -> None:
    run = RunDirectory.open(tiny_run.run)
    recipe = load_recipe(run.recipe_path)
    index = PreparedData.load(run.index_path, run.integrity_path).index
    material = open_material(recipe, index, SILENT)
    train = index.in_split("train")
    assert np.array_equal(material.train.targets.argmax(axis=1), train.class_ids())
    assert np.array_equal(material.train.keys, train.keys())
    assert np.array_equal(material.validation_ids, index.in_split("validation").class_ids())
    assert material.class_weights is not None
    # Balanced weights give the mean image a weight of 1.
    assert np.isclose(material.class_weights[train.class_ids()].mean(), 1.0)
