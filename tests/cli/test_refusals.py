"""What the system refuses a verb: a full disk, a folder or a file that its user may not use.

Each ends in one line with the file, the system's reason and the way out, and no work is
begun that could not be kept. Root may do anything, so it lays down that right here.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.tiny_run import CommandLine, TinyRun

#: Verbs, and where each would write.
WRITING = [
    "demo RUN --static room/page --no-browser",
    "lr RECIPE --steps 10 --out room/lr.html",
    "export RUN --format keras --out room",
    "compress RUN --int8 dynamic --format litert --rounds 1 --out room/c",
    "tune RECIPE --trials 1 --out room/t",
    "label PHOTOS --session room/s --labeller ann --labels a,b --no-browser",
    "label SESSION --out room/t.csv",
    "agree SESSION --out room/a",
    "clean RUN --out room/c",
    "pack PHOTOS --out room/p",
    "publish RUN room/m",
    "explain RUN PHOTO --out room/e.png",
    "explain RUN PHOTO --maps room/m",
    "explain RUN PHOTO --overlays room/o",
    "predict RUN PHOTO --save-images room/p",
    "crossval RECIPE --folds 2 --out room/cv",
]
#: These write nothing until somebody answers, or less than the limit below.
SMALL = ("label PHOTOS", "label SESSION", "predict RUN PHOTO --save", "explain RUN PHOTO --over")
#: What may not be read, and verbs that need it.
UNREADABLE = [
    ("run/bundle/model.keras", "demo RUN --static room/page --no-browser"),
    ("run/bundle/model.keras", "serve RUN"),
    ("run/bundle/model.keras", "export RUN --format keras --out room"),
    ("run/bundle/model.keras", "compress RUN --int8 dynamic --out room/c"),
    ("run/bundle/model.keras", "explain RUN PHOTO"),
    ("run/bundle/model.keras", "publish RUN room/m"),
    ("run/bundle/model.keras", "clean RUN --out room/c"),
    ("run/bundle/model.keras", "profile MODEL"),
    ("run/bundle/recipe.json", "explain RUN PHOTO"),
    ("run/bundle/bundle.json", "serve RUN"),
    ("run/index.csv", "publish RUN room/m"),
    ("run/integrity.json", "publish RUN room/m"),
    ("run/metrics.json", "publish RUN room/m"),
    ("run/predictions.npz", "clean RUN --out room/c"),
    ("run/recipe.yaml", "compress RUN --int8 dynamic --out room/c"),
    ("run", "serve RUN"),
    ("session/session.yaml", "label SESSION --labeller ann --no-browser"),
    ("session/session.yaml", "agree SESSION --out room/a"),
    ("session/labels/ann.jsonl", "agree SESSION --out room/a"),
    ("session/session.yaml", "pack SESSION --out room/p"),
    ("photos/red", "pack PHOTOS --out room/p"),
    ("photos/red", "label PHOTOS --session room/s --labeller ann --labels a,b --no-browser"),
    ("photos/labels.csv", "lr RECIPE --steps 10 --out room/lr.html"),
    ("tiny.yaml", "tune RECIPE --trials 1 --out room/t"),
    ("published/published.json", "verify PUBLISHED"),
    ("published/README.md", "verify PUBLISHED"),
    ("published/answers.npz", "verify PUBLISHED"),
    ("published/samples", "verify PUBLISHED"),
]


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("thread", ctypes.c_int)]


class _Rights(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


@contextmanager
def obeyed_modes() -> Iterator[None]:
    """Let the modes of files bind this thread, though it is root's."""
    if os.geteuid() != 0:
        yield
        return
    library = ctypes.CDLL(None, use_errno=True)
    header, rights = _Header(0x20080522, 0), (_Rights * 2)()
    if library.capget(ctypes.byref(header), rights):
        pytest.skip("this system does not tell root's rights")
    before = rights[0].effective
    rights[0].effective &= ~0b110  # to pass over modes when writing, and when reading
    library.capset(ctypes.byref(header), rights)
    try:
        yield
    finally:
        rights[0].effective = before
        library.capset(ctypes.byref(header), rights)


