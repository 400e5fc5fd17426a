"""``preview``: a picture of what the model will see in training."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfclassify.data.index import Index
from tfclassify.data.preparation import prepare_data
from tfclassify.events import SILENT, Observer
from tfclassify.files import write_bytes
from tfclassify.recipe.loading import load_recipe
from tfclassify.workflows.start import start_tensorflow
from tfclassify.workflows.train import open_training_set


@dataclass(frozen=True)
class PreviewRequest:
    """What to draw.

    Attributes:
        recipe: The recipe's path.
        overrides: ``key=value`` texts.
        out: PNG to write.
        images: Images shown, one a row.
        versions: Augmented versions of each.
    """

    recipe: Path
    overrides: tuple[str, ...] = ()
    out: Path = Path("preview.png")
    images: int = 8
    versions: int = 6


def preview_recipe(request: PreviewRequest, observer: Observer = SILENT) -> Path:
    """Draw training images beside what augmentation makes of them; return the PNG's path."""
    recipe = load_recipe(request.recipe, request.overrides)
    data = prepare_data(recipe, base=request.recipe.resolve().parent, observer=observer)
    chosen = choose_images(data.index.in_split("train"), request.images, recipe.seed)
    start_tensorflow()
    from tfclassify.pipeline.preview import draw_preview

    training_set = open_training_set(recipe, chosen, observer)
    sheet = draw_preview(
        training_set,
        recipe.augment,
        chosen.classes,
        versions=request.versions,
        seed=recipe.seed,
        batch_size=recipe.batch_size,
    )
    buffer = io.BytesIO()
    sheet.save(buffer, "png", optimize=True)
    write_bytes(request.out, buffer.getvalue())
    return request.out


def choose_images(index: Index, count: int, seed: int) -> Index:
    """Choose images by seed, class after class, so that every class is seen first."""
    shuffled = np.random.default_rng(seed).permutation(len(index))
    frame = index.frame.iloc[shuffled]
    turn = frame.groupby("label").cumcount()
    return index.with_frame(frame.assign(turn=turn).sort_values("turn", kind="stable").head(count))
