"""Tables that are encoded, quoted, cut or filled in every wrong way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from tests.builders import make_photo
from tests.hostile.cases import Case, flip_bits, overwrite

_IMAGES = ("a.png", "b.png", "c.png", "d.png", "=cmd().png", "größe.png", "a b,c.png")
_LABELS = ("red", "blue", "red", "blue", "red", "blue", "red")
_ROWS = "".join(
    f'"{name}",{label},{number % 3},train,{1 + number},{number % 4}\n'
    for number, (name, label) in enumerate(zip(_IMAGES, _LABELS, strict=True))
)
_HEADER = "file,label,person,part,weight,marks\n"
_GOOD = _HEADER + _ROWS
_ALL: dict[str, Any] = {
    "columns": {
        "file": "file",
        "label": "label",
        "group": "person",
        "split": "part",
        "weight": "weight",
        "flags": "marks",
    },
    "flags": {"broken": 1, "blurred": 2},
}
_ONE_HOT: dict[str, Any] = {"columns": {"file": "file", "label": None, "one_hot": "rest"}}
_JOINED: dict[str, Any] = {"label_separator": "|"}


def make_cases() -> list[Case]:
    """Make every hostile table."""
    groups = {
        "encodings": _encode(),
        "quoting": {name: text.encode() for name, text in _quote().items()},
        "columns": {name: text.encode() for name, text in _head().items()},
        "rows": {name: text.encode() for name, text in _fill().items()},
        "paths": {
            repr(name)[:40]: f'file,label\na.png,x\n"{name}",y\n'.encode() for name in _PATHS
        },
        "formulas": {
            repr(text): f'file,label,person\na.png,"{text}","{text}"\nb.png,x,"{text}"\n'.encode()
            for text in FORMULAS
        },
        "much": _repeat(),
        "several labels": {name: text.encode() for name, text in _mark().items()},
    }
    cases = [
        Case(group, name, content, _choose(group, name))
        for group, contents in groups.items()
        for name, content in contents.items()
    ]
    good = _GOOD.encode()
    cases.insert(0, Case("as it is", "table", good, _ALL))
    cases += [
        Case("truncation", f"{n}%", good[: len(good) * n // 100], _ALL) for n in range(5, 100, 9)
    ]
    cases += [Case("bit flips", f"{n}", flip_bits(good, n, 1 + n % 7), _ALL) for n in range(24)]
    cases += [Case("noise", f"{n}", overwrite(good, n, 0.1), _ALL) for n in range(8)]
    cases += [
        Case("separators", repr(mark), good.replace(b",", mark.encode()), {"separator": mark})
        for mark in (";", "\t", "|", " ", '"', "\n", "\r", "\0", "é", "a", "'", "\\")
    ]
    return cases + [Case("no file", name, good, {"special": name}) for name in ("folder", "pipe")]


def _choose(group: str, name: str) -> dict[str, Any]:
    if group == "several labels":
        return _JOINED if name.startswith("joined") else _ONE_HOT
    if group == "formulas":
        return {"columns": {"file": "file", "label": "label", "group": "person"}}
    return _ALL if group in {"columns", "rows", "much"} else {}


#: Texts that a spreadsheet would run, and texts that are near to one.
FORMULAS = (
    *("=cmd()", "=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠x"),
    *("=HYPERLINK(''http://x'')", "'=1", "''", "a=1", " =1", "-", "=", '""=1""', "%0A=1", "|=1"),
)
_PATHS = (
    *("../escape.png", "/etc/passwd", "a/../../escape.png", "..\\escape.png", "C:\\x.png", "//x/y"),
    *("a\0.png", "x" * 300 + ".png", "d/" * 3_000 + "x.png", "", " ", ".", "..", "~/x.png", "-rf"),
    *(
        "file:///etc/passwd",
        "https://x/y.png",
        "$(reboot).png",
        "a\nb.png",
        "\x1b[31m.png",
        "/dev/zero",
    ),
    *(
        "./a.png",
        "a.png/",
        "a.png/../b.png",
        "%2e%2e/x.png",
        "pipe.png",
        "\u202egnp.x",
        "loop/a.png",
    ),
)


def _encode() -> dict[str, bytes]:
    found = {
        name: _GOOD.encode(name)
        for name in (
            "utf-8",
            "utf-8-sig",
            "utf-16",
            "utf-16-le",
            "utf-32",
            "latin-1",
            "cp037",
            "utf-7",
        )
    }
    return found | {
        "half of a character": _GOOD.encode() + b"\xc3",
        "a surrogate": _GOOD.encode() + b"\xed\xa0\x80,x,1,train,1,0\n",
        "overlong": _GOOD.encode() + b"\xc0\xaf,x,1,train,1,0\n",
        "zeros": _GOOD.encode() + bytes(100),
        "an image": b"\x89PNG\r\n\x1a\n" + np.random.default_rng(0).bytes(500),
        "an archive": b"PK\x03\x04" + bytes(200),
        "empty": b"",
        "a mark alone": b"\xef\xbb\xbf",
    }


def _quote() -> dict[str, str]:
    return {
        "carriage returns": "file,label\ra.png,x\rb.png,y\r",
        "both ends": "file,label\r\na.png,x\r\nb.png,y\r\n",
        "mixed ends": "file,label\na.png,x\r\nb.png,y\r",
        "line separators": "file,label\u2028a.png,x\u2028b.png,y",
        "unclosed": 'file,label\n"a.png,x\nb.png,y\n',
        "unopened": 'file,label\na.png",x\nb.png,y\n',
        "text behind a quote": 'file,label\n"a.png"x,y\n',
        "quotes in quotes": 'file,label\na.png,"say ""x"""\nb.png,y\n',
        "lines in quotes": 'file,label\na.png,"x\ny\nz"\nb.png,y\n',
        "all quoted": '"file","label"\n"a.png","x"\n"b.png","y"\n',
        "single quotes": "'file','label'\n'a.png','x'\n",
        "escapes": 'file,label\n"a\\"b.png",x\n',
        "a field of 200,000": f"file,label\na.png,{'x' * 200_000}\nb.png,y\n",
        "a quoted field of 200,000": f'file,label\na.png,"{"x," * 100_000}"\nb.png,y\n',
        "a page": "<html>404</html>",
    }


