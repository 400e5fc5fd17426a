"""Every benchmark runs through, at sizes that measure nothing."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.builders import COLOURS, make_photo

FOLDER = Path(__file__).parents[2] / "benchmarks"
ARGUMENTS = {
    "bench_clean": "--data HOME --work HOME/work --size 32 --weights none --seeds 1 --share 0.3",
    "bench_clean crossval": "--data HOME --work HOME/work --seeds 1 --share 0.3 --folds 2 "
    "--crossval recipes/clothing_hub.yaml --set model.backbone=efficientnet_lite0 "
    "--set model.weights=none --set model.input_range=null --set data.image_size=32 "
    "--set phases[0].epochs=1",
    "bench_demo": "--visits 1 --photos 2 --photo-size 64 48",
    "bench_determinism": "--images 16 --size 32 --epochs 1 --rounds 1",
    "bench_explain": "--size 32 --limit 4 --no-occlusion",
    "bench_features": "--weights none --size 32 --images 16 --validation 8 --rounds 1 "
    "--streamed-epochs 1 --cached-epochs 1",
    "bench_jobs": "--sides here processes:1 --images 40 --train-images 40 --folds 2 --epochs 1 "
    "--jobs 4",
    "bench_lookalikes": "--rows 300 --width 160 --exact-rows 100",
    "bench_layers": "hub:mobilenet_025 --size 32",
    "bench_label": "--images 30 --keys 4 --learn 0",
    "bench_label learn": "--images 30 --keys 4 --learn 60 --answers 8 --size 32 --weights none",
    "bench_labellers": "--source builtin:digits --images 8 --kills 1",
    "bench_noise": "--seeds 1 --images 20 --folds 2",
    "bench_pipeline": "--size 32 --images 64 --rounds 1 --warm-up 1 --batches 1",
    "bench_profiler": "MobileNet --size 32 --rounds 1",
    "bench_scale": "--counts 60 120 --rows 20000",
    "bench_scan": "--images 12 --side 32 --rounds 1 --workers 2",
    "bench_search": "builtin:digits --seeds 1 --trials 2 --size 32 --epochs 1 "
    "--backbone mobilenet --weights none",
    "bench_selection": "--seeds 1",
    "bench_serve": "--clients 2 --seconds 0.3 --rounds 1 --photo-size 64 48 --sides ours plain",
    "bench_sparse": "--size 32 --rounds 1 --sparsity 0.5",
    "bench_time": "builtin:digits --minutes 4 --set model.backbone=mobilenet "
    "--set model.weights=none --set data.image_size=32 --set phases[].epochs=1",
    "bench_training": "--backbones resnet18 --sizes 32 --rounds 1 --steps 1",
    "bench_tune": "--images 60 --size 64 --trials 3 --epochs 1",
    "bench_tta": "--size 32 --images 1 --batch-size 7 --rounds 1",
}
#: Those that start processes or train many networks.
SLOW = {
    "bench_jobs",
    "bench_scale",
    "bench_clean crossval",
    "bench_demo",
    "bench_determinism",
    "bench_label learn",
    "bench_labellers",
    "bench_noise",
    "bench_search",
    "bench_serve",
    "bench_sparse",
    "bench_time",
    "bench_training",
    "bench_tune",
}


def write_photos_of_senders(home: Path) -> None:
    """Write photos of three colours by 20 senders, with the table of the clothing data set."""
    lines = ["image,sender_id,label,kids"]
    (home / "images").mkdir()
    for number in range(63):
        colour = list(COLOURS)[number % 3]
        label = colour if number < 60 else ("Not sure", "Other", "Skip")[number - 60]
        make_photo(number, (48, 48), COLOURS[colour]).save(home / "images" / f"{number}.jpg")
        lines.append(f"{number},{number // 3},{label},False")
    (home / "images.csv").write_text("\n".join(lines))


def test_every_benchmark_is_here() -> None:
    assert {path.stem for path in FOLDER.glob("bench_*.py")} == {
        name.partition(" ")[0] for name in ARGUMENTS
    }


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in sorted(ARGUMENTS)],
)
def test_it_runs_through(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if name.startswith(("bench_demo", "bench_label")) and not shutil.which("chromium"):
        pytest.skip("no Chromium on this machine")
    out = tmp_path / "result.json"
    monkeypatch.syspath_prepend(str(FOLDER))
    if "HOME" in ARGUMENTS[name]:
        write_photos_of_senders(tmp_path)
    words = ARGUMENTS[name].replace("HOME", str(tmp_path)).split()
    monkeypatch.setattr(sys, "argv", [name, *words, "--out", str(out)])
    importlib.import_module(name.partition(" ")[0]).main()
    assert json.loads(out.read_text("utf-8"))["machine"]["cores"] >= 1
    assert capsys.readouterr().out.strip()
