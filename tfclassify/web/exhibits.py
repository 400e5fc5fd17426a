"""A model on show: what a page may ask of it.

Owns: answers to one photo, with and without views, how far they are to be trusted, maps of
a class, the run's own misclassified images. Does not own: the page and its paths (``demo``),
many photos at once (``serving``).
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tfclassify.data.images import open_image
from tfclassify.data.index import load_index
from tfclassify.errors import RequestError, ScoringError
from tfclassify.export.reading import is_artefact
from tfclassify.inference.evidence import Explanation, cut_to_photo
from tfclassify.judging.answers import read_answers
from tfclassify.pages.scores import Mistake, list_mistakes
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.directory import RunDirectory
from tfclassify.runs.documents import RunMetrics
from tfclassify.scoring.calibration import ReliabilityBin
from tfclassify.scoring.judgement import Judgement
from tfclassify.web.served_model import ServedModel, locate_model, open_model
from tfclassify.workflows.evaluate import find_run

#: What a photo that came without its name is called in errors.
_PHOTO = "the photo"
#: Longest side of a map, in pixels; the page stretches it over the photo.
MAP_SIDE = 384
#: Misclassified images that a page offers as examples, and their longest side.
MOST_EXAMPLES, EXAMPLE_SIDE = 12, 1024


@dataclass(frozen=True)
class Trust:
    """How often answers of such confidence were right on held-out images.

    Attributes:
        right: Images that were answered rightly.
        images: Images with such a confidence.
        low: Lower end of the 95 % interval of their share.
        high: Upper end.
    """

    right: int
    images: int
    low: float
    high: float


@dataclass(frozen=True)
class Reliability:
    """How often answers of such a confidence are right.

    Attributes:
        curves: Of plain (False) and of averaged answers (True), where they are known.
        fault: Why they are not, where they should be.
    """

    curves: Mapping[bool, tuple[ReliabilityBin, ...]]
    fault: str = ""


@dataclass(frozen=True)
class JudgedOn:
    """Which images the trust and the examples are of.

    Attributes:
        split: validation or test.
        caution: What scores on them do not say, in the report's words; may be empty.
    """

    split: str
    caution: str


@dataclass(frozen=True)
class Example:
    """A held-out image that the run gets wrong.

    Attributes:
        path: The file.
        said: What the run says of it.
        truth: What it is.
    """

    path: Path
    said: str
    truth: str


class Exhibit:
    """One model and all that a page shows of it.

    Attributes:
        name: What it is called.
        plain: The model, shown each photo as it is.

    Args:
        path: A run, a bundle or an artefact.
        name: What to call it.

    Raises:
        TargetError: If there is none.
        BundleError: If it is damaged or unsafe.
    """

    def __init__(self, path: Path, name: str) -> None:
        folder, _ = locate_model(path)
        self.name = name
        self._run = find_run(path)
        self._recipe = Recipe.model_validate_json((folder / "recipe.json").read_bytes())
        # An artefact has its views inside, if any, and cannot leave them out.
        self._is_fixed = is_artefact(folder)
        self.plain = open_model(folder, use_tta=None if self._is_fixed else False)
        # A network's answers come one after the other; the page asks several things at once.
        self._lock = threading.Lock()

    @cached_property
    def averaged(self) -> ServedModel:
        """The model with the recipe's views averaged; opened when it is first asked."""
        return open_model(self.plain.folder, use_tta=True)

    @property
    def views(self) -> int:
        """How many views may be averaged; 1 where there is no choice."""
        if self._is_fixed or self._recipe.tta is None:
            return 1
        from tfclassify.inference.views import list_views

        return len(list_views(self._recipe.tta, self.plain.image_size))

    def describe(self) -> dict[str, Any]:
        """Return what the page must know before the first photo, for JSON."""
        limits = self.plain.thresholds
        return {
            "name": self.name,
            "classes": list(self.plain.classes),
            "multi_label": limits is not None,
            "thresholds": None if limits is None else limits.tolist(),
            "views": self.views,
            "size": list(self.plain.image_size),
            "calibrated": self.plain.temperature is not None,
            "judged_on": None if self._judged is None else vars(self._judged),
            "examples": [{"said": each.said, "truth": each.truth} for each in self.examples],
        }

    def answer(self, photo: bytes, *, with_views: bool = False) -> dict[str, Any]:
        """Say what is on a photo.

        Args:
            photo: A file's bytes.
            with_views: Whether to average over the recipe's views, where it has any.

        Returns:
            For JSON: ``probabilities``, one a class, calibrated where a temperature was
            fitted; ``labels``, their columns; ``trust``, or None where nothing is known.

        Raises:
            ImageError: If the file is no image that can be used.
        """
        with self._lock:
            model = self._choose(with_views)
            _, pixels = model.decode(photo, _PHOTO, model.max_pixels)
            rows = np.asarray(model.ask(pixels[None].astype(np.float32)), np.float64)
        if model.temperature is not None:
            rows = model.soften(rows)
        (row,) = rows
        trust = None
        if model.thresholds is None:
            trust = self.find_trust(float(row.max()), model is not self.plain)
        return {
            "probabilities": row.tolist(),
            "labels": [model.classes.index(name) for name in model.list_labels(row)],
            "views": len(model.views),
            "trust": None if trust is None else vars(trust),
        }

    def _choose(self, with_views: bool) -> ServedModel:
        return self.averaged if with_views and self.views > 1 else self.plain

    def find_trust(self, confidence: float, has_views: bool) -> Trust | None:
        """Say how often answers of such confidence were right on held-out images."""
        for part in self._curves.get(has_views, ()):
            if part.low < confidence <= part.high or confidence == part.low == 0.0:
                return _measure_trust(part)
        return None

    def list_trust(self) -> list[dict[str, float]]:
        """Return the same of the plain image for every bin of confidence, for JSON."""
        found = ((part, _measure_trust(part)) for part in self._curves.get(False, ()))
        return [
            {"from": part.low, "to": part.high, **vars(trust)}
            for part, trust in found
            if trust is not None
        ]

    @cached_property
    def _last_split(self) -> tuple[str, Mapping[str, Any]] | None:
        """The split that the run is judged by, and what ``metrics.json`` says of it."""
        if self._run is None or not (self._run.path / "metrics.json").is_file():
            return None
        content = json.loads((self._run.path / "metrics.json").read_text("utf-8"))
        return list(content["splits"].items())[-1] if content["splits"] else None

    @property
    def _judged(self) -> JudgedOn | None:
        if self._last_split is None:
            return None
        split, facts = self._last_split
        remarks = [facts["caution"], self._reliability.fault]
        return JudgedOn(split, " ".join(filter(None, remarks)))

    @property
    def _curves(self) -> Mapping[bool, tuple[ReliabilityBin, ...]]:
        return self._reliability.curves

    @cached_property
    def _reliability(self) -> Reliability:
        """How often plain and averaged answers are right, on the last held-out split."""
        if self._last_split is None:
            return Reliability({})
        _, facts = self._last_split
        curves = {}
        for has_views, name in ((False, "plain"), (True, "tta")):
            try:
                judgement = Judgement.from_dict(facts[name]) if facts[name] else None
            except ScoringError as error:
                return Reliability({}, f"How often answers are right is not known: {error}.")
            if judgement is not None and judgement.reliability:
                curves[has_views] = judgement.reliability
        return Reliability(curves)

    def draw_map(self, photo: bytes, column: int, *, with_views: bool = False) -> bytes:
        """Draw where the evidence for a class lies, as a PNG to be laid over the photo.

        Args:
            photo: A file's bytes.
            column: The class.
            with_views: Whether to average the maps of the recipe's views.

        Raises:
            ImageError: If the file is no image that can be used.
            RequestError: If there is no such class.
        """
        from tfclassify.inference.overlays import colour_heat

        classes = self.plain.classes
        if not 0 <= column < len(classes):
            raise RequestError(f"class: must be from 0 to {len(classes) - 1}, got {column}")
        with self._lock:
            model = self._choose(with_views)
            facts, pixels = model.decode(photo, _PHOTO, model.max_pixels)
            (evidence,) = model.draw(pixels[None].astype(np.float32), np.array([column], np.int32))
        shown, box = cut_to_photo(evidence, facts, model.resize)
        size = (facts.height, facts.width)
        found = Explanation(
            _PHOTO, classes[column], 0.0, shown, box, size, model.method, model.views, photo
        )
        scale = min(1.0, MAP_SIDE / max(size))
        height, width = (max(1, round(side * scale)) for side in size)
        stream = io.BytesIO()
        colour_heat(found.heat((height, width))).save(stream, "PNG")
        return stream.getvalue()

    @cached_property
    def examples(self) -> tuple[Example, ...]:
        """The held-out images that the run is most confidently wrong about."""
        if self._run is None:
            return ()
        return tuple(_list_examples(self._run))

    def read_example(self, number: int) -> bytes:
        """Return an example as a PNG without metadata.

        Raises:
            RequestError: If there is no such example.
            ImageError: If its file is gone or changed.
        """
        if not 0 <= number < len(self.examples):
            raise RequestError(f"example: there are {len(self.examples)}, got number {number}")
        _, image = open_image(self.examples[number].path, self.plain.max_pixels)
        image.thumbnail((EXAMPLE_SIDE, EXAMPLE_SIDE), Image.Resampling.LANCZOS)
        stream = io.BytesIO()
        Image.fromarray(np.asarray(image)).save(stream, "PNG")
        return stream.getvalue()


def _measure_trust(part: ReliabilityBin) -> Trust | None:
    """Return the share of right answers in a bin, with its exact interval; None if empty."""
    from scipy.stats import binomtest

    if not part.count or part.accuracy is None:
        return None
    right = round(part.accuracy * part.count)
    interval = binomtest(right, part.count).proportion_ci(0.95)
    return Trust(right, part.count, float(interval.low), float(interval.high))


def _list_examples(run: RunDirectory) -> list[Example]:
    metrics_path = run.path / "metrics.json"
    if not (metrics_path.is_file() and run.answers_path.is_file()):
        return []
    metrics, index = RunMetrics.read(metrics_path), load_index(run.index_path)
    if not metrics.splits:
        return []
    split = list(metrics.splits)[-1]
    answers = replace(
        read_answers(run.answers_path, index, split), views=metrics.splits[split].views
    )
    found = list_mistakes(answers, limit=MOST_EXAMPLES)
    return [_describe_example(Path(answers.paths[each.position]), each) for each in found]


def _describe_example(path: Path, wrong: Mistake) -> Example:
    return Example(path, "; ".join(wrong.titles), "; ".join(wrong.lines))
