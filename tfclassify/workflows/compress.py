"""``compress``: make smaller variants of a run's model, and tell what each costs.

Owns: the order of the work, the table. Does not own: how a network is made smaller
(``variants``).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfclassify.data.preparation import PreparedData
from tfclassify.errors import RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.files import write_json, write_text
from tfclassify.recipe.loading import load_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.directory import RunDirectory
from tfclassify.runs.environment import count_cores
from tfclassify.scoring.tasks import get_task
from tfclassify.workflows.export import ExportRequest, export_run
from tfclassify.workflows.start import start_tensorflow, verb
from tfclassify.workflows.variants import (
    Source,
    list_kernels,
    narrow_run,
    prune_run,
    quantise_run,
    teach,
)

if TYPE_CHECKING:
    from tfclassify.export.artefact import Artefact
    from tfclassify.export.proof import Exam
    from tfclassify.pages.compress_page import CompressReport, VariantRow

PAGE, DATA = "compress.html", "compress.json"
#: What ``--int8`` says -> precision of an artefact.
INT8 = {"static": "int8", "dynamic": "int8-dynamic"}
#: The word of ``--int8`` for a network that is trained for it, and the loss of score by static
#: int8 from which that is done unasked.
TRAINED, _POINT = "trained", 0.01


@dataclass(frozen=True)
class CompressRequest:
    """What to make of a run.

    Attributes:
        run: The run.
        prune: Sparsities; a network is pruned and fine-tuned for each, by each method.
        macs: Shares of the multiply-accumulates; a network loses channels and is
            fine-tuned for each.
        methods: ``magnitude``, ``rigl`` or both.
        distribution: ``erk`` or ``uniform``.
        layers: Regular expression; only kernels whose path it finds are pruned.
        is_sparse: Whether each sparsity is also made in a network for sparse kernels.
        epochs: Epochs of each training; None for those of the run's last phase, or of all
            its phases where it distils.
        distil: Backbones, or recipes whose network is taken; the run teaches each.
        int8: ``static``, ``dynamic``, ``trained``: static, of a network that was fine-tuned
            for it. Where static loses more than a point of the score, that is done unasked.
        formats: Runtimes: ``litert``, ``onnx``.
        rounds: Timed runs of each variant.
        out: Folder; None for ``compress/`` in the run.
    """

    run: Path
    prune: tuple[float, ...] = ()
    macs: tuple[float, ...] = ()
    methods: tuple[str, ...] = ("magnitude",)
    distribution: str = "erk"
    layers: str = ""
    is_sparse: bool = False
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


@verb
def compress_run(request: CompressRequest, observer: Observer = SILENT) -> CompressResult:
    """Make smaller variants of a run's model and set all of them side by side.

    Each network is a run of its own under ``out``, trained by the run's recipe with one
    phase; one that is there already is taken, one that was cut off goes on.

    Raises:
        TargetError: If there is no such run.
        RequestError: If a request is wrong, or images for calibration are too few.
        RecipeError: If a student's network does not fit the run's images.
        TrainingError: If a sparsity leaves a layer empty.
        ModelError: If a network cannot be made so narrow.
        ExportError: If an artefact disagrees with its network.
    """
    start_tensorflow()
    _check(request)
    run = RunDirectory.open(request.run, needs_bundle=True)
    out = request.out or run.path / "compress"
    sources = [Source("original", run.path), *_make_networks(run, out, request, observer)]
    exam = _sit_exam(run, observer)
    made: list[tuple[str, Source, Path]] = []
    recipe = load_recipe(run.recipe_path)
    for source in tuple(sources):
        folder = out / "artefacts" / (source.run.name if len(made) else "")
        lost = 0.0
        for precision, formats in _list_precisions(source, request):
            artefacts = _export(source, precision, formats, folder, observer)
            name = source.name + ("" if precision == "float32" else f", {precision}")
            made += [(name, source, artefact.folder) for artefact in artefacts]
            if precision == "int8":
                lost = max(_find_loss(artefact, recipe) for artefact in artefacts)
        if TRAINED in request.int8 or lost > _POINT:
            if TRAINED not in request.int8:
                observer.on_note(
                    f"{source.name}: int8 loses {100 * lost:.1f} points, so it is trained for it"
                )
            trained = quantise_run(source, out, request.epochs, observer)
            folder = out / "artefacts" / trained.run.name
            artefacts = _export(trained, "int8", request.formats, folder, observer)
            made += [(trained.name, trained, artefact.folder) for artefact in artefacts]
            sources.append(trained)
    report = _report(request, run, out, sources, made, exam, observer)
    return _write(report, out)


def _export(
    source: Source, precision: str, formats: tuple[str, ...], folder: Path, observer: Observer
) -> tuple[Artefact, ...]:
    request = ExportRequest(source.run, formats, precision, batch=1, out=folder)
    return export_run(request, observer).artefacts


def _find_loss(artefact: Artefact, recipe: Recipe) -> float:
    """Return how much of the score an artefact loses on held-out images; negative for a gain."""
    difference = artefact.agreement.difference
    if difference is None or difference.value is None:
        return 0.0
    is_better = get_task(recipe.task).metrics[recipe.metric].higher_is_better
    return -difference.value if is_better else difference.value


def _make_networks(
    run: RunDirectory, out: Path, request: CompressRequest, observer: Observer
) -> list[Source]:
    """Train what is asked for, one after another."""
    made = []
    for method in request.methods:
        for sparsity in request.prune:
            prune = {
                "sparsity": sparsity,
                "method": method,
                "distribution": request.distribution,
                "layers": request.layers,
            }
            for is_sparse in (False, True)[: 1 + request.is_sparse]:
                made.append(
                    prune_run(run, out, prune, request.epochs, observer, is_sparse=is_sparse)
                )
    made += [narrow_run(run, out, share, request.epochs, observer) for share in request.macs]
    made += [teach(run, out, student, request.epochs, observer) for student in request.distil]
    return made


def _list_precisions(source: Source, request: CompressRequest) -> list[tuple[str, tuple[str, ...]]]:
    """Return the precisions that a network is exported in, each with its forms."""
    found = [("float32", request.formats)]
    found += [(INT8[kind], request.formats) for kind in request.int8 if kind in INT8]
    if source.is_sparse and "litert" in request.formats:
        found.append(("float32-sparse", ("litert",)))
    return found


def _check(request: CompressRequest) -> None:
    shares = {"prune": "weights that is zero", "macs": "multiply-accumulates that is left"}
    for option, what in shares.items():
        for share in getattr(request, option):
            if not 0.0 < share < 1.0:
                raise RequestError(
                    f"--{option}: must be above 0 and below 1, the share of {what}, got {share:g}; "
                    "0.8 for 80 %"
                )
    if request.is_sparse and not request.prune:
        raise RequestError("--sparse: needs zeros to skip; say how many, such as --prune 0.8")
    unknown = [kind for kind in request.int8 if kind not in (*INT8, TRAINED)]
    if unknown:
        known = ", ".join((*INT8, TRAINED))
        raise RequestError(f"--int8: got {unknown[0]!r}, allowed are {known}")
    foreign = [name for name in request.formats if name not in ("litert", "onnx")]
    if foreign or not request.formats:
        raise RequestError(
            f"--format: got {', '.join(foreign) or 'none'}; variants are measured as litert and "
            "onnx"
        )
    if not (request.prune or request.macs or request.int8 or request.distil):
        raise RequestError(
            "compress: name what to do, such as --prune 0.8, --macs 0.5, --int8 static or "
            "--distil BACKBONE"
        )
    if request.rounds < 1:
        raise RequestError(f"--rounds: must be at least 1, got {request.rounds}")


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
    sources: Sequence[Source],
    made: Sequence[tuple[str, Source, Path]],
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
        for row in list_kernels(source.run)
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
    made: Sequence[tuple[str, Source, Path]], exam: Exam, threads: int, rounds: int
) -> dict[str, Any]:
    """Time all variants in turn on the first held-out image."""
    from tfclassify.compress.measuring import time_interleaved
    from tfclassify.export.reading import OpenNetwork, read_facts
    from tfclassify.export.shipped.predict import read_photo

    networks, image = {}, None
    for _, _, folder in made:
        facts = read_facts(folder)
        networks[str(folder)] = OpenNetwork(facts, folder, threads)
        if image is None:
            image = read_photo(exam.answers.files[0], facts["image_size"], facts["resize"])[None]
    assert image is not None
    return time_interleaved(networks, image, rounds=rounds)


def _measure(
    name: str, source: Source, folder: Path, exam: Exam, recipe: Recipe, times: tuple[Any, Any]
) -> VariantRow:
    from tfclassify.compress.measuring import zip_size
    from tfclassify.export.artefact import load_artefact
    from tfclassify.export.operators import check_zeros, profile_artefact
    from tfclassify.export.proof import compare_scores, score_photos
    from tfclassify.export.reading import read_facts, run_alone
    from tfclassify.inference.prediction import predict_paths
    from tfclassify.pages.compress_page import VariantRow

    facts = read_facts(folder)
    file = folder / facts["file"]
    parameters, nonzeros = check_zeros(folder, source.zeros)
    # Answers are the original's, and its thresholds, whoever gives the probabilities.
    found = predict_paths(load_artefact(folder), exam.answers.files)
    is_original = name == "original"
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
        run_alone(folder),
        score_photos(recipe, exam, found.probabilities),
        None
        if is_original
        else compare_scores(recipe, exam, exam.answers.probabilities, found.probabilities),
        sum(one != other for one, other in pairs),
    )


def _repeat(request: CompressRequest) -> str:
    words = ["tfclassify", "compress", str(request.run)]
    repeated: dict[str, Sequence[object]] = {
        "prune": [f"{share:g}" for share in request.prune],
        "macs": [f"{share:g}" for share in request.macs],
        "method": request.methods if request.prune else (),
        "distil": request.distil,
        "int8": request.int8,
        "epochs": () if request.epochs is None else (request.epochs,),
        "format": request.formats,
        "rounds": (request.rounds,),
        "layers": (request.layers,) if request.layers else (),
        "distribution": (request.distribution,) if request.distribution != "erk" else (),
    }
    words += [
        str(word)
        for key, values in repeated.items()
        for each in values
        for word in (f"--{key}", each)
    ]
    words += ["--sparse"] if request.is_sparse else []
    return shlex.join(words)


def _write(report: CompressReport, out: Path) -> CompressResult:
    from tfclassify.pages.compress_page import render_compress_page

    write_json(out / DATA, report.to_dict())
    write_text(out / PAGE, render_compress_page(report))
    return CompressResult(report, out / PAGE)
