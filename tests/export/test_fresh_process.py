from __future__ import annotations

from pathlib import Path

import pytest

from tfclassify.errors import ExportError
from tfclassify.export.fresh_process import run_afresh


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
