"""The Open Inference Protocol: its tensors, and what is refused."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from tests.web.conftest import Served
from tests.web.models import SIZE, encode, make_model, share_colours, to_text
from tfclassify.web.inference_protocol import JSON_LENGTH
from tfclassify.web.service import Service
from tfclassify.web.serving import make_service_app
from tfclassify.web.uploads import Limits

INFER = "/v2/models/colours/infer"


@pytest.fixture
def served(serve_app: Any) -> Served:
    service = Service([make_model()], limits=Limits(images=3))
    return serve_app(lambda door: make_service_app(service, door), has_token=False)


def tensor(**changes: Any) -> dict[str, Any]:
    shape = [1, *SIZE, 3]
    pixels = np.arange(np.prod(shape)) % 256
    facts = {"name": "images", "datatype": "UINT8", "shape": shape, "data": pixels.tolist()}
    return {"inputs": [{**facts, **changes}]}


def test_a_client_finds_its_way(served: Served) -> None:
    assert served.client.get("/v2").json()["name"] == "tfclassify"
    assert served.client.get("/v2/health/live").json() == {"live": True}
    assert served.client.get("/v2/health/ready").json() == {"ready": True}
    facts = served.client.get("/v2/models/colours").json()
    assert facts == {
        "name": "colours",
        "versions": ["1"],
        "platform": "keras",
        "inputs": [{"name": "images", "datatype": "FP32", "shape": [-1, 8, 12, 3]}],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}],
    }
    assert served.client.get("/v2/models/colours/versions/1/ready").json()["ready"] is True


@pytest.mark.parametrize("kind", ["UINT8", "FP32"])
def test_pixels_are_answered_by_probabilities(served: Served, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3))
    data = pixels.astype(float).tolist() if kind == "FP32" else pixels.ravel().tolist()
    body = {**tensor(shape=[2, *SIZE, 3], data=data, datatype=kind), "id": "mine"}
    answer = served.client.post(INFER, json=body).json()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("colours", "1", "mine")
    (output,) = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == (
        "probabilities",
        "FP32",
        [2, 3],
    )
    expected = share_colours(pixels.astype(np.float32))
    np.testing.assert_allclose(np.reshape(output["data"], (2, 3)), expected, atol=1e-6)


def test_files_are_decoded_as_by_predict(served: Served) -> None:
    photo = encode((200, 30, 10), (31, 17))
    body = tensor(datatype="BYTES", shape=[1], data=[to_text(photo)])
    (output,) = served.client.post(INFER, json=body).json()["outputs"]
    by_predict = served.client.post("/v1/predict?all=1", files={"f": photo}).json()
    expected = by_predict["predictions"][0]["probabilities"]
    np.testing.assert_allclose(output["data"], expected, atol=1e-6)
    bad = served.client.post(INFER, json=tensor(datatype="BYTES", shape=[1], data=["eA=="]))
    assert (bad.status_code, bad.json()["type"]) == (422, "not_an_image")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ([], 400, "inputs: must be a list of one tensor"),
        (tensor(name="x"), 400, "inputs[0].name: must be 'images', got 'x'"),
        (tensor(datatype="INT64"), 400, "must be FP32, UINT8 or BYTES, got 'INT64'"),
        (tensor(data="x"), 400, "must be a list, or bytes behind the JSON"),
        (tensor(parameters=[]) | {"parameters": 1}, 400, "parameters: must be an object, got 1"),
        (tensor(parameters={"binary_data_size": 9}), 400, "0 bytes follow the JSON"),
        ({**tensor(), "outputs": [{"name": "logits"}]}, 400, "there is one, 'probabilities'"),
        (tensor(shape=[1, 9, 9, 3]), 400, "must be ['n', 8, 12, 3], got [1, 9, 9, 3]"),
        (tensor(shape=[True, 8, 12, 3]), 400, "must be positive integers"),
        (tensor(shape=[]), 400, "must be positive integers"),
        (tensor(shape=[10**9, 8, 12, 3]), 413, "1000000000 images, allowed are 3"),
        (tensor(data=[1, 2]), 400, "is not [1, 8, 12, 3] numbers"),
        (tensor(data=[[1], [2, 3]]), 400, "is not [1, 8, 12, 3] numbers"),
        (tensor(data=[300] * 288), 400, "pixels are RGB from 0 to 255"),
        (tensor(data=[None] * 288), 400, "pixels are RGB from 0 to 255"),
        (tensor(datatype="BYTES", shape=[2], data=["eA=="]), 400, "1 files were given, got [2]"),
        (tensor(datatype="BYTES", shape=[1], data=[5]), 400, "BYTES are image files as base64"),
    ],
)
def test_another_tensor_is_refused(served: Served, body: Any, status: int, words: str) -> None:
    answer = served.client.post(INFER, json=body)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]


def send_bytes(served: Served, tail: bytes, length: int | None = None, **changes: Any) -> Any:
    """Send a tensor behind the JSON, as Triton's clients do, and ask for the answer likewise."""
    body = tensor(parameters={"binary_data_size": len(tail)}, **changes)
    del body["inputs"][0]["data"]
    body["outputs"] = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    head = json.dumps(body).encode()
    said = str(len(head) if length is None else length)
    return served.client.post(INFER, content=head + tail, headers={JSON_LENGTH: said})


