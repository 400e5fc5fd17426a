"""The house rule: a package imports from lower floors and from itself only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import tfclassify

ROOT = Path(tfclassify.__file__).parent
FLOORS = {
    "errors": 0,
    "events": 0,
    "augmentations": 0,
    "files": 1,
    "recipe": 1,
    "executors": 1,
    "data": 2,
    "scoring": 2,
    "runs": 2,
    "pipeline": 3,
    "backbones": 3,
    "pages": 3,
    "model": 4,
    "training": 5,
    "inference": 5,
    "profiler": 5,
    "judging": 6,
    "compress": 6,
    "export": 6,
    "tuning": 6,
    "labelling": 6,
    "publishing": 6,
    "workflows": 7,
    "web": 8,
    "api": 9,
    "cli": 10,
}
HEAVY = {"tensorflow", "keras", "tf_keras", "tensorflow_hub", "keras_cv"}
LIGHT_ROOMS = {room for room, floor in FLOORS.items() if floor <= 2} | {
    "pages",
    "workflows",
    "api",
    "cli",
}
FILES = sorted(ROOT.rglob("*.py"))


def room_of(file: Path) -> str:
    first = file.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def imported_modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            if node.module == "tfclassify":
                yield from (f"tfclassify.{alias.name}" for alias in node.names)


def faults_of(room: str, source: str) -> list[str]:
    faults = []
    for module in imported_modules(ast.parse(source)):
        parts = module.split(".")
        if parts[0] != "tfclassify" or len(parts) == 1 or parts[1] == "__version__":
            continue
        other = parts[1]
        if other not in FLOORS:
            faults.append(f"{module} stands on no floor")
        elif other != room and FLOORS[other] >= FLOORS[room]:
            faults.append(f"{room} (floor {FLOORS[room]}) imports {module}")
    return faults


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_come_from_lower_floors(file: Path) -> None:
    room = room_of(file)
    if room in {"__init__", "__main__"}:
        return
    assert room in FLOORS, f"{room} stands on no floor; add it to the design and to FLOORS"
    assert faults_of(room, file.read_text("utf-8")) == []


def test_a_fault_is_found() -> None:
    assert faults_of("data", "from tfclassify.model.bundle import Bundle")
    assert faults_of("runs", "import tfclassify.data.index")
    assert faults_of("recipe", "from tfclassify import utils")
    assert not faults_of("model", "from tfclassify.backbones.catalog import BACKBONES")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_light_rooms_do_not_import_tensorflow_at_module_level(file: Path) -> None:
    if room_of(file) not in LIGHT_ROOMS:
        return
    body = ast.parse(file.read_text("utf-8")).body
    module_level = ast.Module(
        body=[node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))],
        type_ignores=[],
    )
    heavy = {name.split(".")[0] for name in imported_modules(module_level)} & HEAVY
    assert not heavy


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_are_short(file: Path) -> None:
    assert len(file.read_text("utf-8").splitlines()) <= 600


def test_the_design_names_the_floor_of_every_room() -> None:
    text = (ROOT.parent / "docs" / "design.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", text, re.MULTILINE)
    told = {room: int(floor) for floor, rooms in rows for room in re.findall(r"`(\w+)`", rooms)}
    there = {room_of(file) for file in FILES} - {"__init__", "__main__"}
    assert told == {room: floor for room, floor in FLOORS.items() if room in there}


def test_no_test_imports_from_a_test_module() -> None:
    """What several tests need is made by builders, so that a test file may be moved or split."""
    found = [
        f"{file.relative_to(ROOT.parent)}: {module}"
        for file in sorted((ROOT.parent / "tests").rglob("*.py"))
        for module in imported_modules(ast.parse(file.read_text("utf-8")))
        if re.fullmatch(r"tests\.(\w+\.)*test_\w+", module)
    ]
    assert found == []
