"""Requests a second and latency of ``tfclassify serve``, against a plain FastAPI handler.

    python benchmarks/bench_serve.py RUN --out reports/bench_serve.json

ours      ``tfclassify serve RUN``: micro-batches, decoding in threads
plain     the same model behind a handler as many write it: ``async def``, Pillow,
          ``model.predict`` on one image
threads   the same as ``def``, which FastAPI runs in a pool of 40 threads

Each side is a process of its own; clients are sockets of this process, each sending its next
request when it has the answer to the last. Sides take turns within each round.

``--soak SECONDS`` instead keeps ours under load, tells its memory as time goes by, sends more
than it takes in between, and counts what was not answered as it should be.

Without RUN a small network is trained on drawn squares, which measures little but that it runs.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from bench_explain import train_on_squares
from measuring import describe_machine
from PIL import Image

from tfclassify.files import write_json

PLAIN = """
import io, sys
import numpy as np
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image
from pathlib import Path
import tfclassify as tfc

run, port, kind = sys.argv[1:]
model = tfc.load(run).keras_model
height, width = model.input_shape[1:3]
app = FastAPI()

def answer(content):
    image = Image.open(io.BytesIO(content)).convert("RGB").resize((width, height))
    chances = model.predict(np.asarray(image, np.float32)[None], verbose=0)[0]
    return {"label": int(chances.argmax()), "probabilities": chances.tolist()}

if kind == "plain":
    @app.post("/v1/predict")
    async def predict(file: UploadFile):
        return answer(await file.read())
else:
    @app.post("/v1/predict")
    def predict(file: UploadFile):
        return answer(file.file.read())

