from __future__ import annotations

import json
import stat
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tfclassify import files
from tfclassify.files import (
    build_folder,
    cache_folder,
    guard_formula,
    hash_file,
    open_replacing,
    render_csv,
    replace_folder,
    sweep_unfinished,
    write_bytes,
    write_json,
    write_text,
)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def crash(*_: object) -> None:
    raise RuntimeError("crash")


def test_write_makes_parents_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.bin"
    write_bytes(path, b"old")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert names_in(path.parent) == ["b.bin"]


def test_write_text_is_utf8_with_plain_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "t.txt", "žluť\n")
    assert (tmp_path / "t.txt").read_bytes() == "žluť\n".encode()


def test_written_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_bytes(tmp_path / "atomic", b"")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with pytest.raises(RuntimeError, match="crash"), open_replacing(path) as stream:
        crash(stream.write(b"half"))
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["file"]


def test_write_json_takes_numpy_and_refuses_nothing_json_lacks(tmp_path: Path) -> None:
    content = {
        "a": np.float32(0.5),
        "b": np.arange(3),
        "c": [float("nan"), np.inf, (1, 2)],
        3: Path("x") / "y",
        "ü": None,
    }
    write_json(tmp_path / "x.json", content)
    text = (tmp_path / "x.json").read_text("utf-8")
    assert json.loads(text) == {
        "a": 0.5,
        "b": [0, 1, 2],
        "c": [None, None, [1, 2]],
        "3": "x/y",
        "ü": None,
    }
    assert "ü" in text
    assert text.endswith("}\n")


def test_replace_folder_takes_the_place_of_the_old(tmp_path: Path) -> None:
    for name in ("new", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    replace_folder(tmp_path / "new", tmp_path / "target")
    assert names_in(tmp_path) == ["target"]
    assert names_in(tmp_path / "target") == ["new"]


def test_build_folder_keeps_the_old_one_on_an_error(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with build_folder(target) as folder:
        (folder / "first").touch()
    with pytest.raises(RuntimeError, match="crash"), build_folder(target) as folder:
        crash((folder / "second").write_bytes(b""))
    assert names_in(tmp_path) == ["target"]
    assert names_in(target) == ["first"]


def test_hash_file_knows_the_standard_vector(tmp_path: Path) -> None:
    # FIPS 180-2, appendix B.1
    (tmp_path / "abc").write_bytes(b"abc")
    assert hash_file(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_cache_folder_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TFCLASSIFY_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("TFCLASSIFY_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "tfclassify"


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "＝1"])
def test_formula_starts_are_guarded(text: str) -> None:
    assert guard_formula(text) == "'" + text


def test_plain_text_is_not_guarded() -> None:
    assert guard_formula("a=b") == "a=b"
    assert guard_formula("") == ""


def test_a_table_is_plain_where_nothing_is_odd() -> None:
    frame = pd.DataFrame({"file": ["a.png", "b, c.png"], "n": [1, 2], "p": [0.25, float("nan")]})
    assert render_csv(frame, "%.1f") == 'file,n,p\na.png,1,0.2\n"b, c.png",2,\n'


def test_a_table_guards_cells_and_columns_but_no_numbers() -> None:
    frame = pd.DataFrame({"=name": ["=cmd()", None], "n": [-1, 2], "p": [-0.5, 1e-9]})
    assert render_csv(frame) == "'=name,n,p\n'=cmd(),-1,-0.5\n,2,1e-09\n"


def test_a_return_begins_no_line_of_its_own() -> None:
    frame = pd.DataFrame({"file": ["a\r=cmd()", "b"], "n": [1, 2]})
    text = render_csv(frame)
    assert text == '"file","n"\n"a\r=cmd()",1\n"b",2\n'
    assert pd.read_csv(StringIO(text))["file"].tolist() == ["a\r=cmd()", "b"]


def test_tables_are_written_in_one_place() -> None:
    """Whoever writes a table by other means would have to guard its cells again."""
    root = Path(files.__file__).parent
    exempt = {"files.py", "pages/profile_tables.py", "export/submission_rows.py"}
    for path in root.rglob("*.py"):
        if path.relative_to(root).as_posix() not in exempt:
            text = path.read_text("utf-8")
            assert ".to_csv(" not in text, path
            assert "csv.writer(" not in text, path


def test_only_what_a_crash_left_unfinished_is_swept(tmp_path: Path) -> None:
    kept = [tmp_path / ".lock", tmp_path / "a.tmp", tmp_path / "state" / "last.npz"]
    left = [tmp_path / ".0a.tmp", tmp_path / "state" / ".0b.tmp", tmp_path / ".0c.old" / "x"]
    for path in [*kept, *left]:
        path.parent.mkdir(exist_ok=True)
        path.write_text("x", "utf-8")
    sweep_unfinished(tmp_path)
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in [*left, tmp_path / ".0c.old"])
