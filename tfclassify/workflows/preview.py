"""``preview``: a picture of what the model will see in training."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfclassify.data.index import Index
from tfclassify.data.preparation import prepare_data
from tfclassify.events import SILENT, Observer
from tfclassify.files import write_bytes
from tfclassify.pages.pictures import Photo, make_thumbnail
from tfclassify.pages.run_page import PreviewRow
from tfclassify.recipe.schema import AugmentRecipe, Recipe
from tfclassify.workflows.material import open_training_set
from tfclassify.workflows.recipes import Given, open_recipe
from tfclassify.workflows.start import start_tensorflow, verb

if TYPE_CHECKING:
    from PIL.Image import Image

    from tfclassify.pipeline.stream import TrainingSet

#: Images and versions on a run's page, and the longest side of a picture in pixels.
REPORTED_IMAGES, REPORTED_VERSIONS, REPORTED_SIDE = 4, 6, 160
#: Images that mixing finds partners among while ``batch_size: auto`` is not found out.
_USUAL_BATCH = 32


@dataclass(frozen=True)
class PreviewRequest:
    """What to draw.

    Attributes:
        recipe: A recipe, or images that one is fitted to; see ``open_recipe``.
        overrides: ``key=value`` texts.
        out: PNG to write, or None.
        images: Images shown, one a row.
        versions: Augmented versions of each.
        columns: Which column of a table holds what, for images without a recipe.
    """

    recipe: Given
    overrides: tuple[str, ...] = ()
    out: Path | None = None
    images: int = 8
    versions: int = 6
    columns: Mapping[str, str | None] = field(default_factory=dict)


@verb
def preview_recipe(request: PreviewRequest, observer: Observer = SILENT) -> Image:
    """Draw training images beside what augmentation makes of them."""
    recipe = open_recipe(request.recipe, request.overrides, observer, request.columns)
    data = prepare_data(recipe, observer=observer)
    start_tensorflow()
    sheet = _draw(recipe, data.index, request.images, request.versions, observer)
    if request.out is not None:
        buffer = io.BytesIO()
        sheet.save(buffer, "png", optimize=True)
        write_bytes(request.out, buffer.getvalue())
    return sheet


def list_preview(recipe: Recipe, index: Index) -> tuple[PreviewRow, ...]:
    """Return a few training images as augmented, for a run's page; none where nothing is."""
    augment = recipe.augment
    is_used = any(phase.augment or phase.mix for phase in recipe.phases)
    if augment == AugmentRecipe(engine=augment.engine) or not is_used:
        return ()
    from tfclassify.pipeline.preview import make_caption, make_sheet

    sheet = make_sheet(
        _open_few(recipe, index, REPORTED_IMAGES, SILENT),
        augment,
        index.classes,
        versions=REPORTED_VERSIONS,
        seed=recipe.seed,
        batch_size=_batch_of(recipe),
    )

    def show(title: str, pixels: np.ndarray, label: np.ndarray) -> Photo:
        shares = make_caption(label, index.classes, sheet.caption_limit)
        lines = [name if share > 0.995 else f"{name} {share:.0%}" for name, share in shares]
        return Photo(title, make_thumbnail(pixels, longest=REPORTED_SIDE), tuple(lines))

    return tuple(
        PreviewRow(
            show("original", sheet.originals[row], sheet.targets[row]),
            tuple(
                show(f"epoch {epoch + 1}", sheet.views[row, epoch], sheet.labels[row, epoch])
                for epoch in range(REPORTED_VERSIONS)
            ),
        )
        for row in range(len(sheet.originals))
    )


def _draw(recipe: Recipe, index: Index, images: int, versions: int, observer: Observer) -> Image:
    from tfclassify.pipeline.preview import draw_preview

    return draw_preview(
        _open_few(recipe, index, images, observer),
        recipe.augment,
        index.classes,
        versions=versions,
        seed=recipe.seed,
        batch_size=_batch_of(recipe),
        augmented=any(phase.augment for phase in recipe.phases),
        mix=any(phase.mix for phase in recipe.phases),
    )


def _batch_of(recipe: Recipe) -> int:
    """Return the images of a step, among which mixing finds its partners."""
    return _USUAL_BATCH if recipe.batch_size == "auto" else recipe.batch_size


def _open_few(recipe: Recipe, index: Index, images: int, observer: Observer) -> TrainingSet:
    chosen = choose_images(index.in_split("train"), images, recipe.seed)
    return open_training_set(recipe, chosen, observer)


def choose_images(index: Index, count: int, seed: int) -> Index:
    """Choose images by seed, class after class, so that every class is seen first."""
    shuffled = np.random.default_rng(seed).permutation(len(index))
    frame = index.frame.iloc[shuffled]
    turn = frame.groupby("label").cumcount()
    return index.with_frame(frame.assign(turn=turn).sort_values("turn", kind="stable").head(count))
