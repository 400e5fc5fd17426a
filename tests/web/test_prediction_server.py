"""A server as it is started: a real run, an artefact without TensorFlow, workers, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import tfclassify as tfc
from tests.tiny_run import TinyRun
from tests.web.models import encode, make_model, share_colours
from tfclassify.errors import BundleError, RequestError, TargetError
from tfclassify.web.prediction_server import ServeOptions, build_app, read_token, run_server
from tfclassify.web.served_model import locate_model, open_model
from tfclassify.web.server import listen, make_server
from tfclassify.web.service import Service
from tfclassify.web.serving import make_service_app
from tfclassify.web.uploads import Limits


@pytest.fixture(scope="module")
def onnx(tiny_run: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run as an ONNX artefact."""
    out = tmp_path_factory.mktemp("served")
    result = tfc.export(tiny_run.run, format="onnx", out=out, views=True, progress=False)
    return Path(result.artefacts[0].folder)


@contextmanager
def start(*words: str | Path, refused: str = "") -> Iterator[tuple[Any, list[str]]]:
    """Start ``tfclassify serve`` in a process; yields a client and its lines, then stops it.

    ``refused`` names modules whose import fails there.
    """
    code = (
        "import sys\n"
        f"for name in {refused.split()!r}: sys.modules[name] = None\n"
        "from tfclassify.cli.main import run\n"
        "if __name__ == '__main__': run()\n"
    )
    words = ("serve", *words, "--port", "0")
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    lines: list[str] = []
    is_up = threading.Event()

    def read() -> None:
        for line in process.stderr:
            lines.append(line)
            if " at http://" in line:
                is_up.set()
        is_up.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert is_up.wait(300)
        told = [line for line in lines if " at http://" in line]
        assert told, "".join(lines)
        address = told[0].split(" at ")[1].split("docs")[0]
        with httpx.Client(base_url=address, timeout=300, trust_env=False) as client:
            client.process = process
            yield client, lines
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(300)
        reader.join()
        process.stderr.close()


def test_each_answer_equals_that_of_predict(tiny_run: TinyRun, serve_app: Any) -> None:
    files = sorted((tiny_run.photos / "red").iterdir())[:6]
    for tta in (None, False):
        expected = tfc.predict(tiny_run.run, files, tta=tta, progress=False)
        options = ServeOptions(tiny_run.run, use_tta=tta, has_log=False)
        served = serve_app(
            lambda door, options=options: build_app(options, door, tfc.Observer()), has_token=False
        )
        form = [("file", (path.name, path.read_bytes())) for path in files]
        rows = served.client.post("/v1/predict?all=true", files=form).json()["predictions"]
        found = np.array([row["probabilities"] for row in rows])
        np.testing.assert_allclose(found, expected.probabilities, atol=1e-6)
        assert [row["label"] for row in rows] == [row.label for row in expected]
    by_class = served.client.post("/v1/explain?label=red&show=heat", files=form[:1]).json()
    (row,) = tfc.explain(tiny_run.run, files[0], classes="red", tta=False, progress=False)
    told = by_class["explanations"][0]
    assert (tuple(told["peak"]), told["method"]) == (row.peak, row.method)


def test_an_onnx_artefact_is_served_without_tensorflow_and_stops_cleanly(
    tiny_run: TinyRun, onnx: Path
) -> None:
    photo = tiny_run.photos / "blue" / "01.png"
    (expected,) = tfc.predict(tiny_run.run, photo, progress=False).probabilities
    heavy = "tensorflow keras tf_keras pandas sklearn scipy matplotlib"
    with start(onnx, refused=heavy) as (client, lines):
        facts = client.get("/v1/model").json()
        assert (facts["platform"], len(facts["views"])) == ("onnx", 2)
        answer = client.post("/v1/predict?all=true", files={"f": photo.read_bytes()})
        row = answer.json()["predictions"][0]
        np.testing.assert_allclose(row["probabilities"], expected, atol=1e-5)
        told = client.post("/v1/explain", files={"f": photo.read_bytes()}).json()
        assert told["explanations"][0]["method"] == "occlusion"
        assert client.get("/docs").status_code == 200
    assert client.process.returncode == 0, "".join(lines)
    logged = [json.loads(line) for line in lines if line.startswith("{")]
    assert [line["path"] for line in logged][:2] == ["/v1/model", "/v1/predict"]


