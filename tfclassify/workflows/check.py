"""``check``: validate a recipe, read its data, and say what would be trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tfclassify.data.index import Index
from tfclassify.data.integrity import IntegrityReport
from tfclassify.data.preparation import prepare_data
from tfclassify.events import SILENT, Observer
from tfclassify.recipe.schema import PhaseRecipe, Recipe
from tfclassify.workflows.batch_fitting import resolve_batches
from tfclassify.workflows.material import (
    build_network,
    find_augmentation_warnings,
    find_precision_warnings,
    open_teacher,
)
from tfclassify.workflows.recipes import Given, open_recipe
from tfclassify.workflows.start import set_up_keras, verb

if TYPE_CHECKING:
    from tfclassify.model.assembly import Classifier
    from tfclassify.training.steps import TrainingStep
    from tfclassify.training.teacher import Teacher

#: Steps timed for the estimate, after one that is not.
TIMED_STEPS = 2


@dataclass(frozen=True)
class CheckRequest:
    """What to check.

    Attributes:
        recipe: A recipe, or images that one is fitted to; see ``open_recipe``.
        overrides: ``key=value`` texts.
        columns: Which column of a table holds what, for images without a recipe.
    """

    recipe: Given
    overrides: tuple[str, ...] = ()
    columns: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class PhasePlan:
    """What one phase would do.

    Attributes:
        name: As in the recipe.
        epochs: Epochs at most.
        image_size: ``(height, width)`` of its training images.
        batch_size: Images a step.
        steps: Steps an epoch.
        trainable_parameters: Parameters that it trains.
        seconds_per_epoch: Measured on a few steps of noise; training only.
        seconds_caching: Running the frozen backbone over all images and their augmented views
            before the first epoch, where the phase trains on stored features.
        seconds_at_most: All epochs, and caching features where the phase does.
    """

    name: str
    epochs: int
    image_size: tuple[int, int]
    batch_size: int
    steps: int
    trainable_parameters: int
    seconds_per_epoch: float
    seconds_caching: float
    seconds_at_most: float


@dataclass(frozen=True)
class CheckResult:
    """What would be trained.

    Attributes:
        recipe: The recipe.
        index: The images, with splits and quarantine.
        integrity: What was found when the images were checked.
        parameters: Parameters of the network.
        phases: One plan a phase.
    """

    recipe: Recipe
    index: Index
    integrity: IntegrityReport
    parameters: int
    phases: tuple[PhasePlan, ...]


@verb
def check_recipe(request: CheckRequest, observer: Observer = SILENT) -> CheckResult:
    """Check a recipe and its data; nothing is trained and nothing is written.

    Raises:
        RecipeError: If the recipe is wrong.
        TfclassifyError: If the data or the model cannot be used.
    """
    recipe = open_recipe(request.recipe, request.overrides, observer, request.columns)
    recipe = resolve_batches(recipe, observer)
    data = prepare_data(recipe, observer=observer)
    set_up_keras(recipe)
    for warning in [*find_augmentation_warnings(recipe), *find_precision_warnings(recipe)]:
        observer.on_warning(warning)
    classifier = build_network(recipe, data.index)
    train = data.index.in_split("train")
    observer.on_task_start("timing a few steps", None)
    teacher = open_teacher(recipe, data.index, observer)
    plans = tuple(plan_phase(recipe, phase, classifier, train, teacher) for phase in recipe.phases)
    observer.on_task_end("timing a few steps")
    return CheckResult(recipe, data.index, data.integrity, classifier.network.count_params(), plans)


def plan_phase(
    recipe: Recipe,
    phase: PhaseRecipe,
    classifier: Classifier,
    train: Index,
    teacher: Teacher | None,
) -> PhasePlan:
    """Time a few steps of a phase as the training would take them, its teacher's answers too."""
    from tfclassify.model.folding import fold_all
    from tfclassify.training.class_weights import resolve_class_weights
    from tfclassify.training.phases import build_step, fit_classifier, freeze
    from tfclassify.training.sources import count_steps
    from tfclassify.training.steps import ForwardPass

    classifier, recipe = fit_classifier(recipe, phase, classifier), recipe.as_in(phase)
    slow = phase.model_copy(update={"learning_rate": 1e-12})
    class_weights = resolve_class_weights(
        recipe.class_weights, train.targets(), train.classes, recipe.task
    )
    step, extractor = build_step(recipe, slow, classifier, class_weights)
    trainable = freeze(recipe, phase, classifier)
    size = recipe.step_images
    steps, batch = count_steps(len(train), size), min(size, len(train))
    pixels = np.zeros((batch, *recipe.data.image_size, 3), np.float32)
    targets = np.full((batch, len(train.classes)), 1 / len(train.classes), np.float32)
    asking = 0.0
    if teacher is not None:
        plain, targets = targets, teacher.join(pixels, targets)
        asking = time_work(lambda: teacher.join(pixels, plain)) * steps
    inputs, caching = pixels, 0.0
    if extractor is not None and phase.features is not None:
        extract = ForwardPass(extractor, fold_all(extractor))
        inputs = extract(pixels)
        views = min(phase.features.views, phase.epochs)
        caching = (time_work(lambda: np.asarray(extract(pixels))) * steps + asking) * views
        asking = 0.0
    seconds = _time_update(step, inputs, targets, phase) * steps / phase.accumulate + asking
    return PhasePlan(
        phase.name,
        phase.epochs,
        recipe.data.image_size,
        size,
        steps,
        trainable,
        seconds,
        caching,
        seconds * phase.epochs + caching,
    )


def _time_update(
    step: TrainingStep, inputs: np.ndarray, targets: np.ndarray, phase: PhaseRecipe
) -> float:
    """Return the seconds of one update: as many batches as the phase accumulates."""
    weights, share = np.ones(len(inputs), np.float32), 1.0 / phase.accumulate

    def update() -> None:
        for number in range(1, phase.accumulate + 1):
            loss, _ = step(inputs, targets, weights, share, ends_group=number == phase.accumulate)
        float(loss)  # a device may still be at work

    return time_work(update)


def time_work(work: Callable[[], object], times: int = TIMED_STEPS) -> float:
    """Return the seconds that work takes, the mean of a few times after one that is not counted."""
    work()
    started = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - started) / times
