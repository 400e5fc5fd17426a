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


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def find_rings(arrows: dict[str, set[str]]) -> set[frozenset[str]]:
    """Return the groups whose members reach one another."""
    reached = {}
    for start in arrows:
        seen, pending = set[str](), [start]
        while pending:
            for other in arrows.get(pending.pop(), set()) - seen:
                seen.add(other)
                pending.append(other)
        reached[start] = seen
    return {
        frozenset(other for other in seen if start in reached.get(other, set()))
        for start, seen in reached.items()
        if start in seen
    }


def list_running_imports(tree: ast.AST) -> Iterator[str]:
    """Yield what is imported as the program runs, at the top or within a function."""
    for node in ast.iter_child_nodes(tree):
        is_for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not is_for_types:
            yield from list_running_imports(node)


def test_no_modules_need_one_another_in_a_ring() -> None:
    """Imports within functions count; two rings are what they are about, and are named here."""
    assert find_rings({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == {frozenset("bc")}
    modules = {module_of(file) for file in FILES}
    arrows = {
        module_of(file): set(list_running_imports(ast.parse(file.read_text("utf-8")))) & modules
        for file in FILES
        if file.name != "__init__.py"
    }
    assert find_rings(arrows) == {
        # A Recipe that Python makes goes through the checks of a file, which make Recipes.
        frozenset(
            f"tfclassify.recipe.{name}" for name in ("loading", "problems", "reference", "schema")
        ),
        # A Run can be judged, and what judges several gives a Run.
        frozenset({"tfclassify.api.run", "tfclassify.api.judging"}),
    }
