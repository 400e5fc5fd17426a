"""The example of docs/python.md does what it shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.builders import make_photo, make_photo_folder

EXAMPLE = Path(__file__).parents[2] / "docs" / "example.py"
#: A network that a test has the time for.
SMALL = {
    "model": {"backbone": "custom_cnn", "weights": "none", "layers": [{"conv": 4}]},
    "data.image_size": 16,
}


def test_the_example_runs(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_photo_folder(in_tmp / "photos", images_per_class=12, size=(16, 16))
    make_photo_folder(in_tmp / "more_photos", images_per_class=3, size=(16, 16), seed=500)
    make_photo(7, (16, 16)).save("new.png")
    text, shown = EXAMPLE.read_text("utf-8"), 'tfc.train("photos/", epochs=2)'
    assert shown in text
    code = text.replace(shown, 'tfc.train("photos/", epochs=2, set=SMALL)')
    names: dict[str, Any] = {"SMALL": SMALL}
    exec(compile(code, str(EXAMPLE), "exec"), names)
    out = capsys.readouterr().out
    assert "reports/photos/001 custom_cnn" in out
    assert "absent.png: there is no such file" in out
    assert "did you mean 'accuracy'?" in out
    first, second, third = names["answers"]
    assert first.label == second.label
    assert third.label == ""
    assert names["run"].path == Path("reports/photos/001")
    assert Path("reports/photos/002/report.html").exists()