@contextmanager
def smallest_files(size: int) -> Iterator[None]:
    """Let the system refuse to write more than so many bytes into one file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def home(tiny_run: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tiny run and its photos, a session on them, and the model published."""
    from tfclassify.data.journals import Answer
    from tfclassify.labelling.session import Facts, create_session
    from tfclassify.labelling.vocabulary import make_vocabulary
    from tfclassify.workflows.publish import PublishRequest, publish_run

    home = tmp_path_factory.mktemp("refusals") / "home"
    shutil.copytree(tiny_run.home, home)
    shutil.copytree(tiny_run.run, home / "run")
    facts = Facts(data={"source": str(home / "photos")}, vocabulary=make_vocabulary(["a", "b"]))
    session = create_session(home / "session", facts)
    for labeller in ("ann", "ben"):
        with session.open_journal(labeller) as journal:
            for number in range(6):
                name = f"red/{number:02}.png"
                journal.answer({name: Answer(name, labeller, ("a",))})
    publish_run(PublishRequest(home / "run", str(home / "published")))
    return home


def fill_in(line: str, home: Path) -> list[str]:
    names = {"RUN": "run", "RECIPE": "tiny.yaml", "PHOTOS": "photos", "PHOTO": "photos/red/03.png"}
    names |= {"SESSION": "session", "PUBLISHED": "published", "MODEL": "run/bundle/model.keras"}
    return [str(home / names[word]) if word in names else word for word in line.split()]


@pytest.mark.parametrize("line", WRITING)
def test_a_folder_that_may_not_be_written(
    line: str, home: Path, in_tmp: Path, tfclassify: CommandLine
) -> None:
    (in_tmp / "room").mkdir(mode=0o500)
    with obeyed_modes():
        answer = tfclassify(*fill_in(line, home), "-q")
    assert answer.code == 1, answer.err
    assert answer.err.count("\n") == 1
    assert "room" in answer.err
    assert "Permission denied; make it readable and writable" in answer.err
    assert ".tmp" not in answer.err
    assert not list((in_tmp / "room").iterdir())


@pytest.mark.parametrize("line", [line for line in WRITING if not line.startswith(SMALL)])
def test_a_disk_that_takes_no_more(
    line: str, home: Path, in_tmp: Path, tfclassify: CommandLine
) -> None:
    (in_tmp / "room").mkdir()
    with smallest_files(800):
        answer = tfclassify(*fill_in(line, home), "-q")
    assert answer.code == 1, answer.err
    assert answer.err.count("\n") == 1, answer.err
    assert re.search(r"[ /](room|tfclassify-\w+)/", answer.err)  # there, or where it is prepared
    assert "File too large" in answer.err
    assert "hoose a disk that takes files of this size" in answer.err
    assert ".tmp" not in answer.err


@pytest.mark.parametrize(("file", "line"), UNREADABLE)
def test_what_may_not_be_read(
    file: str, line: str, home: Path, in_tmp: Path, tfclassify: CommandLine
) -> None:
    place = home / file
    mode = place.stat().st_mode
    place.chmod(0)
    try:
        with obeyed_modes():
            answer = tfclassify(*fill_in(line, home), "-q")
    finally:
        place.chmod(mode)
    assert answer.code in (1, 2), answer.out
    assert answer.err.count("\n") == 1, answer.err
    assert place.name in answer.err
    assert "Permission denied" in answer.err
    assert "ake it readable and writable, or choose another place" in answer.err


def test_a_photo_that_may_not_be_read_is_named_once(
    home: Path, in_tmp: Path, tfclassify: CommandLine
) -> None:
    photo = home / "photos" / "red" / "03.png"
    photo.chmod(0)
    try:
        with obeyed_modes():
            answer = tfclassify("explain", home / "run", photo, "-q")
    finally:
        photo.chmod(0o644)
    assert answer.code == 1
    assert answer.out.startswith(f"{photo}: the file cannot be read")
    assert answer.out.count(str(photo)) == 1
    assert answer.err == "error: explain: none of 1 file could be used\n"
