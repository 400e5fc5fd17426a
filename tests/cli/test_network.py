from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from typer.testing import CliRunner

from tfclassify.cli.app import app

QUICK = ["--image-size", "32", "--no-latency", "--quiet"]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["profile", *arguments, *QUICK])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_table_and_the_json_of_one_network() -> None:
    text = run("mobilenet_025", "--top", "3")
    assert "3 of 90 layers shown" in text
    assert "not counted      nothing: every operation was counted" in text
    content = json.loads(run("mobilenet_025", "--format", "json"))
    assert isinstance(content["macs"], int)
    assert content["params"] == 475_544
    assert content["flops"] == 2 * content["macs"] + sum(content["elementwise"].values())
    assert sum(layer["macs"] for layer in content["layers"]) == content["macs"]
    assert sum(layer["flops"] for layer in content["layers"]) == content["flops"]
    assert content["weight_bytes"] == 4 * content["params"]
    assert content["uncounted"] == {}
    assert content["latency"] is None


def test_several_networks_are_compared(tmp_path: Path) -> None:
    text = run("mobilenet_025", "efficientnet_lite0")
    assert "Most expensive layer" in text.splitlines()[0]
    contents = json.loads(run("mobilenet_025", "efficientnet_lite0", "--format", "json"))
    assert [content["target"] for content in contents] == ["mobilenet_025", "efficientnet_lite0"]
    out = tmp_path / "a.csv"
    run("mobilenet_025", "efficientnet_lite0", "--format", "csv", "--out", str(out))
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [row["params"] for row in rows] == [str(content["params"]) for content in contents]


def test_csv_and_page_of_one_network(tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run("mobilenet_025", "--format", "csv"))))
    assert len(rows) == 90
    assert {"name", "macs", "receptive_field", "latency_ms"} <= rows[0].keys()
    out = tmp_path / "page.html"
    assert str(out) in run("mobilenet_025", "--format", "html", "--out", str(out))
    page = out.read_text()
    assert "Cost of MobileNet x0.25" in page
    assert "<script" not in page
    assert "<details" in page


def test_a_sweep_gives_one_line_a_size() -> None:
    result = CliRunner().invoke(
        app,
        ["profile", "mobilenet_025", "--sweep", "image_size=32,64", "--no-latency", "--quiet"],
    )
    assert "32x32x3" in result.stdout
    assert "64x64x3" in result.stdout
