"""``export``: write a run's model in other forms, each proved before it is written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tfclassify.data.images import decode_image
from tfclassify.data.index import Index
from tfclassify.data.preparation import PreparedData
from tfclassify.errors import RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.recipe.schema import TtaRecipe
from tfclassify.runs.directory import RunDirectory
from tfclassify.workflows.evaluate import choose_views
from tfclassify.workflows.recipes import refuse_absent
from tfclassify.workflows.start import start_tensorflow, verb

if TYPE_CHECKING:
    from tfclassify.export.artefact import Artefact
    from tfclassify.export.formats import ArtefactFormat
    from tfclassify.export.proof import Exam
    from tfclassify.model.bundle import Bundle

#: Images that ranges of activations are taken from, and the fewest that say anything.
CALIBRATION, LEAST_CALIBRATION = 128, 16
#: Images that are drawn for a bundle that comes without any.
_DRAWN = 32


@dataclass(frozen=True)
class ExportRequest:
    """What to export.

    Attributes:
        run: The run, or a bundle's folder.
        formats: Names of forms, such as ``onnx``.
        precision: ``float32``, ``float16``, ``int8`` or ``int8-dynamic``.
        batch: Images a call; 0 for any number; None for what each form is used with.
        has_views: Whether the recipe's views go inside.
        images: Folder of images to compare on; None for the run's held-out images.
        floats: int8: regular expressions of layers that stay in float.
        out: Folder for the artefacts; None for ``export/`` in the run.
    """

    run: Path
    formats: tuple[str, ...]
    precision: str = "float32"
    batch: int | None = None
    has_views: bool = False
    images: Path | None = None
    floats: tuple[str, ...] = ()
    out: Path | None = None


@dataclass(frozen=True)
class ExportResult:
    """What was written.

    Attributes:
        artefacts: One for each form, in the order asked for.
        views: Names of the views inside.
    """

    artefacts: tuple[Artefact, ...]
    views: tuple[str, ...]


@verb
def export_run(request: ExportRequest, observer: Observer = SILENT) -> ExportResult:
    """Write artefacts of a run's model.

    Raises:
        TargetError: If there is no such run or folder.
        RequestError: If a form cannot be what is asked for, or there are too few images.
        MissingExtraError: If what a form needs is not installed.
        ExportError: If an artefact disagrees; it is not written then.
    """
    start_tensorflow()
    from tfclassify.export.artefact import write_artefact
    from tfclassify.model.bundle import load_bundle

    forms = _choose_forms(request)
    is_bundle = (request.run / "bundle.json").is_file()
    run = None if is_bundle else RunDirectory.open(request.run, needs_bundle=True)
    bundle = load_bundle(request.run if run is None else run.bundle_dir)
    tta = choose_views(bundle.recipe, True) if request.has_views else None
    index = None
    if run is not None:
        index = PreparedData.load(run.index_path, run.integrity_path).index
    out = request.out or (request.run if run is None else run.path) / "export"
    calibration = None
    if request.precision == "int8":
        calibration = _read_calibration(bundle, index, request.images)
    artefacts = []
    with _sit_exam(bundle, index, request.images, tta, observer) as exam:
        for form in forms:
            observer.on_note(f"writing {form.title} and running it in a fresh process")
            name = form.name + ("" if request.precision == "float32" else f"-{request.precision}")
            artefact = write_artefact(
                out / name,
                form,
                bundle,
                exam,
                tta=tta,
                precision=request.precision,
                batch=request.batch,
                calibration=calibration,
                floats=request.floats,
                scores=None if run is None else _read_headline(run),
            )
            artefacts.append(artefact)
    return ExportResult(tuple(artefacts), exam.answers.views)


def _choose_forms(request: ExportRequest) -> list[ArtefactFormat]:
    """Return the forms that are asked for; refuse what cannot be before anything is loaded."""
    from tfclassify.export.formats import check_request, get_format

    if request.images is not None:
        refuse_absent([request.images], "name a folder of images")
    if not request.formats:
        raise RequestError("--format: name at least one, such as onnx")
    forms = [get_format(name) for name in dict.fromkeys(request.formats)]
    for form in forms:
        check_request(form, request.precision, request.batch)
    return forms


def _read_headline(run: RunDirectory) -> dict[str, Any] | None:
    if not run.metrics_path.is_file():
        return None
    content = json.loads(run.metrics_path.read_text("utf-8"))
    headline = content.get("headline")
    return headline if isinstance(headline, dict) else None


@contextmanager
def _sit_exam(
    bundle: Bundle,
    index: Index | None,
    images: Path | None,
    tta: TtaRecipe | None,
    observer: Observer,
) -> Iterator[Exam]:
    """Ask the bundle about the photos that every artefact is then asked about."""
    from tfclassify.export.proof import Exam
    from tfclassify.inference.prediction import expand_paths, predict_paths

    with TemporaryDirectory(prefix="tfclassify-") as work:
        targets, groups = None, None
        if images is not None:
            source, photos = str(images), expand_paths([images])
        elif index is not None:
            source, held_out = _choose_split(index)
            photos, targets = held_out.paths(), held_out.targets()
            listed = held_out.frame["group"].tolist()
            groups = listed if any(listed) else None
        else:
            source, photos = "drawn at random", draw_photos(Path(work), bundle.image_size)
            observer.on_warning(
                "a bundle carries no images, so the artefact is compared on drawn ones; "
                "name real ones with --images"
            )
        answers = predict_paths(bundle, photos, tta, observer=observer)
        if answers.failed:
            reasons = [error for error in answers.errors if error]
            raise RequestError(
                f"{source}: {answers.failed} of {len(photos)} images cannot be read, and an "
                f"artefact is compared on all of them: {reasons[0]}; put them back or remove them"
            )
        yield Exam(answers, source, targets, groups)


def _choose_split(index: Index) -> tuple[str, Index]:
    """Return the images that were held out, or those that were trained on if none were."""
    for split in ("validation", "test", "train"):
        images = index.in_split(split)
        if len(images):
            return split, images
    raise RequestError("the run has no usable image left to compare an artefact on; use --images")


def draw_photos(folder: Path, size: tuple[int, int], number: int = _DRAWN) -> list[str]:
    """Draw smooth patches of colour, each a photo of another shape; return the files."""
    draw = np.random.default_rng(0)
    photos = []
    for place in range(number):
        patches = draw.integers(0, 256, (3 + place % 5, 4, 3), dtype=np.uint8)
        shape = (size[1] * 3 // 2, size[0] + place)
        path = folder / f"{place:02}.png"
        Image.fromarray(patches).resize(shape, Image.Resampling.BICUBIC).save(path)
        photos.append(str(path))
    return photos


def _read_calibration(bundle: Bundle, index: Index | None, images: Path | None) -> np.ndarray:
    """Decode images of the training split, spread over all of it; ``(n, H, W, 3)`` uint8."""
    from tfclassify.inference.prediction import expand_paths

    paths: Sequence[str] = ()
    if index is not None:
        paths = index.in_split("train").paths()
    elif images is not None:
        paths = expand_paths([images])
    if len(paths) < LEAST_CALIBRATION:
        raise RequestError(
            f"--precision int8: needs at least {LEAST_CALIBRATION} images of the training split to "
            f"take the ranges of activations from, got {len(paths)}; "
            + ("export the run" if index is None else "train on more images, or use float16")
        )
    chosen = np.unique(np.linspace(0, len(paths) - 1, CALIBRATION).astype(int))
    decode = [
        decode_image(
            Path(paths[place]), bundle.image_size, bundle.resize, max_pixels=bundle.max_pixels
        )
        for place in chosen
    ]
    return np.stack(decode)
