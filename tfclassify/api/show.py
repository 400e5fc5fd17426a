"""Verbs that show a model at work: ``explain``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tfclassify.api.progress import choose_observer
from tfclassify.events import Observer

if TYPE_CHECKING:
    from tfclassify.inference.explanation import Explanations
    from tfclassify.inference.prediction import ImageInput

    RunPath = str | os.PathLike[str]


def explain(
    run: RunPath,
    images: ImageInput | Sequence[ImageInput],
    *,
    classes: str | Sequence[str] = (),
    tta: bool | None = None,
    method: Literal["auto", "grad-cam", "occlusion"] = "auto",
    out: str | os.PathLike[str] | None = None,
    maps: str | os.PathLike[str] | None = None,
    overlays: str | os.PathLike[str] | None = None,
    progress: bool | Observer = True,
) -> Explanations:
    """Say where in images the evidence for a class lies.

    Args:
        run: A run, or its folder, or that of a bundle or an artefact.
        images: As ``predict``.
        classes: Classes to explain; none means what each image is labelled with.
        tta: Whether to average over the recipe's views; None: if it has any.
        method: ``auto`` reads the network's last feature maps (Grad-CAM) where it has any,
            and covers parts of the image where it has none.
        out: Picture of all photos with their maps to write; None writes none.
        maps: ``.npz`` of the maps to write; None writes none.
        overlays: Folder to write each photo to, at its own size with its map laid over it.
        progress: Whether to show any, or an ``Observer`` of your own.

    Returns:
        One entry an image and class: its ``evidence``, and ``overlay()``, a picture.

    Raises:
        TargetError: If there is no such run, or a folder holds no image.
        RequestError: If there is no such class, or views are asked for that there are not.
        ModelError: If grad-cam is asked for and the network has no feature map.
    """
    from tfclassify.workflows.explain import ExplainRequest, explain_paths

    names = (classes,) if isinstance(classes, str) else tuple(classes)
    targets = (None if path is None else Path(path) for path in (out, maps, overlays))
    request = ExplainRequest(Path(run), images, names, tta, method, *targets)
    return explain_paths(request, choose_observer(progress))
