"""``submit``: write a submission that was run and checked in a fresh process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tfclassify.data.preparation import PreparedData
from tfclassify.errors import RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.runs.directory import RunDirectory
from tfclassify.workflows.evaluate import choose_views, find_run
from tfclassify.workflows.export import draw_photos
from tfclassify.workflows.start import start_tensorflow, verb

if TYPE_CHECKING:
    from tfclassify.model.bundle import Bundle

#: Images on which an export is compared with the model it came from.
SAMPLE = 32


@dataclass(frozen=True)
class SubmitRequest:
    """What to submit.

    Attributes:
        run: The run, or a bundle.
        format: codalab or csv.
        images: Folder of images to predict, for csv.
        template: A sample submission to fill in, for csv.
        values: labels or probabilities, for csv.
        use_tta: Whether to average over views; None: if the recipe has any.
        out: File to write; None writes into the run folder, or the bundle's.
    """

    run: Path
    format: str
    images: Path | None = None
    template: Path | None = None
    values: str = "labels"
    use_tta: bool | None = None
    out: Path | None = None


@dataclass(frozen=True)
class SubmitResult:
    """What was written.

    Attributes:
        path: The submission.
        format: codalab or csv.
        size_bytes: Its size.
        checked_images: Images on which a fresh process agreed with this one.
        views: Names of the views inside.
    """

    path: Path
    format: str
    size_bytes: int
    checked_images: int
    views: tuple[str, ...]


@verb
def submit_run(request: SubmitRequest, observer: Observer = SILENT) -> SubmitResult:
    """Write a submission.

    Raises:
        TargetError: If there is no such run.
        RequestError: If the options do not go together.
        ExportError: If a fresh process does not agree; nothing is written then.
    """
    start_tensorflow()
    from tfclassify.export.artefact import open_bundle
    from tfclassify.export.reading import is_artefact
    from tfclassify.export.submission import write_codalab, write_csv_submission

    _check_options(request)
    if is_artefact(request.run):
        raise RequestError(
            f"{request.run}: is an artefact; a submission is made from a run or its bundle"
        )
    bundle, run = open_bundle(request.run), find_run(request.run)
    tta = choose_views(bundle.recipe, request.use_tta)
    home = request.run if run is None else run.path
    if request.format == "codalab":
        out = request.out or home / "submission.zip"
        with _find_sample(run, bundle, observer) as sample:
            submission = write_codalab(bundle, tta, out, sample, observer=observer)
    else:
        out = request.out or home / "submission.csv"
        assert request.images is not None
        submission = write_csv_submission(
            bundle,
            request.images,
            out,
            template=request.template,
            mode="labels" if request.values == "labels" else "probabilities",
            tta=tta,
            observer=observer,
        )
    return SubmitResult(
        out, request.format, submission.size_bytes, submission.proof.images, submission.views
    )


def _check_options(request: SubmitRequest) -> None:
    if request.format == "csv" and request.images is None:
        raise RequestError("submit --format csv: name the folder of images with --images")
    given = [
        name
        for name, value in (("--images", request.images), ("--template", request.template))
        if value is not None
    ]
    if request.format == "codalab" and given:
        raise RequestError(
            f"submit --format codalab: {' and '.join(given)} belong to --format csv; the zip "
            f"carries the model and gets its images from the server"
        )


@contextmanager
def _find_sample(
    run: RunDirectory | None, bundle: Bundle, observer: Observer
) -> Iterator[list[str]]:
    """Choose real images of the run, held-out ones first; for a bundle alone draw some."""
    if run is not None:
        yield _list_sample(run)
        return
    observer.on_warning(
        "a bundle carries no images, so the submission is compared on drawn ones; name the run "
        "to have its own taken"
    )
    with TemporaryDirectory(prefix="tfclassify-") as work:
        yield draw_photos(Path(work), bundle.image_size)


def _list_sample(run: RunDirectory) -> list[str]:
    index = PreparedData.load(run.index_path, run.integrity_path).index
    paths = [
        path for split in ("test", "validation", "train") for path in index.in_split(split).paths()
    ]
    there = [path for path in paths if Path(path).is_file()][:SAMPLE]
    if not there:
        raise RequestError(
            f"{run.path}: none of the run's images is on disk any more, and an export is only "
            f"written after it was compared on real ones; put the data back"
        )
    return there
