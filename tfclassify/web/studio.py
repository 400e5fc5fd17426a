"""The labelling studio: one page on one session, for labellers and tabs at once.

Owns: the routes, what goes over them, pictures small enough to travel. Does not own: the
session and its images (``labelling``), opening them (``workflows.label``), the page's look
and keys (``templates/studio.html``, ``static/studio``).
"""

from __future__ import annotations

import io
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from tfclassify.data.images import shrink_image
from tfclassify.data.journals import Answer
from tfclassify.errors import ImageError
from tfclassify.events import SILENT, Observer
from tfclassify.labelling.board import ORDERS, Board, Wish
from tfclassify.labelling.session import StaleAnswerError
from tfclassify.pages.pictures import TINY_SIDE
from tfclassify.pages.rendering import render_page
from tfclassify.web.gate import SERVED_TEMPLATES, Door
from tfclassify.web.server import listen, make_app, serve
from tfclassify.workflows.label import LabelRequest, LabelResult, finish_labelling, start_labelling
from tfclassify.workflows.start import verb

#: The port that is asked for where the user names none.
PORT = 8400
#: Longest sides that pictures are asked for in: of a grid, of a screen, of a close look.
_SIDES = (240, 1280, 4096)
_CACHE_BYTES = 48 << 20
#: Images decoded at a time: each takes memory, and more of them are no faster.
_DECODERS = 3
_MOST_PLACES = 2_000
_BODY_LIMIT = 8 << 20


@verb
def label_images(
    request: LabelRequest,
    observer: Observer = SILENT,
    *,
    on_ready: Callable[[str], None] | None = None,
) -> LabelResult:
    """Open a session, serve its page until the user stops it, and say what came of it.

    Args:
        request: What to label, and where to serve it.
        observer: Told what is read, and of what a user should know.
        on_ready: Called with the page's address when it can be opened.

    Raises:
        RequestError: If something of the request is impossible, or the port is taken.
        DataError: If the source or a journal cannot be read.
        RunError: If the labeller is at work in another process.
    """
    if request.out is not None:
        return finish_labelling(request, observer)
    port = PORT if request.port is None else request.port
    with listen(request.host, port) as door:
        work = start_labelling(request, observer)
        with closing(work.board):
            serve_board(
                work.board,
                work.labeller,
                door,
                observer,
                remarks=work.remarks,
                order=request.order,
                opens_browser=request.opens_browser,
                on_ready=on_ready,
            )
    return work.conclude()


