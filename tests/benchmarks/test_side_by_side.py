"""The multi-label set that is made of photos side by side."""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

FOLDER = Path(__file__).parents[2] / "benchmarks"
LABELS = {"red": (200, 0, 0), "green": (0, 200, 0), "Not sure": (0, 0, 200)}


def write_source(path: Path, senders: int = 14) -> None:
    """Write photos of each sender in the colour of their label, and one row without a photo."""
    rows = ["image,sender_id,label,kids", "gone,0,red,False"]
    with zipfile.ZipFile(path, "w") as archive:
        for sender in range(senders):
            for label, colour in LABELS.items():
                encoded, name = io.BytesIO(), f"{sender}-{label}"
                Image.new("RGB", (30, 20), colour).save(encoded, "JPEG")
                archive.writestr(f"images/{name}.jpg", encoded.getvalue())
                rows.append(f"{name},{sender},{label},False")
        archive.writestr("images.csv", "\n".join(rows))


def test_every_photo_stands_twice_and_no_sender_in_two_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import side_by_side

    write_source(tmp_path / "in.zip")
    with zipfile.ZipFile(tmp_path / "in.zip") as archive:
        photos = side_by_side.read_photos(archive)
    assert len(photos) == 28  # neither the unknown label nor the photo that is not there
    parts = side_by_side.deal(photos, seed=0)
    assert sum(map(len, parts.values())) == 28
    senders = [{sender for _, sender, _ in part} for part in parts.values()]
    assert all(senders)
    assert sum(map(len, senders)) == len(set.union(*senders)) == 14
    pairs = list(side_by_side.pair(parts["train"], seed=0))
    assert Counter(left for left, _ in pairs) == Counter(parts["train"])
    assert Counter(right for _, right in pairs) == Counter(parts["train"])

    words = [str(tmp_path / "in.zip"), str(tmp_path / "out.zip"), "--size", "16"]
    monkeypatch.setattr(sys, "argv", ["side_by_side", *words])
    side_by_side.main()
    assert "train: " in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "out.zip") as made:
        rows = list(csv.DictReader(io.StringIO(made.read("labels.csv").decode())))
        assert len(rows) == 28
        for row in rows:
            picture = Image.open(io.BytesIO(made.read(f"images/{row['file']}")))
            assert picture.size == (32, 16)
            halves = {
                picture.getpixel((x, 8)).index(max(picture.getpixel((x, 8)))) for x in (8, 24)
            }
            assert row["labels"] == "|".join(sorted(("red", "green")[each] for each in halves))
