"""Images out of requests: files of a form, base64 in JSON, or the body itself.

Owns: the forms in which images may come, and the limits. Does not own: decoding them
(``served_model``). Addresses are never fetched: a server that did could be sent anywhere.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from tfclassify.errors import TfclassifyError


@dataclass(frozen=True)
class Limits:
    """What one request, and the server, takes.

    Attributes:
        bytes: Of a request's body.
        pixels: Of an image.
        images: Of a request.
        seconds: From a request's first byte to its answer.
        waiting: Images that may be under way at once; past it, requests are refused.
    """

    bytes: int = 32 << 20
    pixels: int = 40_000_000
    images: int = 64
    seconds: float = 30.0
    waiting: int = 256


@dataclass(frozen=True)
class Upload:
    """An image that came, not yet decoded.

    Attributes:
        name: Its file name, or ``image 0`` and so on.
        content: The file's bytes.
    """

    name: str
    content: bytes


class Refusal(TfclassifyError):
    """A request that is not answered as it wished.

    Attributes:
        status: HTTP status.
        kind: Which refusal it is, for programs.
        retry_after: Seconds after which it may be tried again, or None.
    """

    def __init__(
        self, status: int, kind: str, message: str, retry_after: int | None = None
    ) -> None:
        self.status, self.kind, self.retry_after = status, kind, retry_after
        super().__init__(message)


async def read_uploads(request: Request, limits: Limits) -> list[Upload]:
    """Read the images of a request, in their order.

    Raises:
        Refusal: If it holds none, too many, or is of a form that is not known.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        found = await _read_form(request, limits)
    elif kind == "application/json":
        found = list_encoded(read_json(await request.body()))
    elif kind.startswith("image/") or kind == "application/octet-stream":
        found = [Upload("image 0", await request.body())]
    else:
        raise Refusal(
            415,
            "unknown_form",
            f"content-type: got {kind!r}; send multipart/form-data with files, application/json "
            "with base64, or an image itself",
        )
    if not found:
        raise Refusal(400, "no_image", "the request holds no image; send at least one file")
    if len(found) > limits.images:
        raise Refusal(
            413,
            "too_many_images",
            f"the request holds {len(found)} images, allowed are {limits.images}; send several "
            "requests",
        )
    return found


async def _read_form(request: Request, limits: Limits) -> list[Upload]:
    try:
        form = await request.form(
            max_files=limits.images + 1, max_fields=limits.images, max_part_size=limits.bytes
        )
    except HTTPException as error:  # Starlette's word for a form that is none
        if error.status_code == 413:
            raise
        raise Refusal(400, "bad_form", f"multipart/form-data: {error.detail}") from error
    except (ValueError, KeyError, LookupError) as error:  # a charset that there is not, and such
        raise Refusal(400, "bad_form", f"multipart/form-data: cannot be read ({error})") from error
    try:
        files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
        return [
            Upload(file.filename or f"image {number}", await file.read())
            for number, file in enumerate(files)
        ]
    finally:
        await form.close()


def read_json(body: bytes) -> Any:
    """Read a body of JSON.

    Raises:
        Refusal: If it is none.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise Refusal(400, "bad_json", f"the body is no JSON: {reason}") from error


def list_encoded(content: Any) -> list[Upload]:
    """List the images of ``{"images": [base64, {"name": …, "data": base64}, …]}``.

    ``{"image": …}`` holds one alone.

    Raises:
        Refusal: If it is of another form.
    """
    if isinstance(content, dict) and "image" in content and "images" not in content:
        content = {**content, "images": [content["image"]]}
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise Refusal(
            400, "bad_json", 'the body must be {"images": [base64, …]} or {"image": base64}'
        )
    return [_decode_entry(number, entry) for number, entry in enumerate(content["images"])]


def _decode_entry(number: int, entry: Any) -> Upload:
    name = f"image {number}"
    if isinstance(entry, dict):
        name, entry = str(entry.get("name", name)), entry.get("data")
    if not isinstance(entry, str):
        raise Refusal(
            400,
            "bad_json",
            f'images[{number}]: must be base64, or {{"name": …, "data": base64}}, got '
            f"{type(entry).__name__}",
        )
    if "://" in entry[:16]:
        raise Refusal(
            400, "address", f"images[{number}]: addresses are not fetched; send the image as base64"
        )
    return Upload(name, decode_base64(entry, f"images[{number}]"))


def decode_base64(text: str, where: str) -> bytes:
    """Decode base64, with or without the head of a data URI.

    Raises:
        Refusal: If it is none.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(400, "bad_base64", f"{where}: is no base64 ({error})") from error
