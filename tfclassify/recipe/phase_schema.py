"""The section ``phases`` of a recipe: stretches of training.

Owns: its keys, types, defaults and meanings, and the keys that rule one another out.
Does not own: names of metrics (``schema``), training (``training``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from tfclassify.recipe.fields import (
    BatchSize,
    Fraction,
    ImageSize,
    Rate,
    Section,
    Share,
    to_kind,
)
from tfclassify.recipe.names import HUB
from tfclassify.recipe.wording import KeyPath, join_names, show

if TYPE_CHECKING:
    from tfclassify.recipe.schema import Recipe


class EarlyStoppingRecipe(Section):
    """When a phase ends early."""

    metric: str = Field("loss", description="Validation metric that is watched.")
    patience: Annotated[int, Field(ge=1)] = Field(10, description="Epochs without a gain.")
    min_delta: Annotated[float, Field(ge=0)] = Field(0.0, description="Smallest gain.")


class ScheduleRecipe(Section):
    """How the learning rate moves within a phase."""

    kind: Literal["constant", "cosine", "plateau", "one_cycle", "multi_step", "exponential"] = (
        Field("constant", description="Shape.")
    )
    custom: str | None = Field(
        None, description="A schedule of one's own in place of kind, by its registered name."
    )
    warmup_epochs: Annotated[float, Field(ge=0)] = Field(0.0, description="Linear warm-up.")
    final: Fraction = Field(0.0, description="Last rate of cosine, as a share of the first.")
    metric: str = Field("loss", description="Validation metric that plateau watches.")
    factor: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5,
        description="What the rate is multiplied by: when plateau waits in vain, at each "
        "milestone of multi_step, in each epoch of exponential (0.95 there by default).",
    )
    milestones: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="Epochs after which multi_step lowers the rate."
    )
    peak_at: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.3, description="Share of the phase at which one_cycle reaches its peak."
    )
    start_divisor: Annotated[float, Field(ge=1)] = Field(
        25.0, description="one_cycle starts at the peak over this."
    )
    final_divisor: Annotated[float, Field(ge=1)] = Field(
        1e4, description="one_cycle ends at its start over this."
    )
    patience: Annotated[int, Field(ge=1)] = Field(5, description="Epochs plateau waits.")
    min_rate: Annotated[float, Field(ge=0)] = Field(0.0, description="Floor of plateau.")


class TrainPartRecipe(Section):
    """A part of the backbone that is trained with the head."""

    last_blocks: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Train the last n blocks of the backbone."
    )
    freeze_layers: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Freeze the first n layers of the backbone, train the rest."
    )

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.last_blocks is None) == (self.freeze_layers is None):
            raise ValueError("give exactly one of last_blocks and freeze_layers")
        return self


class FeaturesRecipe(Section):
    """Training on cached backbone features."""

    views: Annotated[int, Field(ge=1, le=1000)] = Field(
        1, description="Augmented views of each image that are cached."
    )


class PruneRecipe(Section):
    """Which weights of a phase are set to zero, and when."""

    sparsity: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="Part of the kernels' weights that is zero in the end."
    )
    method: Literal["magnitude", "rigl"] = Field(
        "magnitude",
        description="magnitude: the smallest go, more and more; rigl: sparse from the start, "
        "small ones go and ones with large gradients grow.",
    )
    distribution: Literal["erk", "uniform"] = Field(
        "erk", description="erk: small kernels stay denser; uniform: all alike."
    )
    layers: str = Field(
        "", description="Regular expression; only kernels whose path it finds are pruned."
    )
    pointwise: bool = Field(
        False, description="Prune the kernels of 1x1 convolutions alone, which sparse kernels skip."
    )
    every: Annotated[int, Field(ge=1)] = Field(10, description="Updates between two changes.")
    until: Annotated[float, Field(gt=0, le=1)] = Field(
        0.75, description="Share of the phase after which nothing more is changed."
    )


class PhaseRecipe(Section):
    """One stretch of training."""

    name: Annotated[str, Field(min_length=1)] = Field(description="Name in logs and figures.")
    train: Literal["head", "all"] | TrainPartRecipe = Field(
        "all", description="head, all, {last_blocks: n} or {freeze_layers: n}."
    )
    epochs: Annotated[int, Field(ge=1)] = Field(description="Epochs at most.")
    image_size: ImageSize | None = Field(
        None,
        description="[height, width] or one number of the training images; null takes "
        "data.image_size, at which validation and all that follows is judged.",
    )
    batch_size: BatchSize | None = Field(
        None, description="Images a step; auto as in batch_size; null takes the recipe's."
    )
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop", "adagrad"] = Field(
        "adam", description="Optimizer."
    )
    learning_rate: Rate = Field(1e-3, description="Peak learning rate.")
    weight_decay: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Decoupled weight decay."
    )
    momentum: Share = Field(0.9, description="Momentum of sgd and rmsprop.")
    clip_norm: Rate | None = Field(None, description="Clip the global gradient norm.")
    accumulate: Annotated[int, Field(ge=1, le=1024)] = Field(
        1, description="Batches whose gradients make one step of the optimizer."
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="Factor of the rate from one block of the backbone to the one before it."
    )
    ema: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="Decay of an exponential moving average of the weights, a step."
    )
    swa: Annotated[int, Field(ge=2)] | None = Field(
        None, description="Average the weights over the last n epochs of the phase."
    )
    schedule: Annotated[ScheduleRecipe, BeforeValidator(to_kind)] = Field(
        ScheduleRecipe(),
        description="constant, cosine, plateau, one_cycle, multi_step or exponential, and options.",
    )
    early_stopping: EarlyStoppingRecipe | None = Field(None, description="When to stop early.")
    keep_best: str | None = Field(
        "loss",
        description="Validation metric whose best epoch's weights the phase ends with; "
        "null keeps the last epoch's. Where it is left out it follows early_stopping.metric.",
    )
    augment: bool = Field(True, description="Whether augmentation is on.")
    mix: bool = Field(True, description="Whether CutMix and MixUp are on.")
    features: FeaturesRecipe | None = Field(
        None, description="Train the head on cached features (train: head only)."
    )

    quantise: bool = Field(
        False,
        description="Run as rounded to 8 bits as an int8 artefact would be, so that the weights "
        "get used to it.",
    )
    prune: PruneRecipe | None = Field(
        None, description="Set weights to zero; phases that follow keep them there."
    )

    @model_validator(mode="after")
    def _check_features(self) -> Self:
        if self.features is not None and self.train != "head":
            raise ValueError("features needs train: head, since the backbone must not change")
        return self


#: The keys that each kind of schedule reads.
SCHEDULE_KEYS = {
    "constant": ("warmup_epochs",),
    "cosine": ("warmup_epochs", "final"),
    "one_cycle": ("peak_at", "start_divisor", "final_divisor"),
    "multi_step": ("warmup_epochs", "factor", "milestones"),
    "exponential": ("warmup_epochs", "factor"),
    "plateau": ("warmup_epochs", "metric", "factor", "patience", "min_rate"),
}


#: What exponential multiplies the rate by in each epoch, where the recipe does not say.
EXPONENTIAL_FACTOR = 0.95


def fill_phase(phase: PhaseRecipe, lacks_images: bool) -> PhaseRecipe:
    """Replace what was not written by what the phase's other keys mean.

    ``factor`` is milder for exponential, which lowers the rate in each epoch. ``keep_best`` is
    null without validation images, where ``swa`` averages the last epochs and where weights are
    pruned, whose last epoch alone is as sparse as asked for, and
    else follows ``early_stopping.metric``, so that a phase ends with the epoch it waited for.

    Args:
        phase: The phase.
        lacks_images: Whether there will be no validation images.
    """
    schedule = phase.schedule
    if schedule.kind == "exponential" and "factor" not in schedule.model_fields_set:
        schedule = schedule.model_copy(update={"factor": EXPONENTIAL_FACTOR})
        phase = phase.model_copy(update={"schedule": schedule})
    if "keep_best" in phase.model_fields_set:
        return phase
    if lacks_images or phase.swa is not None or phase.prune is not None:
        return phase.model_copy(update={"keep_best": None})
    if phase.early_stopping is not None:
        return phase.model_copy(update={"keep_best": phase.early_stopping.metric})
    return phase


def check_phases(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Check the names of the phases and the keys that do not go together."""
    counts = Counter(phase.name for phase in recipe.phases)
    if recipe.keep_phase == "best" and any(
        phase.prune or phase.quantise for phase in recipe.phases
    ):
        yield (
            ("keep_phase",),
            "'best' may keep a phase from before the pruning or the rounding; use last",
        )
    for number, phase in enumerate(recipe.phases):
        path: KeyPath = ("phases", number)
        if counts[phase.name] > 1:
            first = next(i for i, other in enumerate(recipe.phases) if other.name == phase.name)
            if number > first:
                yield (*path, "name"), f"{phase.name!r} is already the name of phases[{first}]"
        checks = (
            _check_schedule,
            _check_milestones,
            _check_average,
            _check_layer_decay,
            _check_prune,
            _check_quantise,
        )
        for check in checks:
            yield from ((path + tail, text) for tail, text in check(phase))
        yield from ((path + tail, text) for tail, text in _check_size(recipe, phase))


