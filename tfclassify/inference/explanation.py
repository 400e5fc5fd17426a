"""Explanation: where in a photo the evidence for a class lies.

Owns: choosing the class and the method, and averaging over views. Does not own: the maps
(``activation_maps``, ``occlusion``), the photo's frame (``evidence``), how they are shown
(``overlays``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from tfclassify.data.images import ImageFacts, decode_with_facts
from tfclassify.errors import DownloadError, ImageError, ModelError, RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.inference.activation_maps import ActivationMaps
from tfclassify.inference.evidence import Explanation, Explanations, cut_to_photo
from tfclassify.inference.occlusion import OcclusionMaps
from tfclassify.inference.prediction import ImageInput, expand_inputs, list_labels, read_input
from tfclassify.inference.views import View, ViewModel, build_view_model
from tfclassify.model.bundle import Bundle
from tfclassify.recipe.schema import TtaRecipe
from tfclassify.recipe.wording import suggest

Method = Literal["auto", "grad-cam", "occlusion"]
#: Passes that go through the network together; a gradient is taken through the head only.
BATCH_SIZE = 32


class Explainer:
    """A model that says where in images it sees a class.

    Attributes:
        views: The views that are averaged, as a model.
        method: ``cam``, ``grad-cam`` or ``occlusion``.
        reason: Why it is not from inside the network, though that was not asked for; or empty.

    Args:
        bundle: The model; an artefact can only be covered up.
        tta: Views to average over, or None for the plain image.
        method: ``auto`` takes what is inside the network, where there is something.

    Raises:
        ModelError: If ``grad-cam`` is asked for and the network has no feature map.
        RequestError: If the views do not suit the model.
    """

    def __init__(self, bundle: Bundle, tta: TtaRecipe | None = None, method: Method = "auto"):
        self.views: ViewModel = build_view_model(bundle.model, tta)
        self.reason = ""
        self._maps: ActivationMaps | OcclusionMaps | None = None
        if method != "occlusion":
            try:
                self._maps = ActivationMaps(bundle.model)
            except ModelError as error:
                if method != "auto":
                    raise
                self.reason = str(error).partition(";")[0]
        if self._maps is None:
            self._maps = OcclusionMaps(self.views.probabilities, self.views.image_size)
        self.method = self._maps.method

    def draw(self, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return the evidence ``(b, H, W)`` for a class of each image, over all views.

        Args:
            images: ``(b, H, W, 3)``, 0..255.
            classes: Columns of the classes, ``(b,)``.
        """
        assert self._maps is not None
        if isinstance(self._maps, OcclusionMaps):  # its answers are those of the views already
            return self._maps(images, classes)
        return average_views(self._maps, self.views.views, images, classes)


def average_views(
    draw: Callable[[Any, Any], np.ndarray],
    views: Sequence[View],
    images: np.ndarray,
    classes: np.ndarray,
) -> np.ndarray:
    """Draw maps on every view, bring them back into the images' frame, and average them.

    Args:
        draw: From images and classes to maps ``(b, H, W)``.
        views: The views.
        images: ``(b, H, W, 3)``, 0..255.
        classes: ``(b,)``.

    Returns:
        ``(b, H, W)`` float32; the mean over the views that show a pixel.
    """
    given = tf.cast(tf.convert_to_tensor(images), tf.float32)
    total = np.zeros((*given.shape[:3], 2), np.float32)
    for view in views:
        drawn = draw(view.apply(given), classes)
        # The second channel is brought back likewise: it tells where the view shows anything.
        total += view.undo(tf.stack([drawn, tf.ones_like(drawn)], axis=-1)).numpy()
    return total[..., 0] / total[..., 1].clip(min=1e-6)


