"""``ensemble``: several runs averaged and packed into one run.

Owns: the joined bundle, its judging, what the run holds and the content of its page.
Does not own: whether members fit and their weights (``judging``), the look of the page.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfclassify.data.index import Index
from tfclassify.data.preparation import PreparedData
from tfclassify.events import SILENT, Observer
from tfclassify.executors.catalogue import ExecutorOptions
from tfclassify.files import write_text
from tfclassify.judging.answers import ask_bundle, join_answers, write_predictions
from tfclassify.judging.comparison import make_comparison
from tfclassify.judging.contenders import read_contenders
from tfclassify.judging.members import (
    Member,
    check_members,
    join_images,
    make_recipe,
    read_members,
)
from tfclassify.judging.seen import save_thumbnails
from tfclassify.judging.verdicts import (
    Calibrated,
    calibrate,
    judge_answers,
    write_metrics,
)
from tfclassify.judging.weights import (
    AskAll,
    ask_members,
    cross_fit_answers,
    find_weights,
    parse_weights,
)
from tfclassify.pages.compare_page import CompareReport
from tfclassify.pages.data_page import summarise_data
from tfclassify.pages.drawing import save_figures
from tfclassify.pages.ensemble_page import (
    EnsembleReport,
    MemberRow,
    draw_ensemble_figures,
    render_ensemble_page,
)
from tfclassify.pages.rendering import Command, format_now
from tfclassify.recipe.loading import dump_recipe, parse_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.directory import RunDirectory
from tfclassify.runs.documents import EnsembleFacts, EnsembleMember
from tfclassify.runs.environment import describe_environment
from tfclassify.scoring.verdicts import Answers, Verdict
from tfclassify.workflows import reporting
from tfclassify.workflows.parts import Question, ask_strictly, find_batch, is_elsewhere
from tfclassify.workflows.start import start_tensorflow, verb

if TYPE_CHECKING:
    from tfclassify.model.bundle import Bundle

_HOW = {
    "search": (
        "The weights make the averaged probabilities of the validation images most likely. The "
        "validation score is cross-fitted: each image is averaged by weights found on the others."
    ),
    "equal": "Every member counts the same.",
}


@dataclass(frozen=True)
class EnsembleRequest:
    """What to average.

    Attributes:
        runs: The members, two or more.
        weights: ``search``, ``equal``, or numbers with commas between.
        name: Name of the new run's folder; None: the first recipe's with ``_ensemble``.
        allow_different: Whether the members may have held out different images.
        out: The new run's folder; None makes ``reports/<name>/<number>``.
        reports: Where numbered runs are made.
        executor: Where the held-out images are predicted.
    """

    runs: tuple[Path, ...]
    weights: str = "search"
    name: str | None = None
    allow_different: bool = False
    out: Path | None = None
    reports: Path = Path("reports")
    executor: ExecutorOptions = field(default_factory=ExecutorOptions)


@dataclass(frozen=True)
class EnsembleResult:
    """What an ensemble is made of, and its scores.

    Attributes:
        run: The new run's folder.
        recipe: What it is used by.
        members: The members' runs.
        weights: Theirs, summing to 1; 0 for one that was left out.
        verdicts: Judgements of the held-out splits.
        comparison: The ensemble against its members; None without held-out images.
        report: The page.
    """

    run: Path
    recipe: Recipe
    members: tuple[str, ...]
    weights: tuple[float, ...]
    verdicts: tuple[Verdict, ...]
    comparison: CompareReport | None
    report: Path


@verb
def ensemble_runs(request: EnsembleRequest, observer: Observer = SILENT) -> EnsembleResult:
    """Average runs and pack them into one.

    Raises:
        RequestError: If the members do not fit together, held out different images and
            that is not allowed, or the weights make no sense.
        TargetError: If a member is no finished run, or the folder is taken.
    """
    given = parse_weights(request.weights, len(request.runs))
    start_tensorflow()
    members = read_members(request.runs)
    check_members(members)
    data = join_images(members, allow_different=request.allow_different)
    recipe = make_recipe(members, request.name or f"{members[0].recipe.name}_ensemble")
    text = dump_recipe(recipe)
    parse_recipe(text, "ensemble")  # a name that no run can have is refused here
    facts = _describe(members, request)
    if request.out is not None:
        run = RunDirectory.create_at(request.out, text, facts)
    else:
        run = RunDirectory.create(request.reports, recipe.name, text, facts)
    observer.on_note(f"run {run.path}")
    with run.lock(), _remove_unfinished(run):
        return _pack(run, members, recipe, data, given, request, observer)


@contextmanager
def _remove_unfinished(run: RunDirectory) -> Iterator[None]:
    """Remove a run that could not be finished: there is no state to go on from."""
    try:
        yield
    except BaseException:
        run.discard()
        raise


def _pack(
    run: RunDirectory,
    members: Sequence[Member],
    recipe: Recipe,
    data: PreparedData,
    given: tuple[float, ...] | None,
    request: EnsembleRequest,
    observer: Observer,
) -> EnsembleResult:
    from tfclassify.model.bundle import store_calibration

    save_thumbnails(run, data.thumbnails)
    data.save(run.index_path, run.integrity_path)
    if any(member.recipe.tta != recipe.tta for member in members):
        observer.on_warning("the members average different views; the ensemble uses plain images")

    ask_all, ask_one = _ask_elsewhere(run, members, recipe, request, observer)
    answers = ask_members(members, recipe, data.index, observer, ask_all)
    weights = find_weights(given, answers, recipe)
    _tell_weights(members, weights, observer)
    bundle = _save(run, members, recipe, weights)
    mixed = None if answers is None else answers.mix(weights)
    calibrated = calibrate(mixed, recipe, bundle.classes)
    bundle = store_calibration(bundle, **asdict(calibrated))
    crossed = None
    if answers is not None and given is None:
        crossed = cross_fit_answers(answers, recipe)
    verdicts = _judge(bundle, recipe, data.index, crossed, calibrated, observer, ask_one)
    _describe(members, request, weights.tolist()).write(run.ensemble_path)
    write_metrics(
        run.metrics_path,
        verdicts,
        recipe.metric,
        members=[member.name for member in members],
        weights=weights.tolist(),
    )
    write_predictions(run.predictions_path, verdicts)
    comparison = _compare_with_members(run, members, recipe.metric, verdicts)
    _write_ensemble_report(
        run, members, recipe, data, weights.tolist(), verdicts, comparison, request.weights, bundle
    )
    return EnsembleResult(
        run.path,
        recipe,
        tuple(member.name for member in members),
        tuple(weights.tolist()),
        tuple(verdicts),
        comparison,
        run.report_path,
    )


def _ask_elsewhere(
    run: RunDirectory,
    members: Sequence[Member],
    recipe: Recipe,
    request: EnsembleRequest,
    observer: Observer,
) -> tuple[AskAll | None, AskAll | None]:
    """Make what asks all members, and the packed model, by the executor; None asks here."""
    if not is_elsewhere(request.executor):
        return None, None
    batch = find_batch(members[0].bundle.model, recipe.tta)

    def ask(models: Sequence[Path], paths: Sequence[str]) -> np.ndarray:
        names = tuple(map(str, models))
        question = Question(names, recipe.data.image_size, recipe.tta, batch, has_both=True)
        return ask_strictly(question, paths, request.executor, observer, "ensemble")

    return partial(ask, [member.run.path for member in members]), partial(ask, [run.bundle_dir])


def _tell_weights(members: Sequence[Member], weights: np.ndarray, observer: Observer) -> None:
    for member, weight in zip(members, weights, strict=True):
        observer.on_note(f"weight {weight:.3f}  {member.name}")
        if weight == 0.0:
            observer.on_warning(f"{member.name}: adds nothing and is left out of the model")


def _save(
    run: RunDirectory, members: Sequence[Member], recipe: Recipe, weights: np.ndarray
) -> Bundle:
    from tfclassify.model.bundle import load_bundle, save_model
    from tfclassify.model.ensemble import build_ensemble

    kept = [number for number, weight in enumerate(weights) if weight > 0.0]
    models = [members[number].bundle.model for number in kept]
    shares = [float(weights[number]) for number in kept]
    save_model(
        run.bundle_dir,
        build_ensemble(models, shares, recipe.data.image_size),
        classes=members[0].bundle.classes,
        recipe=recipe,
    )
    return load_bundle(run.bundle_dir)


def _judge(
    bundle: Bundle,
    recipe: Recipe,
    index: Index,
    crossed: Answers | None,
    calibrated: Calibrated,
    observer: Observer,
    ask: AskAll | None = None,
) -> list[Verdict]:
    """Judge the packed model on what every member held out.

    Args:
        bundle: The packed model.
        recipe: What it is used by.
        index: The images.
        crossed: The answers to the validation images by weights that each image had no part
            in, where the weights were searched on these; None asks the bundle.
        calibrated: What the bundle has stored.
        observer: Told of progress.
        ask: Asks the bundle in place of this process.
    """
    verdicts = []
    for split in ("validation", "test"):
        held_out, answers = index.in_split(split), crossed if split == "validation" else None
        if len(held_out):
            if answers is None and ask is not None:
                answers = join_answers(ask(held_out.paths()), bundle, held_out, recipe.tta)
            elif answers is None:
                answers = ask_bundle(bundle, held_out, recipe.data, recipe.tta, observer)
            verdicts.append(judge_answers(answers, split, recipe, calibrated))
    return verdicts


def _describe(
    members: Sequence[Member], request: EnsembleRequest, weights: Sequence[float] | None = None
) -> EnsembleFacts:
    shares = [None] * len(members) if weights is None else weights
    rows = tuple(
        EnsembleMember(
            run=member.name,
            weight=weight,
            recipe=member.recipe.name,
            backbone=member.recipe.model.backbone,
            image_size=member.bundle.image_size,
        )
        for member, weight in zip(members, shares, strict=True)
    )
    return EnsembleFacts(
        weights=request.weights, allow_different_images=request.allow_different, members=rows
    )


def _compare_with_members(
    run: RunDirectory, members: Sequence[Member], metric: str, verdicts: Sequence[Verdict]
) -> CompareReport | None:
    """Set an ensemble against its members on the images that headline; None without any.

    The run's metrics and predictions must be written.
    """
    if not verdicts:
        return None
    paths = [run.path, *(member.run.path for member in members)]
    contenders = read_contenders(paths, verdicts[-1].split)
    return make_comparison(contenders, contenders[0], metric)


def _write_ensemble_report(
    run: RunDirectory,
    members: Sequence[Member],
    recipe: Recipe,
    data: PreparedData,
    weights: Sequence[float],
    verdicts: Sequence[Verdict],
    comparison: CompareReport | None,
    how: str,
    bundle: Bundle,
) -> None:
    """Write ``report.html`` and the figures of an ensemble.

    Args:
        run: Where to.
        members: Its members.
        recipe: What it is used by.
        data: The images.
        weights: Of the members.
        verdicts: Judgements of the held-out splits; the last one headlines.
        comparison: The ensemble against its members, or None.
        how: search, equal, or the weights as given.
        bundle: The packed model.
    """
    described = [reporting.describe_verdict(verdict, recipe, bundle) for verdict in verdicts]
    report = EnsembleReport(
        name=recipe.name,
        run=run.path.name,
        metric=recipe.metric,
        created=format_now(),
        members=_list_members(members, weights),
        how=_HOW.get(how, "The weights were given."),
        image_size=recipe.data.image_size,
        judged=described[-1] if described else None,
        others=tuple(described[:-1]),
        comparison=comparison,
        data=summarise_data(data.index, recipe.data.source),
        integrity=data.integrity,
        environment=reporting.describe_machine(describe_environment()),
        commands=_list_next(run, members, how),
        recipe_text=dump_recipe(recipe),
    )
    figures = draw_ensemble_figures(report)
    save_figures(figures, run.figures_dir)
    write_text(run.report_path, render_ensemble_page(report, figures))


def _list_members(members: Sequence[Member], weights: Sequence[float]) -> tuple[MemberRow, ...]:
    return tuple(
        MemberRow(
            member.name,
            member.recipe.model.backbone,
            member.bundle.image_size,
            member.bundle.model.count_params(),
            weight,
        )
        for member, weight in zip(members, weights, strict=True)
    )


def _list_next(run: RunDirectory, members: Sequence[Member], how: str) -> tuple[Command, ...]:
    paths = [member.name for member in members]
    again = shlex.join(["tfclassify", "ensemble", *paths, "--weights", how])
    used = reporting.list_commands(run)
    return (Command("Join the members again", again), *used[1:])
