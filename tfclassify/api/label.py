"""The verb that labels images in a browser."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tfclassify.api.progress import choose_observer
from tfclassify.api.training import Columns, read_columns
from tfclassify.events import Observer

if TYPE_CHECKING:
    from tfclassify.workflows.label import LabelResult


def label(
    source: str | os.PathLike[str],
    *,
    session: str | os.PathLike[str] | None = None,
    labels: str | Sequence[str] | None = None,
    vocabulary: str | os.PathLike[str] | None = None,
    several: bool = False,
    labeller: str | None = None,
    overlap: float | None = None,
    columns: Columns = None,
    answers: str | os.PathLike[str] | None = None,
    review: bool = False,
    run: str | os.PathLike[str] | None = None,
    order: str = "name",
    out: str | os.PathLike[str] | None = None,
    form: Literal["columns", "original", "folders"] = "columns",
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = True,
    progress: bool | Observer = True,
) -> LabelResult:
    """Label images in a browser, by keyboard; returns when it is stopped by Ctrl-C.

    The page's address is printed to standard error; it holds a token, and nothing leaves this
    machine.

    Args:
        source: A folder, archive, table or address of images, a recipe, or a session.
        session: The session's folder; None for ``sessions/<source's name>``.
        labels: The labels, as names or as ``"cat,dog"``; None for the source's own.
        vocabulary: YAML with labels, keys, colours, sub-labels and marks, in place of labels.
        several: Whether an image may have several labels, or none.
        labeller: Who labels; None for the user's name.
        overlap: Share of the images that two labellers answer, each without seeing the other;
            None for the session's, which is 0 for a new one.
        columns: Which column of a table holds what, where it is taken wrongly.
        answers: Somebody's table, or folders by class, to go on with.
        review: Whether to show who said what, and adjudicate.
        run: A run whose model suggests labels, knows look-alikes and learns from the answers.
        order: Which images come first: ``name``, ``random``, and with a run ``doubt``,
            ``disagreement`` and ``lookalikes``.
        out: Table or folder to write in place of labelling.
        form: Which kind: ``columns``, ``original`` (``Name;Label;Sublabel;Extra;Author``) or
            ``folders`` by class.
        host: Where the page is served; other addresses than 127.0.0.1 are reached from
            other machines.
        port: Its port; None for 8400, 0 for any.
        browser: Whether to open the page in the browser.
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
        session=None if session is None else Path(session),
        labels=split_names(labels) if isinstance(labels, str) else tuple(labels or ()),
        vocabulary=None if vocabulary is None else Path(vocabulary),
        several=several,
        labeller=labeller,
        overlap=overlap,
        columns=read_columns(columns),
        answers=None if answers is None else Path(answers),
        review=review,
        run=None if run is None else Path(run),
        order=order,
        out=None if out is None else Path(out),
        form=form,
        host=host,
        port=port,
        opens_browser=browser,
    )
    return label_images(request, choose_observer(progress), on_ready=tell_address)


def tell_address(address: str) -> None:
    """Say on standard error where the page is, and how to stop it."""
    print(f"label at {address}\nstop with Ctrl-C", file=sys.stderr, flush=True)
