"""What happens to a batch on its way to the network.

Owns: running what a recipe chose of the catalogue, the choice of engine, the warnings
that go with it. Does not own: any single augmentation (``augmentations``).

Everything is NumPy, so a batch crosses from TensorFlow once, when it is read. Entries that
act on positions, one after the other, become one resampling, those that act on colours
one matrix. NumPy releases the interpreter lock, so batches that tf.data makes in parallel
do run in parallel. Values stay 0..255 throughout; scaling belongs to the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from tfclassify.augmentations.catalogue import list_chosen
from tfclassify.augmentations.entry import Augmentation
from tfclassify.augmentations.randomness import Draws
from tfclassify.errors import RequestError
from tfclassify.pipeline.mixing import draw_mixing, is_mixing, mix_images, mix_targets
from tfclassify.pipeline.resampling import warp
from tfclassify.recipe.schema import AugmentRecipe

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Chosen = list[tuple[Augmentation, Any]]


@dataclass(frozen=True)
class BatchAugmentation:
    """How batches are augmented.

    Attributes:
        change: (images ``(b, height, width, 3)`` uint8, targets ``(b, classes)`` float32,
            keys ``(b,)`` int64, epoch) -> (images float32 within 0..255, targets), in
            NumPy. It has no state: equal arguments give equal bits.
        layers: (images, targets) -> the same, in TensorFlow, after ``change``; None
            without another engine. It draws from generators that have a state.
    """

    change: Callable[[Pixels, Floats, npt.NDArray[np.int64], int], tuple[Floats, Floats]]
    layers: Callable[[Any, Any], tuple[Any, Any]] | None = None


def build_augmentation(
    augment: AugmentRecipe,
    image_size: tuple[int, int],
    *,
    seed: int,
    augmented: bool = True,
    mixed: bool = True,
) -> BatchAugmentation:
    """Build what augments a batch.

    Args:
        augment: What the recipe asks for.
        image_size: ``(height, width)`` in pixels.
        seed: The recipe's seed.
        augmented: Whether images are changed one by one.
        mixed: Whether images are mixed with one another.

    Raises:
        RequestError: If an augmentation of the user's own is not registered, or the engine
            cannot do what the recipe asks for.
        MissingExtraError: If the engine is keras_cv and keras-cv is not installed.
    """
    chosen = find_chosen(augment) if augmented else []
    mixed = mixed and is_mixing(augment.mix)
    if augment.engine != "native" and (chosen or mixed):
        from tfclassify.pipeline.layer_engines import build_layers

        layers = build_layers(augment, chosen, image_size, seed=seed, mixed=mixed)
        return BatchAugmentation(
            lambda images, targets, *_: (mix_images(images, None), targets), layers
        )
    options = {name: getattr(augment, name) for entry, _ in chosen for name in entry.options}
    read = partial(warp, fill=augment.fill, interpolation=augment.interpolation)

    def change(
        images: Pixels, targets: Floats, keys: npt.NDArray[np.int64], epoch: int
    ) -> tuple[Floats, Floats]:
        draws = Draws(seed, epoch, keys)
        for acts_on, group in groupby(chosen, lambda item: item[0].acts_on):
            drawn = [_draw(entry, value, draws, image_size, options) for entry, value in group]
            images = _APPLY[acts_on](images, drawn, read)
        if not mixed:
            return mix_images(images, None), targets
        mixing = draw_mixing(augment.mix, draws, image_size)
        return mix_images(images, mixing), mix_targets(targets, mixing)

    return BatchAugmentation(change)


def is_changing(augment: AugmentRecipe, *, augmented: bool, mixed: bool) -> bool:
    """Say whether an image may look otherwise from one epoch to the next."""
    return (augmented and bool(find_chosen(augment))) or (mixed and is_mixing(augment.mix))


def find_chosen(augment: AugmentRecipe) -> Chosen:
    """List what a recipe switches on, in the order of the work.

    Raises:
        RequestError: If an augmentation of the user's own is not registered.
    """
    try:
        return list_chosen(augment)
    except ValueError as error:
        raise RequestError(f"augment.custom: {error}") from error


def find_warnings(augment: AugmentRecipe) -> list[str]:
    """Say what a user should know of the engine that the recipe chose.

    Raises:
        RequestError: As ``build_augmentation``, so that it is known before the work begins.
        MissingExtraError: Likewise.
    """
    build_augmentation(augment, (8, 8), seed=0)
    if augment.engine == "native":
        return []
    return [
        f"augment.engine: {augment.engine} draws from generators with a state, so neither a "
        "resumed nor a repeated run sees the same images; engine: native does"
    ]


Drawn = tuple[Augmentation, tuple[Any, ...]]


def _draw(
    entry: Augmentation,
    value: Any,
    draws: Draws,
    image_size: tuple[int, int],
    options: Mapping[str, Any],
) -> Drawn:
    own = {name: options[name] for name in entry.options}
    return entry, entry.draw(value, draws, image_size, **own)


def _move(images: Pixels, drawn: list[Drawn], read: Callable[..., Pixels]) -> Pixels:
    """Resample each image once, through the product of its matrices."""
    image_size = images.shape[1:3]
    matrices = [entry.apply(*drawn_of, image_size=image_size) for entry, drawn_of in drawn]
    product = matrices[0]
    for matrix in matrices[1:]:
        product = product @ matrix
    # Rounding takes away the last bits of sines, which vectorised code gets differently at
    # different places of a batch.
    return read(images, product.astype(np.float32))


def _recolour(images: Pixels, drawn: list[Drawn], read: object) -> Pixels:
    """Change the colours of each image once, by the product of its matrices."""
    from PIL import Image

    count, height, width, _ = images.shape
    product = np.broadcast_to(np.eye(4), (count, 4, 4))

    def mean() -> npt.NDArray[np.float64]:
        # The sum is of whole numbers, so it is the same in any order.
        colours = images.sum(axis=(1, 2), dtype=np.int64) / (height * width)
        return (product[:, :3, :3] @ colours[..., None])[..., 0] + product[:, :3, 3]

    for entry, parameters in drawn:
        product = entry.apply(*parameters, mean=mean) @ product
    changed = np.empty_like(images)
    for image, matrix, target in zip(images, product[:, :3], changed, strict=True):
        pixels = Image.fromarray(image)
        target[...] = pixels.convert("RGB", tuple(matrix.ravel().tolist()))
    return changed


def _change_pixels(images: Pixels, drawn: list[Drawn], read: object) -> Pixels:
    """Put each image through the changes, one after the other."""
    changed = np.empty_like(images)
    for number, image in enumerate(images):
        for entry, parameters in drawn:
            image = entry.apply(image, *(row[number] for row in parameters))
        changed[number] = image
    return changed


_APPLY = {"positions": _move, "colours": _recolour, "pixels": _change_pixels}
