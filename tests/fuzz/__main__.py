"""Fuzzes the readers: ``python -m tests.fuzz [--seconds N] [--seed N] [READER …]``.

An input at which a reader raises what is none of ours, or takes over five seconds, is
kept in ``.fuzz/``; ``python -m tests.fuzz READER --again FILE`` reads it once more.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import random
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.targets import LARGEST, TARGETS, Target

KEPT = Path(".fuzz")
PATIENCE_S = 5.0
#: Pieces that mean something to some reader, as fuzzers call them: a dictionary.
WORDS = (
    *(b"\xff\xd8\xff", b"\xff\xda", b"\x89PNG\r\n\x1a\n", b"IHDR", b"IDAT", b"GIF89a", b"BM"),
    *(b"PK\x03\x04", b"PK\x01\x02", b"../", b"ustar", b"\x1f\x8b", b"&a", b"*a", b"!!", b"<<:"),
    *(
        b"\x00",
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff",
        b"1e999",
        b"-1",
        b"NaN",
        b'"',
        b"\r",
        b"\n",
    ),
)


def main() -> int:
    """Fuzz each reader that is asked for; return 1 if one is at fault."""
    asked = _parse()
    warnings.simplefilter("ignore")  # a library's remark on a strange file is no fault
    if asked.again:
        _read_again(TARGETS[asked.readers[0]], asked.again)
        return 0
    has_atheris = importlib.util.find_spec("atheris") is not None
    if not has_atheris:
        print("atheris is not installed (pip install atheris): known inputs are changed at random,")
        print("and the readers' branches are not followed")
    faults = 0
    for name in asked.readers or TARGETS:
        share = asked.seconds / len(asked.readers or TARGETS)
        found = _guide(name, share) if has_atheris else _change(name, share, asked.seed)
        faults += found
    print(f"{faults} faults" + (f", kept in {KEPT}/" if faults else ""))
    return bool(faults)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("readers", nargs="*", metavar="READER", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=60.0, help="in all; default 60")
    parser.add_argument("--seed", type=int, default=0, help="of the changes, without atheris")
    parser.add_argument("--again", type=Path, help="read a kept file once more")
    asked = parser.parse_intermixed_args()
    unknown = set(asked.readers) - set(TARGETS)
    if unknown or (asked.again and len(asked.readers) != 1):
        parser.error(f"readers are {', '.join(TARGETS)}; --again takes one, got {asked.readers}")
    return asked


def _read_again(target: Target, path: Path) -> None:
    target.try_one(path.read_bytes())
    print("no fault")


def _change(name: str, seconds: float, seed: int) -> int:
    """Change known inputs at random for a while; return the number of faults."""
    target = TARGETS[name]
    tried = faults = 0
    known = target.seeds()
    end = time.monotonic() + seconds
    for data in make_changed(known, seed):
        if time.monotonic() > end:
            break
        tried += 1
        began = time.process_time()
        try:
            target.try_one(data)
            fault = "takes too long" if time.process_time() - began > PATIENCE_S else ""
        except Exception:
            fault = traceback.format_exc()
        if fault:
            faults += 1
            print(f"{name}: {_keep(name, data)}: {fault}")
    print(f"{name:<12} {tried:>8,} inputs, {faults} faults")
    return faults


def make_changed(seeds: list[bytes], seed: int) -> Iterator[bytes]:
    """Yield inputs without end, each a known one after some changes."""
    draw = random.Random(seed)
    while True:
        data = bytearray(draw.choice(seeds))
        for _ in range(draw.randint(1, 6)):
            _change_once(data, draw, seeds)
        yield bytes(data[: 2 * LARGEST])


def _change_once(data: bytearray, draw: random.Random, seeds: list[bytes]) -> None:
    """Flip, cut, repeat or insert something somewhere."""
    at = draw.randint(0, len(data))
    end = min(len(data), at + draw.randint(1, 64))
    kind = draw.randrange(6)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << draw.randrange(8)
    elif kind == 1:
        del data[at:end]
    elif kind == 2:
        data[at:at] = draw.choice(WORDS)
    elif kind == 3:
        data[at:end] = draw.randbytes(end - at)
    elif kind == 4:
        data[at:at] = data[at:end] * draw.randint(1, 20)
    else:
        other = draw.choice(seeds)
        start = draw.randint(0, len(other))
        data[at:] = other[start:]


def _keep(name: str, data: bytes) -> Path:
    KEPT.mkdir(exist_ok=True)
    path = KEPT / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return path


def _guide(name: str, seconds: float) -> int:
    """Let atheris fuzz a reader in a process of its own, which it never leaves."""
    KEPT.mkdir(exist_ok=True)
    with TemporaryDirectory() as corpus:
        for number, content in enumerate(TARGETS[name].seeds()):
            Path(corpus, str(number)).write_bytes(content)
        limits = (f"-max_total_time={int(seconds) or 1}", f"-timeout={int(PATIENCE_S)}")
        options = (*limits, f"-max_len={2 * LARGEST}", f"-artifact_prefix={KEPT}/{name}-", corpus)
        command = (sys.executable, "-m", "tests.fuzz.follow", name, *options)
        print(f"{name}: atheris, {seconds:.0f} s", flush=True)
        return int(subprocess.run(command, check=False).returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
