"""The verb that looks at runs as such."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tfclassify.api.progress import choose_observer
from tfclassify.events import Observer

if TYPE_CHECKING:
    from tfclassify.workflows.runs import RunsResult, SortKey


def runs(
    where: str | os.PathLike[str] = "reports",
    *,
    sort: SortKey = "date",
    clean: bool = False,
    dry_run: bool = False,
    progress: bool | Observer = True,
) -> RunsResult:
    """List runs with their scores, training times and sizes; drop what is not needed.

    Args:
        where: A folder of runs, a run, or a cross-validation.
        sort: ``date``, ``name``, ``score``, ``time`` or ``size``.
        clean: Drop from finished runs what only resuming needs.
        dry_run: With ``clean``: only say what would be dropped.
        progress: Whether to show any, or an ``Observer`` of your own.

    Returns:
        ``.rows``, one a run: ``.path``, ``.score``, ``.training_seconds``, ``.size_bytes``.

    Raises:
        TargetError: If there is no such folder.
        RunError: If a run that is to be cleaned is worked in.

    Example:
        >>> tfc.runs("reports/plants", sort="score").rows[0].path  # doctest: +SKIP
    """
    from tfclassify.workflows.runs import RunsRequest, list_runs

    return list_runs(RunsRequest(Path(where), sort, clean, dry_run), choose_observer(progress))
