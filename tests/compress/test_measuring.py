from __future__ import annotations

from itertools import count

import numpy as np
import pytest

from tfclassify.compress.measuring import WARM_UPS, time_interleaved, zip_size


def test_networks_take_turns_and_are_timed_apart() -> None:
    calls: list[str] = []
    spent = {"quick": 1, "slow": 5}
    now = [0.0]

    def make(name: str):
        def run(image: np.ndarray) -> np.ndarray:
            calls.append(name)
            now[0] += spent[name] / 1000
            return image

        return run

    networks = {name: make(name) for name in spent}
    found = time_interleaved(networks, np.zeros((1, 2, 2, 3)), rounds=4, clock=lambda: now[0])
    assert calls == ["quick", "slow", "slow", "quick"] * 3 + ["quick", "slow"]
    assert len(calls) == 2 * (WARM_UPS + 4)
    assert found["quick"].p50_ms == pytest.approx(1.0)
    assert found["slow"].p95_ms == pytest.approx(5.0)


def test_percentiles_are_of_the_counted_runs() -> None:
    ticks = count()
    times = iter([9.0] * WARM_UPS + [float(number) for number in range(21)])
    now = [0.0]

    def run(image: np.ndarray) -> np.ndarray:
        now[0] += next(times) / 1000
        next(ticks)
        return image

    found = time_interleaved({"x": run}, np.zeros((1,)), rounds=21, clock=lambda: now[0])
    # Of 0, 1, ..., 20 the median is 10 and 95 % lie under 19.
    assert (found["x"].p50_ms, found["x"].p95_ms) == pytest.approx((10.0, 19.0))


def test_zeros_zip_to_little(tmp_path) -> None:
    full, empty = tmp_path / "full", tmp_path / "empty"
    full.write_bytes(np.random.default_rng(0).bytes(20_000))
    empty.write_bytes(bytes(20_000))
    assert zip_size(full) > 19_000
    assert zip_size(empty) < 500
