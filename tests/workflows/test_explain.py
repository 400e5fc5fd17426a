"""``explain`` on trained runs, as a verb, a command and a call."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tfclassify as tfc
from tests.tiny_run import CommandLine, TinyRun
from tests.tiny_sets import TAGS
from tfclassify.errors import RequestError


def paint_corner(tag: str) -> np.ndarray:
    """Make a photo in which one label alone is painted."""
    (row, column), colour = TAGS[tag]
    pixels = np.random.default_rng(0).normal(128, 25, (20, 20, 3))
    pixels[row * 10 : row * 10 + 10, column * 10 : column * 10 + 10] = colour
    return pixels.clip(0, 255).astype(np.uint8)


def test_a_trained_network_looks_where_the_label_is_painted(tiny_sets: TinyRun) -> None:
    photos = [paint_corner(tag) for tag in TAGS]
    run = tfc.load(tiny_sets.run)
    found = run.explain(photos, classes=list(TAGS), tta=False, progress=False)
    shares = []
    for row in found[:: len(TAGS) + 1]:  # each photo for the label that is painted on it
        heat, ((down, across), _) = row.heat(), TAGS[row.label]
        corner = heat[down * 10 : down * 10 + 10, across * 10 : across * 10 + 10]
        shares.append(corner.sum() / heat.sum())
    assert np.mean(shares) > 0.5  # the corner is a quarter of the photo
    assert found[0].method == "grad-cam"


def test_a_copied_bundle_is_explained_from_the_command_line(
    tiny_run: TinyRun, tfclassify: CommandLine, tmp_path: Path
) -> None:
    bundle = tmp_path / "elsewhere"
    shutil.copytree(tiny_run.run / "bundle", bundle)
    photos = [tiny_run.photos / "red" / "01.png", tiny_run.photos / "blue" / "01.png"]
    sheet, maps, overlays = tmp_path / "sheet.png", tmp_path / "m.npz", tmp_path / "laid"
    answer = tfclassify(
        *("explain", bundle, *photos, "--class", "red", "--class", "blue"),
        *("--out", sheet, "--maps", maps, "--overlays", overlays, "--quiet"),
    )
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0].split() == ["file", "class", "probability", "strongest", "at", "method"]
    assert [line.split()[1] for line in lines[2:6]] == ["red", "blue"] * 2
    assert lines[-3:] == [f"written to {path}" for path in (sheet, maps, overlays)]
    with Image.open(sheet) as drawn:
        assert drawn.width > 3 * 200
    names = sorted(path.name for path in overlays.iterdir())
    assert names == ["01-blue-2.png", "01-blue.png", "01-red-2.png", "01-red.png"]
    with Image.open(overlays / "01-red.png") as laid:
        assert laid.size == (24, 20)
    with np.load(maps) as stored:
        assert len(stored) == 5
    told = json.loads(tfclassify("explain", bundle, photos[0], "--json", "--quiet").out)
    (first,) = told["explanations"]
    assert first["method"] == "cam"
    assert len(first["views"]) == 2  # the recipe's flip
    assert first["size"] == [20, 24]
    assert told["failed"] == []


def test_bad_requests(tiny_run: TinyRun, tfclassify: CommandLine, tmp_path: Path) -> None:
    photo = tiny_run.photos / "red" / "01.png"
    with pytest.raises(RequestError, match=r"--out: a sheet is a picture, .png, .+, got 'm.npz'"):
        tfc.explain(tiny_run.run, photo, out=tmp_path / "m.npz")
    wrong = tfclassify("explain", tiny_run.run, photo, "--class", "rde", "--quiet")
    assert wrong.code == 2
    assert "knows no class 'rde'; did you mean 'red'?" in wrong.err
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    failed = tfclassify("explain", tiny_run.run, bad, "--quiet")
    assert failed.code == 1
    assert f"{bad}: " in failed.out
    assert "explain: none of 1 file could be used" in failed.err
    assert tfclassify("explain", tiny_run.run, tmp_path / "none", "--quiet").code == 1
    assert tfclassify("explain", tmp_path / "no-run", photo).code == 2
