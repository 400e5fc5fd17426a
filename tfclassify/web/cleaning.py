"""The page on which suspects of ``clean`` are kept, relabelled or dropped: the studio's own.

Owns: the order of finding, serving and writing down. Does not own: the page (``studio``), what
is suspect (``workflows.clean``).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from tfclassify.events import SILENT, Observer
from tfclassify.pages.wording import count_of
from tfclassify.web.server import listen
from tfclassify.web.studio import PORT, serve_board
from tfclassify.workflows.clean import (
    CleanRequest,
    CleanResult,
    clean_target,
    conclude_review,
    start_review,
)
from tfclassify.workflows.label import guess_name
from tfclassify.workflows.start import verb

_REMARK = (
    "The label that an image has, given again, keeps it; another one relabels it; the mark drop "
    "leaves it out; skipping decides nothing."
)


@verb
def review_suspects(
    request: CleanRequest,
    observer: Observer = SILENT,
    *,
    port: int | None = None,
    opens_browser: bool = True,
    on_ready: Callable[[str], None] | None = None,
) -> CleanResult:
    """Find suspects, serve them until the user stops it, and write what was decided.

    Args:
        request: What to look through.
        observer: Told of progress, and what was decided.
        port: Where the page is served on this machine; None for the usual port, 0 for any.
        opens_browser: Whether to open the page in the user's browser.
        on_ready: Called with the page's address when it can be opened.

    Raises:
        RequestError: If there is nothing to look at, or the port is taken.
        TfclassifyError: As ``clean_target``.
    """
    with listen("127.0.0.1", PORT if port is None else port) as door:
        result = clean_target(request, observer)
        with closing(start_review(result)) as board:
            serve_board(
                board,
                guess_name(),
                door,
                observer,
                remarks=(_REMARK,),
                opens_browser=opens_browser,
                on_ready=on_ready,
            )
    counts = conclude_review(result)
    decided = ", ".join(f"{action} {count:,}" for action, count in counts.items())
    observer.on_note(f"{count_of(sum(counts.values()), 'image')} decided: {decided}")
    return result
