"""Checks of the phases: names, schedules, averages, and which phase is kept.

Owns: keys of a phase that rule one another out. Does not own: names of metrics
(``checks``), single values (``phase_schema``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tfclassify.recipe.phase_schema import PhaseRecipe, ScheduleRecipe
from tfclassify.recipe.schema import Recipe
from tfclassify.recipe.wording import KeyPath, join_names, show

#: The keys that each kind of schedule reads.
SCHEDULE_KEYS = {
    "constant": ("warmup_epochs",),
    "cosine": ("warmup_epochs", "final"),
    "one_cycle": ("peak_at", "start_divisor", "final_divisor"),
    "multi_step": ("warmup_epochs", "factor", "milestones"),
    "exponential": ("warmup_epochs", "factor"),
    "plateau": ("warmup_epochs", "metric", "factor", "patience", "min_rate"),
}


def settle_keep_best(phase: PhaseRecipe, lacks_images: bool) -> PhaseRecipe:
    """Replace a ``keep_best`` that was not written by what the phase's other keys mean.

    It is null without validation images and where ``swa`` averages the last epochs, and
    else follows ``early_stopping.metric``, so that a phase ends with the epoch it waited for.

    Args:
        phase: The phase.
        lacks_images: Whether there will be no validation images.
    """
    if "keep_best" in phase.model_fields_set:
        return phase
    if lacks_images or phase.swa is not None:
        return phase.model_copy(update={"keep_best": None})
    if phase.early_stopping is not None:
        return phase.model_copy(update={"keep_best": phase.early_stopping.metric})
    return phase


def check_phases(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Check the names of the phases and the keys that do not go together."""
    counts = Counter(phase.name for phase in recipe.phases)
    for number, phase in enumerate(recipe.phases):
        path: KeyPath = ("phases", number)
        if counts[phase.name] > 1:
            first = next(i for i, other in enumerate(recipe.phases) if other.name == phase.name)
            if number > first:
                yield (*path, "name"), f"{phase.name!r} is already the name of phases[{first}]"
        for check in (_check_schedule, _check_milestones, _check_average, _check_layer_decay):
            yield from ((path + tail, text) for tail, text in check(phase))


def _check_schedule(phase: PhaseRecipe) -> Iterator[tuple[KeyPath, str]]:
    schedule, default = phase.schedule, ScheduleRecipe()
    for key in ScheduleRecipe.model_fields:
        if key == "kind" or key in SCHEDULE_KEYS[schedule.kind]:
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