def _check_size(recipe: Recipe, phase: PhaseRecipe) -> Iterator[tuple[KeyPath, str]]:
    """Check that the network can be run at a phase's own size, as far as the recipe tells."""
    size, judged = phase.image_size, recipe.data.image_size
    if size is None or size == judged:
        return
    got = f"got {show(size)} with data.image_size {show(judged)}"
    names = [member.backbone for member in recipe.model.stack] or [recipe.model.backbone]
    if recipe.model.head.pool == "flatten":
        yield (
            ("image_size",),
            f"must be data.image_size where model.head.pool is flatten, whose weights are for one "
            f"size, {got}; use pool: average or max, or remove it",
        )
    elif any(name.startswith(HUB) for name in names):
        yield (
            ("image_size",),
            f"must be data.image_size for a hub module, which is one piece with weights of its "
            f"own, {got}; remove it",
        )
    if phase.quantise:
        yield (
            ("image_size",),
            f"must be data.image_size where quantise gets the network used to the bits that it "
            f"is shipped with, {got}; remove it",
        )


def _check_quantise(phase: PhaseRecipe) -> Iterator[tuple[KeyPath, str]]:
    """Check that what a phase trains for 8 bits is what it is judged by."""
    for key in ("features", "ema", "swa"):
        value = getattr(phase, key)
        if phase.quantise and value is not None:
            what = "skips the network that is rounded" if key == "features" else "averages weights"
            yield (
                (key,),
                f"{what}, which does not go with quantise, got "
                f"{show(value) if key != 'features' else 'features'}; remove it",
            )


