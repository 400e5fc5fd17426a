"""``backbones``: what a recipe's ``model.backbone`` can be, and one as a hub module."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tfclassify.backbones.catalog import BACKBONES, get_backbone
from tfclassify.errors import RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.workflows.start import start_tensorflow, verb


@dataclass(frozen=True)
class BackboneRow:
    """One backbone, as listed.

    Attributes:
        name: As in a recipe.
        parameters: Without the classifier; None where the recipe decides.
        image_size: Default ``(height, width)`` in pixels.
        source: Where its weights come from.
        has_weights_here: Whether pretrained weights need no download now.
    """

    name: str
    parameters: int | None
    image_size: tuple[int, int]
    source: str
    has_weights_here: bool


@verb
def list_backbones() -> tuple[BackboneRow, ...]:
    """List every backbone of the catalog, in its order."""
    return tuple(
        BackboneRow(spec.name, spec.parameters, spec.default_size, spec.source, spec.weights_here())
        for spec in BACKBONES.values()
    )


@dataclass(frozen=True)
class BackboneExportRequest:
    """Which backbone to write as a hub module.

    Attributes:
        name: A name of the catalog.
        folder: Where to; a SavedModel that is there is replaced.
        image_size: ``(height, width)`` in pixels, or None for the backbone's own.
        weights: ``imagenet``, ``none``, or the path of a weight file.
    """

    name: str
    folder: Path
    image_size: tuple[int, int] | None = None
    weights: str = "imagenet"


@dataclass(frozen=True)
class BackboneExport:
    """A hub module that was written.

    Attributes:
        folder: Where it is.
        image_size: ``(height, width)`` in pixels that it takes.
        input_range: What it takes for black and white.
        features: Length of the vector that it gives for an image.
    """

    folder: Path
    image_size: tuple[int, int]
    input_range: tuple[float, float]
    features: int


@verb
def export_backbone(request: BackboneExportRequest, observer: Observer = SILENT) -> BackboneExport:
    """Write a backbone as a SavedModel in the form of TensorFlow Hub's modules.

    Raises:
        RequestError: If there is no such backbone, a recipe must spell it out, or the
            folder holds something else.
        ModelError: If the images are too small for it.
        WeightsError: If the weights cannot be had or do not fit.
    """
    spec = get_backbone(request.name)
    if spec.name == "custom_cnn":
        raise RequestError(
            "custom_cnn: its layers are spelt out by a recipe, so there is nothing to export; "
            "name another backbone"
        )
    _check_folder(request.folder)
    size = request.image_size or spec.default_size
    start_tensorflow()
    from tfclassify.backbones.building import build_network
    from tfclassify.backbones.hub_layer import INPUT_RANGE, export_hub_module

    observer.on_note(f"building {spec.name} for images of {size[0]}x{size[1]}")
    network = build_network(spec, size, weights=request.weights)
    observer.on_note("writing the SavedModel")
    features = export_hub_module(spec, network, size, request.folder)
    return BackboneExport(request.folder, size, INPUT_RANGE, features)


def _check_folder(folder: Path) -> None:
    """Refuse to replace what is not a SavedModel."""
    is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not is_free and not (folder / "saved_model.pb").is_file():
        raise RequestError(
            f"--export: {folder} holds something else than a SavedModel; name a new folder"
        )
