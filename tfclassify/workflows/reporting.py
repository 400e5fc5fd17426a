"""Fills the report of a run or an evaluation from what was measured.

Owns: from records, verdicts and integrity to the report's plain content.
Does not own: how the page looks (``report``).
"""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tfclassify import __version__
from tfclassify.data.images import decode_image
from tfclassify.data.index import Index
from tfclassify.data.integrity import IntegrityReport
from tfclassify.data.preparation import PreparedData
from tfclassify.data.statistics import count_label_sets
from tfclassify.errors import ImageError
from tfclassify.files import write_text
from tfclassify.pages.content import (
    Command,
    DataSummary,
    EpochRecord,
    EvaluationReport,
    Fact,
    HardImage,
    Integrity,
    IntegrityRow,
    LabelMistake,
    Mistake,
    PhaseRecord,
    RunReport,
    Verdict,
)
from tfclassify.pages.pictures import Thumbnail, make_thumbnail
from tfclassify.pages.recipe_facts import (
    describe_network,
    describe_trained_part,
    describe_training,
)
from tfclassify.recipe.loading import dump_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.crossval_directory import find_crossval
from tfclassify.runs.directory import RunDirectory
from tfclassify.runs.documents import Environment
from tfclassify.runs.environment import describe_environment
from tfclassify.scoring import verdicts as scoring
from tfclassify.scoring.mistakes import find_mistakes, find_wrong_labels
from tfclassify.scoring.tasks import find_class_ids
from tfclassify.training.mining import read_hardest
from tfclassify.workflows.resume_checks import read_environment

if TYPE_CHECKING:
    from tfclassify.scoring.epochs import EpochRecord as TrainedEpoch

#: Pictures of mistakes on a page, and their longest side in pixels.
MISTAKES, MISTAKE_SIDE = 24, 160


