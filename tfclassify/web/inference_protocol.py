"""The Open Inference Protocol, version 2, over HTTP, so that its clients work unchanged.

Owns: ``/v2`` and its tensors. Source:
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md

The input is ``images``: FP32 or UINT8 ``(n, height, width, 3)``, RGB 0 to 255, at the model's
size; or BYTES ``(n,)``, image files as base64, which are decoded as in training. The output is
``probabilities``: FP32 ``(n, classes)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import JSONResponse, Response

from tfclassify import __version__
from tfclassify.web.service import Service, Slot
from tfclassify.web.uploads import Refusal, Upload, decode_base64, read_json

INPUT, OUTPUT = "images", "probabilities"


def add_protocol(app: FastAPI, service: Service) -> None:
    """Add the protocol's addresses to an application."""
    routes = APIRouter(prefix="/v2", tags=["open inference protocol"])

    @routes.get("")
    async def describe_server() -> dict[str, Any]:
        """Say what this server is."""
        return {"name": "tfclassify", "version": __version__, "extensions": []}

    @routes.get("/health/live")
    async def tell_health() -> dict[str, bool]:
        """Say that the process lives."""
        return {"live": True}

    @routes.get("/health/ready")
    async def tell_readiness() -> Response:
        """Say whether requests should be sent here."""
        return JSONResponse({"ready": service.is_ready}, 200 if service.is_ready else 503)

    @routes.get("/models/{name}")
    @routes.get("/models/{name}/versions/{version}")
    async def describe_model(name: str, version: str = "") -> dict[str, Any]:
        """Say which tensors a model takes and gives."""
        model = _find(service, name, version).model
        return {
            "name": model.name,
            "versions": [model.version],
            "platform": model.platform,
            "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, *model.image_size, 3]}],
            "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, len(model.classes)]}],
        }

    @routes.get("/models/{name}/ready")
    @routes.get("/models/{name}/versions/{version}/ready")
    async def tell_model_readiness(name: str, version: str = "") -> Response:
        """Say whether a model answers."""
        slot = _find(service, name, version)
        content = {"name": slot.model.name, "ready": service.is_ready}
        return JSONResponse(content, 200 if service.is_ready else 503)

    @routes.post("/models/{name}/infer")
    @routes.post("/models/{name}/versions/{version}/infer")
    async def infer(request: Request, name: str, version: str = "") -> dict[str, Any]:
        """Give the probabilities of a tensor of images, or of image files as base64."""
        return await service.within_time(_infer(service, request, name, version))

    app.include_router(routes)


def _find(service: Service, name: str, version: str) -> Slot:
    slot = service.find(name)
    if version and version != slot.model.version:
        raise Refusal(
            404,
            "unknown_version",
            f"model {name!r}: version {version!r} is not served, but {slot.model.version}",
        )
    return slot


async def _infer(service: Service, request: Request, name: str, version: str) -> dict[str, Any]:
    with service.admit() as take, _find(service, name, version).use() as slot:
        body = read_json(await request.body())
        tensor = _read_input(body)
        shape = _read_shape(tensor, service.limits.images)
        take(shape[0] - 1)
        request.state.images = shape[0]
        if tensor["datatype"] == "BYTES":
            chances = await _ask_files(service, slot, tensor["data"], shape)
        else:
            chances = await slot.batcher.ask(_read_pixels(tensor, shape, slot))
    content = {
        "model_name": slot.model.name,
        "model_version": slot.model.version,
        "outputs": [
            {
                "name": OUTPUT,
                "datatype": "FP32",
                "shape": list(chances.shape),
                "data": chances.ravel().tolist(),
            }
        ],
    }
    if isinstance(body.get("id"), str):
        content["id"] = body["id"]
    return content


def _refuse(message: str) -> Refusal:
    return Refusal(400, "bad_tensor", message)


def _read_input(body: Any) -> dict[str, Any]:
    inputs = body.get("inputs") if isinstance(body, dict) else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise _refuse(f"inputs: must be a list of one tensor, {INPUT!r}")
    tensor = inputs[0]
    if tensor.get("name") != INPUT:
        raise _refuse(f"inputs[0].name: must be {INPUT!r}, got {tensor.get('name')!r:.80}")
    if tensor.get("datatype") not in ("FP32", "UINT8", "BYTES"):
        raise _refuse(
            f"inputs[0].datatype: must be FP32, UINT8 or BYTES, got {tensor.get('datatype')!r:.80}"
        )
    if not isinstance(tensor.get("data"), list):
        raise _refuse("inputs[0].data: must be a list; the binary extension is not spoken here")
    return tensor


def _read_shape(tensor: dict[str, Any], limit: int) -> list[int]:
    shape = tensor.get("shape")
    is_shape = isinstance(shape, list) and all(type(side) is int and side > 0 for side in shape)
    if not is_shape or not shape:
        raise _refuse(f"inputs[0].shape: must be positive integers, got {shape!r:.80}")
    assert isinstance(shape, list)
    if shape[0] > limit:
        raise Refusal(
            413, "too_many_images", f"inputs[0].shape: {shape[0]} images, allowed are {limit}"
        )
    return shape


def _read_pixels(tensor: dict[str, Any], shape: list[int], slot: Slot) -> np.ndarray:
    expected = [shape[0], *slot.model.image_size, 3]
    if shape != expected:
        raise _refuse(f"inputs[0].shape: must be {['n', *expected[1:]]}, got {shape!r:.80}")
    try:
        pixels = np.asarray(tensor["data"], np.float32).reshape(expected)
    except (ValueError, TypeError, OverflowError) as error:
        raise _refuse(f"inputs[0].data: is not {expected} numbers ({error})") from error
    if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 255):
        raise _refuse("inputs[0].data: pixels are RGB from 0 to 255")
    return pixels


async def _ask_files(service: Service, slot: Slot, data: list[Any], shape: list[int]) -> np.ndarray:
    if shape != [len(data)] and shape != [len(data), 1]:
        raise _refuse(f"inputs[0].shape: {len(data)} files were given, got {shape!r:.80}")
    if not all(isinstance(each, str) for each in data):
        raise _refuse("inputs[0].data: BYTES are image files as base64")
    uploads = [
        Upload(f"inputs[0].data[{number}]", decode_base64(each, f"inputs[0].data[{number}]"))
        for number, each in enumerate(data)
    ]
    decoded = await service.decode(slot.model, uploads)
    for each in decoded:
        if each.error is not None:
            raise Refusal(422, each.error.kind, str(each.error))
    return await service.predict(slot, decoded)
