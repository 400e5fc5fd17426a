"""Classes and files with names that mean harm are shown as names, wherever they are shown."""

from __future__ import annotations

import csv
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest

from tests.builders import make_photo
from tests.tiny_run import CommandLine
from tfclassify.files import FORMULA_STARTS

CLASSES = ("<script>alert(1)</script>", "=cmd|' /C calc'!A0", "a\"' onload=alert(2) x='$\\frac{")
FILES = ("=cmd().png", "<img src=x onerror=alert(3)>.png", "'+1.png", "a\r=cmd().png", "[red]b.png")
RECIPE = """\
name: hostile
data:
  source: labels.csv
  columns: {file: file, label: label, group: person}
  image_size: 16
  validation: 0.4
model:
  backbone: custom_cnn
  layers: [{conv: 4, stride: 4}]
phases:
  - {name: "<script>alert(4)</script>", epochs: 1, train: all}
"""


class Tags(HTMLParser):
    """Gathers the tags of a page and what of them could run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.handlers += [value for _, value in attrs if (value or "").startswith("javascript:")]


def check_page(path: Path) -> str:
    page = path.read_text("utf-8")
    tags = Tags()
    tags.feed(page)
    assert not tags.names & {"script", "iframe", "object", "embed", "link", "base", "form"}
    assert tags.handlers == []
    assert "<script>alert" not in page
    assert "onerror=alert(3)>" not in page
    return page


def check_table(path: Path) -> list[list[str]]:
    rows = list(csv.reader(StringIO(path.read_bytes().decode("utf-8"), newline="")))
    assert len({len(row) for row in rows}) == 1
    for row in rows:
        for cell in row:
            assert not cell.startswith(FORMULA_STARTS), row
    return rows


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write photos of three classes, five of each, all with names that mean harm."""
    home = tmp_path_factory.mktemp("hostile")
    table = csv.writer(stream := StringIO(newline=""), quoting=csv.QUOTE_ALL)
    table.writerow(["file", "label", "person"])
    for number, label in enumerate(CLASSES):
        for position, name in enumerate(FILES):
            file = name.replace(".png", f"{number}.png")
            make_photo(10 * number + position, (20, 24)).save(home / file, "PNG")
            table.writerow([file, label, f"=person{number}{position}"])
    (home / "labels.csv").write_bytes(stream.getvalue().encode())
    (home / "hostile.yaml").write_text(RECIPE, "utf-8")
    return home


def test_a_whole_run_shows_names_as_names(
    photos: Path, tfclassify: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    answer = tfclassify("train", "hostile.yaml")
    assert answer.code == 0, answer.err
    run = next((photos / "reports" / "hostile").iterdir())
    page = check_page(run / "report.html")
    assert "&lt;script&gt;alert(1)" in page
    for path in run.glob("figures/*.svg"):
        assert "<script>" not in path.read_text("utf-8")
    tables = {path.name: check_table(path) for path in run.glob("*.csv")}
    assert {"index.csv", "predictions.csv"} <= set(tables)
    assert len(tables["index.csv"]) == 1 + len(CLASSES) * len(FILES)
    answer = tfclassify("predict", run, ".", "--out", "answers.csv")
    assert answer.code == 0, answer.err
    answers = check_table(photos / "answers.csv")
    assert len(answers) == 1 + len(CLASSES) * len(FILES)
    assert "\x1b]" not in answer.out
    answer = tfclassify("inspect", "hostile.yaml", "--html", "inspect.html")
    assert answer.code == 0, answer.err
    assert "&lt;script&gt;alert(1)" in check_page(photos / "inspect.html")
