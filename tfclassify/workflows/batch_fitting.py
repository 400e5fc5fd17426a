"""``batch_size: auto``: the largest power of two of images whose step fits into memory.

Owns: which batches are open, the trial, its bounds, what is said. Does not own: the step
(``training``), the estimate of a network's memory (``backbones.footprint``).

What is found is written into the recipe before the run is made, so that the run trains, and
resumes, by a number.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tfclassify.data.index import Index
from tfclassify.data.memory import available_memory
from tfclassify.data.preparation import prepare_data
from tfclassify.errors import TrainingError
from tfclassify.events import Observer
from tfclassify.recipe.schema import PhaseRecipe, Recipe
from tfclassify.recipe.wording import format_bytes
from tfclassify.workflows.material import build_network
from tfclassify.workflows.start import set_up_keras

if TYPE_CHECKING:
    from tfclassify.model.assembly import Classifier

#: Share of the free memory that a step may take on a processor; decoded images need the rest.
STEP_SHARE = 0.5
#: Images a step at most, and updates an epoch at least: larger steps learn too seldom.
MOST_IMAGES, LEAST_UPDATES = 512, 8


def resolve_batches(recipe: Recipe, observer: Observer) -> Recipe:
    """Replace each ``batch_size: auto`` by what fits; other recipes come back as they are.

    Phases without a batch size of their own share one, which fits in each of them.

    Raises:
        TrainingError: If the memory does not suffice for one image.
        TfclassifyError: If the data or the network cannot be used.
    """
    open_phases = list_open_phases(recipe)
    if not open_phases:
        return _replace(recipe, {})
    set_up_keras(recipe)
    index = prepare_data(recipe, observer=observer).index
    classifier = build_network(recipe, index)
    found = {}
    observer.on_task_start("trying batch sizes", len(open_phases))
    for number, phase in enumerate(open_phases, start=1):
        found[phase.name] = _find_size(recipe, phase, classifier, index)
        observer.on_task_step("trying batch sizes", number)
    observer.on_task_end("trying batch sizes")
    settled = _replace(recipe, found)
    tried = [phase for phase in settled.phases if phase.name in found]
    sizes = [f"{phase.name} {settled.as_in(phase).step_images}" for phase in tried]
    observer.on_note(f"batch_size: auto takes images a step: {', '.join(sizes)}")
    return settled


def list_open_phases(recipe: Recipe) -> list[PhaseRecipe]:
    """Return the phases whose batch size is not found out."""
    return [phase for phase in recipe.phases if recipe.as_in(phase).batch_size == "auto"]


def keep_batches(recipe: Recipe, own: Recipe) -> Recipe:
    """Give a recipe with ``auto`` the numbers that a run of it found."""
    names = {phase.name: phase.batch_size for phase in own.phases}
    phases = tuple(
        phase.model_copy(update={"batch_size": names.get(phase.name, "auto")})
        if phase.batch_size == "auto"
        else phase
        for phase in recipe.phases
    )
    size = own.batch_size if recipe.batch_size == "auto" else recipe.batch_size
    return recipe.model_copy(update={"batch_size": size, "phases": phases})


def _replace(recipe: Recipe, found: dict[str, int]) -> Recipe:
    """Put what was found where ``auto`` stands; 32, the default, where no phase needs it."""
    own = [each.name for each in recipe.phases if each.batch_size is None]
    shared = [found[name] for name in own if name in found]
    phases = tuple(
        phase.model_copy(update={"batch_size": found[phase.name]})
        if phase.batch_size == "auto"
        else phase
        for phase in recipe.phases
    )
    size = recipe.batch_size
    if size == "auto":
        size = min(shared, default=32)
    return recipe.model_copy(update={"batch_size": size, "phases": phases})


def _find_size(recipe: Recipe, phase: PhaseRecipe, classifier: Classifier, index: Index) -> int:
    """Try a phase's step on noise, twice as many images each time, until more would not fit."""
    import tensorflow as tf

    train = index.in_split("train")
    most = min(MOST_IMAGES, max(1, len(train) // LEAST_UPDATES))
    limit = int(STEP_SHARE * available_memory())
    try_size = _make_trial(recipe, phase, classifier, train)
    estimate = _make_estimate(recipe, phase, len(index.classes))
    has_own_memory = bool(tf.config.list_physical_devices("GPU"))
    fitting, start = 0, read_peak()
    before = 0
    while max(1, 2 * fitting) <= most:
        size = max(1, 2 * fitting)
        if not has_own_memory and estimate(size) > limit:
            break
        try:
            try_size(size)
        except (MemoryError, tf.errors.ResourceExhaustedError):
            break
        fitting, used = size, read_peak() - start
        # Twice the images add at least as much again as these added to half of them.
        if not has_own_memory and used + 2 * (used - before) > limit:
            break
        before = used
    if not fitting:
        raise TrainingError(
            f"batch_size: auto: phase {phase.name!r}: not even one image of "
            f"{'x'.join(map(str, recipe.as_in(phase).data.image_size))} fits into "
            f"{format_bytes(limit)}, {STEP_SHARE:.0%} of the memory now free; use a smaller "
            "image_size or backbone, or free some"
        )
    return fitting


def _make_estimate(recipe: Recipe, phase: PhaseRecipe, classes: int) -> Callable[[int], int]:
    """Return what a step takes by the shapes of the network: bytes by images."""
    from tfclassify.backbones.footprint import measure
    from tfclassify.model.assembly import build_classifier

    if any(name.startswith(("hub:", "keras_hub:")) for name in _list_backbones(recipe)):
        return lambda size: 0  # such are not built without their weights
    none = {"weights": "none", "weights_sha256": None}
    stack = tuple(member.model_copy(update=none) for member in recipe.model.stack)
    model = recipe.model.model_copy(update={**none, "stack": stack})
    image_size = recipe.as_in(phase).data.image_size
    footprint = measure(lambda: build_classifier(model, classes, image_size, seed=0).network)
    return footprint.to_run if phase.train == "head" else footprint.to_train


def _list_backbones(recipe: Recipe) -> list[str]:
    return [member.backbone for member in recipe.model.stack] or [recipe.model.backbone]


def _make_trial(
    recipe: Recipe, phase: PhaseRecipe, classifier: Classifier, train: Index
) -> Callable[[int], None]:
    """Return what takes a step of so many images of noise, as the phase would."""
    from tfclassify.model.folding import fold_all
    from tfclassify.training.class_weights import resolve_class_weights
    from tfclassify.training.phases import build_step, fit_classifier
    from tfclassify.training.steps import ForwardPass

    sized, seen = fit_classifier(recipe, phase, classifier), recipe.as_in(phase)
    weights = resolve_class_weights(
        recipe.class_weights, train.targets(), train.classes, recipe.task
    )
    step, extractor = build_step(seen, phase, sized, weights)
    extract = ForwardPass(extractor, fold_all(extractor)) if extractor is not None else None
    columns = len(train.classes) * (1 if recipe.distil is None else 2)

    def try_size(size: int) -> None:
        pixels = np.zeros((size, *seen.data.image_size, 3), np.float32)
        inputs = pixels if extract is None else extract(pixels)
        targets = np.full((size, columns), 1 / len(train.classes), np.float32)
        loss, _ = step(inputs, targets, np.ones(size, np.float32), 1.0, ends_group=True)
        float(loss)  # a device may still be at work

    return try_size


def read_peak() -> int:
    """Return the most bytes of memory that this process has held so far; 0 if nobody tells."""
    try:
        import resource
    except ImportError:  # no POSIX system
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) * (1 if sys.platform == "darwin" else 1024)
