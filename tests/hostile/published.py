"""Published models whose card, answers, facts, checksums, samples or weights were changed.

Whoever tampers writes the checksums anew, so most cases are sealed again: then the one check
that the file is for must see what was done, or the change must not matter. Each folder is
verified, opened, and asked about its own sample.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from tests.hostile.cases import Case
from tests.hostile.run_folders import SPECIAL, damage_file, damage_json, place_file

_FACTS, _ANSWERS, _CARD, _SAMPLES = (
    *("published.json", "answers.npz", "README.md", "samples/samples.json"),
)
_JSON_FILES = (_FACTS, "metrics.json", _SAMPLES, "bundle.json", "recipe.json")
_FILES = (*_JSON_FILES, _ANSWERS, _CARD, "samples/sample-1.png", "model.keras")
#: Of a file's values, so many that each kind of damage is met a few dozen times.
_MOST_VALUES = 40


@cache
def make_scene() -> Path:
    """Publish the model of a run that nobody trained."""
    from tests import fake_runs
    from tfclassify.workflows.publish import PublishRequest, publish_run

    home = Path(mkdtemp(prefix="tfclassify-published-"))
    recipe = fake_runs.make_recipe()
    index = fake_runs.make_index(home / "photos", images=18)
    run = fake_runs.make_run(home / "run", recipe, index)
    fake_runs.add_bundle(run, recipe, seed=1)
    publish_run(PublishRequest(run, str(home / "model"), license="mit"))
    return home


def make_cases() -> list[Case]:
    """Make every changed folder."""
    folder = make_scene() / "model"
    cases = []
    for file in _FILES:
        good = (folder / file).read_bytes()
        cases.append(_make_case("as it is", file, "", good))
        damaged = list(damage_file(good))
        if file in _JSON_FILES:
            values = list(damage_json(good))
            damaged += values[:: max(1, len(values) // _MOST_VALUES)]
        cases += [_make_case(group, file, name, content) for group, name, content in damaged]
        cases += [
            _make_case("no file", file, kind, b"", special=kind, is_sealed=False)
            for kind in SPECIAL
        ]
    for name, content in _change_answers((folder / _ANSWERS).read_bytes()):
        cases.append(_make_case("answers", _ANSWERS, name, content))
    for file, changes in (
        (_FACTS, _change_facts()),
        (_SAMPLES, _change_samples()),
        ("recipe.json", _change_recipe()),
    ):
        facts = json.loads((folder / file).read_bytes())
        for name, change in changes.items():
            content = json.dumps(change(json.loads(json.dumps(facts)))).encode()
            cases.append(_make_case("claims", file, name, content))
    for name, text in {
        "of 64 MiB": b"x" * (64 << 20),
        "no text": b"\xff\xfe",
        "metadata that is nested": b"---\n" + b"[" * 100_000 + b"\n---\n",
        "metadata that runs code": b"---\n!!python/object/apply:os.system [touch ran]\n---\n",
    }.items():
        cases.append(_make_case("card", _CARD, name, text))
    cases.append(_make_case("card", "samples/sample-1.png", "an image bomb", _make_bomb()))
    for where in ("extra.txt", "samples/extra.png", "modules/hub_000000000000/x", ".hidden"):
        for kind in ("file", "link", "pipe"):
            special = None if kind == "file" else kind
            more = {"special": special, "is_sealed": False}
            cases.append(_make_case("added", where, kind, b"x", **more))
    return cases


def _make_case(group: str, file: str, name: str, content: bytes, **more: Any) -> Case:
    return Case(group, f"{file}: {name}", content, {"file": file, "is_sealed": True, **more})


def _change_answers(good: bytes) -> Iterator[tuple[str, bytes]]:
    """Write answers that are no answers, or claim more than they hold."""
    with np.load(io.BytesIO(good)) as stored:
        arrays = dict(stored)
    plain, targets = "test/plain", "test/targets"
    for name, change in {
        "no numbers": {plain: np.full_like(arrays[plain], np.nan)},
        "infinite": {plain: np.full_like(arrays[plain], np.inf)},
        "negative": {plain: -arrays[plain]},
        "all nothing": {plain: np.zeros_like(arrays[plain])},
        "all certain": {plain: np.ones_like(arrays[plain])},
        "better": {plain: arrays[targets].astype(np.float32)},
        "no class": {targets: np.zeros_like(arrays[targets])},
        "every class": {targets: np.ones_like(arrays[targets])},
        "counts": {targets: arrays[targets] * 200},
        "another type": {plain: arrays[plain].astype(np.float64)},
        "objects": {plain: arrays[plain].astype(object)},
        "transposed": {plain: np.asfortranarray(arrays[plain].T)},
        "no images": {each: arrays[each][:0] for each in (plain, targets, "test/groups")},
        "one image": {each: arrays[each][:1] for each in (plain, targets, "test/groups")},
        "one group": {"test/groups": np.zeros_like(arrays["test/groups"])},
        "averaged": {"test/averaged": arrays[plain]},
        "averaged of another shape": {"test/averaged": arrays[plain][:2]},
    }.items():
        stream = io.BytesIO()
        np.savez_compressed(stream, **(arrays | change))
        yield name, stream.getvalue()
    for name, members in {
        "twice": [("test/plain.npy", b"x"), ("test/plain.npy", b"y")],
        "a way out": [("../../out.npy", b"x")],
        "nothing": [],
        "many": [(f"{number}.npy", b"") for number in range(20_000)],
        "a shape of 2^60": [("test/plain.npy", _claim((1 << 60, 3)))],
        "zeros of a GiB": [("test/plain.npy", _claim((1 << 28, 3), 1 << 30))],
    }.items():
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in members:
                archive.writestr(zipfile.ZipInfo(member), content, zipfile.ZIP_DEFLATED)
        yield name, stream.getvalue()


def _claim(shape: tuple[int, ...], zeros: int = 0) -> bytes:
    stream = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + bytes(zeros)


def _change_facts() -> dict[str, Callable[[Any], Any]]:
    ways = ("../../../etc/hostname", "/etc/hostname", "a\0b", "", ".", "samples", "x" * 9000)

    def add(name: str) -> Callable[[Any], Any]:
        return lambda facts: facts | {"files": facts["files"] | {name: "0" * 64}}

    return {
        **{f"a checksum of {name[:30]!r}": add(name) for name in ways},
        "100,000 files": lambda facts: facts | {"files": {str(n): "" for n in range(100_000)}},
        "no files": lambda facts: facts | {"files": {}},
        "no splits": lambda facts: facts
        | {key: [] for key in ("splits", "images", "views", "cautions")},
        "a split twice": lambda facts: facts | {"splits": [facts["splits"][0]] * 2},
        "another split": lambda facts: facts | {"splits": ["train", "../x"]},
        "fewer numbers than splits": lambda facts: facts | {"images": facts["images"][:1]},
        **{
            f"{count} images": lambda facts, count=count: facts | {"images": [count, count]}
            for count in (-1, 0, 1, 10**6, 10**12, 2**63, 2**70)
        },
        "views": lambda facts: facts | {"views": [["x"] * 100_000] * 2},
        "artefacts elsewhere": lambda facts: _change_card(
            facts,
            artefacts=[
                {"folder": "../../etc", "format": "onnx", "precision": "x", "size_bytes": -1}
            ],
        ),
        "numbers beyond all": lambda facts: _change_card(facts, macs=10**300, flops=-1, params=0),
        "markup": lambda facts: _change_card(
            facts, source="<script>alert(1)</script> ![x](http://x) \u202e {{ 7 * 7 }} {% x %}"
        ),
        "an address": lambda facts: _change_card(facts, address="hf:../../x\n\n# y"),
        "an old version": lambda facts: _change_card(facts, version="0.0.1\n---\nx: y"),
        "training that took for ever": lambda facts: _change_card(facts, training_seconds=1e308),
        "100,000 uncounted": lambda facts: _change_card(
            facts, uncounted={f"op{n}": 1 for n in range(100_000)}
        ),
    }  # fmt: skip


def _change_card(facts: Any, **changes: Any) -> Any:
    return facts | {"facts": facts["facts"] | changes}


def _change_samples() -> dict[str, Callable[[Any], Any]]:
    def change(**changes: Any) -> Callable[[Any], Any]:
        return lambda samples: samples | {"images": [samples["images"][0] | changes]}

    return {
        "none": lambda samples: samples | {"images": []},
        "a million": lambda samples: samples | {"images": samples["images"][:1] * 1_000_000},
        "of a file elsewhere": change(file="../../photos/000.png"),
        "of a file with a line's end": change(file="sample-1.png\n"),
        "of a number that is none": change(file="sample-99999999999999999999.png"),
        "of too few classes": change(probabilities=[1.0]),
        "of no classes": change(probabilities=[]),
        "of a million classes": change(probabilities=[0.0] * 1_000_000),
        "ragged": lambda samples: samples
        | {"images": [each | {"probabilities": [0.5] * n}
                      for n, each in enumerate(samples["images"], start=1)]},
        "beyond floats": change(probabilities=[1e308, -1e308, 1e39]),
    }  # fmt: skip


def _change_recipe() -> dict[str, Callable[[Any], Any]]:
    def put(*path: str, value: Any) -> Callable[[Any], Any]:
        def change(recipe: Any) -> Any:
            place = recipe
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = value
            return recipe

        return change

    return {
        "another metric": put("metric", value="f1_macro"),
        "a metric that is none": put("metric", value="zzz"),
        "another task": put("task", value="multi_label"),
        "a name that is markup": put("name", value="x](http://y) <b>"),
        "views without end": put("tta", value={"zooms": [1 + n / 1e6 for n in range(9_000)]}),
        "larger images": put("data", "image_size", value=[4096, 4096]),
        "a source with a password": put("data", "source", value="https://a:b@c/d.zip"),
    }


def _make_bomb() -> bytes:
    """Make a PNG of 20,000 by 20,000 black pixels, 50 KB."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(2501) * 20_000, 9)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    )


