"""JSON that is no annotations, and what a run keeps of its images, damaged."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.builders import make_photo
from tests.hostile.cases import Case, flip_bits, overwrite
from tests.hostile.images import place_file

_GOOD: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
    "categories": [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 7, "bbox": [0, 0, 4, 4], "iscrowd": 0},
        {"id": 2, "image_id": 2, "category_id": 9, "bbox": [0, 0, 9, 9], "iscrowd": 1},
    ],
}
_TEXT = json.dumps(_GOOD)
_VALUES = (
    *(None, True, -1, 10**30, 1.5, "x", "", [], {}, "../escape.png", "/etc/passwd", "a\0b"),
    *("\ud800", "=cmd()", "x" * 5_000, "a|b", " "),
)


def make_cases() -> list[Case]:
    """Make every hostile file of annotations, and of a run's index."""
    texts = {
        "empty": "",
        "null": "null",
        "a list": "[]",
        "a number": "1",
        "nested lists": "[" * 100_000,
        "nested mappings": '{"a":' * 100_000,
        "nan": _TEXT.replace("4, 4", "NaN, 4"),
        "infinity": _TEXT.replace("4, 4", "Infinity, -Infinity"),
        "1e999": _TEXT.replace("4, 4", "1e999, 4"),
        "an integer of 400 digits": _TEXT.replace("4, 4", f"{'9' * 400}, 4"),
        "an integer of 9,000 digits": _TEXT.replace("4, 4", f"{'9' * 9_000}, 4"),
        "a key twice": _TEXT[:-1] + ', "images": 1}',
        "two values": _TEXT * 2,
        "a byte order mark": "\ufeff" + _TEXT,
        "single quotes": _TEXT.replace('"', "'"),
        "20,000 boxes": _repeat("annotations", 20_000),
        "20,000 images": _repeat("images", 20_000),
    }
    cases = [Case("as it is", "annotations", _TEXT.encode())]
    cases += [Case("texts", name, text.encode()) for name, text in texts.items()]
    cases += [Case("values", name, text.encode()) for name, text in _change()]
    good = _TEXT.encode()
    cases += [Case("truncation", f"{n}%", good[: len(good) * n // 100]) for n in range(5, 100, 10)]
    cases += [Case("bit flips", f"{n}", flip_bits(good, n, 1 + n % 7)) for n in range(20)]
    cases += [Case("noise", f"{n}", overwrite(good, n, 0.1)) for n in range(6)]
    cases += [Case("no file", name, good, {"special": name}) for name in ("folder", "pipe")]
    return [*cases, *_damage_index()]


def _repeat(kind: str, count: int) -> str:
    content = copy.deepcopy(_GOOD)
    entry = content[kind][0]
    content[kind] += [
        {**entry, "id": 10 + number, "file_name": f"{number}.png"} for number in range(count)
    ]
    return json.dumps(content)


def _change() -> Iterator[tuple[str, str]]:
    """Put each value in the place of each key of an entry, and of a whole list."""
    places = [(kind,) for kind in _GOOD]
    places += [(kind, 0) for kind in _GOOD]
    places += [
        (kind, 0, key)
        for kind, keys in {
            "images": ("id", "file_name"),
            "categories": ("id", "name"),
            "annotations": ("image_id", "category_id", "bbox", "iscrowd"),
        }.items()
        for key in keys
    ]
    for place in places:
        for value in _VALUES:
            content = copy.deepcopy(_GOOD)
            target: Any = content
            for step in place[:-1]:
                target = target[step]
            target[place[-1]] = value
            yield f"{'.'.join(map(str, place))} is {value!r:.20}", json.dumps(content)


def _damage_index() -> list[Case]:
    """Damage the table and the facts that a run keeps of its images."""
    cases = []
    for part in ("index.csv", "index.json", "integrity.json"):
        option = {"part": part}
        for seed in range(12):
            cases.append(Case("a run's index", f"{part} {seed}", b"", {**option, "flips": seed}))
        for text in (
            "",
            "[]",
            "{}",
            "null",
            "[" * 50_000,
            "a,b\n1,2\n",
            "\x89PNG",
            '{"classes": 1}',
        ):
            cases.append(Case("a run's index", f"{part} {text[:9]!r}", text.encode(), option))
    huge = "9" * 30
    cases.append(Case("a run's index", f"a width of {huge}", huge.encode(), {"part": "width"}))
    return cases


def prepare(home: Path) -> None:
    """Write the images that the annotations name."""
    (home / "photos").mkdir()
    for seed, name in enumerate(("a.png", "b.png")):
        make_photo(seed, (8, 8)).save(home / "photos" / name)


def read(case: Case, folder: Path) -> str:
    """Read annotations into an index, or a run's index; say what came of it."""
    from tfclassify.data.index import load_index, save_index
    from tfclassify.data.readers import read_source
    from tfclassify.recipe.schema import CocoRecipe, DataRecipe

    if "part" in case.options:
        return _read_index(case, folder)
    images = folder / "images"
    images.symlink_to(folder.parent / "photos")
    place_file(folder / "boxes.json", case)
    coco = CocoRecipe(annotations={"train": "boxes.json"}, images={"train": "images"}, min_area=1.0)
    found = read_source(DataRecipe(source=str(folder), coco=coco))
    save_index(found.index, folder / "index.csv")
    assert load_index(folder / "index.csv").frame.equals(found.index.frame)
    return "read, with findings" if found.findings else "read"


def _read_index(case: Case, folder: Path) -> str:
    """Write a run's index, damage a part of it, and load it."""
    from tfclassify.data.preparation import PreparedData, survey_source
    from tfclassify.recipe.schema import DataRecipe

    prepared = survey_source(DataRecipe(source=str(folder.parent / "photos")))
    places = (folder / "index.csv", folder / "integrity.json")
    prepared.save(*places)
    part = case.options["part"]
    path = folder / (places[0].name if part == "width" else part)
    content = case.content
    if part == "width":
        content = path.read_bytes().replace(b",8,", b"," + case.content + b",")
    elif "flips" in case.options:
        content = flip_bits(path.read_bytes(), case.options["flips"], 3)
    path.write_bytes(content)
    PreparedData.load(*places)
    return "loaded"
