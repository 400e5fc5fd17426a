"""The first and the second scan of a data set, on one core and on all.

    python benchmarks/bench_scan.py --images 20000 --out bench_scan.json
    python benchmarks/bench_scan.py --data ../shared/data/plants.zip

``first`` looks at every image: reads, hashes, decodes and shrinks it. ``second`` asks the scan
cache. Rounds of all sides are interleaved; files are in the system's cache before the first.
The indices of all sides are compared, bit for bit.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from measuring import describe_machine, spread
from PIL import Image

from tfclassify.data.index import Index
from tfclassify.data.readers import read_source
from tfclassify.data.scan import Scan, fingerprint_index, scan
from tfclassify.files import write_json
from tfclassify.recipe.schema import DataRecipe


def write_photos(folder: Path, count: int, side: int) -> Path:
    """Write noise of two classes as JPEG, dated so that the cache may keep it at once."""
    generator = np.random.default_rng(0)
    for number in range(count):
        place = folder / "ab"[number % 2] / f"{number // 2:07}.jpg"
        if number < 2:
            place.parent.mkdir(parents=True)
        small = generator.integers(0, 256, (side // 8 + 1, side // 8 + 1, 3), np.uint8)
        Image.fromarray(small).resize((side, side)).save(place, quality=90)
        os.utime(place, (1e9, 1e9))
    return folder


def time_scan(index: Index, workers: int) -> tuple[float, Scan]:
    """Scan; return the seconds that it took, and the scan."""
    started = time.perf_counter()
    done = scan(index, workers=workers)
    return time.perf_counter() - started, done


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", help="a source of one's own in place of made photos")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=128, help="pixels of a made photo's side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        source = options.data
        if source is None:
            source = str(write_photos(Path(home) / "photos", options.images, options.side))
        index = read_source(DataRecipe(source=source)).index
        taken: dict[str, list[float]] = {}
        prints = set()
        scan(index, workers=options.workers)
        for number in range(options.rounds):
            for workers in dict.fromkeys((1, options.workers)):
                os.environ["TFCLASSIFY_CACHE"] = f"{home}/cache-{number}-{workers}"
                for name in ("first", "second"):
                    seconds, done = time_scan(index, workers)
                    taken.setdefault(f"{name}, {workers} workers", []).append(seconds)
                    prints.add((fingerprint_index(done.index), done.thumbnails.tobytes()))
    sides = {name: spread(seconds) for name, seconds in taken.items()}
    one, several = (
        np.median(taken[f"first, {workers} workers"]) for workers in (1, options.workers)
    )
    second = np.median(taken[f"second, {options.workers} workers"])
    result = {
        "machine": describe_machine(),
        "images": len(index),
        "seconds": sides,
        "first_speedup": one / several,
        "second_share_of_first": second / several,
        "same_bits": len(prints) == 1,
    }
    write_json(options.out, result)
    for name, side in sides.items():
        print(f"{name:20} {side}")
    print(
        f"first: {one / several:.2f}x on {options.workers} workers; second: "
        f"{100 * second / several:.1f} % of it; same bits: {len(prints) == 1}"
    )


if __name__ == "__main__":
    main()
