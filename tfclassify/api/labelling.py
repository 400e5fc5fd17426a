"""Verbs about labels and those who give them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tfclassify.api.label import tell_address
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
    review: bool = False,
    port: int | None = None,
    browser: bool = True,
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
        review: Whether to serve a page on which each is kept, relabelled or dropped, until it
            is stopped; ``corrections.csv`` holds what was decided.
        port: review: its port; None for 8400, 0 for any.
        browser: review: whether to open the page in the browser.
        progress: Whether to show any, or an ``Observer`` of your own.

    Returns:
        The images to look at, in order: ``.suspects[0].reason``.

    Raises:
        TargetError: If there is no such run or cross-validation.
        RequestError: If a run held no images out, or there is nothing to review.
        RunError: If it is not finished.
        MissingExtraError: review: if the extra ``web`` is not installed.
    """
    from tfclassify.workflows.clean import CleanRequest, clean_target

    folder = None if out is None else Path(out)
    request = CleanRequest(Path(target), rank, features, photos, folder)
    observer = choose_observer(progress)
    if not review:
        return clean_target(request, observer)
    from tfclassify.web.server import require_web

    require_web()
    from tfclassify.web.cleaning import review_suspects

    return review_suspects(
        request, observer, port=port, opens_browser=browser, on_ready=tell_address
    )
