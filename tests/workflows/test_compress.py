from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.tiny_run import CommandLine, TinyRun, write_recipe
from tfclassify.errors import ExportError, ModelError, RecipeError, RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.export.operators import check_zeros, count_weights
from tfclassify.model.bundle import load_bundle
from tfclassify.recipe.loading import load_recipe
from tfclassify.runs.directory import RunDirectory
from tfclassify.workflows import compress, variants
from tfclassify.workflows.compress import CompressRequest, CompressResult, compress_run
from tfclassify.workflows.evaluate import EvaluateRequest, evaluate_run
from tfclassify.workflows.start import verb
from tfclassify.workflows.variants import Source, derive_student, list_kernels

# As within the verb that they are parts of: what they switch on is set back.
narrow_run, quantise_run = map(verb, (variants.narrow_run, variants.quantise_run))


@pytest.fixture(scope="module")
def compressed(tiny_run: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> CompressResult:
    out = tmp_path_factory.mktemp("compressed")
    student = write_recipe(out, ("conv: 8", "conv: 4"), ("dropout: 0.2", "dropout: 0.0"))
    with pytest.MonkeyPatch.context() as patch:  # one image of few is more than a point
        patch.setattr(compress, "_find_loss", lambda artefact, recipe: 0.0)
        return compress_run(
            CompressRequest(
                tiny_run.run,
                prune=(0.6,),
                macs=(0.5,),
                epochs=2,
                distil=(str(student),),
                int8=("static",),
                formats=("litert",),
                rounds=3,
                out=out,
            )
        )


def test_every_variant_has_its_row(compressed: CompressResult) -> None:
    rows = compressed.report.variants
    names = ["original", "pruned 60 %", "50 % of the MACs", "distilled into tiny"]
    assert [row.name for row in rows] == [name + end for name in names for end in ("", ", int8")]
    original, _, pruned, _, narrow, _, taught, _ = rows
    assert original.difference is None
    assert original.labels_changed == 0
    # 3x3x3x8 and 8x3 weights, 11 biases, and the scaling: all are there, pruned or not.
    assert original.parameters == pruned.parameters >= 216 + 24 + 11
    dropped = round(0.6 * (216 + 24))
    assert original.nonzeros - pruned.nonzeros == pytest.approx(dropped, abs=2)
    assert pruned.zipped_bytes < original.zipped_bytes
    assert original.macs == pruned.macs
    # Four of eight channels are left: half of 8x8x3x3x3x8 and of 8x3.
    assert narrow.macs == original.macs // 2 == 8 * 8 * 27 * 4 + 4 * 3
    assert narrow.size_bytes < original.size_bytes
    assert taught.macs < original.macs / 1.9
    assert taught.parameters < original.parameters
    assert all(0 < row.single_ms[0] <= row.single_ms[1] for row in rows)
    assert all(row.memory_bytes > 0 for row in rows)
    assert all(row.score.n == 9 for row in rows)


def test_the_paired_difference_is_that_of_the_scores(compressed: CompressResult) -> None:
    original, *others = compressed.report.variants
    for row in others:
        assert row.difference.value == pytest.approx(row.score.value - original.score.value)


def test_a_pruned_network_is_a_run_of_its_own(compressed: CompressResult, tiny_run) -> None:
    folder = compressed.page.parent / "pruned-60-magnitude"
    recipe = load_recipe(folder / "recipe.yaml")
    assert [phase.name for phase in recipe.phases] == ["prune"]
    assert Path(recipe.model.start_from) == tiny_run.run
    kernels = compressed.report.kernels
    weights = sum(row.weights for row in kernels)
    assert weights == 216 + 24
    assert sum(row.nonzeros for row in kernels) == pytest.approx(0.4 * weights, abs=2)
    found, own = (evaluate_run(EvaluateRequest(path)).verdicts for path in (folder, tiny_run.run))
    for one, other in zip(found, own, strict=True):
        assert list(one.answers.images) == list(other.answers.images)


def test_a_taught_network_is_a_run_of_its_own(compressed: CompressResult, tiny_run) -> None:
    recipe = load_recipe(compressed.page.parent / "distilled-tiny" / "recipe.yaml")
    own = load_recipe(tiny_run.run / "recipe.yaml")
    assert recipe.distil is not None
    assert Path(recipe.distil.teacher) == tiny_run.run
    assert [(phase.name, phase.train, phase.epochs) for phase in recipe.phases] == [
        ("distil", "all", 2)
    ]
    assert recipe.model.layers[0].conv == 4
    assert (recipe.data, recipe.augment) == (own.data, own.augment)
    page = (compressed.page.parent / "distilled-tiny" / "report.html").read_text("utf-8")
    assert f"{tiny_run.run}, 50 % of the loss at temperature 2" in page


def test_a_student_by_name_has_its_weights_where_they_are_here(tiny_run: TinyRun) -> None:
    run = RunDirectory.open(tiny_run.run)
    recipe = derive_student(run, "efficientnet_lite0", None)
    assert (recipe.model.weights, recipe.phases[0].learning_rate) == ("imagenet", 0.01)
    assert recipe.phases[0].epochs == 3  # as many as the run's two phases
    recipe = derive_student(run, "mobilenet_v2", None)
    assert (recipe.model.weights, recipe.phases[0].learning_rate) == ("none", 0.001)
    with pytest.raises(RecipeError, match=r"unknown backbone 'mobilnet_v2'; did you mean"):
        derive_student(run, "mobilnet_v2", None)


class Interrupted(Exception):
    """Stands for the end of a process."""


class StopsAfterAnEpoch(Observer):
    def on_epoch_end(self, *details: Any, **more: Any) -> None:
        raise Interrupted


def test_a_narrowed_run_goes_on_to_the_same_bits(
    compressed: CompressResult, tiny_run: TinyRun, tmp_path: Path
) -> None:
    run = RunDirectory.open(tiny_run.run)
    with pytest.raises(Interrupted):
        narrow_run(run, tmp_path, 0.5, 2, StopsAfterAnEpoch())
    assert not (tmp_path / "narrowed-50" / "bundle").exists()
    made = narrow_run(run, tmp_path, 0.5, 2, SILENT)
    resumed, whole = (
        load_bundle(folder / "bundle")
        for folder in (made.run, compressed.page.parent / "narrowed-50")
    )
    assert resumed.recipe.model.channels == whole.recipe.model.channels == {"block1_conv": 4}
    for one, other in zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_narrowed_run_is_a_run_of_its_own(
    compressed: CompressResult, tiny_run: TinyRun, tmp_path: Path, tfclassify: CommandLine
) -> None:
    made = compressed.page.parent / "narrowed-50"
    for words in (
        ("evaluate", made),
        ("predict", made, tiny_run.photos / "red"),
        ("profile", made),
        ("profile", made / "recipe.yaml"),
        ("train", "--resume", made),
    ):
        answer = tfclassify(*words)
        assert answer.code == 0, (words, answer.err)
    # The bundle stands alone: once more from the smaller network, without what it came from.
    copied = tmp_path / "copied"
    shutil.copytree(made, copied)
    again = narrow_run(RunDirectory.open(copied), tmp_path, 0.5, 1, SILENT)
    assert load_recipe(again.run / "recipe.yaml").model.channels == {"block1_conv": 2}


def test_a_network_that_int8_costs_more_than_a_point_is_trained_for_it(
    tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compress, "_find_loss", lambda artefact, recipe: 0.013)
    notes: list[str] = []
    observer = Observer()
    observer.on_note = notes.append
    request = CompressRequest(
        tiny_run.run, int8=("static",), epochs=1, formats=("litert",), rounds=1, out=tmp_path
    )
    rows = compress_run(request, observer).report.variants
    trained = "original, int8 after training"
    assert [row.name for row in rows] == ["original", "original, int8", trained]
    assert "original: int8 loses 1.3 points, so it is trained for it" in notes
    assert rows[2].size_bytes == pytest.approx(rows[1].size_bytes, rel=0.1)
    own = load_recipe(tiny_run.run / "recipe.yaml")
    recipe = load_recipe(tmp_path / f"rounded-{tiny_run.run.name}" / "recipe.yaml")
    (phase,) = recipe.phases
    assert (phase.quantise, phase.epochs, phase.learning_rate) == (True, 1, 0.001)
    assert (recipe.data, recipe.model.start_from) == (own.data, str(tiny_run.run))


def test_a_loss_is_told_from_a_gain(tiny_run: TinyRun) -> None:
    def lose(metric: str, value: float | None) -> float:
        difference = None if value is None else SimpleNamespace(value=value)
        artefact = SimpleNamespace(agreement=SimpleNamespace(difference=difference))
        recipe = load_recipe(tiny_run.run / "recipe.yaml").model_copy(update={"metric": metric})
        return compress._find_loss(artefact, recipe)  # type: ignore[arg-type]

    assert lose("accuracy", -0.02) == lose("loss", 0.02) == 0.02
    assert (lose("accuracy", 0.02), lose("accuracy", None)) == (-0.02, 0.0)


def test_a_pruned_network_keeps_its_zeros_when_it_is_trained_for_int8(
    compressed: CompressResult, tmp_path: Path
) -> None:
    pruned = compressed.page.parent / "pruned-60-magnitude"
    zeros = sum(all_of - left for _, all_of, left in list_kernels(pruned))
    source = Source("pruned 60 %", pruned, zeros)
    made = quantise_run(source, tmp_path, None, SILENT)
    assert made.zeros == pytest.approx(zeros, abs=2)
    assert load_recipe(made.run / "recipe.yaml").phases[0].epochs == 1  # a fifth of 2
    before, after = (load_bundle(run / "bundle").model.weights for run in (pruned, made.run))
    changed = [not np.array_equal(one, other) for one, other in zip(before, after, strict=True)]
    is_norm = ["_bn" in weight.path for weight in before]
    assert any(changed)
    assert not any(np.logical_and(changed, is_norm))


def test_page_and_json_hold_the_table(compressed: CompressResult) -> None:
    page = compressed.page.read_text("utf-8")
    for row in compressed.report.variants:
        assert row.name in page
    assert page.count("<svg") == 2
    assert "--prune 0.6 --macs 0.5 --method magnitude" in page
    assert "--epochs 2 --format litert --rounds 3" in page
    stored = json.loads(compressed.page.with_suffix(".json").read_text("utf-8"))
    assert [each["name"] for each in stored["variants"]][2] == "pruned 60 %"
    assert {row["variant"] for row in stored["kernels"]} == {"pruned 60 %"}
    assert stored["variants"][0]["difference"] is None
    assert [name for name, *_ in stored["training_seconds"].items()] == [
        "pruned 60 %",
        "50 % of the MACs",
        "distilled into tiny",
    ]


def test_what_is_there_is_taken_and_another_recipe_is_refused(
    compressed: CompressResult, tiny_run, tfclassify: CommandLine
) -> None:
    out = compressed.page.parent
    bundle = out / "pruned-60-magnitude" / "bundle" / "bundle.json"
    before = bundle.read_bytes()
    words = ("compress", tiny_run.run, "--prune", "0.6", "--format", "litert", "--rounds", "1")
    answer = tfclassify(*words, "--epochs", "2", "--out", out, "--json")
    assert answer.code == 0, answer.err
    assert bundle.read_bytes() == before
    assert len(json.loads(answer.out)["variants"]) == 2
    answer = tfclassify(*words, "--epochs", "3", "--out", out)
    assert answer.code == 2
    assert "was made by another recipe" in answer.err


def test_weights_that_came_back_are_noticed(compressed: CompressResult) -> None:
    folder = Path(compressed.report.variants[0].artefact)
    total, nonzeros = count_weights(folder)
    assert check_zeros(folder, total - nonzeros) == (total, nonzeros)
    with pytest.raises(ExportError, match=r"weights were pruned, and only .* are zero"):
        check_zeros(folder, total - nonzeros + 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prune": (1.5,)}, "--prune: must be above 0 and below 1, .*, got 1.5"),
        ({"macs": (0.0,)}, "--macs: must be above 0 and below 1, the share of multiply.*, got 0"),
        ({"macs": (0.5,), "is_sparse": True}, "--sparse: needs zeros to skip; say how many"),
        ({"int8": ("some",)}, "--int8: got 'some', allowed are static, dynamic, trained"),
        ({"formats": ("keras",), "prune": (0.5,)}, "--format: got keras; variants are measured"),
        ({}, "name what to do, such as --prune 0.8"),
        ({"int8": ("static",), "rounds": 0}, "--rounds: must be at least 1, got 0"),
    ],
)
def test_a_wrong_request_is_refused(change, message, tiny_run: TinyRun, tmp_path) -> None:
    with pytest.raises(RequestError, match=message):
        compress_run(CompressRequest(tiny_run.run, out=tmp_path, **change))
    assert not list(tmp_path.iterdir())


def test_weights_of_another_network_or_classes_are_refused(tiny_run: TinyRun) -> None:
    from dataclasses import replace

    from tfclassify.data.preparation import PreparedData
    from tfclassify.workflows.material import build_network

    run = RunDirectory.open(tiny_run.run)
    recipe = load_recipe(run.recipe_path)
    index = PreparedData.load(run.index_path, run.integrity_path).index
    start = recipe.model.model_copy(update={"start_from": str(tiny_run.run)})
    taken = build_network(recipe.model_copy(update={"model": start}), index).network
    for one, other in zip(
        taken.get_weights(), load_bundle(run.bundle_dir).model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    layers = (recipe.model.layers[0].model_copy(update={"conv": 9}),)
    wider = start.model_copy(update={"layers": layers})
    with pytest.raises(ModelError, match=r"model.start_from: .* is of another network"):
        build_network(recipe.model_copy(update={"model": wider}), index)
    renamed = replace(index, classes=("a", "b", "c"))
    with pytest.raises(ModelError, match=r"model.start_from: .* has the classes"):
        build_network(recipe.model_copy(update={"model": start}), renamed)