def _check_prune(phase: PhaseRecipe) -> Iterator[tuple[KeyPath, str]]:
    """Check that a phase that prunes ends as sparse as asked for."""
    if phase.prune is None:
        return
    try:
        re.compile(phase.prune.layers)
    except re.error as error:
        yield (
            ("prune", "layers"),
            f"must be a regular expression, got {phase.prune.layers!r} ({error})",
        )
    if phase.train == "head":
        yield ("prune",), "needs a phase that trains the backbone, got train: 'head'; use all"
    for key, value in (
        ("ema", phase.ema),
        ("swa", phase.swa),
        ("early_stopping", phase.early_stopping),
        ("keep_best", phase.keep_best),
    ):
        if value is not None:
            yield (
                (key,),
                "does not go with prune, since only the end of the phase is as sparse as asked "
                "for; remove it, or put it into a phase that follows",
            )


def _check_schedule(phase: PhaseRecipe) -> Iterator[tuple[KeyPath, str]]:
    schedule, default = phase.schedule, ScheduleRecipe()
    for key in ScheduleRecipe.model_fields:
        if key in ("kind", "custom") or key in SCHEDULE_KEYS[schedule.kind]:
            continue
        value = getattr(schedule, key)
        if value != getattr(default, key):
            kinds = [kind for kind, keys in SCHEDULE_KEYS.items() if key in keys]
            yield (
                ("schedule", key),
                f"belongs to {join_names(kinds)}, got {show(value)} with kind {schedule.kind!r}",
            )
    if schedule.warmup_epochs > phase.epochs:
        yield (
            ("schedule", "warmup_epochs"),
            f"must be at most the phase's {phase.epochs} epochs, got "
            f"{show(schedule.warmup_epochs)}",
        )


def _check_milestones(phase: PhaseRecipe) -> Iterator[tuple[KeyPath, str]]:
    """Check that multi_step has milestones that come one after another within the phase."""
    if phase.schedule.kind != "multi_step":
        return
    path: KeyPath = ("schedule", "milestones")
    milestones = list(phase.schedule.milestones)
    if not milestones:
        yield path, "multi_step needs some, got none; name the epochs after which the rate falls"
    elif milestones != sorted(set(milestones)):
        yield path, f"must rise from one to the next, got {milestones}"
    elif milestones[-1] >= phase.epochs:
        yield (
            path,
            f"must come before the phase's last epoch, {phase.epochs}, got {milestones[-1]}",
        )


def _check_average(phase: PhaseRecipe) -> Iterator[tuple[KeyPath, str]]:
    """Check that the mean of the last epochs is the one thing that the phase ends with."""
    if phase.swa is None:
        return
    if phase.swa > phase.epochs:
        yield ("swa",), f"must be at most the phase's {phase.epochs} epochs, got {phase.swa}"
    if phase.ema is not None:
        yield (
            ("swa",),
            f"averages the weights, and so does ema, got {phase.swa} and {phase.ema:g}; remove "
            f"one of the two",
        )
    if phase.early_stopping is not None:
        yield (
            ("swa",),
            "averages the phase's last epochs, which early_stopping may leave out; remove one "
            "of the two",
        )
    if phase.keep_best is not None:
        yield (
            ("keep_best",),
            f"must be null where swa averages the last epochs, got {phase.keep_best!r}; the "
            f"phase ends with one or the other",
        )


def _check_layer_decay(phase: PhaseRecipe) -> Iterator[tuple[KeyPath, str]]:
    """Check that there is a backbone to train at falling rates."""
    if phase.layer_decay is not None and phase.train == "head":
        yield (
            ("layer_decay",),
            f"lowers the rate of the backbone's blocks, but train: head leaves them alone, got "
            f"{phase.layer_decay:g}; remove it",
        )