def prepare(home: Path) -> None:
    """Use a good one before memory and time are limited."""
    (home / "first").mkdir()
    good = (make_scene() / "model" / _CARD).read_bytes()
    read(_make_case("", _CARD, "", good), home / "first")


def read(case: Case, folder: Path) -> str:
    """Verify a changed folder, open it and ask it; say what came of it."""
    from tfclassify import api
    from tfclassify.errors import TfclassifyError
    from tfclassify.workflows.predict import PredictRequest, predict_paths_of_run
    from tfclassify.workflows.verify import VerifyRequest, verify_published

    os.chdir(folder)
    file = case.options["file"]
    copy = Path(shutil.copytree(make_scene() / "model", folder / "model"))
    original = (copy / file).read_bytes() if (copy / file).is_file() else None
    (copy / file).parent.mkdir(parents=True, exist_ok=True)
    place_file(copy / file, case)
    if case.options["is_sealed"]:
        _seal(copy, file)
    is_same = original == case.content and case.options["is_sealed"]
    before = sorted(path.as_posix() for path in folder.rglob("*"))
    said = []
    try:
        try:
            found = verify_published(VerifyRequest(copy))
            said.append("holds" if found.is_right else "does not hold")
            assert found.is_right or not is_same, found.checks
            is_seen = not case.options["is_sealed"] or _is_other(file, original, case.content)
            assert not (found.is_right and is_seen), "a change that nobody saw"
        except TfclassifyError as error:
            said.append("refused" if "\n" not in str(error) else "refused in several lines")
        try:
            run = api.load(copy)
            answers = predict_paths_of_run(
                PredictRequest(run.path, str(copy / "samples" / "sample-2.png"))
            ).predictions
            assert np.isfinite(answers.probabilities).all(), "answers that are no numbers"
            said.append("predicts")
        except TfclassifyError:
            said.append("does not predict")
    finally:
        after = sorted(path.as_posix() for path in folder.rglob("*"))
        shutil.rmtree(copy, ignore_errors=True)
        assert after == before, "something was written"
    return ", ".join(said)


