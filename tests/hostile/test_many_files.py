"""Thousands of files of which one in a hundred is broken: every good one is answered."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.builders import COLOURS, make_photo
from tests.data.builders import Listener, encode
from tests.hostile.images import make_cases
from tests.tiny_run import TinyRun
from tfclassify.workflows.evaluate import EvaluateRequest, evaluate_run
from tfclassify.workflows.predict import PredictRequest, predict_paths_of_run

EVERY, KINDS = 100, 60
#: Groups of hostile images none of which can be read.
BROKEN = ("wrong magic", "zero declared size", "no image")


@pytest.fixture(scope="module", params=[1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def photos(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the files in class folders, each with other bytes, and bad ones in between."""
    root = tmp_path_factory.mktemp("many")
    broken = [case.content for case in make_cases() if case.group in BROKEN]
    names = list(COLOURS)
    good = [encode(make_photo(n, (8, 8), COLOURS[names[n % 3]])) for n in range(KINDS)]
    for name in names:
        (root / name).mkdir()
    for number in range(request.param):
        is_broken = number % EVERY == EVERY // 2
        # What follows the end of a PNG is not looked at, and makes it no other's duplicate.
        content = broken[number // EVERY] if is_broken else good[number % KINDS]
        content += b"" if is_broken else number.to_bytes(4, "big")
        (root / names[number % KINDS % 3] / f"{number:05}.png").write_bytes(content)
    return root


def is_broken(file: str) -> bool:
    return int(Path(file).stem) % EVERY == EVERY // 2


def test_predict_answers_all_good_ones_in_order(tiny_run: TinyRun, photos: Path) -> None:
    request = PredictRequest(tiny_run.run, (photos,), use_tta=False, out=photos.parent / "out.csv")
    listener = Listener()
    answers = predict_paths_of_run(request, listener).predictions
    assert list(answers.files) == sorted(map(str, photos.rglob("*.png")))
    files = len(answers.files)
    assert files >= 1_000
    assert [bool(error) for error in answers.errors] == [is_broken(file) for file in answers.files]
    assert answers.failed == files // EVERY
    assert any(
        f"{files // EVERY} of {files} files could not be used" in w for w in listener.warnings
    )
    has_answer = ~np.isnan(answers.probabilities).any(axis=1)
    assert has_answer.tolist() == [not error for error in answers.errors]
    kinds = np.array([int(Path(file).stem) % KINDS for file in answers.files])
    for kind in range(KINDS):
        same = answers.probabilities[(kinds == kind) & has_answer]
        assert np.ptp(same, axis=0).max() < 1e-6, "an answer is another image's"
    firsts = [answers.probabilities[(kinds == kind) & has_answer][0] for kind in range(KINDS)]
    assert len(np.unique(np.round(firsts, 5), axis=0)) == KINDS, "the kinds are told apart"
    lines = request.out.read_text("utf-8").splitlines() if request.out else []
    assert len(lines) == files + 1


def test_evaluate_judges_all_good_ones_and_lists_the_others(
    tiny_run: TinyRun, photos: Path
) -> None:
    request = EvaluateRequest(tiny_run.run, data=str(photos), use_tta=False)
    listener = Listener()
    result = evaluate_run(request, listener)
    files = sum(1 for _ in photos.rglob("*.png"))
    assert result.quarantined == files // EVERY
    (verdict,) = result.verdicts
    assert len(verdict.answers) == files - files // EVERY
    assert verdict.plain.n == files - files // EVERY
    assert not any(map(is_broken, verdict.answers.images))
    counts = [re.search(r": (\d+) [^:]*\(quarantined\)", line) for line in listener.warnings]
    assert sum(int(count[1]) for count in counts if count) == files // EVERY
