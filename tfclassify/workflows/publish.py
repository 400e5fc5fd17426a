"""``publish``: put a model with its card, its evidence and its artefacts where others find it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from tfclassify import __version__
from tfclassify.data.index import Index
from tfclassify.data.preparation import PreparedData
from tfclassify.errors import PublishError, RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.files import build_folder
from tfclassify.judging.answers import read_answers
from tfclassify.judging.verdicts import write_metrics
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.directory import RunDirectory
from tfclassify.runs.documents import RunMetrics
from tfclassify.scoring.verdicts import Answers, Verdict
from tfclassify.workflows.export import ExportRequest, draw_photos, export_run
from tfclassify.workflows.start import start_tensorflow, verb
from tfclassify.workflows.verify import judge_published

if TYPE_CHECKING:
    from tfclassify.model.bundle import Bundle
    from tfclassify.publishing.card import ArtefactFacts, CardFacts

#: Images that are drawn where no sample is asked for.
_DRAWN = 4


@dataclass(frozen=True)
class PublishRequest:
    """What to publish, and where.

    Attributes:
        run: The run.
        target: ``hf:user/name``, or a folder.
        formats: Forms of artefacts that go along, such as ``onnx``.
        license: Terms of the model, in the Hub's words such as ``apache-2.0``.
        samples: Held-out photos to publish with it; none: images that are drawn.
        file_names: Whether names of the data's files may appear.
        is_private: Whether a repository that is made is private.
        is_dry: Whether only to say what would be published.
    """

    run: Path
    target: str
    formats: tuple[str, ...] = ()
    license: str = ""
    samples: int = 0
    file_names: bool = False
    is_private: bool = False
    is_dry: bool = False


@dataclass(frozen=True)
class PublishResult:
    """What was published.

    Attributes:
        place: The folder, or the address of the commit; where nothing was published, the
            target.
        files: Size in bytes of each file, by name.
        card: Text of the card.
    """

    place: str
    files: Mapping[str, int]
    card: str


@verb
def publish_run(request: PublishRequest, observer: Observer = SILENT) -> PublishResult:
    """Publish a run's model.

    Raises:
        TargetError: If there is no such run, or the target cannot be one.
        RequestError: If more samples are asked for than there are photos.
        PublishError: If something private would leave the machine, or the Hub refuses.
        MissingExtraError: If the Hub's package is not installed.
        ExportError: If an artefact disagrees with the model.
    """
    from tfclassify.publishing.hub import is_address, open_hub, parse_address

    run = RunDirectory.open(request.run, needs_bundle=True)
    address = parse_address(request.target) if is_address(request.target) else None
    hub = None if address is None or request.is_dry else open_hub()
    start_tensorflow()
    with TemporaryDirectory(prefix="tfclassify-") as work:
        folder = Path(work) / "model"
        folder.mkdir()
        card = _fill(folder, run, request, observer)
        _refuse_private(folder, run, request)
        sizes = {
            path.relative_to(folder).as_posix(): path.stat().st_size
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        place = request.target
        if hub is not None and address is not None:
            place = hub.upload(folder, address, is_private=request.is_private, observer=observer)
        elif address is None and not request.is_dry:
            with build_folder(_choose_folder(Path(request.target))) as built:
                shutil.copytree(folder, built, dirs_exist_ok=True)
        return PublishResult(place, sizes, card)


def _choose_folder(target: Path) -> Path:
    """Refuse a folder that holds something else than a published model."""
    is_free = not target.exists() or (target.is_dir() and not any(target.iterdir()))
    if not is_free and not (target / "published.json").is_file():
        raise PublishError(
            f"{target}: is there already and is no published model; choose a new folder"
        )
    return target


def _fill(folder: Path, run: RunDirectory, request: PublishRequest, observer: Observer) -> str:
    """Put everything into the folder; return the card."""
    from tfclassify.model.bundle import copy_bundle, load_bundle
    from tfclassify.pages.drawing import save_figures
    from tfclassify.pages.score_figures import draw_score_figures
    from tfclassify.pages.scores import Judged
    from tfclassify.publishing.folder import (
        CARD,
        FORMAT,
        METRICS,
        PICTURES,
        Published,
        hide_paths,
        seal,
        store_answers,
    )

    own = load_bundle(run.bundle_dir)
    copy_bundle(run.bundle_dir, folder, hide_paths(own.recipe))
    bundle = load_bundle(folder)
    index = PreparedData.load(run.index_path, run.integrity_path).index
    metrics = RunMetrics.read(run.path / "metrics.json")
    answers = _read_answers(run, index, metrics)
    store_answers(folder, answers)
    _add_samples(folder, bundle, index, request)
    artefacts = _add_artefacts(folder, run, bundle.recipe, request, observer)
    published = Published(
        format=FORMAT,
        facts=_gather_facts(bundle, index, metrics, request, artefacts),
        splits=tuple(answers),
        images=tuple(len(each) for each in answers.values()),
        views=tuple(each.views for each in answers.values()),
        cautions=tuple(metrics.splits[split].caution for split in answers),
    )
    verdicts = judge_published(folder, bundle, published)
    _compare_scores(run, verdicts, metrics)
    write_metrics(folder / METRICS, verdicts, bundle.recipe.metric)
    if verdicts:
        save_figures(draw_score_figures(Judged(verdicts[-1])), folder / PICTURES)
    seal(folder, published, verdicts, bundle)
    return (folder / CARD).read_text("utf-8")


def _read_answers(run: RunDirectory, index: Index, metrics: RunMetrics) -> dict[str, Answers]:
    return {
        split: replace(read_answers(run.answers_path, index, split), views=scores.views)
        for split, scores in metrics.splits.items()
    }


def _compare_scores(run: RunDirectory, verdicts: Sequence[Verdict], metrics: RunMetrics) -> None:
    """Refuse to publish scores that do not follow from the answers that go along."""
    for verdict in verdicts:
        told = metrics.splits[verdict.split].headline.metrics
        for name, interval in verdict.headline.metrics.items():
            score = told.get(name)
            if score is not None and score.value != interval.value:
                raise PublishError(
                    f"{run.path}: its {verdict.split} {name} is {score.value}, but "
                    f"{interval.value} follows from its stored answers; judge it again: "
                    f"`tfclassify train --resume {run.path}`"
                )


def _add_samples(folder: Path, bundle: Bundle, index: Index, request: PublishRequest) -> None:
    """Put photos that the model was not trained on, or drawn images, beside it."""
    from tfclassify.publishing.folder import MOST_SAMPLES, store_samples

    if not request.samples:
        with TemporaryDirectory(prefix="tfclassify-") as work:
            drawn = draw_photos(Path(work), bundle.image_size, _DRAWN)
            store_samples(folder, bundle, [(photo, "") for photo in drawn])
        return
    held_out = next(
        (rows for name in ("test", "validation") if len(rows := index.in_split(name))), None
    )
    most = min(0 if held_out is None else len(held_out), MOST_SAMPLES)
    if held_out is None or request.samples > most:
        raise RequestError(
            f"--samples: at most {most} (held-out photos of the run, and {MOST_SAMPLES} at most), "
            f"got {request.samples}"
        )
    chosen = np.linspace(0, len(held_out) - 1, request.samples).astype(int)
    paths, labels = held_out.paths(), held_out.frame["label"].tolist()
    store_samples(folder, bundle, [(str(paths[row]), str(labels[row])) for row in chosen])


def _add_artefacts(
    folder: Path, run: RunDirectory, recipe: Recipe, request: PublishRequest, observer: Observer
) -> tuple[ArtefactFacts, ...]:
    """Export the run in the forms that were asked for, without its private paths."""
    from tfclassify.export.artefact import replace_recipe
    from tfclassify.publishing.card import ArtefactFacts

    if not request.formats:
        return ()
    exported = export_run(ExportRequest(run.path, request.formats, out=folder), observer)
    for artefact in exported.artefacts:
        replace_recipe(artefact.folder, recipe)
    return tuple(
        ArtefactFacts(
            folder=each.folder.name,
            format=each.format,
            precision=each.precision,
            size_bytes=each.size_bytes,
        )
        for each in exported.artefacts
    )


def _gather_facts(
    bundle: Bundle,
    index: Index,
    metrics: RunMetrics,
    request: PublishRequest,
    artefacts: tuple[ArtefactFacts, ...],
) -> CardFacts:
    from tfclassify.profiler.keras_profile import profile_model
    from tfclassify.publishing.card import CardFacts
    from tfclassify.publishing.hub import is_address

    profile = profile_model(bundle.model, [(*bundle.image_size, 3)], title="", target="")
    frame = index.usable().frame
    counts = frame["split"].value_counts()
    splits = [name for name in ("train", "validation", "test") if name in counts]
    return CardFacts(
        version=__version__,
        address=request.target if is_address(request.target) else "",
        license=request.license,
        source=bundle.recipe.data.source,
        images={name: int(counts[name]) for name in splits},
        epochs=metrics.epochs,
        training_seconds=metrics.training_seconds,
        macs=profile.macs,
        flops=profile.flops,
        params=profile.params,
        uncounted={name: int(count) for name, count in profile.cost.uncounted.items()},
        samples=bool(request.samples),
        artefacts=artefacts,
    )


def _refuse_private(folder: Path, run: RunDirectory, request: PublishRequest) -> None:
    """Refuse to publish a folder in which something private stands."""
    from tfclassify.publishing.privacy import search_private

    index = PreparedData.load(run.index_path, run.integrity_path).index
    names = () if request.file_names else tuple(index.frame["image"])
    found = search_private(folder, paths=(run.path,), data_files=names)
    if found:
        lines = "".join(f"\n  {each.file}: {each.kind}, {each.text!r}" for each in found[:10])
        raise PublishError(
            f"{run.path}: something private would be published:{lines}\n"
            "Rename the run's recipe, classes or files so that it is gone, or allow names of the "
            "data's files by --file-names; nothing was sent"
        )