def write_run_report(
    run: RunDirectory,
    recipe: Recipe,
    data: PreparedData,
    records: Sequence[TrainedEpoch],
    verdicts: Sequence[scoring.Verdict],
    *,
    parameters: int,
    trainable: Sequence[int],
    preview: Thumbnail | None = None,
    kept_phase: str | None = None,
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
        preview: Sheet of what the model saw.
        kept_phase: Name of the phase whose weights the run has, where the best is kept.
    """
    from tfclassify.pages.figures import write_figures
    from tfclassify.pages.page import render_page

    environment = read_environment(run)
    seconds = sum(record.seconds for record in records)
    report = RunReport(
        name=recipe.name,
        run=run.path.name,
        metric=recipe.metric,
        created=format_now(),
        seconds=seconds,
        version=__version__,
        description=recipe.description,
        data=summarise_data(data.index, recipe.data.source),
        model=describe_network(recipe, parameters),
        recipe=describe_training(recipe, kept_phase),
        recipe_text=dump_recipe(recipe),
        phases=describe_phases(recipe, records, trainable),
        verdict=describe_verdict(verdicts[-1], recipe) if verdicts else None,
        others=tuple(describe_verdict(verdict, recipe) for verdict in verdicts[:-1]),
        integrity=describe_integrity(data.integrity, len(data.index)),
        environment=describe_machine(environment),
        commands=list_commands(run),
        preview=preview,
        hard=picture_hard_images(run, data.index, recipe),
    )
    figures = write_figures(report, run.figures_dir)
    write_text(run.report_path, render_page(report, figures))


def write_evaluation_report(
    path: Path,
    run: RunDirectory,
    recipe: Recipe,
    data: PreparedData,
    verdict: scoring.Verdict,
    source: str | None,
) -> None:
    """Write the page of an evaluation; ``data`` holds the images that were judged, or more."""
    from tfclassify.pages.page import render_evaluation_page

    judged = data.index.frame["image"].isin(verdict.answers.images)
    index = data.index.with_frame(data.index.frame[judged])
    other = f" --data {shlex.quote(source)}" if source else ""
    folder, out = shlex.quote(str(run.path)), shlex.quote(str(path.parent))
    line = f"tfclassify evaluate {folder}{other} --out {out}"
    report = EvaluationReport(
        model=str(run.path),
        metric=recipe.metric,
        created=format_now(),
        version=__version__,
        data=summarise_data(index, source or recipe.data.source, is_split=False),
        verdict=describe_verdict(verdict, recipe),
        integrity=describe_integrity(data.integrity, len(data.index)),
        environment=describe_machine(describe_environment()),
        commands=(Command("Repeat the evaluation", line),),
    )
    write_text(path, render_evaluation_page(report))


def format_now() -> str:
    """Write the present time as people read it."""
    return f"{datetime.datetime.now():%d %B %Y, %H:%M}"


def summarise_data(index: Index, source: str, *, is_split: bool = True) -> DataSummary:
    """Count the usable images of each class in each split, or in all."""
    usable = index.usable()
    marks, frame = usable.mark_labels(), usable.frame
    splits = frame["split"].replace("", "all") if is_split else pd.Series("all", frame.index)
    counts, images = {}, {}
    for split in sorted(splits.unique()):
        rows = marks[(splits == split).to_numpy()]
        counts[split] = tuple(rows.sum(axis=0).tolist())
        images[split] = len(rows)
    if not index.is_multi_label:
        return DataSummary(source, index.classes, counts)
    return DataSummary(source, index.classes, counts, images, count_label_sets(usable))


def describe_phases(
    recipe: Recipe, records: Sequence[TrainedEpoch], trainable: Sequence[int]
) -> tuple[PhaseRecord, ...]:
    """Tell each phase as it went."""
    from tfclassify.scoring.epochs import best_epoch
    from tfclassify.training.schedules import should_stop

    phases = []
    for number, (phase, count) in enumerate(zip(recipe.phases, trainable, strict=True)):
        own = [record for record in records if record.phase_number == number]
        best = None
        if phase.keep_best and own and own[0].validation:
            values = [record.validation[phase.keep_best] for record in own]
            best = best_epoch(values, phase.keep_best) + 1
        reason = "all epochs done"
        if phase.early_stopping and should_stop(own, phase.early_stopping):
            reason = f"no gain in {phase.early_stopping.patience} epochs"
        trained, epochs = describe_trained_part(phase), tuple(map(_copy_epoch, own))
        phases.append(PhaseRecord(phase.name, trained, epochs, best, phase.epochs, reason, count))
    return tuple(phases)


def _copy_epoch(record: TrainedEpoch) -> EpochRecord:
    return EpochRecord(
        record.epoch,
        record.learning_rate,
        dict(record.train),
        dict(record.validation),
        record.seconds,
    )


def describe_verdict(verdict: scoring.Verdict, recipe: Recipe) -> Verdict:
    """Put a verdict into the report's words, with pictures of its mistakes."""
    return Verdict(
        judgement=verdict.plain,
        judged_on=verdict.split,
        with_views=verdict.tta,
        views=len(verdict.views),
        mistakes=picture_mistakes(verdict, recipe),
        caution=verdict.caution,
    )


def picture_mistakes(
    verdict: scoring.Verdict, recipe: Recipe
) -> tuple[Mistake, ...] | tuple[LabelMistake, ...]:
    """Return the worst mistakes with their pictures.

    They are the most confident wrong predictions, or the wrong label sets of the greatest
    loss.
    """
    answers = verdict.answers
    if answers.is_multi_label:
        return _picture_wrong_labels(answers, recipe)
    classes, ids = answers.classes, find_class_ids(answers.targets)
    return tuple(
        Mistake(
            image=answers.images[wrong.position],
            thumbnail=_read_thumbnail(answers.paths[wrong.position], recipe),
            true_label=classes[wrong.target],
            predicted_label=classes[wrong.predicted],
            probability=wrong.probability,
            true_probability=wrong.true_probability,
        )
        for wrong in find_mistakes(ids, answers.probabilities, limit=MISTAKES)
    )


def _picture_wrong_labels(answers: scoring.Answers, recipe: Recipe) -> tuple[LabelMistake, ...]:
    classes = answers.classes
    wrong_sets = find_wrong_labels(
        answers.targets, answers.probabilities, answers.thresholds, limit=MISTAKES
    )

    def name(position: int, ids: tuple[int, ...]) -> tuple[tuple[str, float], ...]:
        return tuple((classes[i], float(answers.probabilities[position, i])) for i in ids)

    return tuple(
        LabelMistake(
            image=answers.images[wrong.position],
            thumbnail=_read_thumbnail(answers.paths[wrong.position], recipe),
            loss=wrong.loss,
            found=tuple(classes[number] for number in wrong.found),
            missed=name(wrong.position, wrong.missed),
            added=name(wrong.position, wrong.added),
        )
        for wrong in wrong_sets
    )


def picture_hard_images(run: RunDirectory, index: Index, recipe: Recipe) -> tuple[HardImage, ...]:
    """Return the training images that mining missed most, with pictures; none without it."""
    if recipe.mining is None or not run.mining_path.exists():
        return ()
    rows = index.frame.set_index("image")
    return tuple(
        HardImage(
            image=image,
            thumbnail=_read_thumbnail(str(rows.loc[image, "path"]), recipe),
            label=str(rows.loc[image, "label"]),
            misses=misses,
            weight=weight,
        )
        for image, misses, weight in read_hardest(run.mining_path, index, limit=MISTAKES)
    )


def _read_thumbnail(path: str, recipe: Recipe) -> Thumbnail | None:
    try:
        photo = decode_image(
            path, recipe.data.image_size, recipe.data.resize, max_pixels=recipe.data.max_pixels
        )
    except ImageError:
        return None
    return make_thumbnail(photo, longest=MISTAKE_SIDE)


def describe_integrity(report: IntegrityReport, checked: int) -> Integrity:
    """Put the integrity findings into the report's form."""
    rows = tuple(
        IntegrityRow(finding.image, finding.kind, finding.severity, finding.detail)
        for finding in report.rows
    )
    return Integrity(checked, rows)


def describe_machine(environment: Environment) -> tuple[Fact, ...]:
    """Flatten ``environment.json`` to lines; packages come as one line each."""
    facts = []
    for name, value in environment.model_dump(mode="json", exclude_defaults=True).items():
        if isinstance(value, dict):
            facts += [Fact(str(key), str(item)) for key, item in value.items()]
        else:
            facts.append(Fact(name.replace("_", " "), str(value)))
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
