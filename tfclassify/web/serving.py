"""The HTTP interface of served models.

Owns: its addresses, answers and errors, OpenAPI and its page. Does not own: the models and
their queues (``service``), ``/v2`` (``inference_protocol``), what is noted (``request_log``),
starting and stopping (``prediction_server``).
"""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, FastAPI, Query, Request
from PIL import Image
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from tfclassify.inference.evidence import Explanation, cut_to_photo
from tfclassify.pages.rendering import render_page
from tfclassify.web.gate import SERVED_TEMPLATES, Door, answer_error
from tfclassify.web.inference_protocol import add_protocol
from tfclassify.web.request_log import RequestLog
from tfclassify.web.server import make_app
from tfclassify.web.service import Decoded, Service, Slot
from tfclassify.web.uploads import Refusal, read_uploads

#: Paths that need no token: whoever keeps a server alive has none.
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})
#: Longest side of an overlay, and classes named, where nothing else is asked for.
OVERLAY_SIDE, TOP = 1024, 3
MOST_OVERLAY_SIDE = 4096


class Share(BaseModel):
    """A class and its probability."""

    label: str
    probability: float


class Problem(BaseModel):
    """Why an image has no answer."""

    type: str = Field(description="too_large, truncated, not_an_image, empty, unreadable")
    message: str


class PredictedImage(BaseModel):
    """What the model says of one image."""

    file: str
    label: str | None = Field(description="The likeliest class.")
    probability: float | None
    labels: list[str] = Field(description="One, or any number under multi_label.")
    top: list[Share]
    probabilities: list[float] | None = Field(description="Of every class, where asked for.")
    error: Problem | None


class ModelFacts(BaseModel):
    """Which model answered."""

    name: str
    version: str


class PredictAnswer(BaseModel):
    """The answer to ``/v1/predict``."""

    model: ModelFacts
    predictions: list[PredictedImage]
    request_id: str


class ExplainedImage(BaseModel):
    """Where the evidence for one class lies in one image."""

    file: str
    label: str | None = None
    probability: float | None = None
    method: str | None = Field(None, description="cam, grad-cam or occlusion")
    size: list[int] | None = Field(None, description="(height, width) of the image.")
    box: list[float] | None = Field(None, description="What the map covers, in its pixels.")
    peak: list[int] | None = Field(None, description="(x, y) of the strongest evidence.")
    overlay: str | None = Field(None, description="data URI of the image with its map.")
    heat: str | None = Field(None, description="data URI: a grey PNG of the box, 0 to 255.")
    error: Problem | None = None


class ExplainAnswer(BaseModel):
    """The answer to ``/v1/explain``."""

    model: ModelFacts
    explanations: list[ExplainedImage]
    request_id: str


class ErrorAnswer(BaseModel):
    """What every error looks like."""

    error: str
    type: str
    request_id: str


_IMAGES_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": {"type": "array", "items": {"type": "string", "format": "binary"}}
                    },
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "images": {"type": "array", "items": {"type": "string", "format": "byte"}}
                    },
                }
            },
            "image/*": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer} for status in (400, 404, 413, 415, 422, 429, 503, 504)
}


def make_service_app(
    service: Service,
    door: Door,
    *,
    log: Callable[[str], None] | None = None,
    background: Sequence[Callable[[], Any]] = (),
) -> FastAPI:
    """Make the application of a prediction server.

    Args:
        service: The models.
        door: Where it listens; its token, if any, is asked of every request but those that
            look after its health.
        log: Given a line of JSON for each request; None writes none.
        background: Coroutine functions that run as long as the server does.
    """
    app = make_app(
        "tfclassify",
        door,
        open_paths=OPEN_PATHS,
        body_limit=service.limits.bytes,
        has_schema=True,
    )
    app.router.lifespan_context = _make_lifespan(service, background)
    app.add_exception_handler(Refusal, _answer_refusal)
    app.include_router(_make_routes(service))
    add_protocol(app, service)
    _add_pages(app, service)
    app.add_middleware(RequestLog, metrics=service.metrics, log=log)
    return app