@pytest.mark.parametrize(("kind", "form"), [("UINT8", "u1"), ("FP32", "<f4")])
def test_tensors_come_and_go_as_bytes(served: Served, kind: str, form: str) -> None:
    assert served.client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    pixels = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3))
    answer = send_bytes(served, pixels.astype(form).tobytes(), datatype=kind, shape=[2, *SIZE, 3])
    assert answer.status_code == 200, answer.text
    length = int(answer.headers[JSON_LENGTH])
    (output,) = json.loads(answer.content[:length])["outputs"]
    assert output["shape"] == [2, 3]
    assert "data" not in output
    assert output["parameters"] == {"binary_data_size": 24}
    found = np.frombuffer(answer.content[length:], "<f4").reshape(2, 3)
    np.testing.assert_allclose(found, share_colours(pixels.astype(np.float32)), atol=1e-6)
    whole = {**tensor(), "parameters": {"binary_data_output": True}}
    assert JSON_LENGTH in served.client.post(INFER, json=whole).headers


def test_files_come_as_bytes(served: Served) -> None:
    photos = [encode((200, 30, 10), (31, 17)), encode((0, 90, 10))]
    tail = b"".join(struct.pack("<I", len(photo)) + photo for photo in photos)
    answer = send_bytes(served, tail, datatype="BYTES", shape=[2])
    found = np.frombuffer(answer.content[int(answer.headers[JSON_LENGTH]) :], "<f4")
    by_json = tensor(datatype="BYTES", shape=[2], data=[to_text(photo) for photo in photos])
    (output,) = served.client.post(INFER, json=by_json).json()["outputs"]
    np.testing.assert_allclose(found, output["data"], atol=1e-7)


@pytest.mark.parametrize(
    ("tail", "length", "changes", "words"),
    [
        (b"123", None, {}, "is not [1, 8, 12, 3] numbers"),
        (b"123", None, {"datatype": "FP32"}, "is not [1, 8, 12, 3] numbers"),
        (b"12", None, {"datatype": "BYTES", "shape": [1]}, "ends within a file"),
        (b"\xff\xff\xff\xff1", None, {"datatype": "BYTES", "shape": [1]}, "ends within a file"),
        (b"", None, {"datatype": "BYTES", "shape": [1]}, "0 files were given, got [1]"),
        (b"1", 10**6, {}, "inference-header-content-length: must be from 0 to the"),
        (b"1", -1, {}, "inference-header-content-length: must be from 0 to the"),
        (b"1", 5, {}, "the body is no JSON"),
    ],
)
def test_bytes_that_are_no_tensor_are_refused(
    served: Served, tail: bytes, length: int | None, changes: dict[str, Any], words: str
) -> None:
    answer = send_bytes(served, tail, length, **changes)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["error"]


def test_another_model_or_version_is_refused(served: Served) -> None:
    other = served.client.post("/v2/models/other/infer", json=tensor())
    assert (other.status_code, other.json()["type"]) == (404, "unknown_model")
    version = served.client.get("/v2/models/colours/versions/9")
    assert "version '9' is not served, but 1" in version.json()["error"]
