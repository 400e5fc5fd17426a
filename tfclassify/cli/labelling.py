"""Verbs about labels and those who give them: ``label``, ``agree``, ``clean``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfclassify import api
from tfclassify.cli.command import command, complete_runs
from tfclassify.cli.output import to_json
from tfclassify.pages.wording import count_of

if TYPE_CHECKING:
    from tfclassify.workflows.agree import AgreeResult
    from tfclassify.workflows.clean import CleanResult
    from tfclassify.workflows.label import LabelResult


@command(
    api.label,
    "tfclassify label photos/ --labels cat,dog",
    labels={"kind": str},
    run={"autocompletion": complete_runs},
)
def label(result: LabelResult, *, as_json: bool) -> str:
    """Say how far the labeller is, or what was written."""
    if as_json:
        from tfclassify.files import to_plain

        facts = to_plain(vars(result))
        return to_json({**facts, "images_per_hour": result.images_per_hour})
    if result.out is not None:
        return f"{result.out}: {result.answered:,} written"
    said = (
        f"{result.labeller} has answered {result.answered:,} of {count_of(result.images, 'image')}"
    )
    if result.skipped:
        said += f", skipped {result.skipped:,}"
    if result.images_per_hour:
        said += f", {result.images_per_hour:,.0f} an hour"
    return f"{said}\nnext: tfclassify label {result.session}"


@command(api.agree, "tfclassify agree sessions/clothing")
def agree(result: AgreeResult, *, as_json: bool) -> str:
    """Write how well the labellers agree."""
    return to_json(result.to_dict()) if as_json else f"{result.describe()}\n\n{result.page}"


@command(
    api.clean, "tfclassify clean reports/clothing/cv-001", target={"autocompletion": complete_runs}
)
def clean(result: CleanResult, *, as_json: bool) -> str:
    """Write the images to look at."""
    return to_json(result.to_dict()) if as_json else result.describe()
