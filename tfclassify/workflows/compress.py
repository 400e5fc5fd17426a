"""``compress``: prune, quantise and distil a run's model; tell what each variant costs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfclassify.backbones.catalog import BACKBONES
from tfclassify.data.preparation import PreparedData
from tfclassify.errors import RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.files import write_json, write_text
from tfclassify.recipe.loading import build_recipe, dump_recipe, load_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.directory import RunDirectory, is_run
from tfclassify.runs.environment import count_cores
from tfclassify.workflows.export import ExportRequest, export_run
from tfclassify.workflows.start import start_tensorflow, verb
from tfclassify.workflows.train import train_prepared

if TYPE_CHECKING:
    from tfclassify.export.proof import Exam
    from tfclassify.pages.compress_page import CompressReport, VariantRow

PAGE, DATA = "compress.html", "compress.json"
#: What ``--int8`` says -> precision of an artefact.
INT8 = {"static": "int8", "dynamic": "int8-dynamic"}


@dataclass(frozen=True)
class CompressRequest:
    """What to make of a run.

    Attributes:
        run: The run.
        prune: Sparsities; a network is pruned and fine-tuned for each.
        method: ``magnitude`` or ``rigl``.
        distribution: ``erk`` or ``uniform``.
        layers: Regular expression; only kernels whose path it finds are pruned.
        epochs: Epochs of each training; None for those of the run's last phase where it
            prunes, of all its phases where it distils.
        distil: Backbones, or recipes whose network is taken; the run teaches each.
        int8: ``static``, ``dynamic`` or both.
        formats: Runtimes: ``litert``, ``onnx``.
        rounds: Timed runs of each variant.
        out: Folder; None for ``compress/`` in the run.
    """

    run: Path
    prune: tuple[float, ...] = ()
    method: str = "magnitude"
    distribution: str = "erk"
    layers: str = ""
    epochs: int | None = None
    distil: tuple[str, ...] = ()
    int8: tuple[str, ...] = ()
    formats: tuple[str, ...] = ("litert", "onnx")
    rounds: int = 30
    out: Path | None = None


@dataclass(frozen=True)
class CompressResult:
    """What was made and measured.

    Attributes:
        report: The table, and what is behind it.
        page: ``compress.html``.
    """

    report: CompressReport
    page: Path


@dataclass(frozen=True)
class _Source:
    """A trained network that variants are made of: the original, a pruned or a taught one."""

    name: str
    run: Path
    zeros: int = 0
    seconds: float = 0.0

    @property
    def is_original(self) -> bool:
        return self.name == "original"


@verb
def compress_run(request: CompressRequest, observer: Observer = SILENT) -> CompressResult:
    """Prune, distil and quantise a run's model and set all variants side by side.

    A pruned or taught network is a run of its own under ``out``, trained on the run's images
    by one phase; one that is there already is taken, one that was cut off goes on.

    Raises:
        TargetError: If there is no such run.
        RequestError: If a request is wrong, or images for calibration are too few.
        RecipeError: If a student's network does not fit the run's images.
        TrainingError: If a sparsity leaves a layer empty.
        ExportError: If an artefact disagrees with its network.
    """
    start_tensorflow()
    _check(request)
    run = RunDirectory.open(request.run, needs_bundle=True)
    out = request.out or run.path / "compress"
    sources = [_Source("original", run.path)]
    for sparsity in request.prune:
        sources.append(_prune(run, out, sparsity, request, observer))
    for student in request.distil:
        sources.append(_distil(run, out, student, request, observer))
    exam = _sit_exam(run, observer)
    made: list[tuple[str, _Source, Path]] = []
    for source in sources:
        for precision in ("float32", *(INT8[kind] for kind in request.int8)):
            folder = out / "artefacts" / ("" if source.is_original else source.run.name)
            result = export_run(
                ExportRequest(source.run, request.formats, precision, batch=1, out=folder),
                observer,
            )
            name = source.name + ("" if precision == "float32" else f", {precision}")
            made += [(name, source, artefact.folder) for artefact in result.artefacts]
    report = _report(request, run, out, sources, made, exam, observer)
    return _write(report, out)


def _check(request: CompressRequest) -> None:
    for sparsity in request.prune:
        if not 0.0 < sparsity < 1.0:
            raise RequestError(
                f"--prune: must be above 0 and below 1, the share of weights that is zero, got "
                f"{sparsity:g}; 0.8 for 80 %"
            )
    unknown = [kind for kind in request.int8 if kind not in INT8]
    if unknown:
        raise RequestError(f"--int8: got {unknown[0]!r}, allowed are {', '.join(INT8)}")
    foreign = [name for name in request.formats if name not in ("litert", "onnx")]
    if foreign or not request.formats:
        raise RequestError(
            f"--format: got {', '.join(foreign) or 'none'}; variants are measured as litert and "
            "onnx"
        )
    if not request.prune and not request.int8 and not request.distil:
        raise RequestError(
            "compress: name what to do, such as --prune 0.8, --int8 static or --distil BACKBONE"
        )
    if request.rounds < 1:
        raise RequestError(f"--rounds: must be at least 1, got {request.rounds}")


def derive_recipe(run: RunDirectory, sparsity: float, request: CompressRequest) -> Recipe:
    """Make the recipe of a pruned network: the run's own, with one phase that prunes.

    The phase is the run's last one, on its weights, but for what does not go with pruning.

    Raises:
        RecipeError: If the request does not make a recipe.
    """
    recipe = load_recipe(run.recipe_path)
    content = recipe.model_dump(mode="json")
    phase = content["phases"][-1] | {
        "name": "prune",
        "train": "all",
        "features": None,
        "ema": None,
        "swa": None,
        "early_stopping": None,
        "keep_best": None,
        "prune": {
            "sparsity": sparsity,
            "method": request.method,
            "distribution": request.distribution,
            "layers": request.layers,
        },
    }
    if request.epochs is not None:
        phase["epochs"] = request.epochs
    if phase["schedule"]["kind"] in ("plateau", "multi_step"):
        phase["schedule"] = {"kind": "cosine"}
    content["phases"] = [phase]
    content["keep_phase"] = "last"
    content["model"]["start_from"] = str(run.path.absolute())
    return build_recipe(content, f"{run.recipe_path}, pruned")


def _prune(
    run: RunDirectory, out: Path, sparsity: float, request: CompressRequest, observer: Observer
) -> _Source:
    recipe = derive_recipe(run, sparsity, request)
    folder = out / f"pruned-{100 * sparsity:g}-{request.method}"
    told = f"pruning {100 * sparsity:g} % by {request.method}"
    made = _train(run, recipe, folder, told, observer)
    zeros = sum(weights - kept for _, weights, kept in _list_kernels(folder))
    return _Source(f"pruned {100 * sparsity:g} %", folder, zeros, _read_seconds(made))


def derive_student(run: RunDirectory, student: str, request: CompressRequest) -> Recipe:
    """Make the recipe of a network that the run teaches: the run's own, with another network.

    Its one phase trains all of it on the run's last phase's terms; a network without
    pretrained weights is given a rate to start from nothing with.

    Raises:
        RecipeError: If the network does not fit the run's images.
    """
    recipe = load_recipe(run.recipe_path)
    content = recipe.model_dump(mode="json")
    if student.endswith((".yaml", ".yml")):
        content["model"] = load_recipe(student).model.model_dump(mode="json")
    else:
        has_weights = student in BACKBONES and BACKBONES[student].weights_here()
        weights = "imagenet" if has_weights else "none"
        content["model"] = {
            "backbone": student,
            "weights": weights,
            "head": content["model"]["head"],
        }
    last = content["phases"][-1]
    epochs = request.epochs or sum(phase.epochs for phase in recipe.phases)
    phase = last | {
        "name": "distil",
        "train": "all",
        "epochs": epochs,
        "features": None,
        "layer_decay": None,
        "early_stopping": None,
        "swa": None,
        "prune": None,
        "schedule": {"kind": "cosine", "warmup_epochs": 1},
    }
    if content["model"].get("weights") == "none":
        phase |= {"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 0.01}
    content["phases"] = [phase]
    content["keep_phase"] = "last"
    content["distil"] = {"teacher": str(run.path.absolute())}
    return build_recipe(content, f"{run.recipe_path}, taught to {student}")


def _distil(
    run: RunDirectory, out: Path, student: str, request: CompressRequest, observer: Observer
) -> _Source:
    recipe = derive_student(run, student, request)
    name = Path(student).stem
    folder = out / f"distilled-{name}"
    made = _train(run, recipe, folder, f"distilling into {name}", observer)
    return _Source(f"distilled into {name}", folder, seconds=_read_seconds(made))


def _train(
    run: RunDirectory, recipe: Recipe, folder: Path, told: str, observer: Observer
) -> RunDirectory:
    """Train a network on a run's images, or take the one that is there."""
    is_there = is_run(folder)
    made = RunDirectory.open(folder) if is_there else None
    if made is not None and load_recipe(made.recipe_path) != recipe:
        raise RequestError(
            f"{folder}: was made by another recipe; remove it, or name another folder with --out"
        )
    if made is None:
        made = RunDirectory.create_at(folder, dump_recipe(recipe))
    if not made.metrics_path.exists() or not made.report_path.exists():
        observer.on_note(f"{told} in {folder}")
        data = PreparedData.load(run.index_path, run.integrity_path)
        data.save(made.index_path, made.integrity_path)
        with made.lock():
            train_prepared(made, recipe, data, observer, resume=is_there)
    return made


