from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import threading
import tracemalloc
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tfclassify import files
from tfclassify.errors import StorageError
from tfclassify.files import (
    Document,
    build_folder,
    cache_folder,
    find_irregular,
    guard_formula,
    hash_file,
    lock_file,
    open_regular,
    open_replacing,
    read_regular,
    read_yaml,
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


def test_a_user_without_a_home_names_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("TFCLASSIFY_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", refuse)
    with pytest.raises(StorageError, match=r"no home folder .*; name another folder in the var"):
        cache_folder()


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
    exempt = {"files.py", "pages/profile_page.py", "export/submission.py"}
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


def test_a_folder_that_cannot_be_built_is_named_in_the_error(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with pytest.raises(OSError, match=f"No space .*'{target}'"), build_folder(target):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(FileNotFoundError, match=f"'{target}'"), build_folder(target) as folder:
        (folder / "deep" / "file").write_bytes(b"")
    assert list(tmp_path.iterdir()) == []


def test_only_regular_files_are_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert pipe.is_fifo()
    assert names_in(tmp_path) == ["pipe"]


def test_a_full_device_is_named() -> None:
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        write_text(Path("/dev/full"), "x")


def test_a_device_stays_a_device(tmp_path: Path) -> None:
    link = tmp_path / "nowhere"
    link.symlink_to(os.devnull)
    write_bytes(link, b"gone")
    assert link.is_symlink()
    assert link.is_char_device()
    write_bytes(Path(os.devnull), b"gone")
    assert Path(os.devnull).is_char_device()


def test_standard_output_is_written_where_it_stands(tmp_path: Path) -> None:
    """A shell's ``> file`` is one open file: what was written before it stays before it."""
    program = (
        "import sys; from pathlib import Path; from tfclassify.files import write_text\n"
        "sys.stdout.write('before\\n'); sys.stdout.flush()\n"
        "write_text(Path('/dev/stdout'), 'middle\\n'); sys.stdout.write('after\\n')"
    )
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", program], stdout=out, check=True, timeout=300)
    assert (tmp_path / "out").read_text("utf-8") == "before\nmiddle\nafter\n"
    assert Path("/dev/stdout").is_symlink()


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("mine", "utf-8")
    (tmp_path / "file").symlink_to(tmp_path / "other")
    (tmp_path / "folder").symlink_to(tmp_path)
    write_text(tmp_path / "file", "new")
    with build_folder(tmp_path / "folder") as folder:
        (folder / "x").touch()
    assert (tmp_path / "other").read_text("utf-8") == "mine"
    assert not (tmp_path / "file").is_symlink()
    assert names_in(tmp_path / "folder") == ["x"]
    with pytest.raises(NotADirectoryError), build_folder(tmp_path / "other") as folder:
        (folder / "x").touch()
    assert names_in(tmp_path) == ["file", "folder", "other"]


def test_links_and_pipes_are_found_wherever_they_are(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "file").touch()
    assert find_irregular(tmp_path) is None
    os.mkfifo(tmp_path / "a" / "b" / "p")
    assert find_irregular(tmp_path) == f"{tmp_path}/a/b/p: is a pipe or a device"
    (tmp_path / "a" / "b" / "p").unlink()
    (tmp_path / "a" / "b" / "l").symlink_to(tmp_path)
    assert find_irregular(tmp_path) == f"{tmp_path}/a/b/l: is a link"
    deep = tmp_path / "deep" / "/".join("x" * 40)
    deep.mkdir(parents=True)
    (tmp_path / "a" / "b" / "l").unlink()
    assert find_irregular(tmp_path) == f"{tmp_path}: holds over 100,000 entries, or very deep ones"


def test_nothing_is_opened_through_a_link_or_under_a_second_name(tmp_path: Path) -> None:
    file, link, twin = tmp_path / "file", tmp_path / "link", tmp_path / "twin"
    file.write_bytes(b"12345678")
    link.symlink_to(file)
    assert read_regular(file, limit=8) == b"12345678"
    with pytest.raises(OSError, match="larger than the 7 bytes allowed"):
        read_regular(file, limit=7)
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(link)
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(Path(os.devnull))
    twin.hardlink_to(file)
    assert read_regular(twin, limit=8) == b"12345678"
    with pytest.raises(OSError, match="not a regular file of its own"):
        open_regular(twin, is_writable=True)


class Facts(Document):
    count: int
    share: float = 0.0
    names: tuple[str, ...] = ()


def test_a_document_comes_back(tmp_path: Path) -> None:
    facts = Facts(count=3, share=0.5, names=("a", "b"))
    facts.write(tmp_path / "facts.json")
    assert Facts.read(tmp_path / "facts.json") == facts


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"count": "3"}', r"count: Input should be a valid integer, got '3'"),
        (b'{"count": 1e308}', r"count: .*got 1e\+308"),
        (b'{"count": 1, "share": NaN}', "share: Input should be a finite number, got nan"),
        (b'{"count": 1, "share": 1e999}', "share: Input should be a finite number, got inf"),
        (b"{}", "^count: Field required$"),
        (b"[]", "valid dictionary|an object"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"", "Invalid JSON"),
        (b'{"count": 1, "names": [1, 2]}', r"names.0: .*, got 1 \(and 1 more\)"),
        (b'{"count": ' + b"[" * 100_000, "Invalid JSON: recursion limit"),
    ],
)
def test_a_damaged_document_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "facts.json").write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        Facts.read(tmp_path / "facts.json")
    assert "\n" not in str(raised.value)


def test_a_lock_is_waited_for_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "a" / ".lock"
    ended = []

    def work() -> None:
        with lock_file(path, is_waiting=True):
            ended.append(1)

    with lock_file(path):
        with pytest.raises(BlockingIOError), lock_file(path):
            pass
        waiting = threading.Thread(target=work)
        waiting.start()
        assert not ended
    waiting.join(300)
    assert ended == [1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("a: &a [x, x]\nb: [*a, *a]\n", "an alias, which is not read"),
    ],
)
def test_yaml_that_ends_the_process_or_never_ends_is_refused(
    text: str, message: str, tmp_path: Path
) -> None:
    """The fast loader's stack ended, and with it the process; aliases were 2^60 values."""
    path = tmp_path / "a.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(yaml.YAMLError, match=message):
        read_yaml(path, limit=1 << 20)


def test_plain_yaml_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: [1, {b: [c]}]\nd: null\n", "utf-8")
    assert read_yaml(tmp_path / "a.yaml", limit=100) == {"a": [1, {"b": ["c"]}], "d": None}


def test_a_small_file_takes_no_memory_for_the_largest(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"{}")
    tracemalloc.start()
    assert read_regular(tmp_path / "a.json", limit=1 << 30) == b"{}"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
