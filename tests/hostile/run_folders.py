"""Folders of runs, cross-validations and ensembles, with one file of them damaged.

Every JSON file is damaged in each of its values, by kind: another type, a number that is
none, a key that is missing; and as a whole: cut, flipped, nested, replaced by a pipe or a
link. Tables and saved states are damaged as files.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from unittest import mock

import numpy as np

from tests.hostile.cases import Case, flip_bits, overwrite

#: What stands in the place of a value; ``1e308`` and its like are written as they are.
_VALUES = (None, True, -1, 0, 2.5, "x", "", "../../x", "\ud800", [], {}, [[]], {"a": {"b": [1]}})
_NUMBERS = ("1e308", "-1e308", "1e999", "NaN", "-Infinity", "9" * 400, "0.1e-999")
_MARK = "@@@"
SPECIAL = ("pipe", "link", "folder", "absent", "device")


@cache
def make_scene() -> Path:
    """Make a run, a cross-validation and an ensemble that nobody trained."""
    from tests import fake_runs
    from tfclassify.training.state import StateFolder, save_snapshot
    from tfclassify.workflows import crossval, ensemble
    from tfclassify.workflows.resuming import note_beginning

    home = Path(mkdtemp(prefix="tfclassify-scene-"))
    recipe = fake_runs.make_recipe()
    index = fake_runs.make_index(home / "photos", images=18)
    for number in (1, 2):
        path = fake_runs.make_run(home / f"run-{number}", recipe, index, seed=number)
        fake_runs.add_bundle(path, recipe, seed=number)
    from tfclassify.runs.directory import RunDirectory

    run = RunDirectory(home / "run-1")
    note_beginning(run, recipe, index)
    record = {"phase": "all", "phase_number": 0, "epoch": 1, "learning_rate": 0.1}
    record |= {"seconds": 1.0, "images_per_second": 9.0, "train": {"loss": 0.5}, "validation": {}}
    run.write_journal([record])
    run.mining_path.write_text("image,label,start,weight,misses\n000.png,blue,1,1.5,1\n", "utf-8")
    state, variable = StateFolder(run.state_dir), _make_variable()
    facts = {"phase_number": 0, "epoch": 1, "records": [record]}
    save_snapshot(state.last, [variable], facts, {"misses": np.array([0, 1])})
    save_snapshot(state.phase(0), [variable], {"phase": "all", "validation": {"loss": 0.5}})

    def fill(run: Any, recipe: Any, data: Any, observer: Any, **named: Any) -> None:
        fake_runs.fill_run(run, recipe, data.index, seed=1)

    from tfclassify.recipe.loading import dump_recipe

    path = home / "tiny.yaml"
    path.write_text(dump_recipe(recipe).replace("source: photos", f"source: {home}/photos"))
    _sort_photos(home / "photos")
    with mock.patch.object(crossval, "train_prepared", fill):
        crossval.crossval_recipe(crossval.CrossvalRequest(path, folds=2, out=home / "cv"))
    ensemble.ensemble_runs(
        ensemble.EnsembleRequest((home / "run-1", home / "run-2"), "equal", out=home / "ensemble")
    )
    return home


def _make_variable() -> Any:
    import keras

    return keras.Variable(np.array([1.0, 2.0], np.float32))


def _sort_photos(photos: Path) -> None:
    """Copy the photos into folders of their classes, as a cross-validation reads them."""
    from tests.fake_runs import CLASSES

    for number, path in enumerate(sorted(photos.glob("*.png"))):
        folder = photos / CLASSES[number % len(CLASSES)]
        folder.mkdir(exist_ok=True)
        shutil.copy(path, folder / path.name)


#: Files that are damaged value by value, as whole files, and as archives or tables.
JSON_FILES = (
    *("run-1/environment.json", "run-1/index.json", "run-1/integrity.json"),
    *("run-1/metrics.json", "run-1/bundle/bundle.json", "run-1/bundle/recipe.json"),
    *("run-1/state/began.json", "run-1/journal.jsonl", "ensemble/ensemble.json"),
    *("ensemble/metrics.json", "cv/crossval.json", "cv/metrics.json", "cv/index.json"),
    *("cv/fold-1/metrics.json",),
)
OTHER_FILES = (
    *("run-1/recipe.yaml", "run-1/index.csv", "run-1/predictions.csv", "run-1/predictions.npz"),
    *("run-1/mining.csv", "run-1/state/last.npz", "run-1/state/phase-0.npz", "cv/crossval.yaml"),
    *("cv/fold-2/predictions.csv", "cv/fold-2/predictions.npz", "run-1/bundle/model.keras"),
)


def make_cases() -> list[Case]:
    """Make every damaged file."""
    home = make_scene()
    cases = [
        Case("as it is", file, (home / file).read_bytes(), {"file": file})
        for file in (*JSON_FILES, *OTHER_FILES)
        if (home / file).exists()
    ]
    for good in list(cases):
        file = good.options["file"]
        if file in JSON_FILES:
            cases += [
                Case(group, f"{file}: {name}", content, {"file": file})
                for group, name, content in damage_json(good.content)
            ]
        cases += [
            Case(group, f"{file}: {name}", content, {"file": file})
            for group, name, content in damage_file(good.content)
        ]
        cases += [
            Case("no file", f"{file}: {kind}", b"", {"file": file, "special": kind})
            for kind in SPECIAL
        ]
    return cases


def damage_json(content: bytes) -> Iterator[tuple[str, str, bytes]]:
    good = json.loads(content)
    for turn, path in enumerate(dict.fromkeys(_list_paths(good))):
        name = ".".join(map(str, path))
        for value in _VALUES[turn % 3 :: 3]:
            text = json.dumps(_put(good, path, value))
            yield "values", f"{name} = {value!r}", text.encode()
        for number in _NUMBERS[turn % 3 :: 3]:
            text = json.dumps(_put(good, path, _MARK)).replace(f'"{_MARK}"', number)
            yield "numbers", f"{name} = {number:.12}", text.encode()
        yield "missing keys", name, json.dumps(_drop(good, path)).encode()
    for name, text in {
        "null": "null",
        "a list": "[]",
        "a text": '"x"',
        "nested lists": "[" * 100_000,
        "nested mappings": '{"a":' * 100_000,
        "a byte order mark": "\ufeff" + json.dumps(good),
        "two values": json.dumps(good) * 2,
    }.items():
        yield "texts", name, text.encode()


def damage_file(content: bytes) -> Iterator[tuple[str, str, bytes]]:
    yield "bytes", "empty", b""
    yield "bytes", "no text", b"\xff\xfe\x00" * 9
    for seed in range(12):
        yield "bytes", f"bits {seed}", flip_bits(content, seed, 1 + seed % 7)
    for seed in range(6):
        yield "bytes", f"noise {seed}", overwrite(content, seed, 0.1)
    for percent in range(10, 100, 20):
        yield "bytes", f"cut to {percent} %", content[: len(content) * percent // 100]


def _list_paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Name every value; the first of a list, and a few of a long mapping, stand for all."""
    if path:
        yield path
    if isinstance(value, dict):
        for key in list(value)[:10]:
            yield from _list_paths(value[key], (*path, key))
    elif isinstance(value, list) and value:
        yield from _list_paths(value[0], (*path, 0))


