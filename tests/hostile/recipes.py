"""Recipes that are bombs, carry tags, hold wrong values or no sense."""

from __future__ import annotations

import copy
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.hostile.cases import Case, flip_bits, overwrite
from tfclassify.recipe.document import render_yaml

_BASE: dict[str, Any] = {
    "name": "hostile",
    "data": {"source": "photos", "image_size": 32, "classes": ["a", "b"], "drop_labels": ["c"]},
    "augment": {"flip": ["horizontal"], "rotate": 0.1, "mix": {"cutmix": 0.5}},
    "model": {
        "backbone": "custom_cnn",
        "layers": [{"conv": 8, "activation": "relu"}],
        "head": {"dense": [4], "dropout": 0.1},
    },
    "class_weights": {"a": 2.0},
    "phases": [{"name": "all", "train": "all", "epochs": 1, "schedule": {"kind": "cosine"}}],
    "tta": {"flips": ["horizontal"]},
}
_TEXT = render_yaml(_BASE)
_LETTERS = "abcdefghi"


def make_cases() -> list[Case]:
    """Make every hostile recipe."""
    groups = {
        "as it is": {"base": _TEXT},
        "bombs": _make_bombs(),
        "anchors": _make_anchors(),
        "tags": _make_tags(),
        "much of one thing": _make_much(),
        "syntax": _make_syntax(),
        "wrong types": dict(_change(_VALUES)),
        "huge numbers": dict(_change(_NUMBERS)),
        "unknown keys": dict(_add()),
    }
    cases = [
        Case(group, name, text.encode("utf-8", "surrogatepass"))
        for group, texts in groups.items()
        for name, text in texts.items()
    ]
    return [*cases, *_damage(_TEXT.encode()), *_build_on()]


def _make_bombs() -> dict[str, str]:
    laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{last}'] * 9)}]\n"
        for last, name in itertools.pairwise(_LETTERS)
    )
    return {
        "nine laughs": laughs,
        "merged mappings": "a: &a {x: 1}\n"
        + "".join(f"k{n}: &k{n}\n  <<: [*a, *a]\n" for n in range(200)),
        "itself": "a: &a [*a]\n",
        "nested lists": "a: " + "[" * 100_000,
        "nested mappings": "a: " + "{a: " * 50_000,
        "nested lines": "".join(f"{' ' * depth}a:\n" for depth in range(600)),
        "nested dashes": "- " * 100_000,
        "nested question marks": "? " * 100_000,
        "two megabytes of space": _TEXT + " " * 2_000_000,
        "two megabytes of remarks": _TEXT + "# remark\n" * 230_000,
        "a long line": f"name: {'x' * 200_000}\n",
        "a folded line": "name: >\n" + "  x\n" * 60_000,
        "a quoted line": 'name: "' + "\\\n" * 100_000 + '"\n',
        "a long key": f"{'k' * 2_000}: 1\n",
        "brackets in quotes": f"name: '{'[' * 100_000}'\n",
    }


def _make_anchors() -> dict[str, str]:
    return {
        "anchor": _TEXT.replace("hostile", "&n hostile"),
        "alias": _TEXT + "description: *n\n",
        "anchor and alias": _TEXT.replace("hostile", "&n hostile") + "description: *n\n",
        "merge key": _TEXT + "<<: {seed: 1}\n",
        "anchored key": _TEXT.replace("name:", "&k name:", 1),
        "anchored mapping": _TEXT.replace("data:", "data: &d", 1),
    }


def _make_tags() -> dict[str, str]:
    calls = (
        *("!!python/object/apply:os.system ['touch escape']", "!!python/name:os.system ''"),
        *("!!python/object/new:os.system [touch escape]", "!!python/module:os ''", "!!set {a}"),
        *("!!python/object:pathlib.Path {}", "!!binary aGk=", "!!str 1", "!!float 'x'", "!!int a"),
        *("!!timestamp 2001-01-01", "!!omap [a: 1]", "!own thing", "!<tag:x> y", "! plain"),
        *("!!null x", "!!bool maybe", "!!merge <<", "!!python/tuple [1]", "!!seq {}", "!!map []"),
    )
    texts = {call: f"name: {call}\n" for call in calls}
    texts |= {f"key {call}": f"? {call}\n: 1\n" for call in calls[:4]}
    return texts | {"tag directive": "%TAG ! tag:evil,2000:\n---\n!x {}\n"}


