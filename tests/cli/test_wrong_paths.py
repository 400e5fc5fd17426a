"""A path that is not there, or a source without an image, is a wrong request: exit 2.

One rule for every verb, whatever stands behind it; images that are there and broken are
work that failed: exit 1.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.tiny_run import CommandLine, TinyRun

ABSENT = [
    "train absent",
    "train absent.yaml",
    "train --resume absent",
    "train RECIPE --set data.source=absent",
    "train RECIPE --set data.table=absent.csv",
    "check absent",
    "preview absent",
    "inspect absent",
    "new flowers --data absent",
    "crossval absent",
    "crossval --resume absent",
    "tune absent",
    "evaluate absent",
    "evaluate RUN --data absent",
    "predict absent PHOTOS",
    "predict RUN absent.png",
    "predict RUN absent.png absent",
    "submit absent --format csv --images PHOTOS",
    "submit RUN --format csv --images absent",
    "submit RUN --format csv --images PHOTOS --template absent.csv",
    "export absent --format keras",
    "export RUN --format keras --images absent",
    "compare RUN absent",
    "ensemble RUN absent",
    "profile absent",
    "compress absent --int8 dynamic",
    "runs absent",
]
EMPTY = [
    "train empty",
    "check empty",
    "preview empty",
    "inspect empty",
    "new flowers --data empty",
    "crossval empty",
    "tune empty",
    "evaluate RUN --data empty",
    "predict RUN empty",
    "submit RUN --format csv --images empty",
    "export RUN --format keras --images empty",
    "profile empty",
    "train other.bin",
    "train builtin:numbers",
    "inspect https://example.org/a.zip",
]


@pytest.mark.parametrize("line", [*ABSENT, *EMPTY])
def test_a_wrong_path_ends_with_2_and_leaves_nothing(
    line: str, tiny_run: TinyRun, in_tmp: Path, tfclassify: CommandLine
) -> None:
    (in_tmp / "empty").mkdir()
    (in_tmp / "other.bin").write_bytes(b"\x00\x01")
    shutil.copy(tiny_run.recipe, in_tmp / "tiny.yaml")
    (in_tmp / "photos").symlink_to(tiny_run.photos)
    names = {"RUN": tiny_run.run, "PHOTOS": tiny_run.photos, "RECIPE": "tiny.yaml"}
    before = sorted(path.name for path in in_tmp.iterdir())
    answer = tfclassify(*(str(names.get(word, word)) for word in line.split()), "-q")
    assert answer.code == 2, answer.err
    assert answer.err.count("\n") == 1
    assert sorted(path.name for path in in_tmp.iterdir()) == before


def test_beside_an_image_that_is_there_an_absent_one_has_its_row(
    tiny_run: TinyRun, in_tmp: Path, tfclassify: CommandLine
) -> None:
    good = tiny_run.photos / "red" / "03.png"
    answer = tfclassify("predict", tiny_run.run, good, "absent.png", "-q")
    assert answer.code == 0
    assert "absent.png: there is no such file" in answer.out


def test_the_nearest_name_is_given(
    tiny_run: TinyRun, in_tmp: Path, tfclassify: CommandLine
) -> None:
    (in_tmp / "rose.png").write_bytes(b"")
    answer = tfclassify("predict", tiny_run.run, "rosse.png", "tulip.png")
    assert answer.err == (
        "error: rosse.png: there is no such file or folder (nor any of 1 others); did you mean "
        "'rose.png'?; name images or folders of them\n"
    )
