"""Results about several trainings as text for people, or as JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tfclassify.pages.compare_tables import render_comparison, render_scores
from tfclassify.pages.tables import Column, render_table
from tfclassify.pages.wording import (
    count_of,
    format_count,
    format_range,
    format_score,
    format_seconds,
    title_of,
)

if TYPE_CHECKING:
    from tfclassify.workflows.compare import CompareResult
    from tfclassify.workflows.crossval_results import CrossvalResult
    from tfclassify.workflows.ensemble import EnsembleResult


def _to_json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def render_crossval_result(result: CrossvalResult, *, as_json: bool) -> str:
    """Write what a cross-validation measured."""
    if as_json:
        return _to_json(
            {
                "crossval": str(result.path),
                "report": str(result.report),
                "images": result.images,
                "out_of_fold": result.judgement.to_dict(),
                "over_folds": {name: vars(each) for name, each in result.spreads.items()},
                "folds": [{**vars(row), "metrics": dict(row.metrics)} for row in result.folds],
                "seconds": round(result.seconds, 1),
            }
        )
    metric = result.recipe.metric
    title = title_of(metric, result.recipe.task)
    interval, spread = result.judgement.metrics[metric], result.spreads[metric]
    return "\n".join(
        [
            _tabulate_folds(result),
            "",
            f"out of fold: {title} {format_score(metric, interval.value)} "
            f"({format_range(metric, interval)}), {count_of(result.images, 'image')}",
            f"over folds:  {format_score(metric, spread.mean)} ± "
            f"{format_score(metric, spread.deviation)} (mean ± standard deviation)",
            f"folder  {result.path}",
            f"report  {result.report}",
        ]
    )


def render_compare_result(result: CompareResult, *, as_json: bool) -> str:
    """Write a comparison."""
    if as_json:
        page = str(result.out) if result.out else None
        return _to_json({**result.report.to_dict(), "page": page})
    page_line = f"\n\npage  {result.out}" if result.out else ""
    return render_comparison(result.report) + page_line


def render_ensemble_result(result: EnsembleResult, *, as_json: bool) -> str:
    """Write what an ensemble is made of and what it gained."""
    pairs = list(zip(result.members, result.weights, strict=True))
    if as_json:
        members = [{"run": name, "weight": weight} for name, weight in pairs]
        scores = {each.split: each.headline.to_dict() for each in result.verdicts}
        return _to_json(
            {
                "run": str(result.run),
                "report": str(result.report),
                "members": members,
                "scores": scores,
                "comparison": result.comparison and result.comparison.to_dict(),
            }
        )
    columns = [Column("member", longest=60), Column("weight", "right")]
    rows = [[name, f"{weight:.3f}" if weight else "left out"] for name, weight in pairs]
    parts = [render_table(columns, rows)]
    if result.comparison is not None:
        parts.append(render_scores(result.comparison))
    else:
        parts.append("no image was held out by every member, so there is no score")
    return "\n\n".join([*parts, f"run     {result.run}\nreport  {result.report}"])


def _tabulate_folds(result: CrossvalResult) -> str:
    from tfclassify.workflows.crossval_results import list_shown

    shown = list_shown(result.recipe)
    is_repeated = any(row.repeat > 1 for row in result.folds)
    columns = [Column("fold"), Column("images", "right"), Column("epochs", "right")]
    columns += [Column(title_of(name, result.recipe.task), "right") for name in shown] + [
        Column("epochs took", "right")
    ]
    rows = [
        [
            f"{row.repeat}.{row.fold}" if is_repeated else str(row.fold),
            format_count(row.images),
            str(row.epochs),
            *(format_score(name, row.metrics.get(name)) for name in shown),
            format_seconds(row.seconds),
        ]
        for row in result.folds
    ]
    return render_table(columns, rows)
