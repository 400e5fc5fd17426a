"""Views: what test-time augmentation shows the network of each image.

Owns: the views of a recipe's ``tta``, in their order, the way back from each, and the one
graph that sends views x batch through a network and joins the answers.
Does not own: reading images (``prediction``), shipping the graph (``export``).

Flips, shifts and quarter turns move pixels and never resample them; only a zoom
reads between pixels. Everything is made of Keras' operations, so that the views can be
part of a TensorFlow graph and of a Keras model, saved and run where this package is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from tfclassify.errors import RequestError
from tfclassify.model.depthwise import find_calls
from tfclassify.model.folding import replaced
from tfclassify.recipe.schema import TtaRecipe

Fill = Literal["roll", "reflect", "constant"]
Change = Callable[[tf.Tensor], tf.Tensor]

#: Name of an axis as recipes say it -> its position in ``(batch, height, width, 3)``.
_FLIP_AXES = {"horizontal": 2, "vertical": 1}
#: Direction that the picture moves in -> (axis, sign of the move along that axis).
_DIRECTIONS = {"up": (1, -1), "down": (1, 1), "left": (2, -1), "right": (2, 1)}


@dataclass(frozen=True)
class View:
    """One way to look at an image.

    Attributes:
        name: What is done, in order, such as ``flip_horizontal+shift_up``.
        changes: Functions from images ``(b, H, W, 3)`` to images of that shape.
        undoings: Functions that bring what is drawn on this view back, the last change's first.
    """

    name: str
    changes: tuple[Change, ...] = ()
    undoings: tuple[Change, ...] = ()

    def apply(self, images: tf.Tensor) -> tf.Tensor:
        """Return this view of the images, ``(b, H, W, 3)``, of the same dtype.

        A zoom turns integers into float32, since it reads between pixels.
        """
        for change in self.changes:
            images = change(images)
        return images

    def undo(self, drawn: tf.Tensor) -> tf.Tensor:
        """Bring ``(b, H, W, c)`` floats drawn on this view back into the image's own frame.

        Zero where this view does not show the image.
        """
        for change in self.undoings:
            drawn = change(drawn)
        return drawn


def flip(images: tf.Tensor, axis: int) -> tf.Tensor:
    """Mirror images ``(b, H, W, 3)`` along an axis: 1 vertically, 2 horizontally."""
    return keras.ops.flip(images, axis)


def turn(images: tf.Tensor, quarters: int) -> tf.Tensor:
    """Turn square images ``(b, S, S, 3)`` counter-clockwise by quarters of a turn."""
    if quarters == 2:
        return flip(flip(images, 1), 2)
    across = keras.ops.transpose(images, [0, 2, 1, 3])
    return flip(across, 1 if quarters == 1 else 2)


def shift(images: tf.Tensor, axis: int, pixels: int, fill: Fill) -> tf.Tensor:
    """Move images ``(b, H, W, 3)`` along an axis by whole pixels.

    Args:
        images: Images of any dtype.
        axis: 1 moves down the height, 2 moves right along the width.
        pixels: How far; a negative number moves up or left.
        fill: What is moved in: ``roll`` what was moved out at the other side,
            ``reflect`` the mirrored border (edge pixel included, as Keras'
            ``fill_mode="reflect"``), ``constant`` black.
    """
    size, distance = images.shape[axis], abs(pixels)
    kept = _slice(images, axis, 0, size - distance)
    lost = _slice(images, axis, size - distance, size)
    if pixels < 0:
        kept = _slice(images, axis, distance, size)
        lost = _slice(images, axis, 0, distance)
    if fill == "constant":
        lost = keras.ops.zeros_like(lost)
    elif fill == "reflect":
        border = (size - distance, size) if pixels < 0 else (0, distance)
        lost = flip(_slice(images, axis, *border), axis)
    return keras.ops.concatenate([kept, lost] if pixels < 0 else [lost, kept], axis)


def _slice(images: tf.Tensor, axis: int, start: int, stop: int) -> tf.Tensor:
    return images[:, start:stop] if axis == 1 else images[:, :, start:stop]


def zoom(images: tf.Tensor, factor: float) -> tf.Tensor:
    """Zoom images ``(b, H, W, 3)`` about their centre, bilinearly, to float32.

    Output position ``p`` reads the input at ``c + (p - c) * (1 + factor)`` with
    ``c = (size - 1) / 2``: 0.15 shows 15 % more of the scene, -0.15 shows less,
    as ``keras.layers.RandomZoom``. Beyond the border lies the mirrored picture.
    """
    images = keras.ops.cast(images, "float32")
    for axis in (1, 2):
        low, high, share = zoom_taps(images.shape[axis], factor)
        share = share.reshape([-1 if axis == position else 1 for position in range(4)])
        lower = keras.ops.take(images, low, axis=axis)
        images = lower + (keras.ops.take(images, high, axis=axis) - lower) * share
    return images


def unzoom(drawn: tf.Tensor, factor: float) -> tf.Tensor:
    """Bring ``(b, H, W, c)`` floats back from a zoom; zero where it did not show the image."""
    drawn = zoom(drawn, 1 / (1 + factor) - 1)
    for axis in (1, 2):
        size = drawn.shape[axis]
        reach = np.abs(np.arange(size) - (size - 1) / 2) / (1 + factor)
        is_shown = (reach <= size / 2).astype(np.float32)
        drawn *= is_shown.reshape([-1 if axis == position else 1 for position in range(4)])
    return drawn


def zoom_taps(size: int, factor: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where each output pixel of a zoomed axis reads the input.

    Returns:
        Lower index, higher index (int32) and the higher one's share (float32),
        each of shape ``(size,)``.
    """
    centre = (size - 1) / 2
    position = centre + (np.arange(size) - centre) * (1 + factor)
    low = np.floor(position).astype(np.int32)
    share = (position - low).astype(np.float32)
    return _mirror(low, size), _mirror(low + 1, size), share


