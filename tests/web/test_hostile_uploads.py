"""The readers' hostile images through the front door: answered or refused, never a 500."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.hostile import images
from tests.web.models import encode, make_model, to_text
from tfclassify.web.service import Service
from tfclassify.web.serving import make_service_app
from tfclassify.web.uploads import Limits

#: Images a request; the limit of pixels is that of the hostile corpus' own reader.
TOGETHER = 16


def test_no_upload_is_the_server_s_fault(serve_app: Any) -> None:
    limits = Limits(bytes=64 << 20, pixels=10**6, images=TOGETHER, seconds=120)
    service = Service([make_model()], limits=limits)
    served = serve_app(lambda door: make_service_app(service, door), has_token=False)
    cases = [case for case in images.make_cases() if len(case.content) < (1 << 20)]
    kinds: Counter[str] = Counter()
    for start in range(0, len(cases), TOGETHER):
        part = cases[start : start + TOGETHER]
        form = [("file", (f"{case.group} {case.name}", case.content)) for case in part]
        answer = served.client.post("/v1/predict", files=form)
        assert answer.status_code in (200, 422), answer.text
        rows = answer.json()["predictions"]
        assert len(rows) == len(part)
        kinds.update("read" if row["error"] is None else row["error"]["type"] for row in rows)
    assert sum(kinds.values()) == len(cases) >= 390
    assert {"read", "truncated", "not_an_image", "too_large"} <= set(kinds)
    # The same by the other doors, for some of them.
    for case in cases[::40]:
        alone = served.client.post(
            "/v1/explain", content=case.content, headers={"content-type": "image/png"}
        )
        assert alone.status_code in (200, 422), alone.text
        tensor = {
            "name": "images",
            "datatype": "BYTES",
            "shape": [1],
            "data": [to_text(case.content)],
        }
        by_protocol = served.client.post("/v2/models/colours/infer", json={"inputs": [tensor]})
        assert by_protocol.status_code == alone.status_code
    good = served.client.post("/v1/predict", files={"file": encode((9, 9, 9))})
    assert good.status_code == 200
    assert 'status="500"} 0\n' in served.client.get("/metrics").text
