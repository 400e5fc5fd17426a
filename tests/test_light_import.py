"""Help, version and a recipe error must not wait for TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROBE = """
import sys
HEAVY = "tensorflow keras pandas sklearn matplotlib scipy numpy jinja2 PIL"
sys.argv = ["tfclassify", *sys.argv[1:]]
from tfclassify.cli.main import run
try:
    run()
except SystemExit as end:
    code = end.code or 0
heavy = {*HEAVY.split()} & set(sys.modules)
print("HEAVY", sorted(heavy), "CODE", code)
"""


def run_probe(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, timeout=300
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("arguments", ["--help", "--version", "train --help", "tune --help"])
def test_help_imports_nothing_heavy(arguments: str) -> None:
    assert run_probe(*arguments.split()) == "HEAVY [] CODE 0"


def test_a_recipe_error_comes_before_tensorflow(tmp_path: Path) -> None:
    recipe = tmp_path / "bad.yaml"
    recipe.write_text("name: bad\nmodle: {}\n", "utf-8")
    line = run_probe("train", str(recipe))
    assert line.endswith("CODE 2")
    assert "tensorflow" not in line
    assert "keras" not in line


STUDIO = """
import sys
from pathlib import Path
from tfclassify.web.studio import LabelRequest, start_labelling
start_labelling(LabelRequest(source=sys.argv[1], session=Path(sys.argv[2]))).board.close()
print(sorted({"tensorflow", "keras", "pandas", "sklearn", "matplotlib"} & set(sys.modules)))
"""


def test_the_studio_opens_without_what_it_does_not_show(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        (tmp_path / "photos" / label / "0.png").touch()
    words = [sys.executable, "-c", STUDIO, str(tmp_path / "photos"), str(tmp_path / "session")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.stdout == "[]\n", done.stderr


WINDOWS = """
import importlib, os, pathlib, sys, types
import click, jinja2, numpy, pandas, PIL.Image, pydantic, rich, scipy.stats, typer, yaml
import tfclassify.cli.main
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty"):
    sys.modules[name] = None
for name in ("uname", "sysconf", "fork", "getuid", "killpg", "sched_getaffinity"):
    delattr(os, name)
sys.modules["msvcrt"] = types.ModuleType("msvcrt")
sys.platform = "win32"
root = pathlib.Path(tfclassify.__file__).parent
for room in sys.argv[1:]:
    for file in sorted((root / room).rglob("*.py")):
        parts = file.relative_to(root.parent).with_suffix("").parts
        if "shipped" not in parts:
            importlib.import_module(".".join(parts).removesuffix(".__init__"))
"""


def test_no_module_without_tensorflow_needs_a_system_like_unix_to_be_imported() -> None:
    rooms = ("recipe", "data", "scoring", "runs", "executors", "pages", "workflows", "api", "cli")
    done = subprocess.run(
        [sys.executable, "-c", WINDOWS, *rooms], capture_output=True, text=True, timeout=300
    )
    assert done.stderr == ""
