"""Folds and predictions by executors: efficiency, overhead a job, memory.

    python benchmarks/bench_jobs.py --sides here processes:1 processes:2 ray:2 --out bench_jobs.json

Two pieces of work, each done by every side in turn: ``folds`` is ``crossval --folds 5`` of a
small convolutional network on made photos (64 x 64); ``predict`` is 20,000 predictions by one
of its folds. Each is a command of its own, so a start is in the time. Cores' worth of threads
are shared out: each worker has one thread, and ``here`` as many as ``--threads`` says, 1 unless
told, so that two workers do what one did twice. ``efficiency`` is the time of ``here`` over
that of a side times its workers; ``memory`` the largest sum of the resident memory of all of
the command's processes, looked at four times a second. ``job_overhead_ms`` is what a job that
does nothing takes, of 200.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_scale import write_photos
from measuring import describe_machine

from tfclassify.executors.catalogue import ExecutorOptions, open_executor
from tfclassify.executors.jobs import Job, run_jobs
from tfclassify.files import hash_file, write_json

RECIPE = """\
name: jobs
data: {{source: {source}, image_size: 48, cache: memory}}
augment: {{flip: [horizontal], rotate: 0.1}}
model:
  backbone: custom_cnn
  weights: none
  layers: [{{conv: 16}}, {{conv: 32, stride: 2}}, {{conv: 64, stride: 2}}]
batch_size: 32
phases: [{{name: whole, epochs: {epochs}, learning_rate: 1.0e-3}}]
"""


def read_family_mb(root: int) -> float:
    """Return the resident memory of a process and all that it started, in megabytes."""
    parents, sizes = {}, {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                fields = (place / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            parents[int(place.name)], sizes[int(place.name)] = int(fields[1]), int(fields[21])
    family, grown = {root}, True
    while grown:
        more = {one for one, parent in parents.items() if parent in family} - family
        family, grown = family | more, bool(more)
    pages = sum(sizes.get(one, 0) for one in family)
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def run_command(words: list[str], threads: int) -> tuple[float, float]:
    """Run a command of tfclassify; return its seconds and its largest memory."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    environment |= dict.fromkeys(names, str(threads))
    started, most = time.perf_counter(), 0.0
    command = [sys.executable, "-m", "tfclassify", *words, "--quiet"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        most = max(most, read_family_mb(process.pid))
        time.sleep(0.25)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: ended with {process.returncode}")
    return time.perf_counter() - started, most


def do_nothing(observer: object) -> None:
    """Be a job."""


def measure_overhead(where: ExecutorOptions, jobs: int) -> float:
    """Return the milliseconds that a job takes which does nothing."""
    call = "bench_jobs:do_nothing"
    with open_executor(where) as executor:
        run_jobs(executor, [Job(f"first {number}", call) for number in range(executor.slots)])
        started = time.perf_counter()
        run_jobs(executor, [Job(str(number), call) for number in range(jobs)])
        return 1000 * (time.perf_counter() - started) / jobs


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    sides = ["here", "processes:1", "processes:2", "ray:2"]
    parser.add_argument("--sides", nargs="+", default=sides, help="NAME:WORKERS")
    parser.add_argument("--images", type=int, default=20_000, help="that are predicted")
    parser.add_argument("--train-images", type=int, default=2000)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        os.environ["TFCLASSIFY_CACHE"] = str(home / "cache")
        write_photos(home / "train", options.train_images)
        write_photos(home / "many", options.images)
        recipe = home / "jobs.yaml"
        text = RECIPE.format(source=home / "train", epochs=options.epochs)
        recipe.write_text(text, "utf-8")
        model = home / "cv-0" / "fold-1"
        prints: dict[str, set[str]] = {"folds": set(), "predict": set()}
        for number, side in enumerate(options.sides):
            where, _, workers = side.partition(":")
            given = ["--executor", where] + (["--workers", workers] if workers else [])
            works = {
                "folds": [
                    "crossval",
                    str(recipe),
                    "--folds",
                    str(options.folds),
                    "--out",
                    str(home / f"cv-{number}"),
                ],
                "predict": [
                    "predict",
                    str(model),
                    str(home / "many"),
                    "--out",
                    str(home / f"{number}.csv"),
                ],
            }
            made = {
                "folds": home / f"cv-{number}" / "predictions.csv",
                "predict": home / f"{number}.csv",
            }
            for work, words in works.items():
                seconds, memory = run_command([*words, *given], options.threads)
                prints[work].add(hash_file(made[work]))
                rows.append({"work": work, "side": side, "seconds": seconds, "memory_mb": memory})
            options_of = ExecutorOptions(where, int(workers) if workers else None)
            overhead = measure_overhead(options_of, options.jobs)
            rows.append({"work": "overhead", "side": side, "job_overhead_ms": overhead})
    base = {row["work"]: row["seconds"] for row in rows[:2]}
    for row in rows:
        if "seconds" in row:
            workers = int(row["side"].partition(":")[2] or 1)
            row["efficiency"] = base[row["work"]] / row["seconds"] / workers
            print(
                f"{row['work']:8} {row['side']:12} {row['seconds']:7.1f} s  efficiency "
                f"{row['efficiency']:.2f}  {row['memory_mb']:.0f} MB"
            )
        else:
            print(f"{row['work']:8} {row['side']:12} {row['job_overhead_ms']:7.2f} ms a job")
    same = {work: len(found) == 1 for work, found in prints.items()}
    print(f"same bits: {same}")
    write_json(options.out, {"machine": describe_machine(), "rows": rows, "same_bits": same})


if __name__ == "__main__":
    main()