def _read_seconds(run: RunDirectory) -> float:
    return float(json.loads(run.metrics_path.read_text("utf-8")).get("training_seconds", 0.0))


def _list_kernels(folder: Path) -> list[tuple[str, int, int]]:
    """Return path, weights and non-zeros of each kernel of a run's bundle."""
    from tfclassify.model.bundle import load_bundle
    from tfclassify.training.pruning import measure_sparsity

    found = measure_sparsity(load_bundle(folder / "bundle").model)
    return [(name, *counts) for name, counts in found.items()]


def _sit_exam(run: RunDirectory, observer: Observer) -> Exam:
    """Ask the original about the held-out images that every variant is scored on."""
    from tfclassify.export.proof import Exam
    from tfclassify.inference.prediction import predict_paths
    from tfclassify.model.bundle import load_bundle

    index = PreparedData.load(run.index_path, run.integrity_path).index
    for split in ("test", "validation"):
        held_out = index.in_split(split)
        if len(held_out):
            break
    else:
        raise RequestError(
            f"{run.path}: the run held no image out, so no variant can be scored; train with "
            "data.validation"
        )
    answers = predict_paths(load_bundle(run.bundle_dir), held_out.paths(), observer=observer)
    groups = held_out.frame["group"].tolist()
    return Exam(answers, split, held_out.targets(), groups if any(groups) else None)


