from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fake_runs import make_recipe
from tests.tiny_run import TinyRun, write_recipe
from tfclassify.errors import RecipeError, RequestError, TrainingError
from tfclassify.events import SILENT
from tfclassify.export.operators import check_zeros, count_weights, profile_artefact
from tfclassify.model.assembly import build_classifier
from tfclassify.model.bundle import save_bundle
from tfclassify.recipe.loading import build_recipe, dump_recipe, load_recipe
from tfclassify.recipe.schema import ModelRecipe
from tfclassify.runs.directory import RunDirectory
from tfclassify.training.pruning import keep_largest
from tfclassify.workflows import variants
from tfclassify.workflows.compress import CompressRequest, compress_run
from tfclassify.workflows.export import ExportRequest, export_run
from tfclassify.workflows.start import verb
from tfclassify.workflows.train import TrainRequest, train_recipe

# As within the verb that they are parts of: what they switch on is set back.
narrow_run, prune_run = map(verb, (variants.narrow_run, variants.prune_run))

POINTWISE = """\
    - {conv: 8, stride: 2, batch_norm: true}
    - {conv: 32, kernel: 1}
    - {conv: 64, kernel: 1}
"""


def test_zeros_stay_out_of_the_file(tmp_path: Path) -> None:
    model = ModelRecipe(
        backbone="custom_cnn",
        weights="none",
        layers=[{"conv": 32, "stride": 2}, {"conv": 128, "kernel": 1}],
    )
    classifier = build_classifier(model, 3, (16, 16), seed=0)
    kernel = next(each for each in classifier.network.weights if each.shape[:2] == (1, 1))
    kernel.assign(kernel.numpy() * keep_largest(kernel.numpy(), 800))
    recipe = make_recipe(model=model)
    save_bundle(tmp_path / "bundle", classifier, classes=("a", "b", "c"), recipe=recipe)
    request = ExportRequest(tmp_path / "bundle", ("litert",))
    (dense,) = export_run(request).artefacts
    (sparse,) = export_run(replace(request, precision="float32-sparse")).artefacts
    # 3296 float32 zeros are gone; where the others lie takes a byte or two each.
    assert 4 * 3296 - 2 * 800 - 600 < dense.size_bytes - sparse.size_bytes < 4 * 3296
    assert sparse.agreement.labels_changed == 0
    assert sparse.agreement.largest_difference < 1e-5
    assert count_weights(sparse.folder) == count_weights(dense.folder)
    found = [profile_artefact(each.folder, "it").cost for each in (dense, sparse)]
    assert found[0].macs == found[1].macs
    assert not found[1].uncounted


@pytest.mark.slow
def test_a_network_for_sparse_kernels_is_pruned_and_measured(
    tiny_run: TinyRun, tmp_path: Path
) -> None:
    old = "    - {conv: 8, stride: 2, batch_norm: true}\n"
    recipe = write_recipe(
        tmp_path, (old, POINTWISE), ("source: photos", f"source: {tiny_run.photos}")
    )
    trained = train_recipe(TrainRequest(recipe, out=tmp_path / "run")).run
    request = CompressRequest(
        trained, prune=(0.8,), is_sparse=True, epochs=1, formats=("litert",), rounds=1
    )
    rows = {row.name: row for row in compress_run(request).report.variants}
    name = "pruned 80 %, for sparse kernels"
    dense, sparse = rows[name], rows[f"{name}, float32-sparse"]
    assert sparse.size_bytes < dense.size_bytes
    assert (sparse.parameters, sparse.macs) == (dense.parameters, dense.macs)
    assert dense.nonzeros >= sparse.nonzeros
    assert check_zeros(Path(sparse.artefact), round(0.8 * (8 * 32 + 32 * 64)))
    made = load_recipe(trained / "compress" / "sparse-80-magnitude" / "recipe.yaml")
    assert made.model.padding == "symmetric"
    assert made.phases[0].prune.pointwise


def test_without_1x1_convolutions_there_is_nothing_to_skip(tiny_run: TinyRun, tmp_path) -> None:
    prune = {"sparsity": 0.8, "method": "magnitude"}
    with pytest.raises(TrainingError, match=r"'' is in the name of no 1x1 kernel .* pointwise"):
        prune_run(RunDirectory.open(tiny_run.run), tmp_path, prune, 1, SILENT, is_sparse=True)


def test_a_network_of_several_is_not_narrowed(tiny_run: TinyRun, tmp_path: Path) -> None:
    joined = tmp_path / "joined"
    shutil.copytree(tiny_run.run, joined)
    (joined / "ensemble.json").write_text("{}", "utf-8")
    with pytest.raises(RequestError, match=r"--macs: .* joins several networks"):
        narrow_run(RunDirectory.open(joined), tmp_path / "out", 0.5, 1, SILENT)
    assert not (tmp_path / "out").exists()


def test_a_network_from_outside_is_not_narrowed(tiny_run: TinyRun, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(tiny_run.run, copied)
    run = RunDirectory.open(copied)
    model = {"backbone": "keras_hub:resnet_18_imagenet"}
    content = load_recipe(run.recipe_path).model_dump(mode="json") | {"model": model}
    run.recipe_path.write_text(dump_recipe(build_recipe(content, "it")), "utf-8")
    with pytest.raises(RequestError, match="--macs: 'keras_hub:resnet_18_imagenet' is not built"):
        narrow_run(run, tmp_path / "out", 0.5, 1, SILENT)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"backbone": "resnet50", "channels": {"conv1_conv": 32}},
            "model.channels: the weights 'imagenet' are those of the whole network",
        ),
        (
            {"stack": ["resnet50", "vgg16"], "padding": "symmetric"},
            "model.padding: belongs to a single backbone of the catalog, got a stack",
        ),
    ],
)
def test_recipes_that_cannot_be_rebuilt_are_refused(model, message) -> None:
    content = {
        "name": "a",
        "data": {"source": "photos", "image_size": 32},
        "model": model,
        "phases": [{"name": "all", "epochs": 1}],
    }
    with pytest.raises(RecipeError, match=message):
        build_recipe(content, "a.yaml")
