"""Counts of several workers, in Prometheus' text form."""

from __future__ import annotations

import re

from tfclassify.web.metrics import Metrics, make_rows


def read(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_workers_are_added_up() -> None:
    rows = make_rows(2)
    first, second = Metrics(rows, 0), Metrics(rows, 1)
    first.count_request("/v1/predict", 200, 0.03)
    second.count_request("/v1/predict", 200, 3.0)
    second.count_request("/v1/predict", 418, 60.0)
    first.count_batch(5, 0.004)
    second.set("tfclassify_waiting_images", 7)
    found = read(second.render())
    assert found == read(first.render())
    assert found['tfclassify_requests_total{route="/v1/predict",status="200"}'] == 2
    assert found['tfclassify_requests_total{route="/v1/predict",status="0"}'] == 1
    seconds = "tfclassify_request_seconds"
    assert found[f'{seconds}_bucket{{route="/v1/predict",le="0.02"}}'] == 0
    assert found[f'{seconds}_bucket{{route="/v1/predict",le="0.05"}}'] == 1
    assert found[f'{seconds}_bucket{{route="/v1/predict",le="5.0"}}'] == 2
    assert found[f'{seconds}_bucket{{route="/v1/predict",le="+Inf"}}'] == 3
    assert found[f'{seconds}_count{{route="/v1/predict"}}'] == 3
    assert abs(found[f'{seconds}_sum{{route="/v1/predict"}}'] - 63.03) < 1e-3
    assert found['tfclassify_batch_images_bucket{le="4"}'] == 0
    assert found['tfclassify_batch_images_bucket{le="8"}'] == 1
    assert found["tfclassify_waiting_images"] == 7


def test_each_family_has_its_help_and_type_once() -> None:
    lines = Metrics().render().splitlines()
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types)) == 9
    assert all(
        re.fullmatch(r"[a-z_]+(\{[a-z]+=\"[^\"]+\"(,[a-z]+=\"[^\"]+\")*\})? [0-9.e+-]+", line)
        for line in lines
        if not line.startswith("#")
    )