@pytest.mark.slow  # three processes that each import a runtime
def test_workers_share_a_port_and_their_counts_and_one_that_dies_is_replaced(onnx: Path) -> None:
    photo = encode((200, 10, 10))
    with start(onnx, "--workers", "2", "--no-log") as (client, lines):
        address = client.base_url
        for _ in range(20):  # each on a connection of its own
            answer = httpx.post(
                f"{address}v1/predict", files={"f": photo}, timeout=300, trust_env=False
            )
            assert answer.status_code == 200
        text = client.get("/metrics").text
        assert 'tfclassify_requests_total{route="/v1/predict",status="200"} 20\n' in text
        listing = Path(f"/proc/{client.process.pid}/task/{client.process.pid}/children")
        time.sleep(10.5)  # one that dies at once would not be replaced
        children = [int(child) for child in listing.read_text().split()]
        workers = [child for child in children if "spawn_main" in _read_words(child)]
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        end = time.monotonic() + 300
        while not any("another takes its place" in line for line in lines):
            assert time.monotonic() < end
            time.sleep(0.05)
        answer = httpx.post(
            f"{address}v1/predict", files={"f": photo}, timeout=300, trust_env=False
        )
        assert answer.status_code == 200
    assert client.process.returncode == 0


def _read_words(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_text()


def test_what_was_taken_is_answered_though_the_server_is_told_to_stop() -> None:
    asked, may_answer = threading.Event(), threading.Event()

    def think(images: np.ndarray) -> np.ndarray:
        asked.set()
        assert may_answer.wait(300)
        return share_colours(images)

    service = Service([make_model(ask=think)])
    with listen(has_token=False) as door, ThreadPoolExecutor(2) as pool:
        server = make_server(make_service_app(service, door), grace=300)
        serving = pool.submit(server.run, sockets=[door.listener])
        address = f"http://127.0.0.1:{door.port}/v1/predict"
        photo = {"f": encode((200, 10, 10))}
        answer = pool.submit(httpx.post, address, files=photo, timeout=300, trust_env=False)
        assert asked.wait(300)
        server.should_exit = True
        while server.started and server.servers and any(s.is_serving() for s in server.servers):
            time.sleep(0.01)  # until no new request is taken
        assert not answer.done()
        may_answer.set()
        assert answer.result(300).status_code == 200
        serving.result(300)


def test_a_run_s_name_means_its_newest_run(tiny_run: TinyRun) -> None:
    newest, version = locate_model(tiny_run.run.parent)
    assert newest == tiny_run.run / "bundle"
    assert locate_model(newest) == (newest, version)
    assert len(version) == 12


def test_bad_requests(tiny_run: TinyRun, onnx: Path, tmp_path: Path) -> None:
    run = tiny_run.run
    with listen(port=0) as taken, pytest.raises(RequestError, match=r"use --port \d+"):
        run_server(ServeOptions(run, port=taken.port))
    with pytest.raises(RequestError, match="--port 70000: a port is a number from 0 to 65535"):
        run_server(ServeOptions(run, port=70000))
    with pytest.raises(RequestError, match="--workers: must be at least 1, got 0"):
        run_server(ServeOptions(run, workers=0))
    with pytest.raises(RequestError, match="--watch: must be more than 0 seconds, got 0"):
        run_server(ServeOptions(run, watch=0))
    with pytest.raises(RequestError, match="the limit of pixels must be more than 0, got 0"):
        run_server(ServeOptions(run, limits=Limits(pixels=0)))
    with pytest.raises(RequestError, match="--queue: must hold the 64 images of one request"):
        run_server(ServeOptions(run, limits=Limits(waiting=10)))
    with pytest.raises(TargetError):
        run_server(ServeOptions(tmp_path / "no-run"))
    with pytest.raises(RequestError, match="shows the views that lie inside"):
        open_model(onnx, use_tta=False)
    damaged = tmp_path / "bundle"
    damaged.mkdir()
    (damaged / "bundle.json").write_text("{}")
    with pytest.raises(BundleError, match=r"damaged .+; train or export the model again"):
        locate_model(damaged)


def test_a_token_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TFCLASSIFY_TOKEN", raising=False)
    assert read_token(None) == ""
    monkeypatch.setenv("TFCLASSIFY_TOKEN", "x" * 20)
    assert read_token(None) == "x" * 20
    file = tmp_path / "token"
    file.write_text("y" * 24 + "\n")
    assert read_token(file) == "y" * 24
    for bad in ("short", "", "a b" * 10, "ü" * 20):
        file.write_text(bad)
        with pytest.raises(RequestError, match="a token has at least 16 letters"):
            read_token(file)
    with pytest.raises(RequestError, match=r"--token-file .+none: cannot be read"):
        read_token(tmp_path / "none")
    assert "y" * 24 not in repr(ServeOptions(tmp_path, token="y" * 24))
