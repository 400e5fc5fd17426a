"""Results as text for people, or as JSON for programs.

Owns: what a command prints on standard output. Does not own: tables (``report``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfclassify.pages.label_score_tables import tabulate_verdict
from tfclassify.pages.label_tables import tabulate_label_sets
from tfclassify.pages.tables import (
    Column,
    render_table,
    tabulate_data,
    tabulate_integrity,
    tabulate_metrics,
)
from tfclassify.pages.wording import count_of, format_range, format_score, title_of
from tfclassify.recipe.model_checks import name_backbones

if TYPE_CHECKING:
    from tfclassify.workflows.backbones import BackboneRow, ExportResult
    from tfclassify.workflows.check import CheckResult
    from tfclassify.workflows.evaluate import EvaluateResult
    from tfclassify.workflows.inspect import InspectResult
    from tfclassify.workflows.judging import Verdict
    from tfclassify.workflows.predict import PredictResult
    from tfclassify.workflows.submit import SubmitResult
    from tfclassify.workflows.train import TrainResult


def _to_json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def render_train_result(result: TrainResult, *, as_json: bool) -> str:
    """Write what a training left."""
    if as_json:
        return _to_json(
            {
                "run": str(result.run),
                "report": str(result.report),
                "epochs": result.epochs,
                "seconds": round(result.seconds, 1),
                "scores": [_score_facts(verdict) for verdict in result.verdicts],
            }
        )
    lines = [_say_score(verdict, result.recipe.metric) for verdict in result.verdicts]
    if not lines:
        lines = ["trained on all images; none was held out to judge by"]
    lines += [
        f"{count_of(result.epochs, 'epoch')} in {_say_time(result.seconds)}",
        f"run     {result.run}",
        f"report  {result.report}",
    ]
    return "\n".join(lines)


def render_evaluate_result(result: EvaluateResult, *, as_json: bool) -> str:
    """Write what an evaluation measured."""
    if as_json:
        scores = [_score_facts(verdict) for verdict in result.verdicts]
        return _to_json(
            {"run": str(result.run), "quarantined": result.quarantined, "scores": scores}
        )
    parts = []
    for verdict in result.verdicts:
        parts += [
            _say_score(verdict, result.metric),
            tabulate_metrics(verdict.plain, verdict.tta),
            *tabulate_verdict(verdict.headline),
        ]
    if result.quarantined:
        parts.append(f"{count_of(result.quarantined, 'bad image')} left out of the scores")
    if result.report:
        parts.append(f"report  {result.report}")
    return "\n\n".join(parts)


def render_predict_result(result: PredictResult, *, as_json: bool) -> str:
    """Write predictions: a table, or where they were written."""
    predictions = result.predictions
    if as_json:
        frame = predictions.frame.astype(object)
        rows = frame.where(frame.notna(), None).to_dict(orient="records")
        return _to_json({"views": list(predictions.views), "predictions": rows})
    failed = f", {predictions.failed} without an answer" if predictions.failed else ""
    summary = f"{count_of(len(predictions.files), 'file')}{failed}"
    if result.out is not None:
        return f"{summary}\nwritten to {result.out}"
    columns = [Column("file", longest=60)]
    has_sets = predictions.thresholds is not None
    columns += [Column("labels", longest=48)] if has_sets else []
    columns.append(Column("most probable" if has_sets else "label", longest=32))
    columns += [Column("probability", "right"), Column("error", longest=60)]
    frame = predictions.frame
    rows = [
        [
            row.file,
            *([row.labels] if has_sets else []),
            row.label,
            "" if row.error else f"{row.probability:.4f}",
            row.error,
        ]
        for row in frame.itertuples()
    ]
    if not predictions.failed:
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return f"{render_table(columns, rows)}\n{summary}"


def render_submit_result(result: SubmitResult, *, as_json: bool) -> str:
    """Write what a submission holds."""
    if as_json:
        return _to_json(
            {
                "path": str(result.path),
                "format": result.format,
                "size_bytes": result.size_bytes,
                "checked_images": result.checked_images,
                "views": list(result.views),
            }
        )
    return (
        f"{result.path}  {result.size_bytes / 1e6:.1f} MB, {count_of(len(result.views), 'view')}\n"
        f"a fresh process gave the same answers on {count_of(result.checked_images, 'image')}"
    )


def render_inspect_result(result: InspectResult, *, as_json: bool) -> str:
    """Write what a source holds."""
    statistics = result.statistics
    if as_json:
        return _to_json(
            {
                "source": result.data.source,
                "classes": list(result.data.classes),
                "counts": {name: list(counts) for name, counts in result.data.counts.items()},
                "images": {name: result.data.total(name) for name in result.data.counts},
                "statistics": statistics.to_dict(),
                "quarantined": result.integrity.quarantined,
                "findings": [vars(row) for row in result.integrity.rows],
            }
        )
    colours = statistics.colours
    channels = ("red", "green", "blue")
    pairs = zip(channels, colours.mean, colours.std, strict=True)
    facts = [
        f"width   {_say_spread(statistics.width)}",
        f"height  {_say_spread(statistics.height)}",
        "colours "
        + ", ".join(f"{name} {mean:.0f} ± {std:.0f}" for name, mean, std in pairs)
        + f" (mean ± standard deviation of 0..255, {count_of(colours.images, 'image')})",
    ]
    if statistics.flags:
        marks = (f"{name} {count:,}" for name, count in statistics.flags.items())
        facts.append(f"marks   {', '.join(marks)}")
    parts = [tabulate_data(result.data), "\n".join(facts), tabulate_integrity(result.integrity)]
    if statistics.label_sets is not None:
        parts.insert(1, tabulate_label_sets(statistics.label_sets))
    if result.html:
        parts.append(f"page  {result.html}")
    return "\n\n".join(parts)


def _say_spread(spread: Any) -> str:
    return f"{spread.low:.0f} to {spread.high:.0f} pixels, median {spread.median:.0f}"


def render_check_result(result: CheckResult, *, as_json: bool) -> str:
    """Write what would be trained."""
    from tfclassify.workflows.reporting import describe_integrity, summarise_data

    data = summarise_data(result.index, result.recipe.data.source)
    integrity = describe_integrity(result.integrity, len(result.index))
    if as_json:
        return _to_json(
            {
                "recipe": result.recipe.name,
                "parameters": result.parameters,
                "classes": list(data.classes),
                "counts": {name: list(counts) for name, counts in data.counts.items()},
                "quarantined": integrity.quarantined,
                "phases": [vars(phase) for phase in result.phases],
            }
        )
    total = sum(phase.seconds_at_most for phase in result.phases)
    return "\n\n".join(
        [
            tabulate_data(data),
            tabulate_integrity(integrity),
            f"{name_backbones(result.recipe.model)}: {result.parameters:,} parameters",
            _tabulate_planned(result),
            f"roughly {_say_time(total)} at most on this machine, timed on a few steps",
        ]
    )


def _tabulate_planned(result: CheckResult) -> str:
    """Write what each phase would train, and for how long."""
    columns = [Column("phase")]
    columns += [
        Column(title, "right")
        for title in ("epochs at most", "steps", "trained parameters", "an epoch", "at most")
    ]
    rows = [
        [
            phase.name,
            phase.epochs,
            phase.steps,
            f"{phase.trainable_parameters:,}",
            _say_time(phase.seconds_per_epoch),
            _say_time(phase.seconds_at_most),
        ]
        for phase in result.phases
    ]
    return render_table(columns, rows)


def render_export(result: ExportResult, *, as_json: bool) -> str:
    """Write where a hub module was written, and how a recipe uses it."""
    if as_json:
        return _to_json({**vars(result), "folder": str(result.folder)})
    (height, width), (low, high) = result.image_size, result.input_range
    size = str(height) if height == width else f"[{height}, {width}]"
    return (
        f"{result.folder}: {result.features} features of an image of {height}x{width}\n"
        f"in a recipe: data: {{image_size: {size}}}, "
        f"model: {{backbone: hub:{result.folder}, input_range: [{low:g}, {high:g}]}}"
    )


def render_backbones(rows: Sequence[BackboneRow], *, as_json: bool) -> str:
    """Write the list of backbones."""
    if as_json:
        return _to_json([vars(row) for row in rows])
    columns = [
        Column("name"),
        Column("parameters", "right"),
        Column("input size", "right"),
        Column("source"),
        Column("weights"),
    ]
    return render_table(
        columns,
        [
            [
                row.name,
                f"{row.parameters / 1e6:.1f} M" if row.parameters else "",
                " x ".join(map(str, row.image_size)),
                row.source,
                _say_weights(row),
            ]
            for row in rows
        ],
    )


def _say_weights(row: BackboneRow) -> str:
    if row.parameters is None:
        return "none"
    return "here" if row.has_weights_here else "download"


def _say_score(verdict: Verdict, metric: str) -> str:
    parts = []
    for judgement, views in ((verdict.plain, 1), (verdict.tta, len(verdict.views))):
        if judgement is None:
            continue
        interval = judgement.metrics[metric]
        shown = f"{format_score(metric, interval.value)} ({format_range(metric, interval)})"
        parts.append(f"{shown} with {views} views" if views > 1 else shown)
    name = title_of(metric)
    return f"{verdict.split}: {name} {', '.join(parts)}, {count_of(verdict.plain.n, 'image')}"


def _score_facts(verdict: Verdict) -> dict[str, Any]:
    return {
        "split": verdict.split,
        "views": list(verdict.views),
        "plain": verdict.plain.to_dict(),
        "tta": verdict.tta.to_dict() if verdict.tta else None,
    }


def _say_time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
