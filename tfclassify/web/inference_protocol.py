"""The Open Inference Protocol, version 2, over HTTP, so that its clients work unchanged.

Owns: ``/v2`` and its tensors. Source:
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md

The input is ``images``: FP32 or UINT8 ``(n, height, width, 3)``, RGB 0 to 255, at the model's
size; or BYTES ``(n,)``, image files, which are decoded as in training. The output is
``probabilities``: FP32 ``(n, classes)``.

Tensors come and go as JSON, files in it as base64; or as bytes behind the JSON, which Triton's
clients send unless told otherwise (the extension ``binary_tensor_data``):
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import JSONResponse, Response

from tfclassify import __version__
from tfclassify.web.service import Service, Slot
from tfclassify.web.uploads import Refusal, Upload, decode_base64, read_json

INPUT, OUTPUT = "images", "probabilities"
#: Says how many bytes of a body are JSON; the tensors follow them.
JSON_LENGTH = "inference-header-content-length"


def add_protocol(app: FastAPI, service: Service) -> None:
    """Add the protocol's addresses to an application."""
    routes = APIRouter(prefix="/v2", tags=["open inference protocol"])

    @routes.get("")
    async def describe_server() -> dict[str, Any]:
        """Say what this server is."""
        return {"name": "tfclassify", "version": __version__, "extensions": ["binary_tensor_data"]}

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
    async def infer(request: Request, name: str, version: str = "") -> Response:
        """Give the probabilities of a tensor of images, or of image files."""
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


async def _infer(service: Service, request: Request, name: str, version: str) -> Response:
    with service.admit() as take, _find(service, name, version).use() as slot:
        body, tail = _split_body(request.headers.get(JSON_LENGTH), await request.body())
        tensor, is_binary = _read_input(body, tail), _wants_bytes(body)
        shape = _read_shape(tensor, service.limits.images)
        take(shape[0] - 1)
        request.state.images = shape[0]
        if tensor["datatype"] == "BYTES":
            chances = await _ask_files(service, slot, tensor["data"], shape)
        else:
            chances = await slot.batcher.ask(_read_pixels(tensor, shape, slot))
    output: dict[str, Any] = {"name": OUTPUT, "datatype": "FP32", "shape": list(chances.shape)}
    content = {
        "model_name": slot.model.name,
        "model_version": slot.model.version,
        "outputs": [output],
    }
    if isinstance(body.get("id"), str):
        content["id"] = body["id"]
    if not is_binary:
        output["data"] = chances.ravel().tolist()
        return JSONResponse(content)
    data = chances.astype("<f4").tobytes()
    output["parameters"] = {"binary_data_size": len(data)}
    head = json.dumps(content).encode()
    return Response(
        head + data, 200, {JSON_LENGTH: str(len(head))}, media_type="application/octet-stream"
    )


def _split_body(length: str | None, body: bytes) -> tuple[Any, bytes]:
    """Return the JSON of a body, and the bytes behind it."""
    if length is None:
        return read_json(body), b""
    if not length.isdecimal() or int(length) > len(body):
        raise _refuse(f"{JSON_LENGTH}: must be from 0 to the {len(body)} bytes sent, got {length}")
    return read_json(body[: int(length)]), body[int(length) :]


def _wants_bytes(body: dict[str, Any]) -> bool:
    """Say whether the answer is to come as bytes, by the output's word or by that for all."""
    outputs = body.get("outputs") or [{"name": OUTPUT}]
    is_list = isinstance(outputs, list) and all(isinstance(each, dict) for each in outputs)
    if not is_list or [each.get("name") for each in outputs] != [OUTPUT]:
        raise _refuse(f"outputs: there is one, {OUTPUT!r}, got {outputs!r:.80}")
    for_all = _read_parameters(body, "parameters").get("binary_data_output", False)
    return bool(_read_parameters(outputs[0], "outputs[0].parameters").get("binary_data", for_all))


def _read_parameters(part: dict[str, Any], where: str) -> dict[str, Any]:
    found = part.get("parameters") or {}
    if not isinstance(found, dict):
        raise _refuse(f"{where}: must be an object, got {found!r:.80}")
    return found


def _refuse(message: str) -> Refusal:
    return Refusal(400, "bad_tensor", message)


def _read_input(body: Any, tail: bytes) -> dict[str, Any]:
    """Return the one tensor; its ``data`` is a list, or bytes from behind the JSON."""
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
    size = _read_parameters(tensor, "inputs[0].parameters").get("binary_data_size")
    if size is not None:
        if type(size) is not int or size != len(tail):
            raise _refuse(
                f"inputs[0].parameters.binary_data_size: {len(tail)} bytes follow the JSON (its "
                f"length is the header {JSON_LENGTH}), got {size!r:.80}"
            )
        return {**tensor, "data": tail}
    if not isinstance(tensor.get("data"), list):
        raise _refuse("inputs[0].data: must be a list, or bytes behind the JSON")
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
    data = tensor["data"]
    try:
        if isinstance(data, bytes):
            data = np.frombuffer(data, "<f4" if tensor["datatype"] == "FP32" else np.uint8)
        pixels = np.asarray(data, np.float32).reshape(expected)
    except (ValueError, TypeError, OverflowError) as error:
        raise _refuse(f"inputs[0].data: is not {expected} numbers ({error})") from error
    if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 255):
        raise _refuse("inputs[0].data: pixels are RGB from 0 to 255")
    return pixels


async def _ask_files(
    service: Service, slot: Slot, data: list[Any] | bytes, shape: list[int]
) -> np.ndarray:
    files = list(_cut_files(data)) if isinstance(data, bytes) else data
    if shape != [len(files)] and shape != [len(files), 1]:
        raise _refuse(f"inputs[0].shape: {len(files)} files were given, got {shape!r:.80}")
    uploads = []
    for number, each in enumerate(files):
        where = f"inputs[0].data[{number}]"
        if isinstance(each, str):
            each = decode_base64(each, where)
        if not isinstance(each, bytes):
            raise _refuse("inputs[0].data: BYTES are image files as base64")
        uploads.append(Upload(where, each))
    decoded = await service.decode(slot.model, uploads)
    for found in decoded:
        if found.error is not None:
            raise Refusal(422, found.error.kind, str(found.error))
    return await service.predict(slot, decoded)


def _cut_files(data: bytes) -> Iterator[bytes]:
    """Yield the files of bytes, before each of which stands its length in four."""
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at) if at + 4 <= len(data) else (len(data),)
        at += 4 + length
        if at > len(data):
            raise _refuse("inputs[0].data: ends within a file")
        yield data[at - length : at]
