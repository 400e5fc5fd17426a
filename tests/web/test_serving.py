"""The HTTP interface: every form of question, every error, limits, logs and pages."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import io
import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.web.conftest import Served
from tests.web.models import CLASSES, SIZE, encode, make_model, share_colours, to_text
from tfclassify.data.images import decode_image
from tfclassify.web.service import Service, watch
from tfclassify.web.serving import make_service_app
from tfclassify.web.uploads import Limits

RED, BLUE = encode((250, 10, 20)), encode((0, 5, 200))
LIMITS = Limits(bytes=200_000, pixels=10_000, images=4, seconds=20, waiting=8)


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def served(serve_app: Callable[..., Served], lines: list[str]) -> Served:
    service = Service([make_model()], limits=LIMITS)
    return serve_app(
        lambda door: make_service_app(service, door, log=lines.append), has_token=False
    )


def expect(content: bytes) -> np.ndarray:
    return share_colours(decode_image(content, SIZE)[None].astype(np.float32))[0]


def test_every_form_of_question_has_the_same_answer(served: Served) -> None:
    forms = [
        {"files": [("file", ("a.png", RED, "image/png")), ("file", ("b.png", BLUE, "image/png"))]},
        {"json": {"images": [{"name": "a.png", "data": to_text(RED)}, to_text(BLUE)]}},
    ]
    for form in forms:
        answer = served.client.post("/v1/predict?all=true&top=2", **form)
        assert answer.status_code == 200, answer.text
        content = answer.json()
        assert content["model"] == {"name": "colours", "version": "1"}
        assert content["request_id"] == answer.headers["x-request-id"]
        first, second = content["predictions"]
        assert (first["file"], first["label"], first["labels"]) == ("a.png", "red", ["red"])
        assert (second["label"], second["error"]) == ("blue", None)
        for row, image in ((first, RED), (second, BLUE)):
            np.testing.assert_allclose(row["probabilities"], expect(image), atol=1e-6)
            assert len(row["top"]) == 2
            assert row["top"][0] == {"label": row["label"], "probability": row["probability"]}
    alone = served.client.post("/v1/predict", content=RED, headers={"content-type": "image/png"})
    assert alone.json()["predictions"][0]["label"] == "red"
    assert alone.json()["predictions"][0]["probabilities"] is None
    uri = f"data:image/png;base64,{to_text(BLUE)}"
    single = served.client.post("/v1/predict", json={"image": uri}).json()
    assert single["predictions"][0]["label"] == "blue"


def test_probabilities_are_calibrated_where_asked_for(served: Served) -> None:
    form = {"files": {"file": RED}}
    plain = served.client.post("/v1/predict?all=true", **form).json()["predictions"][0]
    soft = served.client.post("/v1/predict?all=true&calibrated=true", **form).json()
    roots = np.sqrt(plain["probabilities"])  # a temperature of 2
    expected = roots / roots.sum()
    np.testing.assert_allclose(soft["predictions"][0]["probabilities"], expected, atol=1e-5)


def test_several_labels_are_those_that_reach_their_threshold(serve_app: Any) -> None:
    model = make_model(thresholds=np.array([0.3, 0.3, 0.3]), temperature=None)
    served = serve_app(lambda door: make_service_app(Service([model]), door), has_token=False)
    both = encode((200, 200, 0))
    answer = served.client.post("/v1/predict", files={"file": both}).json()
    assert answer["predictions"][0]["labels"] == ["red", "green"]
    refused = served.client.post("/v1/predict?calibrated=1", files={"file": both})
    assert refused.status_code == 400
    assert "colours has no temperature; leave calibrated out" in refused.json()["error"]


def test_a_bad_image_among_good_ones_has_its_own_error(served: Served) -> None:
    files = [("file", ("a.png", RED)), ("file", ("bad.png", b"nothing")), ("file", ("c.png", b""))]
    answer = served.client.post("/v1/predict", files=files)
    assert answer.status_code == 200
    good, bad, empty = answer.json()["predictions"]
    assert good["error"] is None
    assert (bad["label"], bad["top"], bad["error"]["type"]) == (None, [], "not_an_image")
    assert bad["error"]["message"].startswith("bad.png: ")
    assert empty["error"]["type"] == "empty"
    alone = served.client.post("/v1/predict", files={"file": b"nothing"})
    assert alone.status_code == 422
    large = served.client.post("/v1/predict", files={"file": encode((0, 0, 0), (101, 100))})
    assert large.status_code == 422
    assert large.json()["predictions"][0]["error"]["type"] == "too_large"


@pytest.mark.parametrize(
    ("path", "options", "status", "kind", "words"),
    [
        ("/v1/predict", {"json": {"images": []}}, 400, "no_image", "holds no image; send at least"),
        ("/v1/predict", {"files": [("a", (None, b"x"))]}, 400, "no_image", "holds no image"),
        ("/v1/predict", {"json": {"pictures": 1}}, 400, "bad_json", 'must be {"images": [base64'),
        ("/v1/predict", {"json": {"images": [7]}}, 400, "bad_json", "images[0]: must be base64"),
        ("/v1/predict", {"json": {"images": ["!"]}}, 400, "bad_base64", "images[0]: is no base64"),
        (
            "/v1/predict",
            {"json": {"image": "http://127.0.0.1/a.png"}},
            400,
            "address",
            "addresses are not fetched",
        ),
        (
            "/v1/predict",
            {"json": {"images": ["eA=="] * 5}},
            413,
            "too_many_images",
            "allowed are 4",
        ),
        ("/v1/predict", {"content": b"x"}, 415, "unknown_form", "content-type: got ''"),
        ("/v1/predict?model=x", {"files": {"f": RED}}, 404, "unknown_model", "there is colours"),
        ("/v1/predict?top=0", {"files": {"f": RED}}, 422, "bad_parameter", "query.top: "),
        ("/v1/explain?label=rde", {"files": {"f": RED}}, 400, "bad_request", "did you mean 'red'?"),
        (
            "/v1/predict",
            {"content": b"x" * 300_000},
            413,
            "too_large",
            "larger than the 200,000 bytes",
        ),
        ("/v1/nothing", {"content": b""}, 404, "not_found", "nothing at this path; see /docs"),
        ("/v1/model", {"content": b""}, 405, "wrong_method", "Method Not Allowed"),
    ],
)
def test_what_cannot_be_answered_says_why(
    served: Served, path: str, options: dict[str, Any], status: int, kind: str, words: str
) -> None:
    answer = served.client.post(path, **options)
    assert answer.status_code == status, answer.text
    content = answer.json()
    assert words in content["error"]
    assert answer.headers["x-request-id"]
    assert (content["type"], content["request_id"]) == (kind, answer.headers["x-request-id"])


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"images": [' + b'{"data":' * 20_000,
        b"\xff\xfe{",
        b'{"images": NaN}',
        b'{"images": ["\\ud800"]}',
        b"null",
    ],
    ids=["deep", "deeper", "bytes", "nan", "surrogate", "null"],
)
def test_hostile_json_is_refused(served: Served, body: bytes) -> None:
    for path in ("/v1/predict", "/v1/explain", "/v2/models/colours/infer"):
        answer = served.client.post(
            path, content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"--\r\n"),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\ncontent-disposition: nonsense\r\n\r\nx\r\n--b--",
        ),
        ("multipart/form-data; boundary=b; charset=none", b"--b\r\n\r\n\xff\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"a: b\r\n" * 10_000),
        ("multipart/form-data; boundary=" + "b" * 5000, b"--" + b"b" * 5000),
    ],
)
def test_a_hostile_form_is_refused(served: Served, kind: str, body: bytes) -> None:
    answer = served.client.post("/v1/predict", content=body, headers={"content-type": kind})
    assert answer.status_code == 400, answer.text
    assert answer.json()["type"] in ("bad_form", "no_image")


def test_maps_say_where_the_evidence_is(served: Served) -> None:
    photo = Image.new("RGB", (48, 32), "black")
    photo.paste((0, 0, 255), (36, 0, 48, 8))
    stream = io.BytesIO()
    photo.save(stream, "png")
    answer = served.client.post(
        "/v1/explain?label=blue&label=red&show=both&side=24", files={"file": stream.getvalue()}
    )
    assert answer.status_code == 200, answer.text
    blue, red = answer.json()["explanations"]
    assert (blue["label"], red["label"], blue["method"]) == ("blue", "red", "occlusion")
    assert blue["size"] == [32, 48]
    assert 34 <= blue["peak"][0] < 48
    assert 0 <= blue["peak"][1] < 10
    laid = Image.open(io.BytesIO(base64.b64decode(blue["overlay"].partition(",")[2])))
    assert laid.size == (24, 16)
    heat = Image.open(io.BytesIO(base64.b64decode(blue["heat"].partition(",")[2])))
    assert (heat.mode, heat.size) == ("L", SIZE[::-1])
    plain = served.client.post("/v1/explain", files=[("f", RED), ("f", b"x")]).json()
    first, second = plain["explanations"]
    assert (first["label"], second["error"]["type"]) == ("red", "not_an_image")
    assert "heat" not in first


def test_past_the_limit_requests_are_refused_and_then_taken_again(serve_app: Any) -> None:
    gate, has_begun = threading.Event(), threading.Event()

    def ask(images: np.ndarray) -> np.ndarray:
        has_begun.set()
        gate.wait(300)
        return share_colours(images)

    limits = Limits(images=2, waiting=2)
    service = Service([make_model(ask=ask)], limits=limits)
    served = serve_app(lambda door: make_service_app(service, door), has_token=False)
    form = {"files": {"file": RED}}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(served.client.post, "/v1/predict", **form)
        assert has_begun.wait(300)
        two = served.client.post("/v1/predict", files=[("f", RED), ("f", RED)])
        assert two.status_code == 429
        assert two.headers["retry-after"] == "1"
        assert two.json()["type"] == "busy"
        assert "2 images are under way, allowed are 2, and no more" in two.json()["error"]
        gate.set()
        assert first.result().status_code == 200
    assert served.client.post("/v1/predict", **form).status_code == 200
    text = served.client.get("/metrics").text
    assert "tfclassify_refused_total 1\n" in text
    assert "tfclassify_waiting_images 0\n" in text
    assert 'tfclassify_requests_total{route="/v1/predict",status="429"} 1\n' in text


def test_what_could_not_be_answered_in_time_is_refused_at_once(serve_app: Any) -> None:
    gate, has_begun = threading.Event(), threading.Event()

    def ask(images: np.ndarray) -> np.ndarray:
        has_begun.set()
        gate.wait(300)
        return share_colours(images)

    service = Service([make_model(ask=ask)], limits=Limits(seconds=20))
    served = serve_app(lambda door: make_service_app(service, door), has_token=False)
    service.find().batcher.pace = 11.0  # seconds an image, as if the last had taken so long
    with concurrent.futures.ThreadPoolExecutor() as pool:
        alone = pool.submit(served.client.post, "/v1/predict", files={"file": RED})
        assert has_begun.wait(300)
        late = served.client.post("/v1/predict", files={"file": RED})
        gate.set()
        assert alone.result().status_code == 200
    assert (late.status_code, late.headers["retry-after"]) == (429, "11")
    assert service.find().batcher.pace < 11.0


def test_an_answer_that_takes_too_long_is_given_up(serve_app: Any) -> None:
    gate = threading.Event()
    model = make_model(ask=lambda images: (gate.wait(300), share_colours(images))[1])
    limits = Limits(seconds=0.05)
    service = Service([model], limits=limits)
    served = serve_app(lambda door: make_service_app(service, door), has_token=False)
    answer = served.client.post("/v1/predict", files={"file": RED})
    gate.set()
    assert answer.status_code == 504
    assert "not answered within 0.05 s" in answer.json()["error"]


def test_a_newer_model_takes_over_and_no_request_is_dropped(serve_app: Any) -> None:
    gate, has_begun = threading.Event(), threading.Event()

    def ask(images: np.ndarray) -> np.ndarray:
        has_begun.set()
        gate.wait(300)
        return share_colours(images)

    versions = ["1"]
    told: list[str] = []
    service = Service([make_model(ask=ask)])

    def reopen() -> Any:
        if versions[0] == "2":
            raise ValueError("damaged")
        return make_model(version=versions[0])

    def build(door: Any) -> Any:
        def look() -> Any:
            return watch(service, "colours", "runs", reopen, 0.01, told.append)

        return make_service_app(service, door, background=[look])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfclassify.web.service.locate_model", lambda path: (path, versions[0]))
        served = serve_app(build, has_token=False)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            old = pool.submit(served.client.post, "/v1/predict", files={"file": RED})
            assert has_begun.wait(300)
            versions[0] = "2"  # cannot be opened: the first goes on
            _wait_for(lambda: told)
            assert "cannot be taken over: damaged" in told[0]
            versions[0] = "3"
            _wait_for(lambda: service.find().model.version == "3")
            new = served.client.post("/v1/predict", files={"file": BLUE}).json()
            assert new["model"]["version"] == "3"
            assert not old.done()
            gate.set()
            assert old.result().json()["model"]["version"] == "1"
            assert old.result().json()["predictions"][0]["label"] == "red"
    assert told[1] == "runs: version 3 is served now"
    assert len(told) == 2


def _wait_for(is_so: Callable[[], Any]) -> None:
    async def wait() -> None:
        async with asyncio.timeout(300):
            while not is_so():
                await asyncio.sleep(0.005)

    asyncio.run(wait())


def test_what_is_served_is_described(served: Served) -> None:
    facts = served.client.get("/v1/model").json()
    assert (facts["name"], facts["classes"]) == ("colours", list(CLASSES))
    assert facts["image_size"] == list(SIZE)
    assert served.client.get("/v1/models").json() == [facts]
    assert served.client.get("/healthz").json() == {"status": "ok"}
    assert served.client.get("/readyz").json() == {"status": "ready"}
    schema = served.client.get("/openapi.json").json()
    assert {"/v1/predict", "/v1/explain", "/v2/models/{name}/infer"} <= set(schema["paths"])
    assert "PredictAnswer" in schema["components"]["schemas"]


def test_each_request_is_a_line_of_json_with_its_id(served: Served, lines: list[str]) -> None:
    mine = served.client.post(
        "/v1/predict?secret=x", files=[("f", RED), ("f", BLUE)], headers={"x-request-id": "my-id.7"}
    )
    assert mine.headers["x-request-id"] == "my-id.7"
    bad = served.client.get("/nothing", headers={"x-request-id": 'a"\\n b'})
    assert bad.headers["x-request-id"] != 'a"\\n b'
    # A line is written when the answer is on its way.
    ids = ("my-id.7", bad.headers["x-request-id"])
    _wait_for(lambda: all(any(each in line for line in lines) for each in ids))
    found = {line["request_id"]: line for line in map(json.loads, lines)}
    first, second = (found[each] for each in ids)
    assert (first["method"], first["path"], first["status"]) == ("POST", "/v1/predict", 200)
    assert first["images"] == 2
    assert first["ms"] > 0
    assert (second["status"], second["images"]) == (404, 0)
    assert "secret" not in "".join(lines)


def test_a_fault_of_ours_is_typed_and_noted_too(serve_app: Any, lines: list[str]) -> None:
    def break_down(images: Any) -> Any:
        raise ZeroDivisionError("by nought")

    service = Service([make_model(ask=break_down)])
    served = serve_app(lambda door: make_service_app(service, door, log=lines.append))
    answer = served.client.post("/v1/predict", files={"f": RED}, headers={"x-request-id": "mine-1"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "mine-1")
    content = answer.json()
    assert (content["type"], content["request_id"]) == ("unexpected", "mine-1")
    noted = json.loads(lines[-1])
    assert (noted["request_id"], noted["status"], noted["level"]) == ("mine-1", 500, "error")


def test_a_token_is_asked_for_but_not_by_health_checks(serve_app: Any) -> None:
    served = serve_app(lambda door: make_service_app(Service([make_model()]), door))
    bare = {"authorization": ""}
    for path in ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"):
        assert served.client.get(path, headers=bare).status_code == 200
    for path in ("/v1/model", "/metrics", "/openapi.json", "/docs"):
        refused = served.client.get(path, headers=bare)
        assert (refused.status_code, refused.json()["type"]) == (401, "no_token")
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert refused.json()["request_id"] == refused.headers["x-request-id"]
        assert served.client.get(path).status_code == 200


def test_the_reference_page_is_whole(served: Served, open_page: Callable[..., Any]) -> None:
    page = open_page(served.address + "docs", viewport={"width": 400, "height": 800})
    text = page.inner_text("main")
    assert "POST /v1/predict" in text
    assert "POST /v2/models/{name}/infer" in text
    assert "curl -F file=@photo.jpg" in text
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
