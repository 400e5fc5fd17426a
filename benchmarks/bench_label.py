"""How fast the studio opens and goes on, measured on its real page.

    python benchmarks/bench_label.py --images 100000 --keys 300

Makes a folder of photos (hard links to fifty), runs ``tfclassify label`` on it twice, first to
make the session and then to open it again, and labels by keyboard in a headless Chromium. The
time of a key ends when the browser has painted the next image; the memory is the highest of
the server's process.

Then, unless ``--learn 0``, "label 50, train the head on cached features, go on" on 5,000 of the
photos, with a run of a frozen EfficientNet-Lite0: the command is started with ``--run``, which
looks at all photos once; fifty are labelled by keyboard; the button "Train on my labels" is
pressed, and the time ends when the next image stands there with the new head's suggestion. All
of it twice, since the first press loads scikit-learn. The command is then started again, on
features that are there.
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
    sources.mkdir(parents=True)
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


@contextmanager
def serve(photos: Path, session: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command; yield it with the page's address, and end it as a service would."""
    words = [sys.executable, "-m", "tfclassify", "label", str(photos), "--session", str(session)]
    words += ["--port", "0", "--no-browser", "--labeller", "ann", "--quiet", *more]
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as work:
        assert work.stderr is not None
        try:
            lines = iter(work.stderr.readline, "")
            yield work, next(line.split()[-1] for line in lines if "http://" in line)
            work.send_signal(signal.SIGTERM)
            out, err = work.communicate(timeout=60)
        finally:
            work.kill()
    assert work.returncode == 0, out + err


def serve_and_label(photos: Path, session: Path, browser: Any, keys: int) -> dict[str, Any]:
    """Run the command once and label."""
    began = time.perf_counter()
    with serve(photos, session) as (work, address):
        answered = time.perf_counter() - began
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        usable = time.perf_counter() - began
        times = label(page, keys)
        page.close()
        memory = read_peak(work.pid)
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


RECIPE = """\
name: learn
data: {{source: {photos}, image_size: {size}, validation: 0.2}}
model: {{backbone: efficientnet_lite0, weights: {weights}}}
phases: [{{name: head, train: head, epochs: 1, features: {{views: 1}}}}]
"""


def train_run(photos: Path, home: Path, size: int, weights: str) -> Path:
    """Train a run of a frozen network on two hundred of the photos."""
    few = home / "few"
    for folder in photos.iterdir():
        (few / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[:20]:
            os.link(path, few / folder.name / path.name)
    recipe, run = home / "learn.yaml", home / "run"
    recipe.write_text(RECIPE.format(photos=few, size=size, weights=weights), "utf-8")
    words = [sys.executable, "-m", "tfclassify", "train", str(recipe), "--out", str(run)]
    subprocess.run([*words, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return run


def serve_and_learn(
    photos: Path, run: Path, session: Path, browser: Any, answers: int
) -> dict[str, Any]:
    """Start the command with a run's model, label, and press the button that trains."""
    found: dict[str, Any] = {"images": len(list(photos.rglob("*.jpg"))), "presses": []}
    words = ("--run", str(run), "--order", "random")
    for name in ("first_start_s", "next_start_s"):
        began = time.perf_counter()
        with serve(photos, session, *words) as (work, address):
            page = browser.new_page()
            page.goto(address)
            page.wait_for_selector("body[data-ready]")
            found[name] = time.perf_counter() - began
            for _ in range(2 if name == "first_start_s" else 0):
                label_rightly(page, answers)
                found["presses"].append(press_training(page))
            page.close()
            found["memory_bytes"] = read_peak(work.pid)
    return found


def label_rightly(page: Any, count: int) -> None:
    """Give images the label that their folder says, by its key."""
    for _ in range(count):
        name = page.inner_text("#name")
        number = re.search(r"class (\d)", name)
        assert number is not None, name
        page.keyboard.press("1234567890"[int(number[1])])
        page.wait_for_function(
            "before => document.body.ariaBusy === 'false'"
            " && document.getElementById('name').textContent !== before",
            arg=name,
        )


def press_training(page: Any) -> dict[str, Any]:
    """Press the button; return the seconds until work can go on, and what the page says."""
    began = time.perf_counter()
    page.click("#retrain")
    page.wait_for_function(
        "() => !retrain.disabled && document.body.ariaBusy === 'false'"
        " && trouble.textContent.startsWith('learned') && !suggestion.hidden",
        timeout=300_000,
    )
    return {"s": time.perf_counter() - began, "said": page.inner_text("#trouble")}


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
    parser.add_argument("--learn", type=int, default=5_000, help="images of a run; 0: leave out")
    parser.add_argument("--answers", type=int, default=50, help="labelled before it trains")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    home = Path(tempfile.mkdtemp(prefix="bench_label_"))
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        photos = make_photos(home / "label", options.images)
        learned: dict[str, Any] = {}
        with sync_playwright() as driver:
            flags = ["--no-sandbox", "--disable-gpu"]
            browser = driver.chromium.launch(executable_path=chromium, args=flags)
            rows = {
                name: serve_and_label(photos, home / "session", browser, options.keys)
                for name in ("made", "opened again")
            }
            if options.learn:
                photos = make_photos(home / "learn", options.learn)
                run = train_run(photos, home, options.size, options.weights)
                learned = serve_and_learn(photos, run, home / "learning", browser, options.answers)
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
    if learned:
        print(
            f"{learned['images']:,} images with a run: first start, which looks at all of them, "
            f"{learned['first_start_s']:.1f} s; next start {learned['next_start_s']:.1f} s"
        )
        for number, press in enumerate(learned["presses"], 1):
            print(f"press {number} of the button: {press['s']:.2f} s ({press['said']})")
    if options.out is not None:
        content = {"machine": describe_machine(), "images": options.images, "sessions": rows}
        content["learned"] = learned
        write_json(options.out, content)


if __name__ == "__main__":
    main()
