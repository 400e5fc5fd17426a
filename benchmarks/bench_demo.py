"""How soon the demo answers, measured on its real page: the first photo, later ones, maps.

    python benchmarks/bench_demo.py RUN --out reports/bench_demo.json

Runs ``tfclassify demo RUN`` and gives photos to its page in a headless Chromium. A time begins
when the page is given a photo, or a class is pointed at, and ends when the browser has painted
the answer. Each visit opens the page anew: its first answer counts as *first*, the others as
*later*. The model is warm, as it is when the command prints its address.

Without RUN a small network is trained on drawn squares, which measures little but that it runs.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from bench_explain import train_on_squares
from measuring import describe_machine
from PIL import Image

from tfclassify.files import write_json

#: Notes when the page is given something, and when what it shows has been painted.
WATCH = """
() => {
  window.took = {answer: [], map: []};
  const begun = {};
  const begin = (kind) => () => { begun[kind] = performance.now(); };
  const end = (kind) => requestAnimationFrame(() => {
    const channel = new MessageChannel();  // comes after the frame was painted
    channel.port1.onmessage = () => window.took[kind].push(performance.now() - begun[kind]);
    channel.port2.postMessage(0);
  });
  document.getElementById("files").addEventListener("change", begin("answer"), true);
  document.getElementById("answers").addEventListener("focusin", begin("map"), true);
  new MutationObserver(() => end("answer"))
    .observe(document.getElementById("history-rows"), {childList: true});
  const map = document.getElementById("map");
  new MutationObserver(() => map.hidden || map.decode().then(() => end("map")))
    .observe(map, {attributeFilter: ["hidden"]});
}
"""
KINDS = ("page", "first", "later", "map")


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        run = arguments.run or train_on_squares(home, 32)
        photos = write_photos(home, arguments.photos, arguments.photo_size)
        times = measure(run, photos, arguments)
    rows = {kind: describe(times[kind]) for kind in KINDS}
    print("            n    median ms    p95 ms    max ms")
    for kind, row in rows.items():
        print(f"{kind:8}{row['n']:5}{row['median']:13.1f}{row['p95']:10.1f}{row['max']:10.1f}")
    if arguments.out:
        facts = {"run": Path(run).name, "photo_size": list(arguments.photo_size)}
        write_json(arguments.out, {**facts, "ms": rows, "machine": describe_machine()})


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?", help="run to show; none: drawn squares")
    parser.add_argument("--visits", type=int, default=10, help="times that the page is opened")
    parser.add_argument("--photos", type=int, default=11, help="of each visit")
    parser.add_argument("--photo-size", type=int, nargs=2, default=(640, 480))
    parser.add_argument("--out", type=Path, help="JSON to write")
    return parser.parse_args()


def write_photos(home: Path, count: int, size: tuple[int, int]) -> list[Path]:
    draw = np.random.default_rng(0)
    paths = []
    for number in range(count):
        coarse = draw.integers(0, 256, (size[1] // 16, size[0] // 16, 3), dtype=np.uint8)
        paths.append(home / f"{number}.jpg")
        Image.fromarray(coarse).resize(tuple(size), Image.Resampling.BICUBIC).save(paths[-1])
    return paths


def measure(run: Path, photos: list[Path], arguments: Any) -> dict[str, list[float]]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with serve(run) as address, sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-gpu"]
        browser = driver.chromium.launch(executable_path=chromium, args=flags)
        for _ in range(arguments.visits):
            page = browser.new_page()
            visit(page, address, photos, times)
            page.context.close()
        browser.close()
    return times


@contextmanager
def serve(run: Path) -> Iterator[str]:
    """Run the command; yields the address that it prints when it is ready."""
    words = [sys.executable, "-m", "tfclassify", "demo", str(run), "--no-browser"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as work:
        assert work.stderr is not None
        try:
            found = (re.search(r"http://\S+", line) for line in work.stderr)
            address = next((match[0] for match in found if match), "")
            if not address:
                raise SystemExit("tfclassify demo did not start")
            yield address
            work.send_signal(signal.SIGTERM)
            work.communicate(timeout=60)
        finally:
            work.kill()


def visit(page: Any, address: str, photos: list[Path], times: dict[str, list[float]]) -> None:
    """Open the page, give it the photos one after the other, and point at two classes of each."""
    began = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    times["page"].append(1000 * (time.perf_counter() - began))
    page.evaluate(WATCH)
    answers: list[float] = []
    for number, photo in enumerate(photos, start=1):
        page.set_input_files("#files", str(photo))
        page.wait_for_function("count => window.took.answer.length >= count", arg=number)
        answers = page.evaluate("window.took.answer")
        for place in range(2):
            page.locator(".bars button").nth(place).focus()
            wanted = 2 * (number - 1) + place + 1
            page.wait_for_function("count => window.took.map.length >= count", arg=wanted)
            page.keyboard.press("Escape")
            page.evaluate("document.activeElement.blur()")
    times["first"].append(answers[0])
    times["later"] += answers[1:]
    times["map"] += page.evaluate("window.took.map")


def describe(values: list[float]) -> dict[str, float]:
    p50, p95 = np.percentile(values, [50, 95])
    return {"n": len(values), "median": float(p50), "p95": float(p95), "max": max(values)}


if __name__ == "__main__":
    main()