def _mirror(index: np.ndarray, size: int) -> np.ndarray:
    """Fold positions beyond the border back in; the border lies between pixels."""
    folded = np.mod(index, 2 * size)
    return np.where(folded < size, folded, 2 * size - 1 - folded).astype(np.int32)


def list_views(tta: TtaRecipe | None, image_size: tuple[int, int]) -> tuple[View, ...]:
    """List the views of a recipe, the unchanged image first.

    The order is: identity, flips, shifts up, down, left and right, rotations,
    zooms. ``combine: product`` shows each of identity, shifts, rotations and
    zooms under every set of the flips, the flip done first. A view that
    shows the very pixels of an earlier one is left out, lest it count twice.

    Args:
        tta: The recipe's part, or None for the identity alone.
        image_size: ``(height, width)`` of the model's input.

    Raises:
        RequestError: If a rotation meets an image that is not square, or a shift
            is less than half a pixel or all of the image.
    """
    if tta is None:
        return (View("identity"),)
    others = [
        *_list_shifts(tta, image_size),
        *_list_rotations(tta, image_size),
        *(_make_view(f"zoom_{by:g}", partial(zoom, factor=by), unzoom) for by in tta.zoom),
    ]
    flips = [_make_view(f"flip_{name}", partial(flip, axis=_FLIP_AXES[name])) for name in tta.flips]
    if tta.combine == "each":
        views = [View("identity"), *flips, *others]
    else:
        if len(flips) == 2:
            flips.append(replace(_join(*flips), name="flip_both"))
        views = [
            _join(first, then)
            for then, first in product([View("identity"), *others], [View("identity"), *flips])
        ]
    return tuple(_drop_repeated(views, image_size))


def _make_view(name: str, change: partial[Any], undo: Callable[..., Any] | None = None) -> View:
    """Make a view of one change, which undoes itself unless another function does."""
    back = change if undo is None else partial(undo, **change.keywords)
    return View(name, (change,), (back,))


