"""One phase at work: its part of the network, its batches, its step, its average.

Owns: setting a phase up, and which weights it shows and ends with. Does not own: the
order of phases and epochs, what is saved (``trainer``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import keras
import numpy as np

from tfclassify.events import Observer
from tfclassify.model.assembly import Classifier, resize_classifier
from tfclassify.model.freezing import apply_freezing
from tfclassify.recipe.schema import PhaseRecipe, Recipe
from tfclassify.scoring.tasks import get_task
from tfclassify.training.averages import (
    WeightAverage,
    find_trained_norms,
    mean_share,
    measure_statistics,
    moving_share,
)
from tfclassify.training.devices import check_phase
from tfclassify.training.optimizers import build_optimizer, list_factors
from tfclassify.training.pruning import Pruner
from tfclassify.training.quantising import Quantiser
from tfclassify.training.replicas import ONE, Replicas
from tfclassify.training.sources import (
    BatchSource,
    FeatureSource,
    Material,
    StreamSource,
    count_steps,
    split_at_pooling,
)
from tfclassify.training.steps import ForwardPass, TrainingStep, Within


@dataclass(frozen=True)
class Group:
    """The batches of one update of the optimizer.

    Attributes:
        share: Part of the update's images that the batch at hand is.
        ends: Whether the update follows this batch.
    """

    share: float
    ends: bool


class WorkingPhase:
    """A phase that is being trained.

    Args:
        number: Its position in the recipe, from 0.
        recipe: Its keys; those of a phase that is cut change while it is trained.
        step: Its gradient step.
        source: Its batches.
        changing: Every variable of the network that it may change.
        batch_size: Images a step.
        pruner: What keeps weights at zero, in this phase and after one that pruned.

    Attributes:
        average: What follows the weights, where the phase averages them.
    """

    def __init__(
        self,
        number: int,
        recipe: PhaseRecipe,
        step: TrainingStep,
        source: BatchSource,
        changing: Sequence[keras.Variable],
        batch_size: int,
        pruner: Pruner | None = None,
    ) -> None:
        self.number, self.recipe, self.step = number, recipe, step
        self.batch_size = batch_size
        self.source, self.changing = source, list(changing)
        self.pruner = pruner
        is_averaged = recipe.ema is not None or recipe.swa is not None
        self.average = WeightAverage(self.changing) if is_averaged else None

    @property
    def saved(self) -> list[keras.Variable]:
        """What resuming needs: weights, the optimizer's memory, the average, the masks."""
        copies = self.average.copies if self.average else []
        masks = self.pruner.masks if self.pruner else []
        return [*self.changing, *self.step.optimizer.variables, *copies, *masks]

    @property
    def keep_best(self) -> str | None:
        """The metric of the epoch that is kept; None where an average is, or the last."""
        return None if self.recipe.swa else self.recipe.keep_best

    def shown(self) -> AbstractContextManager[None]:
        """Show the weights that are judged and kept: a moving average, or the weights."""
        if self.average is None or self.recipe.ema is None:
            return nullcontext()
        return self.average.shown()

    def follow_update(self, updates: int) -> None:
        """Let masks and a moving average follow the phase's ``updates``-th update, from 1."""
        if self.pruner is not None:
            self.pruner.follow(updates)
        if self.average is not None and self.recipe.ema is not None:
            self.average.move(moving_share(self.recipe.ema, updates))

    def follow_epoch(self, epoch: int) -> None:
        """Let the mean of the last epochs take in one, where it is among them."""
        if self.average is None or self.recipe.swa is None:
            return
        count = epoch - (self.recipe.epochs - self.recipe.swa)
        if count >= 1:
            self.average.move(mean_share(count))

    def put_average(self) -> None:
        """End the phase with its averaged weights, where it averages.

        The BatchNorms that the phase trains are measured anew for the mean of its last
        epochs, on the images as its last epoch showed them.
        """
        if self.average is None:
            return
        self.average.put()
        norms = find_trained_norms(self.step.models)
        if self.recipe.swa is not None and norms:
            batches = (batch[0] for batch in self.source.replay(self.recipe.epochs))
            measure_statistics(norms, self.step.call_network, batches)


def group_batches(images: int, batch_size: int, accumulate: int) -> Iterator[Group]:
    """Yield for each batch of an epoch which part of an update it is.

    A group never reaches into the next epoch: the last one of an epoch may hold fewer
    images, and is the mean over those, like a last batch that does not come out even.

    Args:
        images: Images of an epoch.
        batch_size: Images a batch.
        accumulate: Batches an update.

    Example:
        >>> [(group.share, group.ends) for group in group_batches(10, 4, 2)]
        [(0.5, False), (0.5, True), (1.0, True)]
    """
    size = batch_size * accumulate
    for start in range(0, images, batch_size):
        first = start - start % size
        last = min(first + size, images)
        end = min(start + batch_size, images)
        yield Group((end - start) / (last - first), end == last)


