"""One pass over many images, in parts that run wherever an executor does.

Owns: cutting a pass into jobs of whole batches, the job, putting its answers together.
Does not own: places where jobs run (``executors``), what is made of answers (``judging``,
``inference``).

A part holds whole batches of the pass that one process would make, so an image goes through
the network beside the same others, and the answers are the same bits.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfclassify.data.places import make_absolute
from tfclassify.errors import ImageError, InterruptedTraining, RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.executors.catalogue import ExecutorOptions, open_executor
from tfclassify.executors.jobs import Job, run_jobs
from tfclassify.recipe.schema import TtaRecipe
from tfclassify.workflows.start import start_tensorflow

if TYPE_CHECKING:
    from tfclassify.inference.views import ViewModel
    from tfclassify.model.bundle import Bundle

#: Images of a part, at least: enough that handing over costs little of it.
_LEAST_IMAGES = 256


@dataclass(frozen=True)
class Question:
    """What is asked of every image.

    Attributes:
        models: Folders of runs, bundles or artefacts; several answer side by side.
        image_size: ``(height, width)`` that the images are decoded at.
        tta: The views; None for the plain image.
        batch: Images that go through the network together; see ``find_batch``.
        has_both: Whether the plain image's answer is wanted beside the mean of the views.
    """

    models: tuple[str, ...]
    image_size: tuple[int, int]
    tta: TtaRecipe | None
    batch: int
    has_both: bool = False

    def write(self) -> str:
        """Return it as JSON."""
        views = None if self.tta is None else self.tta.model_dump(mode="json")
        return json.dumps({**asdict(self), "tta": views})

    @classmethod
    def read(cls, text: str) -> Question:
        """Return what ``write`` wrote."""
        content = json.loads(text)
        tta = None if content["tta"] is None else TtaRecipe.model_validate(content["tta"])
        size = content["image_size"]
        return cls(
            tuple(content["models"]),
            (size[0], size[1]),
            tta,
            content["batch"],
            content["has_both"],
        )


def find_batch(model: Any, tta: TtaRecipe | None) -> int:
    """Return how many images one process would put through a model together."""
    from tfclassify.inference.views import build_view_model
    from tfclassify.model.prediction import BATCH_SIZE

    return build_view_model(model, tta).images_per_batch(BATCH_SIZE)


def is_elsewhere(where: ExecutorOptions) -> bool:
    """Say whether jobs run anywhere but in this process."""
    return where.name != "here"


def ask_in_parts(
    question: Question,
    paths: Sequence[str],
    where: ExecutorOptions,
    observer: Observer,
    command: str,
) -> tuple[np.ndarray, list[str]]:
    """Ask models about images, wherever jobs run.

    Args:
        question: What is asked.
        paths: Of the images.
        where: Where the parts are asked.
        observer: Told of each part that is done.
        command: The verb, for the words of an interruption.

    Returns:
        ``(n, C)``, or ``(n, 2, C)`` where both answers are wanted, NaN where an image failed;
        and the reason of each that did, empty for the others.

    Raises:
        JobError: If a part fails; each is named with its reason.
        RequestError: If the executor is not there.
        InterruptedTraining: After Ctrl-C.
    """
    if where.name != "processes":  # these start in this folder, a cluster's do not
        models = tuple(make_absolute(model) for model in question.models)
        question = replace(question, models=models)
        paths = [make_absolute(path) for path in paths]
    with open_executor(where, observer) as executor:
        step = question.batch * -(-_LEAST_IMAGES // question.batch)
        call = f"{answer_part.__module__}:{answer_part.__name__}"
        jobs = [
            Job(
                f"images {start + 1:,} to {min(start + step, len(paths)):,}",
                call,
                {"question": question.write(), "paths": list(paths[start : start + step])},
            )
            for start in range(0, len(paths), step)
        ]
        try:
            values = run_jobs(
                executor, jobs, observer, way_on=f"Once that is mended, repeat: {command}"
            )
        except KeyboardInterrupt:
            raise InterruptedTraining(
                f"{command}: stopped, and so were all workers; nothing was written: begin again"
            ) from None
    answers = [
        np.frombuffer(base64.b64decode(value["answers"]), np.float32).reshape(value["shape"])
        for value in values
    ]
    return np.concatenate(answers), [error for value in values for error in value["errors"]]


def ask_strictly(
    question: Question,
    paths: Sequence[str],
    where: ExecutorOptions,
    observer: Observer,
    command: str,
) -> np.ndarray:
    """Ask as ``ask_in_parts``; an image that cannot be used is an error.

    Raises:
        ImageError: If there is one; names its path.
        ModelError: If an answer is not finite.
    """
    from tfclassify.model.prediction import refuse_infinite

    answers, errors = ask_in_parts(question, paths, where, observer, command)
    first = next((error for error in errors if error), None)
    if first is not None:
        raise ImageError(first)
    refuse_infinite(answers)
    return answers


def list_files(inputs: Sequence[tuple[str, Any]]) -> list[str]:
    """Return the paths of images that another process can read.

    Raises:
        RequestError: If one is in this process's memory.
    """
    for name, image in inputs:
        if not isinstance(image, str):
            raise RequestError(
                f"--executor: {name} is in this process's memory, and other processes read files; "
                "give paths, or use the executor here"
            )
    return [name for name, _ in inputs]


def answer_part(question: str, paths: list[str], observer: Observer = SILENT) -> dict[str, Any]:
    """Ask models about some images: the job.

    Args:
        question: From ``Question.write``.
        paths: Of the images.
        observer: Told nothing of single images.

    Returns:
        The answers as base64 of float32, their shape, and the reason of each failure.
    """
    from tfclassify.inference.prediction import batch_images

    asked = _open(question)
    errors = [""] * len(paths)
    answers = np.full((len(paths), *asked.shape), np.nan, np.float32)
    inputs = [(path, path) for path in paths]
    for _, rows, pixels in batch_images(asked.bundle, inputs, errors, asked.batch):
        answers[rows] = asked.ask(pixels)
    text = base64.b64encode(answers.tobytes()).decode()
    return {"answers": text, "shape": answers.shape, "errors": errors}


@dataclass(frozen=True)
class _Asked:
    """Models that are open: how images are decoded for them, and how they are asked."""

    bundle: Bundle
    views: ViewModel
    batch: int
    has_both: bool

    @property
    def shape(self) -> tuple[int, ...]:
        return (2, self.views.classes) if self.has_both else (self.views.classes,)

    def ask(self, pixels: np.ndarray) -> np.ndarray:
        if self.has_both:
            return self.views.plain_and_mean(pixels)
        return self.views.probabilities(pixels)


@lru_cache(maxsize=1)
def _open(text: str) -> _Asked:
    """Open models once in each process, not once a part."""
    start_tensorflow()
    from tfclassify.export.artefact import open_bundle
    from tfclassify.inference.views import build_view_model
    from tfclassify.model.ensemble import lay_side_by_side

    question = Question.read(text)
    bundles = [open_bundle(Path(model)) for model in question.models]
    model = bundles[0].model
    if len(bundles) > 1:
        model = lay_side_by_side([bundle.model for bundle in bundles], question.image_size)
    views = build_view_model(model, question.tta)
    bundle = replace(bundles[0], image_size=question.image_size)
    return _Asked(bundle, views, question.batch, question.has_both)