def _put(good: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(good)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


def _drop(good: Any, path: tuple[Any, ...]) -> Any:
    changed = copy.deepcopy(good)
    place = changed
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return changed


def prepare(home: Path) -> None:
    """Import what is heavy before memory and time are limited; read each recipe's text once.

    Nearly all of the time would go into the recipes beside the damaged file, which are the
    same in every folder.
    """
    from tfclassify.judging import contenders
    from tfclassify.model.bundle import load_bundle
    from tfclassify.recipe import loading

    load_bundle(make_scene() / "run-1" / "bundle")
    read, known = loading.load_recipe, {}

    def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Any:
        text = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        if text is None or overrides:
            return read(path, overrides)
        if text not in known:
            known[text] = read(path)
        return known[text]

    loading.load_recipe = contenders.load_recipe = load_recipe


def read(case: Case, folder: Path) -> str:
    """Read a copy of the folder whose file is damaged, with all that reads that folder."""
    scene, file = make_scene(), case.options["file"]
    top = file.split("/")[0]
    shutil.copytree(scene / top, folder / top)
    place_file(folder / file, case)
    try:
        if top == "cv":
            _read_crossval(folder / top, scene)
        elif top == "ensemble":
            _read_ensemble(folder / top, scene)
        else:
            _read_run(folder / top, scene, file)
    finally:
        shutil.rmtree(folder / top, ignore_errors=True)
    return "read"


def place_file(path: Path, case: Case) -> None:
    path.unlink(missing_ok=True)
    special = case.options.get("special")
    if special == "pipe":
        os.mkfifo(path)
    elif special == "link":
        path.symlink_to("/etc/hostname")
    elif special == "device":
        path.symlink_to("/dev/zero")
    elif special == "folder":
        path.mkdir()
    elif special is None:
        path.write_bytes(case.content)


def _read_run(path: Path, scene: Path, file: str) -> None:
    from tfclassify.data.preparation import PreparedData
    from tfclassify.judging.contenders import read_contenders
    from tfclassify.model.bundle import load_bundle
    from tfclassify.recipe.loading import load_recipe
    from tfclassify.runs.directory import RunDirectory
    from tfclassify.training.mining import read_hardest
    from tfclassify.training.state import StateFolder, load_facts, load_last
    from tfclassify.workflows.compare import CompareRequest, compare_runs
    from tfclassify.workflows.resuming import find_changes, read_environment

    run = RunDirectory.open(path, needs_bundle=True)
    recipe = load_recipe(run.recipe_path)
    data = PreparedData.load(run.index_path, run.integrity_path)
    run.describe_kept()
    run.read_journal()
    read_environment(run)
    find_changes(run, recipe, data.index)
    load_last(StateFolder(run.state_dir).last)
    load_facts(StateFolder(run.state_dir).phase(0))
    read_hardest(run.mining_path, data.index, limit=9)
    read_contenders([run.path, scene / "run-2"], None)
    if file.endswith(("metrics.json", "predictions.csv", "predictions.npz")):
        compare_runs(CompareRequest((run.path, scene / "run-2"), has_cost=False))
    if "/bundle/" in file:
        load_bundle(run.bundle_dir)


def _read_crossval(path: Path, scene: Path) -> None:
    from tfclassify.data.preparation import PreparedData
    from tfclassify.judging.contenders import read_contenders
    from tfclassify.judging.folds import read_fold
    from tfclassify.recipe.loading import load_recipe
    from tfclassify.runs.crossval_directory import CrossvalDirectory

    place = CrossvalDirectory.open(path)
    place.describe_kept()
    load_recipe(place.recipe_path)
    PreparedData.load(place.index_path, place.integrity_path)
    for repeat, fold in place.plan.places():
        read_fold(place, repeat, fold)
    read_contenders([place.path, scene / "run-2"], None)


def _read_ensemble(path: Path, scene: Path) -> None:
    from tfclassify.judging.contenders import read_contenders
    from tfclassify.runs.directory import RunDirectory

    run = RunDirectory.open(path, needs_bundle=True)
    run.describe_way_on()
    read_contenders([run.path, scene / "run-2"], None)