def serve_board(
    board: Board,
    labeller: str,
    door: Door,
    observer: Observer = SILENT,
    *,
    remarks: tuple[str, ...] = (),
    order: str = "name",
    opens_browser: bool = False,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve the page of a session at work until the user stops it.

    Args:
        board: The session at work.
        labeller: Who labels unless the page says otherwise.
        door: Where it listens.
        observer: Told of a door that is open to other machines.
        remarks: What the user should know of the session at its start.
        order: The order that images come in until the user chooses another.
        opens_browser: Whether to open the page in the user's browser.
        on_ready: Called with the page's address when it can be opened.
    """
    app = make_studio(door, board, labeller, remarks, order)
    tell = None if on_ready is None else partial(on_ready, door.address)
    serve(app, door, observer, opens_browser=opens_browser, on_ready=tell)


class _Given(BaseModel):
    """What a page sends; anything else is refused."""

    model_config = ConfigDict(extra="forbid")


class GivenAnswer(_Given):
    """One image's answer."""

    place: Annotated[int, Field(ge=0)]
    seen: int = 0
    labels: tuple[str, ...] = ()
    sublabel: str = ""
    marks: tuple[str, ...] = ()
    note: str = ""
    skipped: bool = False
    cleared: bool = False


class GivenAct(_Given):
    """Answers that are given, and taken back, together."""

    labeller: str
    seconds: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    answers: Annotated[tuple[GivenAnswer, ...], Field(min_length=1)]


class GivenWish(_Given):
    """Which images are wanted; see ``labelling.board.Wish``."""

    labeller: str
    state: Literal["todo", "done", "skipped", "all", "disputed"] = "todo"
    label: str = ""
    mark: str = ""
    by: str = ""
    given: str = ""
    search: Annotated[str, Field(max_length=200)] = ""
    doubt: Annotated[float, Field(ge=0, le=1)] = 1.0
    is_against: bool = False
    order: str = "name"


class GivenPlaces(_Given):
    """Images to be told of."""

    labeller: str
    places: Annotated[tuple[int, ...], Field(max_length=_MOST_PLACES)]


class GivenLabeller(_Given):
    """Who asks."""

    labeller: str


def make_studio(
    door: Door,
    board: Board,
    labeller: str,
    remarks: tuple[str, ...] = (),
    order: str = "name",
) -> FastAPI:
    """Make the application.

    Args:
        door: Where it will listen.
        board: The session at work.
        labeller: Who labels unless the page says otherwise.
        remarks: What the user should know of the session at its start.
        order: The order that images come in until the user chooses another.
    """
    app = make_app("tfclassify label", door, body_limit=_BODY_LIMIT)
    gallery = Gallery(board.images.paths)
    _add_page(app, board, {**describe_session(board, labeller, remarks), "order": order})
    _add_answers(app, board)

    @app.get("/image/{place}/{side}")
    def give_image(place: int, side: int, request: Request) -> Response:
        # Asked every time, so that a file that goes or is replaced meanwhile is noticed.
        stamp = gallery.stamp(place)
        if stamp and request.headers.get("if-none-match") == stamp:
            return Response(status_code=304, headers={"etag": stamp, "cache-control": "no-cache"})
        picture = gallery.show(place, side, stamp)
        headers = {"cache-control": "no-cache", "etag": stamp}
        if picture.fault:
            headers = {"cache-control": "no-store", "x-fault": quote(picture.fault)}
        return Response(picture.data, media_type=picture.kind, headers=headers)

    async def on_stale(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 409)

    app.add_exception_handler(StaleAnswerError, on_stale)
    return app


def _add_page(app: FastAPI, board: Board, facts: dict[str, Any]) -> None:
    """Add the page and what it asks for first."""
    page = render_page("studio.html", SERVED_TEMPLATES, title=facts["title"])

    @app.get("/")
    def give_page() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/api/session")
    def give_session() -> dict[str, Any]:
        return facts

    @app.post("/api/list")
    def list_images(given: GivenWish) -> dict[str, Any]:
        wish = Wish(
            state=given.state,
            labeller=given.by,
            **given.model_dump(exclude={"labeller", "state", "by"}),
        )
        places = board.list_places(given.labeller, wish)
        return {"places": places, "progress": board.count(given.labeller)}

    @app.post("/api/items")
    def give_items(given: GivenPlaces) -> list[dict[str, Any]]:
        return board.describe(given.labeller, given.places)

    @app.post("/api/progress")
    def give_progress(given: GivenLabeller) -> dict[str, Any]:
        return board.count(given.labeller)

    @app.get("/api/alike/{place}")
    def find_alike(place: int, count: Annotated[int, Field(ge=1, le=500)] = 60) -> list[int]:
        return board.find_alike(place, count)

    @app.post("/api/retrain")
    def retrain(given: GivenLabeller) -> dict[str, str]:
        return {"message": board.retrain(given.labeller)}


def _add_answers(app: FastAPI, board: Board) -> None:
    """Add what changes a journal."""

    @app.post("/api/answer")
    def take_answers(given: GivenAct) -> dict[str, int]:
        answers = {
            each.place: None
            if each.cleared
            else Answer(
                "",
                given.labeller,
                each.labels,
                each.sublabel,
                frozenset(each.marks),
                each.note.strip(),
                each.skipped,
            )
            for each in given.answers
        }
        seen = {each.place: each.seen for each in given.answers}
        entry = board.answer(given.labeller, answers, seconds=given.seconds, seen=seen)
        return {"entry": entry}

    @app.post("/api/undo")
    def undo(given: GivenLabeller) -> dict[str, Any]:
        places = board.undo(given.labeller)
        return {"items": board.describe(given.labeller, places[:_MOST_PLACES])}


def describe_session(board: Board, labeller: str, remarks: tuple[str, ...]) -> dict[str, Any]:
    """Return what the page needs to know once."""
    words, facts = board.vocabulary, board.session.facts
    return {
        "source": str(facts.data.get("source", "")),
        "title": re.split(r"[/\\]", str(facts.data.get("source", "")))[-1],
        "session": str(board.session.folder),
        "labeller": labeller,
        "labellers": list(board.session.list_labellers()),
        "is_review": board.is_review,
        "images": len(board.images.names),
        "remarks": list(remarks),
        "several": words.several,
        "broken_mark": words.broken_mark,
        "labels": [label.model_dump(mode="json", exclude={"code"}) for label in words.labels],
        "marks": [mark.model_dump(mode="json", exclude={"bit"}) for mark in words.marks],
        "given": sorted({label for labels in board.images.given for label in labels}),
        "orders": {**_ORDER_WORDS, **(board.adviser.orders if board.adviser else {})},
        "has_model": board.adviser is not None,
        "learns": board.adviser is not None and board.adviser.learns,
        "sides": _SIDES,
    }


_ORDER_WORDS = dict(zip(ORDERS, ("by name", "at random"), strict=True))


@dataclass(frozen=True)
class Picture:
    """An image as it travels.

    Attributes:
        data: The encoded bytes.
        kind: Their media type.
        fault: Why it is only a stand-in; empty if it is the image.
    """

    data: bytes
    kind: str
    fault: str = ""


class Gallery:
    """Shrinks images for a page, a few at a time, and keeps the last ones.

    Args:
        paths: Where the images are, by their places.
    """

    def __init__(self, paths: tuple[str, ...]) -> None:
        self._paths = paths
        self._kept: OrderedDict[tuple[int, int, str], Picture] = OrderedDict()
        self._bytes = 0
        self._turn = threading.Lock()
        self._decoders = threading.Semaphore(_DECODERS)

    def stamp(self, place: int) -> str:
        """Return what changes when the file does, as an entity tag; empty without a file."""
        try:
            facts = Path(self._paths[place]).stat() if place >= 0 else None
        except (IndexError, OSError, ValueError):
            return ""
        return f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"' if facts else ""

    def show(self, place: int, side: int, stamp: str = "") -> Picture:
        """Return an image no larger than one of a few sizes; a stand-in if it is broken.

        Args:
            place: The image's place.
            side: Longest side, in pixels; the next of the sizes there are.
            stamp: What ``stamp`` says of it now.
        """
        if not 0 <= place < len(self._paths):
            return _stand_in(f"image {place}: there are {len(self._paths):,} images")
        side = next((each for each in _SIDES if each >= side), _SIDES[-1])
        with self._turn:
            key = (place, side, stamp)
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with self._decoders:
            picture = _shrink(self._paths[place], side)
        # A file that is mended or comes back is to be seen, so a fault is not kept.
        if not picture.fault:
            self._keep(key, picture)
        return picture

    def _keep(self, key: tuple[int, int, str], picture: Picture) -> None:
        with self._turn:
            if key not in self._kept:
                self._kept[key] = picture
                self._bytes += len(picture.data)
            while self._bytes > _CACHE_BYTES:
                self._bytes -= len(self._kept.popitem(last=False)[1].data)


def _shrink(path: str, side: int) -> Picture:
    try:
        _, image = shrink_image(path, side)
    except ImageError as error:
        return _stand_in(str(error).removeprefix(f"{path}: "))
    except MemoryError:
        return _stand_in("there is not enough memory to decode it now")
    is_tiny = max(image.size) < TINY_SIDE
    buffer = io.BytesIO()
    image.save(buffer, "png" if is_tiny else "jpeg", quality=88)
    return Picture(buffer.getvalue(), "image/png" if is_tiny else "image/jpeg")


def _stand_in(fault: str) -> Picture:
    """Draw a sheet that says that there is nothing to see."""
    text = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="240" height="240" viewBox="0 0 240 240">'
        '<rect width="240" height="240" fill="#8883"/><path d="M70 70 170 170M170 70 70 170" '
        'stroke="#b4472f" stroke-width="8"/>'
        f"<title>{escape(fault)}</title></svg>"
    )
    return Picture(text.encode("utf-8", "replace"), "image/svg+xml", fault)
