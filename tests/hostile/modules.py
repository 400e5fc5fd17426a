"""SavedModels with one bit changed, put before the commands that load them.

Each goes through ``check``, which builds, trains and times a network on it, and through
``profile``. Whatever the bit was, both end well or in an error of ours.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.hostile.cases import Case, flip_bits

_GRAPH, _FLIPS = "saved_model.pb", 400
_SIZE = (16, 16)
_RECIPE = """\
name: module
data: {{source: {photos}, image_size: 16, validation: 0.3, min_images: 1}}
model: {{backbone: "hub:module", input_range: [0, 1]}}
batch_size: 4
phases: [{{name: all, epochs: 1, learning_rate: 1.0e-3}}]
"""


def make_cases() -> list[Case]:
    """Make every changed module; what is changed is its graph."""
    from tests.hub_modules import make_hub_module

    with tempfile.TemporaryDirectory() as folder:
        make_hub_module(Path(folder), size=_SIZE)
        graph = Path(folder, _GRAPH).read_bytes()
    flips = [Case("one bit", f"seed {seed}", flip_bits(graph, seed, 1)) for seed in range(_FLIPS)]
    return [Case("as it is", "module", graph), *flips]


def prepare(home: Path) -> None:
    """Make what every case shares, and use it once before memory is limited."""
    from tests.builders import make_photo_folder
    from tests.hub_modules import make_hub_module

    make_photo_folder(home / "photos", images_per_class=4, size=_SIZE)
    make_hub_module(home / "whole", size=_SIZE)
    (home / "first").mkdir()
    read(Case("", "", (home / "whole" / _GRAPH).read_bytes()), home / "first")


def read(case: Case, folder: Path) -> str:
    """Check a recipe on the module, and profile it; say which of the two ended well."""
    from tfclassify.errors import TfclassifyError
    from tfclassify.workflows.check import CheckRequest, check_recipe
    from tfclassify.workflows.profile import ProfileRequest, profile_targets

    shutil.copytree(folder.parent / "whole", folder / "module")
    (folder / "module" / _GRAPH).write_bytes(case.content)
    recipe = folder / "module.yaml"
    recipe.write_text(_RECIPE.format(photos=folder.parent / "photos"), "utf-8")
    refused: list[TfclassifyError] = []
    for work in (
        lambda: check_recipe(CheckRequest(recipe)),
        lambda: profile_targets(ProfileRequest((str(folder / "module"),), has_latency=False)),
    ):
        try:
            work()
        except TfclassifyError as error:
            refused.append(error)
    return ("both end well", "one is refused", "both are refused")[len(refused)]
