"""``evaluate``: judge a run's model on its held-out images, or on others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfclassify.data.index import Index
from tfclassify.data.preparation import PreparedData, prepare_labelled
from tfclassify.errors import RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.executors.catalogue import ExecutorOptions
from tfclassify.judging.answers import ask_bundle, join_answers
from tfclassify.judging.seen import Seen, find_seen
from tfclassify.judging.verdicts import Calibrated, judge_answers, write_metrics
from tfclassify.recipe.loading import load_recipe
from tfclassify.recipe.schema import Recipe, TtaRecipe
from tfclassify.runs.directory import RunDirectory, is_run
from tfclassify.scoring.intervals import Interval
from tfclassify.scoring.verdicts import Answers, Verdict
from tfclassify.workflows.parts import Question, ask_strictly, find_batch, is_elsewhere
from tfclassify.workflows.start import start_tensorflow, verb

if TYPE_CHECKING:
    from tfclassify.model.bundle import Bundle


@dataclass(frozen=True)
class EvaluateRequest:
    """What to judge.

    Attributes:
        run: The run, a bundle or an artefact.
        data: Source of labelled images; None for the run's held-out images.
        use_tta: Whether to average over views; None: if the recipe has any.
        out: Folder for ``metrics.json`` and ``report.html``; None writes nothing.
        include_trained: Whether to judge also those of ``data`` that the run was trained on,
            that chose its epoch, or that nearly equal such an image.
        executor: Where the images are predicted.
    """

    run: Path
    data: str | None = None
    use_tta: bool | None = None
    out: Path | None = None
    include_trained: bool = False
    executor: ExecutorOptions = field(default_factory=ExecutorOptions)


@dataclass(frozen=True)
class EvaluateResult:
    """What was measured.

    Attributes:
        run: What was judged.
        metric: The metric that headlines.
        verdicts: One for each judged split.
        quarantined: Bad images that were left out of the scores.
        report: The page, or None if none was asked for.
        seen: Which images of ``data`` the run knows; None for its own held-out images.
    """

    run: Path
    metric: str
    verdicts: tuple[Verdict, ...]
    quarantined: int
    report: Path | None
    seen: Seen | None = None

    @property
    def metrics(self) -> Mapping[str, Interval]:
        """The scores on the last split, as the model is meant to be used."""
        return self.verdicts[-1].headline.metrics


@verb
def evaluate_run(request: EvaluateRequest, observer: Observer = SILENT) -> EvaluateResult:
    """Judge the model of a run, a bundle or an artefact.

    Raises:
        TargetError: If there is no such run.
        RequestError: If views are asked for and the recipe has none, no image was
            held out and no data is given, or the run knows every image of the data.
        DataError: If the data's labels are not the model's classes.
    """
    start_tensorflow()
    from tfclassify.export.artefact import open_bundle
    from tfclassify.export.reading import is_artefact
    from tfclassify.workflows.reporting import write_evaluation_report

    bundle = open_bundle(request.run)
    run = find_run(request.run)
    recipe = bundle.recipe if run is None else load_recipe(run.recipe_path)
    tta = choose_views(recipe, request.use_tta, are_inside=is_artefact(request.run))
    data, seen = _open_images(request, run, recipe, bundle.classes, observer)
    caution = "" if seen is None or not request.include_trained else _warn_of_known(seen)
    verdicts = tuple(
        judge_answers(
            _ask(bundle, index, recipe, tta, request, observer),
            split,
            recipe,
            Calibrated.of_bundle(bundle),
            caution,
        )
        for split, index in _list_splits(data.index, request).items()
    )
    report = None
    if request.out is not None:
        write_metrics(request.out / "metrics.json", verdicts, recipe.metric, run=str(request.run))
        report = request.out / "report.html"
        write_evaluation_report(
            report, request.run, recipe, data, verdicts[-1], request.data, bundle
        )
    quarantined = int((data.index.frame["status"] != "ok").sum())
    return EvaluateResult(request.run, recipe.metric, verdicts, quarantined, report, seen)


def _open_images(
    request: EvaluateRequest,
    run: RunDirectory | None,
    recipe: Recipe,
    classes: tuple[str, ...],
    observer: Observer,
) -> tuple[PreparedData, Seen | None]:
    """Read the images to judge on, and which of them the run knows, where they are others."""
    own = None if run is None else PreparedData.load(run.index_path, run.integrity_path)
    if request.data is not None:
        data = prepare_labelled(recipe, request.data, classes, observer=observer)
        if run is not None and own is not None:
            return _leave_out_known(run, own.index, data, request, observer)
        observer.on_warning(
            f"{request.run}: lies in no run, so it cannot be told which of the images it was "
            "trained on; judge by the run's folder to have them left out"
        )
        return data, None
    if own is None:
        raise RequestError(
            f"{request.run}: lies in no run, whose held-out images it could be judged on; name "
            "labelled images with --data"
        )
    return own, None


def _ask(
    bundle: Bundle,
    index: Index,
    recipe: Recipe,
    tta: TtaRecipe | None,
    request: EvaluateRequest,
    observer: Observer,
) -> Answers:
    if not is_elsewhere(request.executor):
        return ask_bundle(bundle, index, recipe.data, tta, observer)
    batch = find_batch(bundle.model, tta)
    question = Question((str(request.run),), recipe.data.image_size, tta, batch, has_both=True)
    both = ask_strictly(question, index.paths(), request.executor, observer, "evaluate")
    return join_answers(both, bundle, index, tta)


def find_run(path: Path) -> RunDirectory | None:
    """Return the run that a path is, or that its bundle or artefact lies in; None if none."""
    if not any((path / facts).is_file() for facts in ("artefact.json", "bundle.json")):
        return RunDirectory.open(path)
    inside = (parent for parent in path.resolve().parents[:2] if is_run(parent))
    return next(map(RunDirectory.open, inside), None)


def choose_views(
    recipe: Recipe, use_tta: bool | None, *, are_inside: bool = False
) -> TtaRecipe | None:
    """Return the views to average over: the recipe's, unless switched off.

    Args:
        recipe: Whose views.
        use_tta: Whether they are asked for; None: where there are any.
        are_inside: Whether the model is an artefact, which shows those inside in any case.

    Raises:
        RequestError: If views are asked for and the recipe has none.
    """
    if are_inside:
        use_tta = bool(use_tta)
    if use_tta and recipe.tta is None:
        raise RequestError(
            f"--tta: the recipe {recipe.name!r} has no views; add tta: {{flips: [horizontal]}} to "
            f"it, or leave --tta out"
        )
    return recipe.tta if use_tta is None or use_tta else None


def _leave_out_known(
    run: RunDirectory,
    own: Index,
    data: PreparedData,
    request: EvaluateRequest,
    observer: Observer,
) -> tuple[PreparedData, Seen]:
    """Tell which of the images the run knows, and leave them out unless they are wanted."""
    frame = data.index.frame
    is_usable = (frame["status"] == "ok").to_numpy()
    thumbnails = None if data.thumbnails is None else data.thumbnails[is_usable]
    seen = find_seen(run, own, data.index.usable(), thumbnails)
    if not seen.known:
        if seen.describe():
            observer.on_warning(f"{request.data}: {seen.describe()}")
        return data, seen
    if request.include_trained:
        observer.on_warning(f"{request.data}: {_warn_of_known(seen)}")
        return data, seen
    if seen.known == len(seen.is_known):
        raise RequestError(
            f"{request.data}: {seen.describe()} None is left to judge by; name images that the "
            "run has never seen, or judge these all the same by --include-trained"
        )
    observer.on_warning(
        f"{request.data}: {seen.describe()} They are left out; --include-trained judges them too"
    )
    is_left = np.ones(len(frame), dtype=bool)
    is_left[np.flatnonzero(is_usable)[seen.is_known]] = False
    return PreparedData(data.index.with_frame(frame[is_left]), data.integrity), seen


def _warn_of_known(seen: Seen) -> str:
    if not seen.known:
        return ""
    return f"{seen.describe()} A score on such images says little of new ones."


def _list_splits(index: Index, request: EvaluateRequest) -> dict[str, Index]:
    if request.data is not None:
        return {request.data: index.usable()}
    splits = {name: index.in_split(name) for name in ("validation", "test")}
    held_out = {name: rows for name, rows in splits.items() if len(rows)}
    if not held_out:
        raise RequestError(
            f"{request.run}: the run trained on all of its images and held none out; "
            f"name labelled images with --data"
        )
    return held_out
