"""``backbones``: what a recipe's ``model.backbone`` can be."""

from __future__ import annotations

from dataclasses import dataclass

from tfclassify.backbones.catalog import BACKBONES


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


def list_backbones() -> tuple[BackboneRow, ...]:
    """List every backbone of the catalog, in its order."""
    return tuple(
        BackboneRow(spec.name, spec.parameters, spec.default_size, spec.source, spec.weights_here())
        for spec in BACKBONES.values()
    )
