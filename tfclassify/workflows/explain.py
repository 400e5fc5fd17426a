"""``explain``: where in photos a model sees a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tfclassify.errors import RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.files import write_bytes
from tfclassify.workflows.evaluate import choose_views
from tfclassify.workflows.predict import name_after
from tfclassify.workflows.start import start_tensorflow, verb

if TYPE_CHECKING:
    from PIL import Image

    from tfclassify.inference.evidence import Explanations
    from tfclassify.inference.explanation import Method
    from tfclassify.inference.prediction import ImageInput

#: What a sheet is written as, by the ending of its name.
_KINDS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}


@dataclass(frozen=True)
class ExplainRequest:
    """What to explain.

    Attributes:
        run: The run, a bundle, or an artefact.
        images: Files, folders, addresses, PIL images and arrays.
        classes: Names of classes; none means what each image is labelled with.
        use_tta: Whether to average over views; None: if the recipe has any.
        method: auto, grad-cam or occlusion.
        out: Sheet of the photos with their maps to write, or None.
        maps: ``.npz`` of the maps to write, or None.
        overlays: Folder to write each photo to, at its own size with its map, or None.
    """

    run: Path
    images: ImageInput | Sequence[ImageInput]
    classes: tuple[str, ...] = ()
    use_tta: bool | None = None
    method: Method = "auto"
    out: Path | None = None
    maps: Path | None = None
    overlays: Path | None = None


@verb
def explain_paths(request: ExplainRequest, observer: Observer = SILENT) -> Explanations:
    """Say where in images the evidence for classes lies.

    Raises:
        TargetError: If there is no such run, or a folder without images.
        RequestError: If there is no such class, view or ending.
        ModelError: If grad-cam is asked for and the network has no feature map.
    """
    if request.out is not None and request.out.suffix.lower() not in _KINDS:
        raise RequestError(
            f"--out: a sheet is a picture, {', '.join(_KINDS)}, got {request.out.name!r}; --maps "
            "writes .npz"
        )
    start_tensorflow()
    from tfclassify.export.artefact import open_bundle
    from tfclassify.export.reading import is_artefact
    from tfclassify.inference.explanation import explain_images

    bundle = open_bundle(request.run)
    tta = choose_views(bundle.recipe, request.use_tta, are_inside=is_artefact(request.run))
    found = explain_images(
        bundle,
        request.images,
        classes=request.classes,
        tta=tta,
        method=request.method,
        observer=observer,
    )
    if request.out is not None:
        from tfclassify.inference.overlays import MOST_ROWS, draw_sheet

        if len({id(row.source) for row in found}) > MOST_ROWS:
            observer.on_note(f"{request.out}: shows the first {MOST_ROWS} photos")
        _save(draw_sheet(found, title=f"What {request.run} looks at"), request.out)
    if request.maps is not None:
        found.save_maps(request.maps)
    if request.overlays is not None:
        _save_overlays(found, request.overlays)
    return found


def _save_overlays(found: Explanations, folder: Path) -> None:
    """Write each photo with its map; a name that is there already gets a number."""
    for row in found:
        stem = Path(row.file.partition("?")[0]).stem or "image"
        label = name_after([row.label])
        target, number = folder / f"{stem}-{label}.png", 1
        while target.exists():
            number += 1
            target = folder / f"{stem}-{label}-{number}.png"
        _save(row.overlay(), target)


def _save(picture: Image.Image, path: Path) -> None:
    import io

    stream = io.BytesIO()
    picture.save(stream, _KINDS[path.suffix.lower()])
    write_bytes(path, stream.getvalue())