def _report(
    request: CompressRequest,
    run: RunDirectory,
    out: Path,
    sources: Sequence[_Source],
    made: Sequence[tuple[str, _Source, Path]],
    exam: Exam,
    observer: Observer,
) -> CompressReport:
    from tfclassify.pages.compress_page import CompressReport, SparseRow
    from tfclassify.pages.rendering import Command, format_now

    recipe = load_recipe(run.recipe_path)
    observer.on_note(f"measuring {len(made)} variants side by side")
    single, every = (_time(made, exam, threads, request.rounds) for threads in (1, count_cores()))
    variants = [
        _measure(name, source, folder, exam, recipe, (single[str(folder)], every[str(folder)]))
        for name, source, folder in made
    ]
    kernels = tuple(
        SparseRow(source.name, *row)
        for source in sources
        if source.zeros
        for row in _list_kernels(source.run)
    )
    return CompressReport(
        created=format_now(),
        commands=(Command("Repeat it", _repeat(request)),),
        run=str(run.path),
        task=recipe.task,
        metric=recipe.metric,
        images=len(exam.answers.files),
        split=exam.source,
        variants=tuple(variants),
        kernels=kernels,
        seconds=tuple((source.name, source.seconds) for source in sources[1:]),
        remarks=_list_remarks(exam),
    )


