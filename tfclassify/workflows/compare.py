"""``compare``: which of several runs is better, by how much, and at what cost."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tfclassify.errors import RequestError, TfclassifyError
from tfclassify.events import SILENT, Observer
from tfclassify.executors.catalogue import ExecutorOptions, open_executor
from tfclassify.executors.jobs import Job, run_jobs
from tfclassify.files import write_text
from tfclassify.judging.comparison import make_comparison
from tfclassify.judging.contenders import (
    Contender,
    describe_differences,
    read_contenders,
)
from tfclassify.pages.compare_page import CompareReport, render_compare_page
from tfclassify.pages.rendering import Command, format_now
from tfclassify.recipe.wording import suggest
from tfclassify.scoring.tasks import Task, get_task
from tfclassify.workflows.start import verb


@dataclass(frozen=True)
class CompareRequest:
    """What to compare.

    Attributes:
        runs: Runs and cross-validations, two or more.
        metric: The score; None for the first one's own.
        split: validation or test; None for the best that all have.
        against: What the others are set against: the first named, or the best.
        allow_different: Whether they may have been judged on different images.
        has_cost: Whether the models are profiled.
        has_latency: Whether they are timed as well.
        out: Page to write, or None.
        executor: Where the models are profiled.
    """

    runs: tuple[Path, ...]
    metric: str | None = None
    split: str | None = None
    against: Literal["first", "best"] = "first"
    allow_different: bool = False
    has_cost: bool = True
    has_latency: bool = False
    out: Path | None = None
    executor: ExecutorOptions = field(default_factory=ExecutorOptions)


@dataclass(frozen=True)
class CompareResult:
    """What was found.

    Attributes:
        report: Everything.
        out: The page, or None if none was asked for.
    """

    report: CompareReport
    out: Path | None


@verb
def compare_runs(request: CompareRequest, observer: Observer = SILENT) -> CompareResult:
    """Compare runs on the images that they were judged on.

    Raises:
        RequestError: If there are not two, their tasks differ, they were judged on
            different images and that is not allowed, or the metric is unknown.
        TargetError: If one is neither a run nor a cross-validation.
        RunError: If what one left cannot be read.
    """
    if len(request.runs) < 2:
        raise RequestError(f"compare: needs two runs at least, got {len(request.runs)}")
    if request.has_latency and request.executor.name != "here":
        raise RequestError(
            "compare --latency: models that are timed side by side slow one another down; leave "
            "--executor out, or --latency"
        )
    contenders = read_contenders(request.runs, request.split)
    task = _check_task(contenders)
    metric = _check_metric(request.metric or contenders[0].recipe.metric, task)
    remarks = _check_images(contenders, request.allow_different)
    reference = _choose_reference(contenders, metric, task, request.against)
    command = Command("Repeat the comparison", _repeat(request))
    report = make_comparison(contenders, reference, metric, remarks, (command,))
    if request.has_cost:
        report = _add_costs(report, contenders, request, observer)
    if request.out is not None:
        _write_page(report, request.out)
    return CompareResult(report, request.out)


def _check_task(contenders: Sequence[Contender]) -> Task:
    tasks = {contender.recipe.task: contender.name for contender in contenders}
    if len(tasks) > 1:
        named = " and ".join(f"{name} is {task}" for task, name in tasks.items())
        raise RequestError(f"compare: the runs have different tasks, {named}")
    return get_task(contenders[0].recipe.task)


def _check_metric(metric: str, task: Task) -> str:
    if metric not in task.metrics:
        hint = suggest(metric, task.metrics) or ";"
        raise RequestError(
            f"--metric: {task.name} has no metric {metric!r}{hint} allowed: "
            f"{', '.join(task.metrics)}"
        )
    return metric


def _check_images(contenders: Sequence[Contender], is_allowed: bool) -> list[str]:
    """Refuse runs that were judged on different images, or remark on it."""
    remarks = []
    first = contenders[0]
    for other in contenders[1:]:
        found = describe_differences(first, other)
        if not found:
            continue
        if not is_allowed:
            raise RequestError(
                f"compare: {first.name} and {other.name} were judged on different images: {found}; "
                "train both on one split (same data, seed and shares), or compare each on its own "
                "by --allow-different-images"
            )
        remarks.append(
            f"{first.name} and {other.name} were judged on different images: {found}. Their "
            "scores are not of the same question; differences are of the images in common."
        )
    return remarks


def _choose_reference(
    contenders: Sequence[Contender], metric: str, task: Task, against: str
) -> Contender:
    if against == "first":
        return contenders[0]
    sign = 1.0 if task.metrics[metric].higher_is_better else -1.0

    def rank(contender: Contender) -> float:
        value = contender.judgement.metrics[metric].value
        return -np.inf if value is None else sign * value

    return max(contenders, key=rank)


def _add_costs(
    report: CompareReport,
    contenders: Sequence[Contender],
    request: CompareRequest,
    observer: Observer,
) -> CompareReport:
    """Profile every model; one that cannot be profiled keeps its row, with a remark."""
    call = f"{find_cost.__module__}:{find_cost.__name__}"
    jobs = [
        Job(each.name, call, {"model": str(each.model), "has_latency": request.has_latency})
        for each in contenders
    ]
    with open_executor(request.executor, observer) as executor:
        costs = run_jobs(
            executor, jobs, observer, way_on=f"Once that is mended: {_repeat(request)}"
        )
    rows, remarks = [], list(report.remarks)
    for row, cost in zip(report.contenders, costs, strict=True):
        remarks += [f"{row.name}: {remark}" for remark in cost.pop("remarks")]
        rows.append(replace(row, **cost))
    return replace(report, contenders=tuple(rows), remarks=tuple(remarks))


def find_cost(model: str, has_latency: bool, observer: Observer = SILENT) -> dict[str, Any]:
    """Profile one model: the job.

    Args:
        model: A run or a model's folder.
        has_latency: Whether it is timed.
        observer: Told of progress.

    Returns:
        Fields of a contender's row, and remarks; none but a remark where it cannot be profiled.
    """
    from tfclassify.workflows.profile import ProfileRequest, profile_targets

    try:
        (found,) = profile_targets(ProfileRequest((model,), has_latency=has_latency), observer)
    except TfclassifyError as error:
        return {"remarks": [f"its cost is not known: {error}"]}
    profile = found.profile
    uncounted = profile.cost.uncounted
    return {
        "params": profile.params,
        "macs": profile.macs,
        "latency_ms": profile.latency.single.median_ms if profile.latency else None,
        "remarks": [f"operations not counted: {dict(uncounted)}"] if uncounted else [],
    }


def _repeat(request: CompareRequest) -> str:
    words = ["tfclassify", "compare", *map(str, request.runs)]
    words += ["--metric", request.metric] if request.metric else []
    words += ["--split", request.split] if request.split else []
    words += ["--against", request.against] if request.against != "first" else []
    words += ["--allow-different-images"] if request.allow_different else []
    words += ["--latency"] if request.has_latency else []
    words += ["--out", str(request.out)] if request.out else []
    return shlex.join(words)


def _write_page(report: CompareReport, out: Path) -> None:
    if out.is_dir():
        raise RequestError(f"--out: {out} is a folder; name the page to write")
    write_text(out, render_compare_page(replace(report, created=format_now())))
