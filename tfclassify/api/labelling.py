"""Verbs about labels and those who give them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tfclassify.api.parameters import AnyPath, Columns, Source, read_columns, read_path
from tfclassify.api.progress import choose_observer
from tfclassify.events import Observer

if TYPE_CHECKING:
    from tfclassify.workflows.agree import AgreeResult
    from tfclassify.workflows.clean import CleanResult
    from tfclassify.workflows.label import LabelResult


def label(
    source: Source,
    *,
    session: AnyPath | None = None,
    labels: str | Sequence[str] | None = None,
    vocabulary: AnyPath | None = None,
    several: bool = False,
    labeller: str | None = None,
    overlap: float | None = None,
    columns: Columns = None,
    answers: AnyPath | None = None,
    review: bool = False,
    run: AnyPath | None = None,
    order: str = "name",
    out: AnyPath | None = None,
    form: Literal["columns", "original", "folders"] = "columns",
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = True,
    progress: bool | Observer = True,
) -> LabelResult:
    """Label images in a browser by keyboard, alone or with others, until it is stopped.

    The page's address is printed to standard error; it holds a token, and nothing leaves this
    machine.

    Args:
        source: A folder, archive, table or address of images, a recipe, or a session.
        session: The session's folder; default: ``sessions/NAME``.
        labels: The labels: cat,dog; default: the source's own.
        vocabulary: YAML with labels, keys, colours, sub-labels and marks, in place of labels.
        several: An image may have several labels, or none.
        labeller: Who labels; default: the user's name.
        overlap: Share of the images that two labellers answer, each without seeing the other;
            default: the session's, which is 0 for a new one.
        columns: Which column of a table holds what, where it is taken wrongly:
            ``file=Id,label=Genre``; also group, split, weight, ``one_hot=A+B``.
        answers: Somebody's table, or folders by class, to start from.
        review: Show who said what, and adjudicate.
        run: A run whose model suggests labels, knows look-alikes and learns from the answers.
        order: Which images come first: ``name``, ``random``, and with ``run`` ``doubt``,
            ``disagreement`` and ``lookalikes``.
        out: Table or folder to write in place of labelling.
        form: What it holds: columns of our own, the ``original`` ones
            (``Name;Label;Sublabel;Extra;Author``), or photos in folders by class.
        host: Where the page is served; other addresses than 127.0.0.1 are reached from
            other machines.
        port: Its port; 0: any; default: 8400.
        browser: Open the page in the browser.
        progress: Whether to show any, or an ``Observer`` of your own.

    Raises:
        MissingExtraError: If the extra ``web`` is not installed.
        RequestError: If something is impossible, or the port is taken.
        DataError: If the source or a journal cannot be read.
        RunError: If the labeller is at work in another process.
    """
    from tfclassify.labelling.vocabulary import split_names
    from tfclassify.web.server import require_web
    from tfclassify.workflows.label import LabelRequest

    require_web()
    from tfclassify.web.studio import label_images

    request = LabelRequest(
        source=os.fspath(source),
        session=read_path(session),
        labels=split_names(labels) if isinstance(labels, str) else tuple(labels or ()),
        vocabulary=read_path(vocabulary),
        several=several,
        labeller=labeller,
        overlap=overlap,
        columns=read_columns(columns),
        answers=read_path(answers),
        review=review,
        run=read_path(run),
        order=order,
        out=read_path(out),
        form=form,
        host=host,
        port=port,
        opens_browser=browser,
    )
    return label_images(request, choose_observer(progress), on_ready=tell_address)


def tell_address(address: str) -> None:
    """Say on standard error where the page is, and how to stop it."""
    print(f"label at {address}\nstop with Ctrl-C", file=sys.stderr, flush=True)


def agree(
    session: AnyPath,
    *,
    distance: Literal["nominal", "jaccard", "masi"] | None = None,
    out: AnyPath | None = None,
    seed: int = 0,
    progress: bool | Observer = True,
) -> AgreeResult:
    """Say how well labellers agree, and settle their answers by majority and adjudication.

    Args:
        session: Folder of a session that ``tfclassify label`` made.
        distance: How far two answers are apart: ``nominal``: the same or not; ``jaccard`` and
            ``masi``: between sets of labels. Default: ``masi`` where an image may have several.
        out: Folder for the page and the tables; default: ``agreement`` in the session.
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

    request = AgreeRequest(Path(session), distance, read_path(out), seed)
    return agree_session(request, choose_observer(progress))


def clean(
    target: Source,
    *,
    rank: Literal["self_confidence", "margin"] = "self_confidence",
    features: bool = True,
    photos: bool = True,
    out: AnyPath | None = None,
    review: bool = False,
    port: int | None = None,
    browser: bool = True,
    progress: bool | Observer = True,
) -> CleanResult:
    """Find labels and photos that look wrong, ranked, each with its reason.

    Args:
        target: A cross-validation, which judges every image, or a run, which judges those that
            it held out.
        rank: What contradicted labels are ranked by: the probability of the label, or that
            less the highest of the others.
        features: Let the network look at all images again, for those unlike all others.
        photos: Measure photos: too dark, blurred, empty.
        out: Folder to write into; default: ``clean`` in the target.
        review: Serve a page on which each is kept, relabelled or dropped, until it is stopped;
            ``corrections.csv`` holds what was decided.
        port: With ``review``: its port; 0: any; default: 8400.
        browser: With ``review``: open the page in the browser.
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

    folder = read_path(out)
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
