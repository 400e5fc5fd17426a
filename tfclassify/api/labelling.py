"""Verbs about labels and those who give them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tfclassify.api.progress import choose_observer
from tfclassify.events import Observer

if TYPE_CHECKING:
    from tfclassify.workflows.agree import AgreeResult
    from tfclassify.workflows.clean import CleanResult


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


def clean(
    target: str | os.PathLike[str],
    *,
    rank: Literal["self_confidence", "margin"] = "self_confidence",
    features: bool = True,
    photos: bool = True,
    out: str | os.PathLike[str] | None = None,
    progress: bool | Observer = True,
) -> CleanResult:
    """Find labels and photos of a run's or a cross-validation's data that look wrong.

    Args:
        target: Its folder. A cross-validation judges every image, a run those held out.
        rank: What contradicted labels are ranked by: the probability of the label, or that
            less the highest of the others.
        features: Whether the network looks at all images again, for those unlike all others.
        photos: Whether photos are measured: too dark, blurred, empty.
        out: Folder to write into; None for ``clean`` in the target.
        progress: Whether to show any, or an ``Observer`` of your own.

    Returns:
        The images to look at, in order: ``.suspects[0].reason``.

    Raises:
        TargetError: If there is no such run or cross-validation.
        RequestError: If a run held no images out.
        RunError: If it is not finished.
    """
    from tfclassify.workflows.clean import CleanRequest, clean_target

    folder = None if out is None else Path(out)
    request = CleanRequest(Path(target), rank, features, photos, folder)
    return clean_target(request, choose_observer(progress))