def _head() -> dict[str, str]:
    return {
        "absent": _ROWS,
        "one is missing": _GOOD.replace(",person", ",people", 1),
        "twice": _GOOD.replace("person", "label", 1),
        "empty names": _GOOD.replace("person", "", 1),
        "spaces around": _GOOD.replace("file,label", " file , label ", 1),
        "capitals": _GOOD.replace("file,label", "File,LABEL", 1),
        "other separator": _GOOD.replace(",", ";"),
        "header alone": _HEADER,
        "blank lines before": "\n\n,,,\n" + _GOOD,
        "10,000 columns": ",".join(f"c{n}" for n in range(10_000)) + "\n" + "," * 9_999 + "\n",
        "control characters": _GOOD.replace("file", "\x1b[31mfile", 1),
    }


def _fill() -> dict[str, str]:
    line = "a.png,red,1,train,1,0\n"
    fields = line.strip().split(",")
    wrong = {
        "split": (3, ("dev", "TRAIN", "Test ", "train,validation", "0", "\u200btrain")),
        "weight": (4, ("0", "-1", "nan", "inf", "1e999", "1e308", "x", "", "1,5", "0x10", "１")),
        "marks": (5, ("-1", "1.5", "4", "99999999999999999999", "nan", "inf", "x", "1e3", "3")),
        "label": (1, ("", " ", "\u202e", "a/b", "..", "x" * 5_000, "<script>", "$\\frac{", "\x07")),
        "group": (2, ("", "x" * 5_000, "nan", "None")),
    }
    rows = {
        "duplicate rows": _GOOD + _ROWS,
        "same image, other label": _GOOD + "a.png,blue,1,train,1,0\n",
        "same image by another path": _GOOD + "./a.png,red,1,train,1,0\n",
        "too few fields": _GOOD + "a.png\n",
        "too many fields": _GOOD + line.strip() + ",more\n",
        "all missing": _HEADER + "".join(f"z{n}.png,red,1,train,1,0\n" for n in range(50)),
        "no labels": _HEADER + "a.png,,1,train,1,0\nb.png,,1,train,1,0\n",
        "one class": _HEADER + "a.png,x,1,train,1,0\nb.png,x,1,train,1,0\n",
        "blank lines between": _GOOD.replace("\n", "\n\n,,,,,\n"),
    }
    for column, (position, values) in wrong.items():
        for value in values:
            changed = [*fields[:position], f'"{value}"', *fields[position + 1 :]]
            rows[f"{column} {value[:20]!r}"] = (
                _GOOD + ",".join(changed).replace("a.png", "b.png") + "\n"
            )
    return rows


