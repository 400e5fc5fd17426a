"""Verbs about labels and those who give them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tfclassify.api.progress import choose_observer
from tfclassify.events import Observer

if TYPE_CHECKING:
    from tfclassify.workflows.agree import AgreeResult


def agree(
    session: str | os.PathLike[str],
    *,
    distance: Literal["nominal", "jaccard", "masi"] | None = None,
    out: str | os.PathLike[str] | None = None,
    seed: int = 0,
    progress: bool | Observer = True,
) -> AgreeResult:
    """Say how well the labellers of a session agree, and settle their answers.

    Args:
        session: Its folder.
        distance: How far two answers are apart: ``nominal``: the same or not; ``jaccard`` and
            ``masi``: between sets of labels. None: ``masi`` where an image may have several.
        out: Folder for the page and the tables; None for ``agreement`` in the session.
        seed: Of the resampled images that intervals rest on.
        progress: Whether to show any, or an ``Observer`` of your own.

    Returns:
        Coefficients with their intervals: ``.agreement.alpha.value``.

    Raises:
        TargetError: If there is no such session.
        RequestError: If fewer than two labelled any image.
        DataError: If a journal is damaged.
    """
    from tfclassify.workflows.agree import AgreeRequest, agree_session

    request = AgreeRequest(Path(session), distance, None if out is None else Path(out), seed)
    return agree_session(request, choose_observer(progress))