def _make_lifespan(service: Service, background: Sequence[Callable[[], Any]]) -> Any:
    @asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(work()) for work in background]
        yield
        service.is_ready = False
        for task in tasks:
            task.cancel()
        await service.close()

    return live


def _make_routes(service: Service) -> APIRouter:
    routes = APIRouter(prefix="/v1", responses=_ERRORS)

    @routes.post(
        "/predict", response_model=PredictAnswer, openapi_extra=_IMAGES_BODY, tags=["predict"]
    )
    async def predict(
        request: Request,
        model: str = "",
        top: Annotated[int, Query(ge=1, le=1000)] = TOP,
        calibrated: bool = False,
        all: bool = False,
    ) -> Any:
        """Predict the classes of one or many images, as files, as base64, or one as the body."""
        return await service.within_time(
            _predict(service, request, model, top, calibrated=calibrated, has_all=all)
        )

    @routes.post(
        "/explain", response_model=ExplainAnswer, openapi_extra=_IMAGES_BODY, tags=["explain"]
    )
    async def explain(
        request: Request,
        model: str = "",
        label: Annotated[list[str] | None, Query()] = None,
        show: Literal["overlay", "heat", "both"] = "overlay",
        side: Annotated[int, Query(ge=16, le=MOST_OVERLAY_SIDE)] = OVERLAY_SIDE,
    ) -> Any:
        """Say where in images the evidence for a class lies; the likeliest where none is named."""
        return await service.within_time(_explain(service, request, model, label or [], show, side))

    @routes.get("/model", tags=["model"])
    async def describe(model: str = "") -> dict[str, Any]:
        """Say what is served: classes, image size, thresholds, version."""
        return service.find(model).model.describe()

    @routes.get("/models", tags=["model"])
    async def list_models() -> list[dict[str, Any]]:
        """Say what is served, every model."""
        return [each.describe() for each in service.models]

    return routes


async def _predict(
    service: Service, request: Request, name: str, top: int, *, calibrated: bool, has_all: bool
) -> Any:
    with service.admit() as take, service.find(name).use() as slot:
        if calibrated and slot.model.temperature is None:
            slot.model.soften(np.ones((1, 2)))  # says that there is none
        decoded = await _take_images(service, request, slot, take)
        chances = await service.predict(slot, decoded)
    if calibrated:
        usable = ~np.isnan(chances[:, 0])
        chances[usable] = slot.model.soften(chances[usable])
    rows = [
        _word(slot, each, row, top, has_all) for each, row in zip(decoded, chances, strict=True)
    ]
    answer = {
        "model": {"name": slot.model.name, "version": slot.model.version},
        "predictions": rows,
        "request_id": request.state.request_id,
    }
    return _answer(answer, decoded)


async def _take_images(
    service: Service, request: Request, slot: Slot, take: Callable[[int], None]
) -> list[Decoded]:
    uploads = await read_uploads(request, service.limits)
    take(len(uploads) - 1)
    request.state.images = len(uploads)
    return await service.decode(slot.model, uploads)


def _answer(content: dict[str, Any], decoded: Sequence[Decoded]) -> JSONResponse:
    """Answer with 422 where no image at all could be used."""
    is_used = any(each.error is None for each in decoded)
    return JSONResponse(content, 200 if is_used else 422)


def _word(slot: Slot, each: Decoded, row: np.ndarray, top: int, has_all: bool) -> dict[str, Any]:
    if each.error is not None:
        return {
            **dict.fromkeys(("label", "probability", "probabilities")),
            "file": each.upload.name,
            "labels": [],
            "top": [],
            "error": _word_problem(each),
        }
    ranked = slot.model.rank(row, top)
    return {
        "file": each.upload.name,
        "label": ranked[0][0],
        "probability": ranked[0][1],
        "labels": slot.model.list_labels(row),
        "top": [{"label": name, "probability": share} for name, share in ranked],
        "probabilities": row.tolist() if has_all else None,
        "error": None,
    }