answer(open(sys.argv[0] + ".jpg", "rb").read())
uvicorn.run(app, port=int(port), log_level="critical", access_log=False)
"""


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        run = arguments.run or train_on_squares(home, 32)
        bodies = make_bodies(arguments.photo_size)
        if arguments.soak:
            result = soak(run, bodies, arguments)
        else:
            result = {"run": Path(run).name, "load": compare(run, home, bodies, arguments)}
    result["photo_size"] = list(arguments.photo_size)
    result["machine"] = describe_machine()
    if arguments.out:
        write_json(arguments.out, result)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?", help="run to serve; none: drawn squares")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=8.0, help="of each side in a round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--sides", nargs="+", default=["ours", "plain", "threads"])
    parser.add_argument("--photo-size", type=int, nargs=2, default=(640, 480))
    parser.add_argument("--soak", type=float, default=0.0, help="seconds under load, of ours alone")
    parser.add_argument(
        "--pause", type=float, default=0.0, help="seconds between a client's requests"
    )
    parser.add_argument("--out", type=Path, help="JSON to write")
    return parser.parse_args()


def make_bodies(size: tuple[int, int]) -> list[bytes]:
    """Make requests with different photos, as JPEG in a form."""
    generator = np.random.default_rng(0)
    bodies = []
    for _ in range(16):
        small = generator.integers(0, 256, (size[1] // 16, size[0] // 16, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(small).resize(tuple(size), Image.Resampling.BICUBIC).save(stream, "jpeg")
        part = b"--b\r\ncontent-disposition: form-data; name=file; filename=a.jpg\r\n\r\n"
        bodies.append(part + stream.getvalue() + b"\r\n--b--\r\n")
    return bodies


def write_request(body: bytes, port: int) -> bytes:
    head = (
        f"POST /v1/predict HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
        f"content-type: multipart/form-data; boundary=b\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def compare(run: Path, home: Path, bodies: list[bytes], arguments: Any) -> list[dict[str, Any]]:
    """Load every side with every number of clients, in turns."""
    found: dict[tuple[int, str], list[dict[str, Any]]] = {}
    with ExitStack() as stack:
        ports = {
            side: stack.enter_context(start(side, run, home, bodies))[0] for side in arguments.sides
        }
        for clients in arguments.clients:
            for number in range(arguments.rounds + 1):
                sides = list(ports)
                for side in sides[number % len(sides) :] + sides[: number % len(sides)]:
                    seconds = arguments.seconds if number else min(2.0, arguments.seconds)
                    seen = asyncio.run(load(ports[side], bodies, clients, seconds))
                    if number:  # the first warms up
                        found.setdefault((clients, side), []).append(seen)
    rows = []
    print("clients  side      requests/s        p50 ms    p95 ms    p99 ms   failed")
    for (clients, side), seen in found.items():
        row = {"clients": clients, "side": side, "rounds": seen}
        row |= {key: float(np.median([each[key] for each in seen])) for key in seen[0]}
        rows.append(row)
        print(
            f"{clients:7}  {side:8} {row['per_second']:10.1f}     {row['p50_ms']:10.1f}"
            f"{row['p95_ms']:10.1f}{row['p99_ms']:10.1f}{row['failed']:9.0f}"
        )
    return rows


@contextmanager
def start(side: str, run: Path, home: Path, bodies: list[bytes]) -> Iterator[tuple[int, int]]:
    """Start one side; yields its port and its process number when it answers."""
    if side == "ours":
        words = ["-m", "tfclassify", "serve", str(run), "--port", "0", "--no-log", "--no-tta"]
        process = subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True)
        port = 0
        for line in process.stderr:
            if " at http://" in line:
                port = int(line.rpartition(":")[2].partition("/")[0])
                break
        if not port:
            raise SystemExit("tfclassify serve did not start")
    else:
        script = home / "plain.py"
        script.write_text(PLAIN, "utf-8")
        photo = bodies[0].partition(b"\r\n\r\n")[2].removesuffix(b"\r\n--b--\r\n")
        (home / "plain.py.jpg").write_bytes(photo)
        port = find_port()
        process = subprocess.Popen(
            [sys.executable, str(script), str(run), str(port), side], stderr=subprocess.DEVNULL
        )
        wait_for(port, process)
    try:
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def find_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(port: int, process: Any) -> None:
    import socket

    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the plain server did not start")


async def load(
    port: int, bodies: list[bytes], clients: int, seconds: float, pause: float = 0.0
) -> dict[str, Any]:
    """Keep so many clients busy for so long; return what they saw."""
    end = time.perf_counter() + seconds
    times: list[float] = []
    statuses: Counter[int] = Counter()

    async def ask(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        position = number
        while position == number or time.perf_counter() < end:
            position += 1
            started = time.perf_counter()
            writer.write(write_request(bodies[position % len(bodies)], port))
            statuses[await read_status(reader)] += 1
            times.append(time.perf_counter() - started)
            if pause:
                await asyncio.sleep(pause)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(ask(number) for number in range(clients)))
    took = time.perf_counter() - started
    p50, p95, p99 = np.percentile(times, [50, 95, 99]) * 1000
    return {
        "per_second": len(times) / took,
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "p99_ms": float(p99),
        "failed": sum(count for status, count in statuses.items() if status != 200),
        "busy": statuses[429],
    }


async def read_status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    length = next(line for line in lines if line.startswith("content-length:"))
    await reader.readexactly(int(length.partition(":")[2]))
    return int(lines[0].split()[1])


def soak(run: Path, bodies: list[bytes], arguments: Any) -> dict[str, Any]:
    """Keep ours under load and look at its memory; overload it in between."""
    rows = []
    with ExitStack() as stack:
        port, process = stack.enter_context(start("ours", run, Path(), bodies))
        begun = time.perf_counter()
        print("minute   MiB     requests/s    p99 ms   failed   busy (over-load)")
        while (passed := time.perf_counter() - begun) < arguments.soak:
            span = min(30.0, arguments.soak)
            seen = asyncio.run(load(port, bodies, 8, span, arguments.pause))
            over = asyncio.run(load(port, bodies, 320, 1.0))
            after = asyncio.run(load(port, bodies, 1, 1.0))
            row = {
                "minute": passed / 60,
                "mebibytes": read_memory(process) / 2**20,
                **seen,
                "busy_over_load": over["busy"],
                "failed_over_load": over["failed"] - over["busy"],
                "failed_after": after["failed"],
            }
            rows.append(row)
            print(
                f"{row['minute']:6.1f}{row['mebibytes']:7.0f}{row['per_second']:13.1f}"
                f"{row['p99_ms']:11.1f}{row['failed']:8}{over['busy']:8}"
                f"   other than 429: {row['failed_over_load']}, after: {row['failed_after']}",
                flush=True,
            )
    return {"run": Path(run).name, "soak": rows}


def read_memory(process: int) -> int:
    """Return the bytes of memory that a process has in use."""
    lines = Path(f"/proc/{process}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    main()
