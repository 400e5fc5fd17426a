"""Fills the pages of a run and an evaluation from what was measured.

Owns: from records and verdicts to what a page says. Does not own: how it says it
(``pages``).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tfclassify.data.images import decode_image
from tfclassify.data.index import Index
from tfclassify.data.preparation import PreparedData
from tfclassify.errors import ImageError
from tfclassify.files import write_text
from tfclassify.pages.data_page import summarise_data
from tfclassify.pages.drawing import save_figures
from tfclassify.pages.pictures import Photo, Thumbnail, make_thumbnail
from tfclassify.pages.recipe_facts import (
    describe_curves,
    describe_network,
    describe_trained_part,
    describe_training,
)
from tfclassify.pages.rendering import Command, Fact, format_now
from tfclassify.pages.run_page import (
    EvaluationReport,
    PreviewRow,
    RunReport,
    draw_run_figures,
    render_evaluation_page,
    render_run_page,
)
from tfclassify.pages.scores import Judged, list_mistakes
from tfclassify.pages.training_figures import PhaseRecord
from tfclassify.pages.wording import count_of
from tfclassify.recipe.loading import dump_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.recipe.wording import format_seconds
from tfclassify.runs.crossval_directory import find_crossval
from tfclassify.runs.directory import RunDirectory
from tfclassify.runs.documents import Choice, Environment, read_document
from tfclassify.runs.environment import describe_environment
from tfclassify.scoring.epochs import EpochRecord, best_epoch
from tfclassify.scoring.verdicts import Verdict
from tfclassify.training.mining import read_hardest
from tfclassify.workflows.resuming import read_environment

if TYPE_CHECKING:
    from tfclassify.model.bundle import Bundle

#: How many images a model answered, and what opens it.
PartModel = tuple[int, Callable[[], "Bundle | None"]]
#: Pictures of mistakes on a page, and their longest side in pixels.
MISTAKES, MISTAKE_SIDE = 24, 160


def write_run_report(
    run: RunDirectory,
    recipe: Recipe,
    data: PreparedData,
    records: Sequence[EpochRecord],
    verdicts: Sequence[Verdict],
    *,
    parameters: int,
    trainable: Sequence[int],
    preview: tuple[PreviewRow, ...] = (),
    kept_phase: str = "",
    total_seconds: float | None = None,
    bundle: Bundle | None = None,
) -> None:
    """Write ``report.html`` and the figures of a run.

    Args:
        run: Where to.
        recipe: The recipe as trained.
        data: Its images.
        records: Every epoch.
        verdicts: Judgements of the held-out splits; the last one headlines.
        parameters: Of the network.
        trainable: Parameters that each phase trained, in the recipe's order.
        preview: Training images as augmented.
        kept_phase: Name of the phase whose weights the run has.
        total_seconds: Wall time of the command so far; None where it is not known.
        bundle: The model, to show what it looked at where it was wrong; None shows nothing.
    """
    described = tuple(describe_verdict(verdict, recipe, bundle) for verdict in verdicts)
    report = RunReport(
        name=recipe.name,
        run=run.path.name,
        metric=recipe.metric,
        created=format_now(),
        training_seconds=sum(record.seconds for record in records),
        total_seconds=total_seconds,
        description=recipe.description,
        data=summarise_data(data.index, recipe.data.source),
        model=describe_network(recipe, parameters),
        recipe=(*describe_training(recipe, kept_phase), *_describe_choice(run, recipe, records)),
        recipe_text=dump_recipe(recipe),
        phases=describe_phases(recipe, records, trainable),
        kept_phase=kept_phase,
        curves_note=describe_curves(recipe),
        judged=described[-1] if described else None,
        others=described[:-1],
        integrity=data.integrity,
        environment=describe_machine(read_environment(run)),
        commands=list_commands(run),
        preview=preview,
        hard=picture_hard_images(run, data.index, recipe),
    )
    figures = draw_run_figures(report)
    save_figures(figures, run.figures_dir)
    write_text(run.report_path, render_run_page(report, figures))


def _describe_choice(
    run: RunDirectory, recipe: Recipe, records: Sequence[EpochRecord]
) -> tuple[Fact, ...]:
    """Say how the recipe was fitted to a time, and cut while it was trained, where it was."""
    from tfclassify.training.schedules import describe_cut

    if not run.choice_path.exists():
        return ()
    choice = read_document(Choice, run.choice_path, "remove it, and report the run again")
    given = f"Fitted to {format_seconds(choice.seconds)}"
    cuts = (describe_cut(recipe.phases, records[:count]) for count in range(1, len(records) + 1))
    return tuple(Fact(given, line) for line in (*choice.lines, *filter(None, cuts)))


def write_evaluation_report(
    path: Path,
    model: Path,
    recipe: Recipe,
    data: PreparedData,
    verdict: Verdict,
    source: str | None,
    bundle: Bundle | None = None,
) -> None:
    """Write the page of an evaluation; ``data`` holds the images that were judged, or more."""
    judged = data.index.frame["image"].isin(verdict.answers.images)
    index = data.index.with_frame(data.index.frame[judged])
    other = f" --data {shlex.quote(source)}" if source else ""
    folder, out = shlex.quote(str(model)), shlex.quote(str(path.parent))
    line = f"tfclassify evaluate {folder}{other} --out {out}"
    report = EvaluationReport(
        model=str(model),
        metric=recipe.metric,
        created=format_now(),
        data=summarise_data(index, source or recipe.data.source, is_split=False),
        judged=describe_verdict(verdict, recipe, bundle),
        integrity=data.integrity,
        environment=describe_machine(describe_environment()),
        commands=(Command("Repeat the evaluation", line),),
    )
    write_text(path, render_evaluation_page(report))


def describe_phases(
    recipe: Recipe, records: Sequence[EpochRecord], trainable: Sequence[int]
) -> tuple[PhaseRecord, ...]:
    """Tell each phase as it went.

    Args:
        recipe: The recipe as trained.
        records: Every epoch of every phase.
        trainable: Parameters that each phase trained.
    """
    from tfclassify.training.schedules import follow_plans, should_stop

    cut = follow_plans(recipe.phases, records)
    sizes = [recipe.as_in(phase).data.image_size for phase in recipe.phases]
    phases = []
    for number, (phase, count) in enumerate(zip(recipe.phases, trainable, strict=True)):
        own = [record for record in records if record.phase_number == number]
        best = None
        if phase.keep_best and own and own[0].validation:
            values = [record.validation[phase.keep_best] for record in own]
            best = best_epoch(values, phase.keep_best) + 1
        reason = "all epochs done"
        if cut[number].epochs < phase.epochs:
            reason = "cut to keep the time"
        if phase.early_stopping and should_stop(own, phase.early_stopping):
            reason = f"no gain in {count_of(phase.early_stopping.patience, 'epoch')}"
        phases.append(
            PhaseRecord(
                name=phase.name,
                trained=describe_trained_part(phase),
                epochs=tuple(own),
                best_epoch=best,
                planned_epochs=phase.epochs,
                reason=reason,
                trainable_parameters=count,
                image_size=sizes[number] if len({*sizes, recipe.data.image_size}) > 1 else None,
            )
        )
    return tuple(phases)


def describe_verdict(verdict: Verdict, recipe: Recipe, bundle: Bundle | None = None) -> Judged:
    """Add pictures of its worst mistakes to a verdict.

    Args:
        verdict: What was judged.
        recipe: How images are decoded.
        bundle: The model that was judged, to add maps of what it looked at; None adds none.
    """
    return describe_parts(verdict, recipe, [(len(verdict.answers), lambda: bundle)])


def describe_parts(verdict: Verdict, recipe: Recipe, models: Sequence[PartModel]) -> Judged:
    """As ``describe_verdict``, where several models answered, each a part of the images.

    Args:
        verdict: What was judged.
        recipe: How images are decoded.
        models: In the images' order, how many of them each model answered and what opens it,
            which is called where one of them is shown; it returns None where there is none.
    """
    wrong = list_mistakes(verdict.answers, limit=MISTAKES)
    photos = [_read_photo(verdict.answers.paths[mistake.position], recipe) for mistake in wrong]
    maps: dict[int, Thumbnail] = {}
    end = 0
    for count, open_model in models:
        start, end = end, end + count
        own = [number for number, each in enumerate(wrong) if start <= each.position < end]
        shown = {n: photo for n in own if (photo := photos[n]) is not None}
        bundle = open_model() if shown else None
        if bundle is not None:
            maps |= _draw_maps(bundle, shown, {n: wrong[n].shown_class for n in shown})
    pictured = tuple(
        mistake.picture(verdict.answers, _shrink(photo), maps.get(number))
        for number, (mistake, photo) in enumerate(zip(wrong, photos, strict=True))
    )
    return Judged(verdict, pictured)


def _draw_maps(
    bundle: Bundle, photos: Mapping[int, np.ndarray], classes: Mapping[int, int]
) -> dict[int, Thumbnail]:
    """Draw what the network looked at when it said what it should not have, where it tells."""
    from tfclassify.inference.explanation import Explainer
    from tfclassify.inference.overlays import lay_over

    explainer = Explainer(bundle)
    if explainer.reason:  # covering parts of so many images would take minutes
        return {}
    pixels = np.stack(list(photos.values()))
    evidence = explainer.draw(pixels, np.array([classes[number] for number in photos]))
    drawn = {}
    for (number, photo), each in zip(photos.items(), evidence, strict=True):
        heat = each.clip(min=0) / max(float(each.max()), 1e-12)
        laid = lay_over(Image.fromarray(photo), heat)
        drawn[number] = make_thumbnail(laid, longest=MISTAKE_SIDE)
    return drawn


def picture_hard_images(run: RunDirectory, index: Index, recipe: Recipe) -> tuple[Photo, ...]:
    """Return the training images that mining missed most, with pictures; none without it."""
    if recipe.mining is None or not run.mining_path.exists():
        return ()
    rows = index.frame.set_index("image")
    return tuple(
        Photo(
            image,
            _shrink(_read_photo(str(rows.loc[image, "path"]), recipe)),
            (str(rows.loc[image, "label"]) or "no label",),
            (f"misclassified {count_of(misses, 'time')}, weight {weight:g}",),
        )
        for image, misses, weight in read_hardest(run.mining_path, index, limit=MISTAKES)
    )


def _shrink(photo: np.ndarray | None) -> Thumbnail | None:
    return None if photo is None else make_thumbnail(photo, longest=MISTAKE_SIDE)


def _read_photo(path: str, recipe: Recipe) -> np.ndarray | None:
    try:
        return decode_image(
            path, recipe.data.image_size, recipe.data.resize, max_pixels=recipe.data.max_pixels
        )
    except ImageError:
        return None


def describe_machine(environment: Environment) -> tuple[Fact, ...]:
    """Flatten ``environment.json`` to lines; packages come as one line each."""
    facts = []
    for name, value in environment.model_dump(mode="json", exclude_defaults=True).items():
        if isinstance(value, dict):
            facts += [Fact(str(key), str(item)) for key, item in value.items()]
        else:
            words = ", ".join(value) if isinstance(value, list) else str(value)
            facts.append(Fact(name.replace("_", " "), words))
    return tuple(facts)


def list_commands(run: RunDirectory) -> tuple[Command, ...]:
    """Say how to repeat and use a run."""
    folder = shlex.quote(str(run.path))
    again = Command("Repeat the training", f"tfclassify train {shlex.quote(str(run.recipe_path))}")
    crossval = find_crossval(run.path)
    if crossval is not None:  # by its recipe alone, a fold would be split in another way
        again = Command("Repeat the cross-validation", crossval.command)
    return (
        again,
        Command("Judge it on other images", f"tfclassify evaluate {folder} --data IMAGES"),
        Command("Predict", f"tfclassify predict {folder} IMAGES --out predictions.csv"),
        Command("Submit", f"tfclassify submit {folder} --format codalab"),
    )
