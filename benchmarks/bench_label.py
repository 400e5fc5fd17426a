"""How fast the studio opens and goes on, measured on its real page.

    python benchmarks/bench_label.py --images 100000 --keys 300

Makes a folder of photos (hard links to fifty), runs ``tfclassify label`` on it twice, first to
make the session and then to open it again, and labels by keyboard in a headless Chromium. The
time of a key ends when the browser has painted the next image; the memory is the highest of
the server's process.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measuring import describe_machine
from PIL import Image

from tfclassify.files import write_json

CLASSES = 10
ORIGINALS = 50
#: Notes when a key is pressed, and when the next image is on the screen.
WATCH = """
() => {
  window.times = [];
  let pressed = 0;
  document.addEventListener("keydown", () => { pressed = performance.now(); }, true);
  new MutationObserver(() => requestAnimationFrame(() => {
    const channel = new MessageChannel();  // comes after the frame was painted
    channel.port1.onmessage = () => window.times.push(performance.now() - pressed);
    channel.port2.postMessage(0);
  })).observe(document.getElementById("stage"), {childList: true});
}
"""


def make_photos(home: Path, images: int) -> Path:
    """Write photos of 640 x 480 in folders by class."""
    photos, sources = home / "photos", home / "sources"
    sources.mkdir()
    generator = np.random.default_rng(0)
    for number in range(ORIGINALS):
        coarse = generator.integers(0, 255, (24, 32, 3), dtype=np.uint8)
        scene = Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC)
        scene.save(sources / f"{number}.jpg", quality=85)
    for number in range(images):
        path = photos / f"class {number % CLASSES}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(sources / f"{number % ORIGINALS}.jpg", path)
    return photos


def serve_and_label(photos: Path, session: Path, browser: Any, keys: int) -> dict[str, Any]:
    """Run the command once, label, and end it as a service would."""
    words = [sys.executable, "-m", "tfclassify", "label", str(photos), "--session", str(session)]
    words += ["--port", "0", "--no-browser", "--labeller", "ann", "--quiet"]
    began = time.perf_counter()
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as work:
        assert work.stderr is not None
        try:
            address = work.stderr.readline().split()[-1]
            answered = time.perf_counter() - began
            page = browser.new_page()
            page.goto(address)
            page.wait_for_selector("body[data-ready]")
            usable = time.perf_counter() - began
            times = label(page, keys)
            page.close()
            memory = read_peak(work.pid)
            work.send_signal(signal.SIGTERM)
            out, err = work.communicate(timeout=60)
        finally:
            work.kill()
    assert work.returncode == 0, out + err
    return {
        "address_s": answered,
        "usable_s": usable,
        "key_ms": {
            "median": float(np.median(times)),
            "p95": float(np.percentile(times, 95)),
            "max": max(times),
            "n": len(times),
        },
        "memory_bytes": memory,
    }


def label(page: Any, keys: int) -> list[float]:
    """Press keys, each when the image before is shown; return the milliseconds each took."""
    page.evaluate(WATCH)
    for number in range(keys):
        page.keyboard.press(str(1 + number % CLASSES % 9))
        page.wait_for_function(
            "count => window.times.length >= count && document.body.ariaBusy === 'false'",
            arg=number + 1,
        )
    return page.evaluate("window.times")


def read_peak(process: int) -> int | None:
    """Return the most memory that a process has had, in bytes, where the system tells it."""
    try:
        text = Path(f"/proc/{process}/status").read_text("utf-8")
    except OSError:
        return None
    return 1024 * int(text.partition("VmHWM:")[2].split()[0])


def main() -> None:
    """Print the figures, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--keys", type=int, default=300)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    home = Path(tempfile.mkdtemp(prefix="bench_label_"))
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        photos = make_photos(home, options.images)
        with sync_playwright() as driver:
            flags = ["--no-sandbox", "--disable-gpu"]
            browser = driver.chromium.launch(executable_path=chromium, args=flags)
            rows = {
                name: serve_and_label(photos, home / "session", browser, options.keys)
                for name in ("made", "opened again")
            }
            browser.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    for name, row in rows.items():
        keys = row["key_ms"]
        memory = f"{row['memory_bytes'] / 1e6:.0f} MB" if row["memory_bytes"] else "unknown"
        print(
            f"{name:13} address {row['address_s']:.2f} s  usable {row['usable_s']:.2f} s  "
            f"key to next image {keys['median']:.1f} ms (p95 {keys['p95']:.1f}, "
            f"max {keys['max']:.1f}, n {keys['n']})  memory {memory}"
        )
    if options.out is not None:
        content = {"machine": describe_machine(), "images": options.images, "sessions": rows}
        write_json(options.out, content)


if __name__ == "__main__":
    main()