def _list_shifts(tta: TtaRecipe, image_size: tuple[int, int]) -> Iterator[View]:
    if tta.shift == 0:
        return
    for name, (axis, sign) in _DIRECTIONS.items():
        size = image_size[axis - 1]
        pixels = round(tta.shift * size)
        if not 0 < pixels < size:
            raise RequestError(
                f"tta.shift: must move the {'height' if axis == 1 else 'width'} of {size} pixels "
                f"by 1 to {size - 1} pixels, got {tta.shift} = {pixels} pixels; "
                f"give {1 / size:.3f} or more, or 0 for no shifts"
            )
        change = partial(shift, axis=axis, pixels=sign * pixels, fill=tta.shift_fill)
        # What was made up at the border is nowhere in the image, unless it came round.
        fill: Fill = "roll" if tta.shift_fill == "roll" else "constant"
        back = partial(shift, axis=axis, pixels=-sign * pixels, fill=fill)
        yield View(f"shift_{name}", (change,), (back,))


def _list_rotations(tta: TtaRecipe, image_size: tuple[int, int]) -> Iterator[View]:
    if tta.rotations and image_size[0] != image_size[1]:
        # Half a turn alone would do, but then the views would depend on the shape.
        raise RequestError(
            f"tta.rotations: needs square images, got {tta.rotations} with the (height, width) "
            f"{image_size}; leave rotations out or give a square data.image_size"
        )
    for degrees in tta.rotations:
        quarters = degrees // 90
        back = partial(turn, quarters=4 - quarters)
        yield View(f"rotate_{degrees}", (partial(turn, quarters=quarters),), (back,))


def _join(first: View, then: View) -> View:
    names = [view.name for view in (first, then) if view.changes]
    return View(
        "+".join(names) or "identity",
        first.changes + then.changes,
        then.undoings + first.undoings,
    )


def _drop_repeated(views: list[View], image_size: tuple[int, int]) -> Iterator[View]:
    """Yield the views that move a probe of all-different pixels to a new place."""
    height, width = image_size
    probe = tf.reshape(tf.range(1.0, height * width + 1), (1, height, width, 1))
    seen: set[bytes] = set()
    for view in views:
        shown = view.apply(probe).numpy().tobytes()
        if shown not in seen:
            seen.add(shown)
            yield view