def _word_problem(each: Decoded) -> dict[str, str] | None:
    if each.error is None:
        return None
    return {"type": each.error.kind, "message": str(each.error)}


async def _explain(
    service: Service, request: Request, name: str, labels: list[str], show: str, side: int
) -> Any:
    with service.admit() as take, service.find(name).use() as slot:
        columns = [slot.model.find_class(label) for label in labels]
        decoded = await _take_images(service, request, slot, take)
        chances = await service.predict(slot, decoded)
        rows: list[dict[str, Any]] = []
        for each, row in zip(decoded, chances, strict=True):
            if each.pixels is None:
                rows.append({"file": each.upload.name, "error": _word_problem(each)})
                continue
            chosen = columns or [int(row.argmax())]
            pixels = np.repeat(each.pixels[None].astype(np.float32), len(chosen), axis=0)
            drawn = await slot.batcher.run(slot.model.draw, pixels, np.array(chosen, np.int32))
            rows += await asyncio.to_thread(_word_maps, slot, each, row, chosen, drawn, show, side)
    answer = {
        "model": {"name": slot.model.name, "version": slot.model.version},
        "explanations": rows,
        "request_id": request.state.request_id,
    }
    return _answer(answer, decoded)


def _word_maps(
    slot: Slot,
    each: Decoded,
    row: np.ndarray,
    columns: Sequence[int],
    drawn: np.ndarray,
    show: str,
    side: int,
) -> list[dict[str, Any]]:
    model, facts = slot.model, each.facts
    assert facts is not None
    found = []
    for column, evidence in zip(columns, drawn, strict=True):
        shown, box = cut_to_photo(evidence, facts, model.resize)
        explained = Explanation(
            each.upload.name,
            model.classes[column],
            float(row[column]),
            shown,
            box,
            (facts.height, facts.width),
            model.method,
            model.views,
            each.upload.content,
        )
        words = {key: value for key, value in explained.to_dict().items() if key != "views"}
        if show in ("overlay", "both"):
            words["overlay"] = _to_uri(_lay_over(explained, side), "jpeg")
        if show in ("heat", "both"):
            heat = shown.clip(min=0) / max(float(shown.max()), 1e-12)
            words["heat"] = _to_uri(Image.fromarray((heat * 255).round().astype(np.uint8)), "png")
        found.append(words)
    return found


def _lay_over(explained: Explanation, side: int) -> Image.Image:
    from tfclassify.inference.overlays import lay_over

    photo = explained.photo()
    photo.thumbnail((side, side))
    return lay_over(photo, explained.heat((photo.height, photo.width)))


def _to_uri(picture: Image.Image, kind: str) -> str:
    stream = io.BytesIO()
    picture.save(stream, kind)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def _add_pages(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", tags=["health"])
    async def tell_health() -> dict[str, str]:
        """Say that the process lives."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"])
    async def tell_readiness() -> Response:
        """Say whether requests should be sent here."""
        status = "ready" if service.is_ready else "stopping"
        return JSONResponse({"status": status}, 200 if service.is_ready else 503)

    @app.get("/metrics", tags=["health"], response_class=PlainTextResponse)
    async def tell_metrics() -> Response:
        """Tell the counts in Prometheus' text form; those of all workers, added up."""
        return PlainTextResponse(
            service.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    @app.get("/docs", include_in_schema=False)
    async def show_reference(request: Request) -> HTMLResponse:
        page = render_page(
            "reference.html",
            SERVED_TEMPLATES,
            schema=app.openapi(),
            model=service.models[0],
            base=str(request.base_url).rstrip("/"),
            limits=service.limits,
        )
        return HTMLResponse(page)


async def _answer_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    after = error.retry_after
    headers = None if after is None else {"retry-after": str(after)}
    return answer_error(request.scope, error.status, error.kind, str(error), headers)
