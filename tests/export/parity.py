"""Exports a network of every kind and tells how far it agrees.

Run as ``python -m tests.export.parity``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.builders import make_photo
from tests.export.networks import make_bundle, make_ensemble_bundle
from tfclassify.backbones.catalog import BACKBONES
from tfclassify.backbones.origins import KerasNetwork
from tfclassify.errors import TfclassifyError

FORMATS = ("onnx", "litert", "savedmodel", "keras")
SMALL = "{backbone: custom_cnn, weights: none, layers: [{conv: 6, stride: 2, batch_norm: true}]}"


@dataclass(frozen=True)
class Case:
    """One kind of network: its name, and how its bundle is made in a folder."""

    name: str
    make: Callable[[Path], Path]


def list_families() -> list[str]:
    """Name the smallest network of every module of ``keras.applications``."""
    smallest: dict[str, str] = {}
    for spec in sorted(BACKBONES.values(), key=lambda spec: spec.parameters or 0):
        if isinstance(spec.origin, KerasNetwork):
            smallest.setdefault(spec.origin.module, spec.name)
    return sorted(smallest.values())


def _published(name: str, size: int = 96) -> Case:
    return Case(name, partial(make_bundle, model=f"{{backbone: {name}, weights: none}}", size=size))


def _hub(folder: Path) -> Path:
    from tests.hub_modules import make_hub_module

    module = folder.with_name("module")
    make_hub_module(module, size=(32, 32))
    model = f"{{backbone: 'hub:{module}', input_range: [0, 1]}}"
    return make_bundle(folder, model, 32)


STACK = (
    "{stack: [{backbone: mobilenet_025, weights: none}, {backbone: vgg16, weights: none}], "
    "head: {dense: [8], activation: gelu}}"
)
CASES = (
    *(_published(name) for name in list_families()),
    _published("efficientnet_lite0"),
    _published("resnet18"),
    _published("resnet34"),
    Case("custom_cnn", partial(make_bundle, model=SMALL, size=32)),
    Case("grey", partial(make_bundle, model=SMALL[:-1] + ", colour: grey}", size=32)),
    Case("hub", _hub),
    Case("stack", partial(make_bundle, model=STACK, size=64)),
    Case("ensemble", partial(make_ensemble_bundle, sizes=(32, 20))),
    Case("multi_label", partial(make_bundle, model=SMALL, size=32, task="multi_label")),
)


def export_case(case: Case, folder: Path, formats: tuple[str, ...] = FORMATS) -> dict[str, str]:
    """Export a case in each form; return the largest difference, or why it was refused."""
    from tfclassify.workflows.export import ExportRequest, export_run

    bundle = case.make(folder / "bundle")
    photos = folder / "photos"
    photos.mkdir()
    for number in range(8):
        make_photo(number, (70 + number, 90), (30 * number, 120, 250 - 30 * number)).save(
            photos / f"{number}.png"
        )

    def export(names: tuple[str, ...]) -> dict[str, str]:
        request = ExportRequest(bundle, names, images=photos, out=folder / "out")
        return {
            artefact.format: f"{artefact.agreement.largest_difference:.1e}"
            for artefact in export_run(request).artefacts
        }

    try:
        return export(formats)
    except TfclassifyError:
        pass
    found: dict[str, str] = {}
    for form in formats:  # one by one, to tell which is refused
        try:
            found |= export((form,))
        except TfclassifyError as error:
            found[form] = f"refused: {error}"
    return found


def main() -> None:
    """Export every case, or those that are named, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="names; default: all")
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args()
    results = {}
    print("| network |", " | ".join(FORMATS), "| s |")
    print("|---" * (len(FORMATS) + 2) + "|")
    for case in CASES:
        if options.cases and case.name not in options.cases:
            continue
        start = time.perf_counter()
        with TemporaryDirectory(prefix="parity-") as work:
            found = export_case(case, Path(work))
        seconds = time.perf_counter() - start
        results[case.name] = found | {"seconds": f"{seconds:.0f}"}
        print(f"| `{case.name}` |", " | ".join(found.values()), f"| {seconds:.0f} |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
    sys.exit(any(text.startswith("refused") for row in results.values() for text in row.values()))


if __name__ == "__main__":
    main()
