"""Fills the page of an ensemble, and sets it against its members.

Owns: from members, weights and verdicts to the page's content. Does not own: how the page
looks (``report``).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from tfclassify import __version__
from tfclassify.data.preparation import PreparedData
from tfclassify.files import write_text
from tfclassify.pages.compare_content import CompareReport
from tfclassify.pages.content import Command
from tfclassify.pages.ensemble_page import (
    EnsembleReport,
    MemberRow,
    draw_ensemble_figures,
    render_ensemble_page,
)
from tfclassify.pages.figures import save_figures
from tfclassify.recipe.loading import dump_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.directory import RunDirectory
from tfclassify.runs.environment import describe_environment
from tfclassify.workflows import reporting
from tfclassify.workflows.compare import make_comparison
from tfclassify.workflows.contenders import read_contenders
from tfclassify.workflows.ensemble_members import Member
from tfclassify.workflows.judging import Verdict

_HOW = {
    "search": (
        "The weights make the averaged probabilities of the validation images most likely. The "
        "validation score is cross-fitted: each image is averaged by weights found on the others."
    ),
    "equal": "Every member counts the same.",
}


def compare_with_members(
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


def write_ensemble_report(
    run: RunDirectory,
    members: Sequence[Member],
    recipe: Recipe,
    data: PreparedData,
    weights: Sequence[float],
    verdicts: Sequence[Verdict],
    comparison: CompareReport | None,
    how: str,
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
    """
    described = [reporting.describe_verdict(verdict, recipe) for verdict in verdicts]
    report = EnsembleReport(
        name=recipe.name,
        run=run.path.name,
        metric=recipe.metric,
        created=reporting.format_now(),
        version=__version__,
        members=_list_members(members, weights),
        how=_HOW.get(how, "The weights were given."),
        image_size=recipe.data.image_size,
        verdict=described[-1] if described else None,
        others=tuple(described[:-1]),
        comparison=comparison,
        data=reporting.summarise_data(data.index, recipe.data.source),
        integrity=reporting.describe_integrity(data.integrity, len(data.index)),
        environment=reporting.describe_machine(describe_environment()),
        commands=_list_commands(run, members, how),
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


def _list_commands(run: RunDirectory, members: Sequence[Member], how: str) -> tuple[Command, ...]:
    paths = [member.name for member in members]
    again = shlex.join(["tfclassify", "ensemble", *paths, "--weights", how])
    used = reporting.list_commands(run)
    return (Command("Join the members again", again), *used[1:])