def explain_images(
    bundle: Bundle,
    images: ImageInput | Sequence[ImageInput],
    *,
    classes: Sequence[str] = (),
    tta: TtaRecipe | None = None,
    method: Method = "auto",
    explainer: Explainer | None = None,
    observer: Observer = SILENT,
) -> Explanations:
    """Say where in images the evidence for classes lies.

    Args:
        bundle: The model with its classes and how it wants its images.
        images: As ``predict_paths``.
        classes: Names of classes; none means what each image is labelled with, or the
            likeliest class where it gets no label.
        tta: Views to average over, or None for the plain image.
        method: As ``Explainer``.
        explainer: Of the same bundle and views, where it is made already.
        observer: Told of the task ``explain``, and warned of files that failed.

    Raises:
        RequestError: If nothing was given, or a class is not the model's.
        TargetError: If a folder holds no image.
        ModelError: As ``Explainer``.
    """
    wanted = [_find_class(bundle, name) for name in classes]
    explainer = explainer or Explainer(bundle, tta, method)
    if explainer.reason:
        observer.on_note(f"{explainer.reason}: parts of the images are covered instead")
    inputs = expand_inputs(images, observer)
    rows: list[Explanation] = []
    failed: list[tuple[str, str]] = []
    observer.on_task_start("explain", len(inputs))
    for done, batch in _read_batches(bundle, inputs, failed):
        rows += _explain_batch(bundle, explainer, batch, wanted)
        observer.on_task_step("explain", done)
    observer.on_task_end("explain")
    if failed:
        observer.on_warning(f"{len(failed)} of {len(inputs)} files could not be used")
    return Explanations(tuple(rows), tuple(failed))


def _find_class(bundle: Bundle, name: str) -> int:
    if name not in bundle.classes:
        raise RequestError(
            f"--class: {bundle.folder} knows no class {name!r}{suggest(name, bundle.classes)}; it "
            f"has {', '.join(bundle.classes[:20])}{', …' if len(bundle.classes) > 20 else ''}"
        )
    return bundle.classes.index(name)


_Read = tuple[str, ImageInput, ImageFacts, np.ndarray]


def _read_batches(
    bundle: Bundle, inputs: Sequence[tuple[str, ImageInput]], failed: list[tuple[str, str]]
) -> Iterator[tuple[int, list[_Read]]]:
    """Yield (files seen so far, decoded images); what fails is noted in ``failed``."""
    batch: list[_Read] = []
    for number, (name, image) in enumerate(inputs, start=1):
        try:
            facts, pixels = decode_with_facts(
                read_input(image), bundle.image_size, bundle.resize, max_pixels=bundle.max_pixels
            )
            batch.append((name, image, facts, pixels))
        except (ImageError, DownloadError, OSError) as error:
            failed.append((name, str(error)))
        if batch and (len(batch) == BATCH_SIZE or number == len(inputs)):
            yield number, batch
            batch = []


def _explain_batch(
    bundle: Bundle, explainer: Explainer, batch: Sequence[_Read], wanted: Sequence[int]
) -> Iterator[Explanation]:
    """Yield an explanation for each image and class, all drawn in a few passes."""
    pixels = np.stack([each[3] for each in batch])
    chances = explainer.views.probabilities(pixels)
    pairs = [
        (row, number)
        for row in range(len(batch))
        for number in wanted or choose_classes(bundle, chances[row])
    ]
    for start in range(0, len(pairs), BATCH_SIZE):
        part = np.array(pairs[start : start + BATCH_SIZE])
        drawn = explainer.draw(pixels[part[:, 0]], part[:, 1])
        for (row, number), evidence in zip(part.tolist(), drawn, strict=True):
            name, image, facts, _ = batch[row]
            shown, box = cut_to_photo(evidence, facts, bundle.resize)
            yield Explanation(
                name,
                bundle.classes[number],
                float(chances[row, number]),
                shown,
                box,
                (facts.height, facts.width),
                explainer.method,
                explainer.views.names,
                image,
            )


def choose_classes(bundle: Bundle, chances: np.ndarray) -> list[int]:
    """Return the columns of an image's labels, or of the likeliest class if it gets none."""
    limits = bundle.label_thresholds
    if limits is not None:
        (labels,) = list_labels(bundle.classes, chances[None], limits)
        if labels:
            return [bundle.classes.index(name) for name in labels]
    return [int(chances.argmax())]
