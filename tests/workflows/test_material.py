from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_run import TinyRun
from tfclassify.data.index import Index, make_frame
from tfclassify.data.integrity import make_report
from tfclassify.data.preparation import PreparedData
from tfclassify.errors import ModelError, TargetError
from tfclassify.events import SILENT
from tfclassify.recipe.loading import load_recipe, parse_recipe
from tfclassify.recipe.schema import DistilRecipe, Recipe
from tfclassify.runs.directory import RunDirectory
from tfclassify.workflows.material import (
    anchor_images,
    build_network,
    find_precision_warnings,
    open_material,
    open_teacher,
)


def test_material_is_in_the_order_of_the_index(tiny_run: TinyRun) -> None:
    run = RunDirectory.open(tiny_run.run)
    recipe = load_recipe(run.recipe_path)
    index = PreparedData.load(run.index_path, run.integrity_path).index
    material = open_material(recipe, index, SILENT)
    train = index.in_split("train")
    assert np.array_equal(material.train.targets.argmax(axis=1), train.targets().argmax(axis=1))
    assert np.array_equal(material.train.keys, train.keys())
    assert np.array_equal(material.validation_targets, index.in_split("validation").targets())
    assert material.class_weights is not None
    # Balanced weights give the mean image a weight of 1.
    assert np.isclose(material.class_weights[train.targets().argmax(axis=1)].mean(), 1.0)


def test_material_of_label_sets(tiny_run: TinyRun) -> None:
    run = RunDirectory.open(tiny_run.run)
    recipe = load_recipe(run.recipe_path).model_copy(update={"task": "multi_label"})
    single = PreparedData.load(run.index_path, run.integrity_path).index
    rows = single.frame
    sets = ["|".join(sorted({label, "blue"})) for label in rows["label"]]
    sets[0] = ""
    index = Index(rows.assign(label=sets), single.classes, single.source, is_multi_label=True)
    material = open_material(recipe, index, SILENT)
    train, blue = index.in_split("train"), index.classes.index("blue")
    assert np.array_equal(material.train.targets, train.targets())
    assert np.array_equal(material.validation_targets, index.in_split("validation").targets())
    assert material.class_weights is not None
    counts = train.targets().sum(axis=0)
    for position, name in enumerate(index.classes):
        expected = (len(train) - counts[position]) / counts[position]
        assert np.isclose(material.class_weights[position], np.clip(expected, 0.01, 100)), name
    assert material.class_weights[blue] < 0.1


def test_what_keras_prints_of_a_download_is_no_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def build(*arguments: object, **options: object) -> None:
        print("Downloading data")

    monkeypatch.setattr("tfclassify.model.assembly.build_classifier", build)
    recipe = parse_recipe(
        "{name: x, data: {source: x}, model: {backbone: vgg16}, phases: [{name: a, epochs: 1}]}"
    )
    build_network(recipe, Index(make_frame([], []), ("a", "b"), "x"))
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "Downloading data\n")


def test_anchored_images_keep_all_else(in_tmp: Path) -> None:
    index = Index(make_frame(["a.png"], ["photos/a.png"], label=["a"]), ("a",), "photos")
    thumbnails = np.zeros((1, 9, 9, 3), np.uint8)
    data = PreparedData(index, make_report("photos", 1, 0, []), thumbnails)
    anchored = anchor_images(data)
    assert anchored.index.paths() == [str(in_tmp / "photos" / "a.png")]
    assert anchored.thumbnails is thumbnails
    assert anchored.integrity is data.integrity


def read_taught(tiny_run: TinyRun, **changes: object) -> tuple[Recipe, Index]:
    """Read a run's recipe, with the run itself as teacher, and its index."""
    run = RunDirectory.open(tiny_run.run)
    distil = DistilRecipe(teacher=str(run.path))
    recipe = load_recipe(run.recipe_path).model_copy(update={"distil": distil, **changes})
    return recipe, PreparedData.load(run.index_path, run.integrity_path).index


def test_a_teacher_is_mapped_by_the_names_of_its_classes(tiny_run: TinyRun) -> None:
    recipe, index = read_taught(tiny_run)
    images = open_material(recipe, index, SILENT).train.images.read(np.arange(4))
    plain = open_teacher(recipe, index, SILENT)
    other = replace(index, classes=tuple(reversed(index.classes)))
    turned = open_teacher(recipe, other, SILENT)
    assert plain is not None
    assert turned is not None
    np.testing.assert_allclose(turned.ask(images), plain.ask(images)[:, ::-1])
    assert plain.caution == ""
    assert plain.digest == turned.digest != ""


def test_a_teacher_of_other_classes_or_another_task_is_refused(tiny_run: TinyRun) -> None:
    recipe, index = read_taught(tiny_run)
    renamed = replace(index, classes=("blue", "green", "pink"))
    told = r"distil.teacher: .* does not know pink and also knows red; a teacher has the classes"
    with pytest.raises(ModelError, match=told):
        open_teacher(recipe, renamed, SILENT)
    recipe, index = read_taught(tiny_run, task="multi_label")
    told = r"distil.teacher: .* is of task 'multi_class', the recipe of 'multi_label'"
    with pytest.raises(ModelError, match=told):
        open_teacher(recipe, index, SILENT)
    recipe, index = read_taught(tiny_run, distil=DistilRecipe(teacher="reports/none"))
    with pytest.raises(TargetError, match=r"reports/none: no such run"):
        open_teacher(recipe, index, SILENT)


def test_a_teacher_that_knows_held_out_images_is_told(tiny_run: TinyRun) -> None:
    recipe, index = read_taught(tiny_run)
    splits = index.frame["split"].to_numpy().copy()
    splits[np.flatnonzero(splits == "train")[:2]] = "validation"
    held_out = int(np.isin(splits, ["validation", "test"]).sum())
    teacher = open_teacher(recipe, index.with_frame(index.frame.assign(split=splits)), SILENT)
    assert teacher is not None
    assert f"was trained on 2 of the {held_out} held-out images" in teacher.caution


@pytest.mark.parametrize(("precision", "gpus"), [("float16", 0), ("bfloat16", 0), ("float16", 1)])
def test_a_lower_precision_is_warned_of_where_it_takes_longer(
    tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch, precision: str, gpus: int
) -> None:
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: ["one"] * gpus)
    assert find_precision_warnings(load_recipe(tiny_run.recipe)) == []
    warnings = find_precision_warnings(
        load_recipe(tiny_run.recipe, (f"runtime.precision={precision}",))
    )
    assert len(warnings) == (0 if gpus else 1)
    assert all(precision in warning and "use float32" in warning for warning in warnings)