def _list_remarks(exam: Exam) -> tuple[str, ...]:
    if exam.source == "test":
        return ()
    return ("scored on the validation images, which training and pruning chose by",)


def _time(
    made: Sequence[tuple[str, _Source, Path]], exam: Exam, threads: int, rounds: int
) -> dict[str, Any]:
    """Time all variants in turn on the first held-out image."""
    from tfclassify.compress.measuring import time_interleaved
    from tfclassify.export.artefact import open_network, read_facts
    from tfclassify.export.shipped.predict import read_photo

    networks, image = {}, None
    for _, _, folder in made:
        facts = read_facts(folder)
        networks[str(folder)] = open_network(facts["artefact"], folder / facts["file"], threads)
        if image is None:
            image = read_photo(exam.answers.files[0], facts["image_size"], facts["resize"])[None]
    assert image is not None
    return time_interleaved(networks, image, rounds=rounds)


def _measure(
    name: str, source: _Source, folder: Path, exam: Exam, recipe: Recipe, times: tuple[Any, Any]
) -> VariantRow:
    from tfclassify.compress.measuring import zip_size
    from tfclassify.export.artefact import load_artefact, read_facts
    from tfclassify.export.operators import check_zeros, measure_memory, profile_artefact
    from tfclassify.export.proof import compare_scores, score_photos
    from tfclassify.inference.prediction import predict_paths
    from tfclassify.pages.compress_page import VariantRow

    facts = read_facts(folder)
    file = folder / facts["file"]
    parameters, nonzeros = check_zeros(folder, source.zeros)
    # Answers are the original's, and its thresholds, whoever gives the probabilities.
    found = predict_paths(load_artefact(folder), exam.answers.files)
    is_original = source.is_original and facts["precision"] == "float32"
    pairs = zip(found.label_sets, exam.answers.label_sets, strict=True)
    single, every = times
    return VariantRow(
        name,
        facts["artefact"],
        str(folder),
        parameters,
        nonzeros,
        file.stat().st_size,
        zip_size(file),
        profile_artefact(folder, str(folder)).macs,
        (single.p50_ms, single.p95_ms),
        (every.p50_ms, every.p95_ms),
        measure_memory(folder),
        score_photos(recipe, exam, found.probabilities),
        None
        if is_original
        else compare_scores(recipe, exam, exam.answers.probabilities, found.probabilities),
        sum(one != other for one, other in pairs),
    )


def _repeat(request: CompressRequest) -> str:
    words = ["tfclassify", "compress", str(request.run)]
    words += [word for sparsity in request.prune for word in ("--prune", f"{sparsity:g}")]
    words += [word for student in request.distil for word in ("--distil", student)]
    words += [word for kind in request.int8 for word in ("--int8", kind)]
    if request.prune:
        words += ["--method", request.method]
    if request.epochs is not None:
        words += ["--epochs", str(request.epochs)]
    return shlex.join(words)


def _write(report: CompressReport, out: Path) -> CompressResult:
    from tfclassify.pages.compress_page import render_compress_page

    write_json(out / DATA, report.to_dict())
    write_text(out / PAGE, render_compress_page(report))
    return CompressResult(report, out / PAGE)
