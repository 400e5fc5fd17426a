from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tfclassify.errors import ExportError
from tfclassify.export.fresh_process import run_afresh
from tfclassify.export.proof import compare

ROWS = np.array([[0.2, 0.5, 0.3], [0.6, 0.4, 0.0]])
IDS = np.array([1, 0])


def test_equal_answers():
    assert compare("x.zip", ROWS, ROWS.copy(), IDS) == 0.0


def test_the_largest_difference_is_returned():
    found = ROWS + np.array([[0, 4e-6, 0], [-2e-6, 0, 0]])
    assert compare("x.zip", ROWS, found, IDS) == pytest.approx(4e-6)


@pytest.mark.parametrize("fault", [2e-5, np.nan])
def test_other_probabilities(fault):
    found = ROWS.copy()
    found[1, 2] += fault
    with pytest.raises(ExportError, match=r"x.zip: probabilities .* differ by (2e-05|nan)"):
        compare("x.zip", ROWS, found, IDS)


@pytest.mark.parametrize("ids", [[1, 2], [1, 3], [1, -1]])
def test_other_classes(ids):
    with pytest.raises(ExportError, match=rf"for 1 of 2 images, first {ids[1]} instead of 0"):
        compare("x.zip", ROWS, ROWS, np.array(ids))


def test_near_ties_may_go_either_way():
    rows = np.array([[0.5, 0.5 - 1e-7]])
    compare("x.zip", rows, rows[:, ::-1], np.array([1]))


@pytest.mark.parametrize(("found", "ids"), [(ROWS[:1], IDS), (ROWS[:, :2], IDS), (ROWS, IDS[:1])])
def test_other_shapes(found, ids):
    with pytest.raises(ExportError, match="probabilities of shape"):
        compare("x.zip", ROWS, found, ids)


SETS, LIMITS = np.array([[0.2, 0.5], [0.7, 0.1]]), np.array([0.5, 0.4])
MARKS = np.array([[0, 1], [1, 0]])


def test_equal_label_sets():
    assert compare("x.zip", SETS, SETS.copy(), MARKS, thresholds=LIMITS) == 0.0


@pytest.mark.parametrize("wrong", [[0, 0], [1, 1], [-1, 0]])
def test_other_labels(wrong):
    chosen = np.array([[0, 1], wrong])
    with pytest.raises(ExportError, match=r"other labels to 1 of 2 images, first \[.*\]; nothing"):
        compare("x.zip", SETS, SETS, chosen, thresholds=LIMITS)


def test_a_label_at_its_threshold_may_go_either_way():
    near = np.array([[0.5 - 1e-7, 0.1]])
    for mark in (0, 1):
        compare("x.zip", near, near, np.array([[mark, 0]]), thresholds=LIMITS)
    with pytest.raises(ExportError, match="other labels to 1 of 1 images"):
        compare("x.zip", near, near, np.array([[-1, 0]]), thresholds=LIMITS)


def test_ids_are_no_label_sets():
    with pytest.raises(ExportError, match=r"choices of shape \(2,\), expected \(2, 2\) and \(2, 2"):
        compare("x.zip", SETS, SETS, np.array([1, 0]), thresholds=LIMITS)


def test_the_process_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    (tmp_path / "json.py").write_text("raise SystemExit('the folder was imported from')")
    text = (
        "import json, os, sys; from pathlib import Path; "
        "assert 'PYTHONPATH' not in os.environ and os.environ['CUDA_VISIBLE_DEVICES'] == '-1'; "
        "Path('seen').write_text(sys.argv[1])"
    )
    run_afresh(["-c", text, "an argument"], tmp_path, what="x.zip")
    assert (tmp_path / "seen").read_text() == "an argument"


def test_a_failure_shows_the_end_of_what_it_printed(tmp_path):
    text = "import sys; print(*range(30), sep='\\n', file=sys.stderr); sys.exit(3)"
    with pytest.raises(ExportError, match=r"x.zip: failed .*exit status 3(.|\n)*last:\n22\n23\n"):
        run_afresh(["-c", text], tmp_path, what="x.zip")


def test_a_process_that_hangs(tmp_path):
    text = "import time; time.sleep(60)"
    with pytest.raises(ExportError, match=r"x.zip: .* took more than 0.2 s"):
        run_afresh(["-c", text], tmp_path, what="x.zip", timeout_s=0.2)