def start_phase(
    recipe: Recipe,
    number: int,
    classifier: Classifier,
    material: Material,
    network: ForwardPass,
    observer: Observer,
    cut: PhaseRecipe | None = None,
    replicas: Replicas = ONE,
) -> WorkingPhase:
    """Set a phase up on the network as it is.

    Args:
        recipe: The recipe.
        number: Position of the phase, from 0.
        classifier: The network; freezing changes it. Where the phase has a size of its own,
            what is trained is a network for that size on the same weights.
        material: Training and validation images.
        network: The whole network in inference mode, for validation images.
        observer: Receives the progress of decoding images and caching features.
        cut: The phase with fewer epochs, to keep a time; its images stay those of the recipe.
        replicas: The devices that compute a batch together.
    """
    phase, quantiser = recipe.phases[number], None
    seen, sized = recipe.as_in(phase), fit_classifier(recipe, phase, classifier)
    material = material.decoded_as(seen.data, observer)
    if phase.quantise:
        quantiser = Quantiser(sized.network, material.train.images, f"phases[{number}]")
        network = ForwardPass(sized.network, quantiser.active)
    within = quantiser.active if quantiser else None
    freeze(recipe, phase, classifier)  # as it is saved
    step, extractor = build_step(recipe, phase, sized, material.class_weights, within, replicas)
    check_phase(replicas, step.models, seen.step_images, f"phases[{number}]")
    address = sum(earlier.epochs for earlier in recipe.phases[:number])
    source: BatchSource
    if extractor is None:
        source = StreamSource(material, seen, phase, network, address, quantiser, replicas)
    else:
        judged = extractor if sized is classifier else split_at_pooling(classifier)[0]
        judge = ForwardPass(step.head)
        source = FeatureSource(material, seen, phase, extractor, judged, judge, address, observer)
    is_head_only = phase.train == "head"
    changing = sized.head.weights if is_head_only else sized.network.weights
    pruner = _make_pruner(recipe, number, sized, len(material.train.images))
    if pruner is not None:
        step.keep_gradients(pruner.kernels, pruner.gradients)
    return WorkingPhase(number, cut or phase, step, source, changing, seen.step_images, pruner)


def fit_classifier(recipe: Recipe, phase: PhaseRecipe, classifier: Classifier) -> Classifier:
    """Return the classifier for the size of a phase's images, on the same weights.

    Raises:
        ModelError: If the network's weights are for one size.
    """
    where = f"phases[{recipe.phases.index(phase)}].image_size"
    return resize_classifier(classifier, recipe.model, recipe.as_in(phase).data.image_size, where)


def _make_pruner(recipe: Recipe, number: int, classifier: Classifier, images: int) -> Pruner | None:
    """Make what prunes in a phase, or keeps what an earlier one pruned; None if none did."""
    phase = recipe.phases[number]
    if not any(earlier.prune for earlier in recipe.phases[: number + 1]):
        return None
    updates = phase.epochs * count_updates(images, recipe, phase)
    return Pruner(classifier.network, phase.prune, updates, f"phases[{number}]")


def freeze(recipe: Recipe, phase: PhaseRecipe, classifier: Classifier) -> int:
    """Freeze the network for a phase and count what is trained.

    One that quantises leaves every BatchNorm as it is.
    """
    batch_norm = "frozen" if phase.quantise else recipe.model.batch_norm
    return apply_freezing(classifier, phase.train, batch_norm)


def build_step(
    recipe: Recipe,
    phase: PhaseRecipe,
    classifier: Classifier,
    class_weights: np.ndarray | None,
    within: Within | None = None,
    replicas: Replicas = ONE,
) -> tuple[TrainingStep, keras.Model | None]:
    """Freeze the network for a phase and build its gradient step.

    Args:
        recipe: The recipe.
        phase: One of its phases.
        classifier: The network; freezing changes it.
        class_weights: ``(classes,)``, which under multi_label the loss weighs by.
        within: Opens what the network runs within; None folds frozen BatchNorms.
        replicas: The devices that compute a batch together.

    Returns:
        The step, and what makes images the features that it takes, where it takes features.
    """
    freeze(recipe, phase, classifier)
    extractor, body, head = None, classifier.backbone, classifier.head
    if phase.features is not None:
        extractor, head = split_at_pooling(classifier)
        body = None
    factors = None if phase.layer_decay is None else list_factors(classifier, phase.layer_decay)
    step = TrainingStep(
        body,
        head,
        is_body_trained=phase.train != "head",
        optimizer=build_optimizer(phase, factors, classifier.network.variables),
        recipe=recipe,
        positive_weights=None if get_task(recipe.task).weighs_images else class_weights,
        is_accumulating=phase.accumulate > 1,
        within=within,
        replicas=replicas,
    )
    return step, extractor


def count_updates(images: int, recipe: Recipe, phase: PhaseRecipe) -> int:
    """Return the optimizer's steps in an epoch of a phase."""
    return count_steps(images, recipe.as_in(phase).step_images * phase.accumulate)
