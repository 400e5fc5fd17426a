"""What a server counts, in the text form that Prometheus reads.

Owns: the series, and adding up those of several workers, each of which writes a row of one
block of memory. Does not own: when something is counted (``serving``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ctypes import c_double
from multiprocessing.sharedctypes import RawArray
from typing import Any

import numpy as np

ROUTES = ("/v1/predict", "/v1/explain", "/v1/model", "/v2", "other")
STATUSES = (200, 303, 400, 401, 403, 404, 405, 408, 409, 413, 415, 421, 422, 429, 500, 503, 504)
#: Upper ends of the histograms, in seconds and images; what is above is in +Inf.
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64)
_OTHER = 0  # stands for a status that is not listed


class Metrics:
    """The counts of one worker, and the sums of all.

    Args:
        rows: Memory of ``make_rows``; None for one worker's own.
        worker: Which row is this worker's.
    """

    def __init__(self, rows: Any = None, worker: int = 0) -> None:
        self._names = list(_list_series())
        self._places = {name: place for place, name in enumerate(self._names)}
        given = make_rows(1) if rows is None else rows
        self._all = np.frombuffer(given, np.float64).reshape(-1, len(self._names))
        self._own = self._all[worker]

    def add(self, name: str, amount: float = 1.0, **labels: object) -> None:
        """Add to a counter."""
        self._add(_join(name, labels), amount)

    def _add(self, series: str, amount: float = 1.0) -> None:
        self._own[self._places[series]] += amount

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request, and how long it took."""
        shown = status if status in STATUSES else _OTHER
        self.add("tfclassify_requests_total", route=route, status=shown)
        self._observe("tfclassify_request_seconds", SECONDS, seconds, route=route)

    def count_batch(self, images: int, seconds: float) -> None:
        """Count a call of the model."""
        self._observe("tfclassify_batch_images", BATCHES, images)
        self._observe("tfclassify_model_seconds", SECONDS, seconds)

    def set(self, name: str, value: float) -> None:
        """Set a gauge."""
        self._own[self._places[name]] = value

    def _observe(self, name: str, ends: Sequence[float], value: float, **labels: object) -> None:
        for end in ends:
            if value <= end:
                self._add(_join(f"{name}_bucket", {**labels, "le": end}))
        self._add(_join(f"{name}_bucket", {**labels, "le": "+Inf"}))
        self._add(_join(f"{name}_sum", labels), value)
        self._add(_join(f"{name}_count", labels))

    def render(self) -> str:
        """Write the sums of all workers as Prometheus' text format 0.0.4."""
        lines, last = [], ""
        totals = self._all.sum(axis=0)
        for name, value in zip(self._names, totals.tolist(), strict=True):
            family = name.partition("{")[0]
            for ending in ("_bucket", "_sum", "_count"):
                family = family.removesuffix(ending)
            if family != last:
                kind, text = _FAMILIES[family]
                lines += [f"# HELP {family} {text}", f"# TYPE {family} {kind}"]
                last = family
            lines.append(f"{name} {value:g}" if value % 1 else f"{name} {value:.0f}")
        return "\n".join(lines) + "\n"


def make_rows(workers: int) -> Any:
    """Make the memory that workers share: a row of numbers each."""
    return RawArray(c_double, workers * len(list(_list_series())))


_FAMILIES = {
    "tfclassify_requests_total": ("counter", "Answered requests by route and status."),
    "tfclassify_request_seconds": ("histogram", "From a request's first byte to its answer."),
    "tfclassify_images_total": ("counter", "Images that were predicted."),
    "tfclassify_bad_images_total": ("counter", "Images that could not be read."),
    "tfclassify_refused_total": ("counter", "Requests refused for want of room (429)."),
    "tfclassify_reloads_total": ("counter", "Newer models taken over."),
    "tfclassify_batch_images": ("histogram", "Images that went through the model together."),
    "tfclassify_model_seconds": ("histogram", "Time of one call of the model."),
    "tfclassify_waiting_images": ("gauge", "Images between their request and their answer."),
}


def _list_series() -> Iterator[str]:
    for route in ROUTES:
        for status in (*STATUSES, _OTHER):
            yield _join("tfclassify_requests_total", {"route": route, "status": status})
    for route in ROUTES:
        yield from _list_histogram("tfclassify_request_seconds", SECONDS, {"route": route})
    for name in ("images_total", "bad_images_total", "refused_total", "reloads_total"):
        yield f"tfclassify_{name}"
    yield from _list_histogram("tfclassify_batch_images", BATCHES, {})
    yield from _list_histogram("tfclassify_model_seconds", SECONDS, {})
    yield "tfclassify_waiting_images"


def _list_histogram(name: str, ends: Sequence[float], labels: dict[str, object]) -> Iterator[str]:
    for end in (*ends, "+Inf"):
        yield _join(f"{name}_bucket", {**labels, "le": end})
    yield _join(f"{name}_sum", labels)
    yield _join(f"{name}_count", labels)


def _join(name: str, labels: dict[str, object]) -> str:
    inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{inside}}}" if inside else name
