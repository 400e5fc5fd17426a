"""``ensemble``: several runs averaged and packed into one run.

Owns: the members' weights, the joined bundle, its judging and what the run holds.
Does not own: whether members fit (``ensemble_members``), the page (``ensemble_report``).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfclassify.data.index import Index
from tfclassify.data.preparation import PreparedData
from tfclassify.events import SILENT, Observer
from tfclassify.pages.compare_content import CompareReport
from tfclassify.recipe.loading import dump_recipe, parse_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.directory import RunDirectory
from tfclassify.runs.documents import EnsembleFacts, EnsembleMember
from tfclassify.scoring.mixture import mix
from tfclassify.scoring.tasks import get_task
from tfclassify.workflows.ensemble_members import (
    Member,
    check_members,
    join_images,
    make_recipe,
    read_members,
)
from tfclassify.workflows.ensemble_weights import (
    MemberAnswers,
    ask_members,
    cross_fit_answers,
    find_weights,
    parse_weights,
)
from tfclassify.workflows.judging import (
    Verdict,
    find_thresholds,
    judge_index,
    judge_probabilities,
    write_metrics,
    write_predictions,
)
from tfclassify.workflows.start import start_tensorflow


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
    """

    runs: tuple[Path, ...]
    weights: str = "search"
    name: str | None = None
    allow_different: bool = False
    out: Path | None = None
    reports: Path = Path("reports")


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
        shutil.rmtree(run.path, ignore_errors=True)
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
    from tfclassify.workflows.ensemble_report import compare_with_members, write_ensemble_report

    data.save(run.index_path, run.integrity_path)
    if any(member.recipe.tta != recipe.tta for member in members):
        observer.on_warning("the members average different views; the ensemble uses plain images")
    answers = ask_members(members, recipe, data.index, observer)
    weights = find_weights(given, answers, recipe)
    _tell_weights(members, weights, observer)
    _save(run, members, recipe, weights, answers)
    verdicts = _judge(run, recipe, data.index, answers if given is None else None, observer)
    _describe(members, request, weights.tolist()).write(run.ensemble_path)
    write_metrics(
        run.metrics_path,
        verdicts,
        recipe.metric,
        members=[member.name for member in members],
        weights=weights.tolist(),
    )
    write_predictions(run.predictions_path, verdicts, data.index.classes)
    comparison = compare_with_members(run, members, recipe.metric, verdicts)
    write_ensemble_report(
        run, members, recipe, data, weights.tolist(), verdicts, comparison, request.weights
    )
    names = tuple(member.name for member in members)
    shares = tuple(weights.tolist())
    return EnsembleResult(
        run.path, recipe, names, shares, tuple(verdicts), comparison, run.report_path
    )


def _tell_weights(members: Sequence[Member], weights: np.ndarray, observer: Observer) -> None:
    for member, weight in zip(members, weights, strict=True):
        observer.on_note(f"weight {weight:.3f}  {member.name}")
        if weight == 0.0:
            observer.on_warning(f"{member.name}: adds nothing and is left out of the model")


def _save(
    run: RunDirectory,
    members: Sequence[Member],
    recipe: Recipe,
    weights: np.ndarray,
    answers: MemberAnswers | None,
) -> None:
    from tfclassify.model.bundle import save_model
    from tfclassify.model.ensemble import build_ensemble
    from tfclassify.scoring.calibration import fit_temperature

    kept = [number for number, weight in enumerate(weights) if weight > 0.0]
    models = [members[number].bundle.model for number in kept]
    shares = [float(weights[number]) for number in kept]
    temperature, thresholds = None, None
    if answers is not None:
        mixed = mix(answers.plain, weights)
        thresholds = find_thresholds(recipe, answers.index, mixed)
        if not get_task(recipe.task).is_multi_label:
            temperature = fit_temperature(answers.index.class_ids(), mixed)
    save_model(
        run.bundle_dir,
        build_ensemble(models, shares, recipe.data.image_size),
        classes=members[0].bundle.classes,
        recipe=recipe,
        temperature=temperature,
        thresholds=thresholds,
    )


def _judge(
    run: RunDirectory,
    recipe: Recipe,
    index: Index,
    searched: MemberAnswers | None,
    observer: Observer,
) -> list[Verdict]:
    """Judge the packed model; where weights were searched, by weights that were cross-fitted.

    Args:
        run: Its folder.
        recipe: What it is used by.
        index: The images.
        searched: What the members said, where the weights were searched on it.
        observer: Told of progress.
    """
    from tfclassify.model.bundle import load_bundle

    bundle = load_bundle(run.bundle_dir)
    verdicts = []
    for split in ("validation", "test"):
        held_out = index.in_split(split)
        if not len(held_out):
            continue
        if split == "validation" and searched is not None:
            plain, averaged = cross_fit_answers(searched, recipe)
            verdicts.append(
                judge_probabilities(
                    bundle, held_out, split, recipe, plain, averaged, searched.views
                )
            )
        else:
            verdicts.append(judge_index(bundle, held_out, split, recipe, recipe.tta, observer))
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
