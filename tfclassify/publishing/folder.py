"""A published model: one folder that stands alone, and whose numbers can be computed again.

Owns: what lies in the folder, taking out of the recipe what is private, the answers behind
the scores. Does not own: the text of the card (``card``), the search for private things
(``privacy``), the way to a hub (``hub``), scoring the answers (``workflows.verify``).

    README.md        the model card
    published.json   facts of the card, checksums of every other file
    bundle.json, model.keras, recipe.json, modules/   the bundle, so that every verb that
                     takes a bundle takes the folder
    metrics.json     the scores by split
    answers.npz      behind the scores: true labels, probabilities, groups as numbers
    samples/         images and, in samples.json, what the model says of them
    pictures/        figures of the scores
    onnx/, litert/   artefacts, where they were asked for
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import Field

from tfclassify.data.images import open_image
from tfclassify.data.memory import total_memory
from tfclassify.errors import (
    ImageError,
    PublishError,
    RunError,
    TargetError,
    explain_unread,
)
from tfclassify.files import Document, hash_file, write_text
from tfclassify.inference.prediction import predict_paths
from tfclassify.model.bundle import Bundle
from tfclassify.publishing.card import CardFacts, write_card
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.arrays import list_arrays, load_arrays, save_arrays
from tfclassify.scoring.verdicts import Answers, Verdict

FACTS, CARD, METRICS, ANSWERS = "published.json", "README.md", "metrics.json", "answers.npz"
SAMPLES, PICTURES = "samples", "pictures"
FORMAT = 1
#: Images that a model may carry, and their longer side in pixels; larger photos are shrunk.
MOST_SAMPLES, _SAMPLE_SIDE = 100, 1024
#: Bytes of a card; a class of ten thousand would take a tenth of it.
MOST_CARD_BYTES = 16 << 20
#: Share of the machine's memory that the answers behind the scores may take.
_ANSWERS_SHARE = 0.25
#: Of a label and of a probability with and without views, as read and as scored.
_ANSWER_BYTES = 32
_ABSOLUTE = re.compile(r"(?<![\w./])(?:[A-Za-z]:)?[\\/](?:[^\\/:\"']+[\\/])+([^\\/:\"']+)")


class Published(Document):
    """``published.json``.

    Attributes:
        format: Of this file.
        facts: What the card tells and cannot be computed from the other files.
        splits: Names of the splits in ``answers.npz``, the headline's last.
        images: How many images each has.
        views: The views that the averaged probabilities are of.
        cautions: What each split's scores do not say.
        files: SHA-256 of every other file, by name.
    """

    format: int
    facts: CardFacts
    splits: tuple[str, ...]
    images: tuple[int, ...]
    views: tuple[tuple[str, ...], ...]
    cautions: tuple[str, ...]
    files: dict[str, str] = Field(default={})


class Sample(Document):
    """An image that comes with the model.

    Attributes:
        file: Its name in ``samples/``.
        label: Its true labels, joined; empty where it is drawn.
        probabilities: What the model said of it, one a class.
    """

    file: str = Field(pattern=r"^sample-[0-9]+\.png$")
    label: str
    probabilities: tuple[float, ...]


class Samples(Document):
    """``samples/samples.json``: the images and the views that they were shown under."""

    views: tuple[str, ...]
    images: tuple[Sample, ...] = Field(max_length=MOST_SAMPLES)


def hide_paths(recipe: Recipe) -> Recipe:
    """Return a recipe whose absolute paths are cut down to their last part."""

    def hide(value: Any) -> Any:
        if isinstance(value, str):
            return value if "://" in value else _ABSOLUTE.sub(r"\1", value)
        if isinstance(value, Mapping):
            return {key: hide(each) for key, each in value.items()}
        return [hide(each) for each in value] if isinstance(value, (list, tuple)) else value

    return Recipe.model_validate_json(json.dumps(hide(recipe.model_dump(mode="json"))))


def store_answers(folder: Path, answers: Mapping[str, Answers]) -> None:
    """Write what the scores follow from: true labels, probabilities, groups.

    The images lose their names: they are numbered, and so are their groups.

    Args:
        folder: The published folder.
        answers: What the model said of each held-out split.
    """
    arrays: dict[str, np.ndarray] = {}
    for split, given in answers.items():
        arrays[f"{split}/targets"] = given.targets.astype(np.uint8)
        arrays[f"{split}/plain"] = given.plain.astype(np.float32)
        if given.averaged is not None:
            arrays[f"{split}/averaged"] = given.averaged.astype(np.float32)
        _, numbers = np.unique(given.groups, return_inverse=True)
        is_alone = np.array([not group for group in given.groups])
        arrays[f"{split}/groups"] = np.where(is_alone, -1, numbers).astype(np.int32)
    save_arrays(folder / ANSWERS, arrays)


def read_answers(
    folder: Path, split: str, count: int, views: tuple[str, ...], bundle: Bundle
) -> Answers:
    """Read the answers of one split.

    Args:
        folder: The published folder.
        split: Its name.
        count: Its images.
        views: Names of the views of the averaged probabilities.
        bundle: The model.

    Raises:
        RunError: If the file is damaged, is not of these images and classes, or holds what
            cannot be answers.
    """
    shape = (count, len(bundle.classes))
    if not 0 < count * len(bundle.classes) * _ANSWER_BYTES < _ANSWERS_SHARE * total_memory():
        raise RunError(
            f"{folder / FACTS}: {count:,} images in {split!r}: there are none, or more than this "
            "machine's memory holds; fetch or copy the folder afresh"
        )
    expected: dict[str, tuple[Sequence[int], str]] = {
        f"{split}/targets": (shape, "uint8"),
        f"{split}/plain": (shape, "float32"),
        f"{split}/groups": ((count,), "int32"),
    }
    if f"{split}/averaged" in list_arrays(folder / ANSWERS):
        expected[f"{split}/averaged"] = (shape, "float32")
    found = load_arrays(folder / ANSWERS, expected)
    _check_answers(folder, split, found, is_one=not bundle.task.is_multi_label)
    names = tuple(f"{number:09}" for number in range(count))
    return Answers(
        bundle.classes,
        names,
        names,
        ("",) * count,
        tuple(f"{group:09}" if group >= 0 else "" for group in found[f"{split}/groups"]),
        found[f"{split}/targets"].astype(np.float32),
        found[f"{split}/plain"],
        found.get(f"{split}/averaged"),
        bundle.task.spread_thresholds(None, shape),
        views,
    )


def _check_answers(
    folder: Path, split: str, found: Mapping[str, np.ndarray], *, is_one: bool
) -> None:
    """Refuse labels and probabilities that are none; scoring takes them as it finds them."""
    targets = found[f"{split}/targets"]
    is_label = targets.max() <= 1 and (not is_one or bool((targets.sum(axis=1) == 1).all()))
    for name in ("plain", "averaged"):
        answers = found.get(f"{split}/{name}", targets)
        # What is no number is in no range. Rounding may carry a sum of shares past 1.
        if not is_label or not bool(((answers >= 0) & (answers <= 1 + 1e-6)).all()):
            raise RunError(
                f"{folder / ANSWERS}: {split!r} holds labels or probabilities that are none: "
                "labels are 0 and 1, and one an image where it has one class, probabilities from "
                "0 to 1; fetch or copy the folder afresh"
            )


def store_samples(folder: Path, bundle: Bundle, photos: Sequence[tuple[str, str]]) -> None:
    """Put images beside the model, without their metadata, and what it says of them.

    Args:
        folder: The published folder.
        bundle: The model.
        photos: Files and their true labels, joined; no label for those that are drawn.
    """
    place = folder / SAMPLES
    place.mkdir(exist_ok=True)
    for number, (photo, _) in enumerate(photos, start=1):
        _, image = open_image(photo, bundle.max_pixels)
        image.thumbnail((_SAMPLE_SIDE, _SAMPLE_SIDE), Image.Resampling.LANCZOS)
        Image.fromarray(np.asarray(image)).save(place / f"sample-{number}.png", optimize=True)
    names = [f"sample-{number}.png" for number in range(1, len(photos) + 1)]
    views, probabilities = ask_samples(bundle, place, names)
    rows = [
        Sample(file=name, label=label, probabilities=tuple(map(float, row)))
        for name, (_, label), row in zip(names, photos, probabilities, strict=True)
    ]
    Samples(views=views, images=tuple(rows)).write(place / "samples.json")


def ask_samples(
    bundle: Bundle, place: Path, names: Sequence[str]
) -> tuple[tuple[str, ...], np.ndarray]:
    """Ask a model about images of a folder; views, and probabilities ``(n, classes)``.

    Raises:
        ImageError: If one cannot be read.
    """
    answers = predict_paths(bundle, [str(place / name) for name in names], bundle.recipe.tta)
    if answers.failed:
        raise ImageError(f"{place}: {next(filter(None, answers.errors))}; copy the folder afresh")
    return answers.views, answers.probabilities


def seal(
    folder: Path, published: Published, verdicts: Sequence[Verdict], bundle: Bundle
) -> Published:
    """Write the card and, last, the facts with the checksum of every file."""
    card = write_card(published.facts, verdicts, bundle.recipe, bundle.classes)
    write_text(folder / CARD, card)
    sums = {name: hash_file(folder / name) for name in list_files(folder) if name != FACTS}
    sealed = published.model_copy(update={"files": sums})
    sealed.write(folder / FACTS)
    return sealed


def list_files(folder: Path) -> list[str]:
    """Return the names of all files in a folder, sorted, with ``/`` between their parts."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in files)


def read_published(folder: Path) -> Published:
    """Read ``published.json``.

    Raises:
        TargetError: If the folder is none that was published.
        PublishError: If it is damaged or of another version.
    """
    path = folder / FACTS
    if not path.is_file():
        raise TargetError(
            f"{folder}: is not a published model, it has no {FACTS}; make one with "
            "`tfclassify publish RUN FOLDER`"
        )
    try:
        published = Published.read(path)
    except (OSError, ValueError) as error:
        reason = explain_unread(error, "fetch or copy the folder afresh")
        raise PublishError(f"{path}: damaged: {reason}") from error
    if published.format != FORMAT:
        raise PublishError(
            f"{path}: format {published.format!r}, this version reads {FORMAT}; use tfclassify "
            f"{published.facts.version}"
        )
    return published