def _make_much() -> dict[str, str]:
    keys = "".join(f"key{number}: 1\n" for number in range(6_000))
    near = "".join(f"{name}: 1\n" for name in (f"lerning_rat{n}" for n in range(8_000)))
    phases = _TEXT.split("phases:")[0] + "phases:\n"
    return {
        "6,000 unknown keys": _TEXT + keys,
        "8,000 keys that are nearly one": _TEXT + near,
        "6,000 unknown keys of data": _TEXT.replace(
            "data:\n", "data:\n" + "".join(f"  x{n}: 1\n" for n in range(6_000))
        ),
        "8,000 times one key": _TEXT + "seed: 1\n" * 8_000,
        "8,000 phases": phases + "- {name: a, epochs: 1}\n" * 8_000,
        "8,000 wrong phases": phases + "- {epochs: -1, x: 2}\n" * 8_000,
        "60,000 empty phases": phases + "- \n" * 60_000,
        "6,000 classes": _TEXT.replace(
            "classes:", "classes: [" + ", ".join(f"c{n}" for n in range(6_000)) + "]\n  x:", 1
        ),
        "6,000 equal classes": _set(("data", "classes"), ["a"] * 6_000),
        "6,000 weights": _set(("class_weights",), {f"w{n}": 1.0 for n in range(6_000)}),
        "6,000 dropped": _set(("data", "drop_labels"), [f"a{n}" for n in range(6_000)]),
        "6,000 merges": _set(("data", "merge_classes"), {f"m{n}": [f"x{n}"] for n in range(6_000)}),
        "8,000 layers": _set(("model", "layers"), [{"conv": 1}] * 8_000),
        "6,000 dense layers": _set(("model", "head", "dense"), [1] * 6_000),
        "6,000 wrong numbers": _set(("model", "head", "dense"), [-1] * 6_000),
    }


def _make_syntax() -> dict[str, str]:
    return {
        "empty": "",
        "nothing but a remark": "# nothing\n",
        "a scalar": "recipe",
        "a list": "- 1\n- 2\n",
        "null": "null\n",
        "tabs": "name:\n\tx: 1\n",
        "two documents": _TEXT + "---\n" + _TEXT,
        "an end": "...\n" + _TEXT,
        "a directive": "%YAML 9.9\n---\n" + _TEXT,
        "unclosed quote": "name: 'x\n",
        "unclosed bracket": "name: [x\n",
        "bad escape": 'name: "\\q"\n',
        "long escape": 'name: "\\UFFFFFFFF"\n',
        "a surrogate": 'name: "\\ud800"\n',
        "a bell": "name: a\x07b\n",
        "a zero": "name: a\0b\n",
        "a list as key": "? [a, b]\n: 1\n",
        "a mapping as key": "? {a: b}\n: 1\n",
        "null as key": "~: 1\n",
        "nested colons": "a: b: c\n",
        "half of a character": _TEXT + 'description: "\\ud800"\n',
        "byte order mark": "\ufeff" + _TEXT,
        "two byte order marks": "\ufeff\ufeff" + _TEXT,
        "line separators": _TEXT.replace("\n", "\u2028"),
        "carriage returns": _TEXT.replace("\n", "\r"),
        "json": '{"name": "a", "data": {"source": "b"}}',
        "json with a proto": '{"__proto__": {"x": 1}, "__class__": "y"}',
        "a template": "name: {{ name }}\n",
        "a shell": "name: $(reboot)\ndata: {source: '`reboot`'}\n",
        "a page": "<html>404</html>",
        "a lone surrogate": "name: \ud800\n",
    }


_VALUES = {
    "null": None,
    "a boolean": True,
    "a number": 7,
    "a fraction": 0.3,
    "text": "text",
    "empty text": "",
    "a list": [1, "a", None],
    "a mapping": {"a": {"b": []}},
    "long text": "x" * 5_000,
    "a path": "../../../../etc/passwd",
    "control characters": "\x1b[31m\u202e",
}
_NUMBERS = {
    "1e400": float("inf"),
    "nan": float("nan"),
    "10**29": 10**29,
    "-10**29": -(10**29),
    "2**63": 2**63,
    "1e308": 1e308,
    "5e-324": 5e-324,
}