def _repeat() -> dict[str, bytes]:
    many = "".join(f"x{n}.png,l{n},{n},train,1,0\n" for n in range(20_000))
    return {
        "20,000 missing images": (_GOOD + many).encode(),
        "20,000 times one image": (_GOOD + "a.png,red,1,train,1,0\n" * 20_000).encode(),
        "a million blank lines": (_GOOD + "\n" * 1_000_000).encode(),
        "a million separators": (_GOOD + "," * 1_000_000 + "\n").encode(),
        "a million quotes": (_GOOD + '"' * 1_000_000 + "\n").encode(),
    }


def _mark() -> dict[str, str]:
    return {
        "columns of 0 and 1": "file,x,y\na.png,0,1\nb.png,1,1\n",
        "columns of other marks": "file,x,y\na.png,2,1\n",
        "columns of words": "file,x,y\na.png,true,FALSE\nb.png,0.0,1.0\n",
        "columns of fractions": "file,x,y\na.png,0.5,1\n",
        "columns without names": "file,,\na.png,0,1\n",
        "columns twice": "file,x,x\na.png,0,1\n",
        "columns of none": "file\na.png\n",
        "columns with a bar": "file,x|y,z\na.png,1,0\nb.png,0,1\n",
        "columns of formulas": "file,=cmd(),-1\na.png,1,0\nb.png,0,1\n",
        "joined": "file,label\na.png,x|y\nb.png,y\n",
        "joined of nothing": "file,label\na.png,|||\nb.png,\n",
        "joined twice": "file,label\na.png,x|x|y\na.png,y|x\nb.png,x\n",
        "joined 9,000": f"file,label\na.png,{'|'.join(f'l{n}' for n in range(9_000))}\nb.png,l1\n",
    }


def prepare(home: Path) -> None:
    """Write the images that the tables name."""
    folder = home / "photos"
    folder.mkdir()
    for seed, name in enumerate(_IMAGES):
        make_photo(seed, (8, 8)).save(folder / name)
    os.mkfifo(folder / "pipe.png")
    (folder / "loop").symlink_to(folder)


def read(case: Case, folder: Path) -> str:
    """Read a table into an index, and the index from its own table; say what came of it."""
    from tests.hostile.images import place_file
    from tfclassify.data.index import load_index, save_index
    from tfclassify.data.readers import read_source
    from tfclassify.data.scan import scan
    from tfclassify.recipe.schema import DataRecipe

    path = folder / "labels.csv"
    place_file(path, case)
    photos = folder.parent / "photos"
    options = {key: value for key, value in case.options.items() if key != "special"}
    data = DataRecipe(source=str(path), images=str(photos), **options)
    found = read_source(data)
    scanned = scan(found.index, workers=1)
    save_index(scanned.index, folder / "index.csv")
    again = load_index(folder / "index.csv")
    assert again.frame.equals(scanned.index.frame), (again.frame, scanned.index.frame)
    assert again.classes == scanned.index.classes
    check_cells((folder / "index.csv").read_text("utf-8", "surrogateescape"))
    return "read, with findings" if found.findings or scanned.findings else "read"


def check_cells(text: str) -> None:
    """Check that no cell of a table begins as a formula does, but for plain numbers."""
    import csv
    from io import StringIO

    for fields in csv.reader(StringIO(text, newline="")):
        for cell in fields:
            if cell.startswith(tuple("=+-@\t\r\n＝＋－＠")):
                float(cell)