class ViewModel:
    """A network that looks at each image in several ways, as one graph.

    Attributes:
        model: The network, images ``(b, H, W, 3)`` 0..255 -> probabilities ``(b, C)``.
        views: The views, in order.
        is_summed: Whether the views' probabilities are added up instead of averaged.
        image_size: ``(height, width)`` of the input.
        classes: Number of classes.
        graph: The ``tf.function`` of float32 images; this is what can be saved.
    """

    def __init__(self, model: Any, views: tuple[View, ...], is_summed: bool) -> None:
        self.model = model
        self.views = views
        self.is_summed = is_summed
        self.image_size: tuple[int, int] = tuple(model.input_shape[1:3])
        self.classes = int(model.output_shape[-1])
        signature = tf.TensorSpec((None, *self.image_size, 3), tf.float32, name="images")
        self.graph = tf.function(self._join_views, input_signature=[signature])
        self._mean = tf.function(self._quickly(self._join_views), input_signature=[signature])
        self._both = tf.function(self._quickly(self._keep_plain), input_signature=[signature])

    @property
    def count(self) -> int:
        """Number of views, so also of forward passes for an image."""
        return len(self.views)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the views, in order."""
        return tuple(view.name for view in self.views)

    def images_per_batch(self, batch_size: int) -> int:
        """Return how many images make about ``batch_size`` forward passes, at least 1."""
        return max(1, batch_size // self.count)

    def __call__(self, images: Any) -> tf.Tensor:
        """Return probabilities ``(b, C)`` float32; sums of them where asked for.

        Args:
            images: ``(b, H, W, 3)`` array or tensor of any number type, 0..255.
        """
        return self._mean(tf.cast(tf.convert_to_tensor(images), tf.float32))

    def probabilities(self, images: Any) -> np.ndarray:
        """Return probabilities ``(b, C)`` float32 that are means even where sums are asked for."""
        scores = self(images).numpy()
        return scores / np.float32(self.count) if self.is_summed else scores

    def plain_and_mean(self, images: Any) -> np.ndarray:
        """Return the probabilities of the plain image and the mean over all views.

        Each view is predicted once; the plain image is the first of them.

        Args:
            images: ``(b, H, W, 3)`` of any number type, 0..255.

        Returns:
            ``(b, 2, C)`` float32.
        """
        both: np.ndarray = self._both(tf.cast(tf.convert_to_tensor(images), tf.float32)).numpy()
        return both

    def build_keras_model(self, batch: int) -> keras.Model:
        """Build a Keras model with the views inside, which shares the network's weights.

        Args:
            batch: Images a call; 0 for any number.

        Returns:
            Images ``(b, H, W, 3)`` float32 to the mean of the views' probabilities ``(b, C)``.
        """
        if not batch and self.names == ("identity",):
            whole: keras.Model = self.model
            return whole
        images = keras.Input(batch_shape=(batch or None, *self.image_size, 3), name="image")
        shown = [view.apply(images) for view in self.views]
        scores = self.model(shown[0] if self.count == 1 else keras.ops.concatenate(shown, 0))
        if self.count > 1:
            scores = keras.ops.reshape(scores, (self.count, batch or -1, self.classes))
            scores = keras.ops.mean(scores, axis=0)
        return keras.Model(images, scores, name="views")

    def _quickly(self, ask: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
        """Make a question that is answered by the kernels that this machine is quick at."""

        def run(images: tf.Tensor) -> tf.Tensor:
            is_network = isinstance(self.model, keras.Model)
            calls = find_calls(self.model, is_differentiated=False) if is_network else {}
            with replaced(calls):
                return ask(images)

        return run

    def _keep_plain(self, images: tf.Tensor) -> tf.Tensor:
        scores = self._score_views(images)
        return tf.stack([scores[0], tf.reduce_mean(scores, axis=0)], axis=1)

    def _join_views(self, images: tf.Tensor) -> tf.Tensor:
        if self.count == 1 and not self.views[0].changes:
            return tf.cast(self.model(images, training=False), tf.float32)
        join = tf.reduce_sum if self.is_summed else tf.reduce_mean
        return join(self._score_views(images), axis=0)

    def _score_views(self, images: tf.Tensor) -> tf.Tensor:
        """Return what the network says of every view, ``(views, b, C)`` float32."""
        shown = tf.concat([view.apply(images) for view in self.views], axis=0)
        scores = tf.cast(self.model(shown, training=False), tf.float32)
        return tf.reshape(scores, (self.count, -1, scores.shape[-1]))


def build_view_model(model: Any, tta: TtaRecipe | None) -> ViewModel:
    """Build the graph that shows a network every view and joins its answers.

    Views x batch go through the network together, in one call: give it batches
    of ``images_per_batch`` images to keep that call at a good size.

    Args:
        model: A Keras model of a fixed input size, images ``(b, H, W, 3)`` 0..255
            -> probabilities ``(b, C)``; or what has its views inside, as an artefact.
        tta: The recipe's views, or None for the plain network.

    Raises:
        RequestError: If the views do not suit the model's input size, or are inside.
    """
    if isinstance(model, ViewModel):
        if tta is not None:
            raise RequestError(
                f"--tta: an artefact shows the views that lie inside, {', '.join(model.names)}, "
                "and no others; leave --tta out, or export it with --views"
            )
        return model
    views = list_views(tta, tuple(model.input_shape[1:3]))
    return ViewModel(model, views, tta is not None and tta.average == "sum")