def _change(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Put values in the place of each value of the recipe, by turns."""
    turns = itertools.cycle(values.items())
    for path in _find_paths(_BASE):
        for name, value in itertools.islice(turns, 3):
            yield f"{'.'.join(map(str, path))} is {name}", _set(path, value)


def _find_paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = {dict: dict.items, list: enumerate}.get(type(value), lambda _: ())
    for key, inner in items(value):
        yield from _find_paths(inner, (*path, key))


def _set(path: tuple[Any, ...], value: Any) -> str:
    content = copy.deepcopy(_BASE)
    target: Any = content
    for step in path[:-1]:
        target = target.setdefault(step, {}) if isinstance(target, dict) else target[step]
    target[path[-1]] = value
    return render_yaml(content)


def _add() -> Iterator[tuple[str, str]]:
    for key in ("__class__", "model_config", "copy", "Name", "phase", "", " ", "a.b", "[0]", "名"):
        yield f"top {key!r}", _set((key,), 1)
        yield f"data {key!r}", _set(("data", key), 1)


def _damage(text: bytes) -> list[Case]:
    cases = [
        Case("truncation", f"{share:.0%}", text[: int(len(text) * share)])
        for share in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
    ]
    for seed in range(40):
        cases.append(Case("bit flips", str(seed), flip_bits(text, seed, 1 + seed % 9)))
    for seed in range(10):
        cases.append(Case("noise", str(seed), overwrite(text, seed, 0.1)))
    generator = np.random.default_rng(0)
    lines = text.split(b"\n")
    for seed in range(20):
        cases.append(Case("shuffled lines", str(seed), b"\n".join(generator.permutation(lines))))
    for encoding in ("utf-16", "utf-32", "utf-7", "cp037"):
        cases.append(Case("encodings", encoding, _TEXT.encode(encoding)))
    return [
        *cases,
        Case("encodings", "latin-1", _TEXT.replace("hostile", "höstile").encode("latin-1")),
    ]


def _build_on() -> list[Case]:
    """Build on other files, and on what is none."""
    bases = {
        "itself": "recipe.yaml",
        "a circle": "circle.yaml",
        "a folder": ".",
        "nothing": "absent.yaml",
        "a pipe": "pipe",
        "an endless device": "/dev/zero",
        "the terminal": "/dev/tty",
        "a secret": "/etc/passwd",
        "a process": "/proc/self/mem",
        "an image": "image.png",
        "a list": "list.yaml",
        "6,000 keys": "keys.yaml",
        "a long chain": "chain-0.yaml",
        "a long path": "x/" * 3_000,
        "a zero": "a\0b",
        "home": "~/x.yaml",
        "address": "https://example.org/x.yaml",
    }
    texts = {name: render_yaml({"base": base, **_BASE}) for name, base in bases.items()}
    cases = [Case("base", name, text.encode()) for name, text in texts.items()]
    many = "base: keys.yaml\n" + "".join(f"key{number}: 2\n" for number in range(6_000))
    return [*cases, Case("base", "6,000 keys on 6,000 keys", many.encode())]


def read(case: Case, folder: Path) -> str:
    """Load a recipe as every command does; say what came of it."""
    from tfclassify.recipe.loading import dump_recipe, load_recipe, parse_recipe

    path = folder / "recipe.yaml"
    path.write_bytes(case.content)
    if case.group == "base":
        _place_bases(folder)
    before = sorted(folder.rglob("*"))
    try:
        recipe = load_recipe(path)
    finally:
        assert sorted(folder.rglob("*")) == before
    text = dump_recipe(recipe)
    assert parse_recipe(text) == recipe
    return "loaded"


def _place_bases(folder: Path) -> None:
    (folder / "circle.yaml").write_text("base: recipe.yaml\n")
    (folder / "list.yaml").write_text("- 1\n")
    (folder / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    (folder / "keys.yaml").write_text("".join(f"key{n}: 1\n" for n in range(6_000)))
    os.mkfifo(folder / "pipe")
    for number in range(400):
        (folder / f"chain-{number}.yaml").write_text(f"base: chain-{number + 1}.yaml\n")
    (folder / "chain-400.yaml").write_text("seed: 1\n")
