"""``verify``: compute what a published model claims of itself once more."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfclassify import __version__
from tfclassify.errors import PublishError, TfclassifyError
from tfclassify.events import SILENT, Observer
from tfclassify.files import find_irregular, hash_file, read_regular, to_plain
from tfclassify.judging.verdicts import Calibrated, judge_answers, list_scores
from tfclassify.runs.documents import RunMetrics
from tfclassify.scoring.verdicts import Verdict
from tfclassify.workflows.start import start_tensorflow, verb

if TYPE_CHECKING:
    from tfclassify.model.bundle import Bundle
    from tfclassify.publishing.folder import Published

#: Another processor rounds otherwise; more than this is another model.
TOLERANCE = 1e-4
#: What a stranger's file may bring about while what it claims is computed.
_FAULTS = (TfclassifyError, OSError, ValueError)


@dataclass(frozen=True)
class VerifyRequest:
    """What to verify.

    Attributes:
        run: The folder of a published model, or its ``hf:`` address.
    """

    run: Path


@dataclass(frozen=True)
class Check:
    """One thing that was verified.

    Attributes:
        name: What.
        is_right: Whether it holds.
        found: What was found, for people.
    """

    name: str
    is_right: bool
    found: str


@dataclass(frozen=True)
class VerifyResult:
    """What was found.

    Attributes:
        folder: The folder.
        checks: One for each thing that was verified.
    """

    folder: Path
    checks: tuple[Check, ...]

    @property
    def is_right(self) -> bool:
        """Whether everything holds."""
        return all(check.is_right for check in self.checks)


@verb
def verify_published(request: VerifyRequest, observer: Observer = SILENT) -> VerifyResult:
    """Compare files, scores, card and answers of a published model with what it claims.

    Raises:
        TargetError: If the folder is none that was published.
        PublishError: If its facts are damaged.
        BundleError: If its model is damaged, or could run code.
    """
    start_tensorflow()
    from tfclassify.model.bundle import load_bundle
    from tfclassify.publishing.folder import read_published

    folder = request.run
    published = read_published(folder)
    if (irregular := find_irregular(folder)) is not None:
        raise PublishError(f"{irregular}; a published model is made of files and folders alone")
    files = _check_files(folder, published)
    bundle = load_bundle(folder)
    verdicts, scores = _check_scores(folder, bundle, published)
    card = _check_card(folder, bundle, published, verdicts)
    return VerifyResult(folder, (files, scores, card, _check_samples(folder, bundle)))


def judge_published(folder: Path, bundle: Bundle, published: Published) -> tuple[Verdict, ...]:
    """Compute the scores of a published model from its answers alone.

    Raises:
        RunError: If the answers are damaged or are not of these images and classes.
    """
    from tfclassify.publishing.folder import read_answers

    splits = zip(
        published.splits, published.images, published.views, published.cautions, strict=True
    )
    verdicts = []
    for split, count, views, caution in splits:
        answers = read_answers(folder, split, count, views, bundle)
        verdict = judge_answers(answers, split, bundle.recipe, Calibrated.of_bundle(bundle))
        verdicts.append(replace(verdict, caution=caution))
    return tuple(verdicts)


def _check_files(folder: Path, published: Published) -> Check:
    from tfclassify.publishing.folder import FACTS, list_files

    there = set(list_files(folder)) - {FACTS}
    strange = sorted(there ^ set(published.files))
    changed = [
        name
        for name, expected in published.files.items()
        if name in there and hash_file(folder / name) != expected
    ]
    if strange or changed:
        named = ", ".join([*changed[:3], *strange[:3]])
        return Check("files", False, f"changed, missing or added: {named}")
    return Check("files", True, f"{len(there)} files are those that were published")


def _check_scores(
    folder: Path, bundle: Bundle, published: Published
) -> tuple[tuple[Verdict, ...], Check]:
    from tfclassify.publishing.folder import METRICS

    try:
        verdicts = judge_published(folder, bundle, published)
        RunMetrics.read(folder / METRICS)  # typed, finite, not too large
        told = dict(_list_values(json.loads((folder / METRICS).read_bytes())))
    except _FAULTS as error:
        return (), Check("scores", False, str(error))
    expected = dict(_list_values(to_plain(list_scores(verdicts, bundle.recipe.metric))))
    paths = expected | told
    if published.facts.version != __version__:  # which may store more, or less
        paths = {path: None for path in expected if "metrics" in path}
    differing = [path for path in paths if not _is_same(path, expected.get(path), told.get(path))]
    if differing:
        named = ", ".join(".".join(path) for path in differing[:3])
        return verdicts, Check("scores", False, f"{METRICS} says otherwise of {named}")
    number, images = sum(len(each.headline.metrics) for each in verdicts), sum(published.images)
    found = f"{number} scores with their intervals follow from {images} answers, bit for bit"
    return verdicts, Check("scores", True, found if number else "none are claimed")


def _list_values(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every value of a JSON text with the keys that lead to it."""
    if not isinstance(value, (list, dict)):
        yield path, value
        return
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _list_values(each, (*path, str(key)))


def _is_same(path: tuple[str, ...], expected: Any, told: Any) -> bool:
    """Say whether a value follows; curves hang by logarithms, which processors round."""
    if "metrics" not in path and isinstance(expected, float) and isinstance(told, (int, float)):
        return math.isclose(expected, told, rel_tol=1e-6, abs_tol=1e-9)
    return bool(expected == told)


def _check_card(
    folder: Path, bundle: Bundle, published: Published, verdicts: Sequence[Verdict]
) -> Check:
    """Write the card once more; another version may word it otherwise."""
    from tfclassify.publishing.card import write_card
    from tfclassify.publishing.folder import CARD, MOST_CARD_BYTES

    try:
        text = read_regular(folder / CARD, limit=MOST_CARD_BYTES).decode("utf-8")
    except (OSError, ValueError) as error:
        return Check("card", False, f"{CARD} cannot be read: {error}")
    if text == write_card(published.facts, verdicts, bundle.recipe, bundle.classes):
        return Check("card", True, f"{CARD} says what the scores say, letter for letter")
    if published.facts.version != __version__:
        told = f"was written by tfclassify {published.facts.version}, this is {__version__}"
        return Check("card", False, f"{CARD} {told}, which words it otherwise; verify with that")
    return Check("card", False, f"{CARD} is not what follows from the scores and the facts")


def _check_samples(folder: Path, bundle: Bundle) -> Check:
    """Ask the model about the images that came with it."""
    from tfclassify.publishing.folder import SAMPLES, Samples, ask_samples

    place = folder / SAMPLES
    try:
        stored = Samples.read(place / "samples.json")
        _, found = ask_samples(bundle, place, [each.file for each in stored.images])
        told = np.array([each.probabilities for each in stored.images], np.float64)
        if found.shape != told.shape:
            raise ValueError(f"{told.shape} probabilities for {found.shape}")
    except _FAULTS as error:
        return Check("samples", False, str(error))
    difference = float(np.abs(found - told).max())
    if difference == 0:
        return Check("samples", True, f"{len(told)} images are answered the same, bit for bit")
    text = f"the answers to {len(told)} images differ by {difference:.1e} at most"
    if difference > TOLERANCE:
        return Check("samples", False, text)
    return Check("samples", True, f"{text}, as another processor or version rounds")
