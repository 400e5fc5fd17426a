"""Verbs that use a run: ``evaluate``, ``predict``, ``submit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tfclassify import api
from tfclassify.cli.command import command
from tfclassify.cli.output import list_score_facts, say_score, show, to_json
from tfclassify.errors import DataError
from tfclassify.pages.tables import Column, render_table
from tfclassify.pages.wording import count_of
from tfclassify.recipe.wording import format_bytes

if TYPE_CHECKING:
    from tfclassify.inference.prediction import Predictions
    from tfclassify.workflows.evaluate import EvaluateResult
    from tfclassify.workflows.submit import SubmitResult


@command(api.evaluate, "tfclassify evaluate reports/plants/001 --data photos/ --tta")
def evaluate(result: EvaluateResult, *, as_json: bool) -> str:
    """Write what an evaluation measured."""
    from tfclassify.pages.scores import describe_judgement, describe_metrics

    if as_json:
        scores = [list_score_facts(verdict) for verdict in result.verdicts]
        content = {"run": str(result.run), "quarantined": result.quarantined, "scores": scores}
        if result.seen is not None:
            known = {name: getattr(result.seen, name) for name in ("trained", "chosen", "near")}
            content["known_images"] = known
        return to_json(content)
    parts = []
    if result.seen is not None and result.seen.known and not result.verdicts[0].caution:
        parts.append(f"{result.seen.describe()} They are left out of the scores.")
    for verdict in result.verdicts:
        parts += [
            say_score(verdict, result.metric),
            describe_metrics(verdict.plain, verdict.tta),
            *describe_judgement(verdict.headline),
        ]
    parts += [verdict.caution for verdict in result.verdicts[-1:] if verdict.caution]
    if result.quarantined:
        parts.append(f"{count_of(result.quarantined, 'bad image')} left out of the scores")
    if result.report:
        parts.append(f"report  {result.report}")
    return "\n\n".join(parts)


@command(
    api.predict,
    "tfclassify predict reports/plants/001 photos/ --out p.csv",
    images={"metavar": "IMAGES..."},
    top={"min": 1},
)
def predict(predictions: Predictions, *, out: Path | None, as_json: bool) -> None:
    """Write predictions, and fail where there is none."""
    show(_render_predictions(predictions, out, as_json=as_json))
    if predictions.failed == len(predictions):
        raise DataError(f"predict: none of {count_of(len(predictions), 'file')} could be used")


def _render_predictions(predictions: Predictions, out: Path | None, *, as_json: bool) -> str:
    """Write predictions: a table, or where they were written."""
    if as_json:
        frame = predictions.to_frame().astype(object)
        rows = frame.where(frame.notna(), None).to_dict(orient="records")
        return to_json({"views": list(predictions.views), "predictions": rows})
    failed = f", {predictions.failed} without an answer" if predictions.failed else ""
    summary = f"{count_of(len(predictions.files), 'file')}{failed}"
    if out is not None:
        return f"{summary}\nwritten to {out}"
    from tfclassify.inference.prediction import LABEL_SEPARATOR

    columns = [Column("file", longest=60)]
    has_sets = predictions.thresholds is not None
    columns += [Column("labels", longest=48)] if has_sets else []
    columns.append(Column("most probable" if has_sets else "label", longest=32))
    columns.append(Column("probability", "right"))
    others = min(predictions.top_k, len(predictions.classes)) - 1
    columns += [Column("then", longest=100)] if others else []
    columns.append(Column("error", longest=100))
    rows = [
        [
            row.file,
            *([LABEL_SEPARATOR.join(row.labels)] if has_sets else []),
            row.label,
            "" if row.probability is None else f"{row.probability:.4f}",
            *([", ".join(f"{name} {share:.3f}" for name, share in row.top[1:])] if others else []),
            row.error,
        ]
        for row in predictions
    ]
    if not predictions.failed:
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return f"{render_table(columns, rows)}\n{summary}"


@command(api.submit, "tfclassify submit reports/plants/001 --format codalab")
def submit(result: SubmitResult, *, as_json: bool) -> str:
    """Write what a submission holds."""
    if as_json:
        return to_json(
            {
                "path": str(result.path),
                "format": result.format,
                "size_bytes": result.size_bytes,
                "checked_images": result.checked_images,
                "views": list(result.views),
            }
        )
    return (
        f"{result.path}  {format_bytes(result.size_bytes)}, {count_of(len(result.views), 'view')}\n"
        f"a fresh process gave the same answers on {count_of(result.checked_images, 'image')}"
    )