def _is_other(file: str, original: bytes | None, content: bytes) -> bool:
    """Say whether a file says something else of the scores, however it is written."""
    if file != "metrics.json" or original is None:
        return file == _CARD and original != content
    try:
        return bool(json.loads(original) != json.loads(content))
    except (ValueError, RecursionError):
        return True


def _seal(folder: Path, changed: str) -> None:
    """Write the checksums anew, the bundle's and the folder's, where they can be read at all."""
    from tfclassify.files import hash_file

    def change(name: str, work: Callable[[Any], None]) -> None:
        try:
            facts = json.loads((folder / name).read_bytes())
            work(facts)
            (folder / name).write_text(json.dumps(facts))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return

    def seal_bundle(facts: Any) -> None:
        from tfclassify.model.bundle import _Facts

        if changed in facts["sha256"]:
            facts["sha256"][changed] = hash_file(folder / changed)
        facts["checksum"] = _Facts.model_validate(facts).compute_checksum()

    def seal_folder(facts: Any) -> None:
        for name in {changed, "bundle.json"} & set(facts["files"]):
            facts["files"][name] = hash_file(folder / name)

    if changed in ("bundle.json", "recipe.json", "model.keras"):
        change("bundle.json", seal_bundle)
    if changed != _FACTS:
        change(_FACTS, seal_folder)
