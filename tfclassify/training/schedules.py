"""What follows from the epochs so far: the learning rate, the early stop, cuts to keep a time.

Owns: the shapes of the rate, both rules of patience, what a cut leaves of a phase. All are
pure functions of the step and the records, so a resumed training decides exactly as one that
was never stopped. Does not own: the records (``scoring.epochs``), the optimizer that the rate
is given to, when a time asks for a cut (``tuning.budget``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tfclassify.errors import TrainingError
from tfclassify.recipe.names import OWN_FUNCTIONS, find_own_function
from tfclassify.recipe.schema import EarlyStoppingRecipe, PhaseRecipe, ScheduleRecipe
from tfclassify.recipe.wording import format_seconds
from tfclassify.scoring.epochs import EpochRecord, best_epoch, is_better


def learning_rate_at(
    phase: PhaseRecipe, step: int, steps_per_epoch: int, records: Sequence[EpochRecord]
) -> float:
    """Return the learning rate of one step of a phase.

    Args:
        phase: The phase; its ``learning_rate`` is the peak.
        step: Step of the optimizer within the phase, from 0.
        steps_per_epoch: Steps of the optimizer in an epoch.
        records: The phase's finished epochs, for ``plateau``.

    Returns:
        The rate. A warm-up rises linearly and reaches the peak at its last step;
        cosine then falls to ``final`` times the peak at the phase's last step,
        exponential by ``factor`` with each epoch after the warm-up, and multi_step by
        ``factor`` after each epoch of ``milestones``, the warm-up's counted too. A schedule
        of one's own goes from the warm-up to the phase's last step.

    Raises:
        TrainingError: If a schedule of one's own gives no share of the peak.
    """
    schedule = phase.schedule
    if schedule.kind == "one_cycle":
        return phase.learning_rate * one_cycle_share(step, phase.epochs * steps_per_epoch, schedule)
    warmup_steps = round(schedule.warmup_epochs * steps_per_epoch)
    if step < warmup_steps:
        return phase.learning_rate * (step + 1) / warmup_steps
    last = max(1, phase.epochs * steps_per_epoch - 1 - warmup_steps)
    progress = min(1.0, (step - warmup_steps) / last)
    if schedule.custom is not None:
        return phase.learning_rate * _find_own_share(schedule.custom, progress)
    if schedule.kind == "cosine":
        wave = 0.5 * (1.0 + math.cos(math.pi * progress))
        return phase.learning_rate * (schedule.final + (1.0 - schedule.final) * wave)
    if schedule.kind == "plateau":
        return max(phase.learning_rate * plateau_scale(records, schedule), schedule.min_rate)
    if schedule.kind == "multi_step":
        falls = sum(step // steps_per_epoch >= milestone for milestone in schedule.milestones)
        return phase.learning_rate * schedule.factor**falls
    if schedule.kind == "exponential":
        return phase.learning_rate * schedule.factor ** ((step - warmup_steps) // steps_per_epoch)
    return phase.learning_rate


def register_schedule(name: str, share_at: Callable[[float], float]) -> None:
    """Add a schedule of one's own; recipes name it by ``schedule: {custom: NAME}``.

    One of the same name that was added before is replaced, so a notebook's cell may run
    twice.

    Args:
        name: Name in recipes.
        share_at: Maps how far the phase is, from 0 after the warm-up to 1 at its last step,
            to the share of the peak learning rate, at least 0. It must depend on nothing
            else, so that a resumed training follows the same rates.

    Raises:
        TrainingError: If the name is no identifier.
    """
    if not name.isidentifier():
        raise TrainingError(
            f"register_schedule: a name is letters, digits and underscores, got {name!r}"
        )
    OWN_FUNCTIONS["schedules"][name] = share_at


def _find_own_share(name: str, progress: float) -> float:
    share = float(find_own_function("schedules", name)(progress))
    if not 0.0 <= share < math.inf:
        raise TrainingError(
            f"schedule.custom: {name!r} must give a share of the peak of at least 0, got "
            f"{share!r} at {progress:g} of the phase; mend the function"
        )
    return share


def one_cycle_share(step: int, steps: int, schedule: ScheduleRecipe) -> float:
    """Return the share of the peak at one step of a single cycle.

    A half cosine rises from ``1 / start_divisor`` to the peak, another falls to
    ``1 / (start_divisor * final_divisor)`` at the last step. Momentum is left alone.

    Args:
        step: From 0.
        steps: Steps of the phase.
        schedule: Place of the peak and the divisors.

    Reference:
        Smith and Topin 2017, arXiv:1708.07120; PyTorch's ``OneCycleLR`` with
        ``anneal_strategy="cos"``.
    """
    start = 1.0 / schedule.start_divisor
    top, last = schedule.peak_at * steps - 1.0, steps - 1.0
    if step <= top:
        return _ease(start, 1.0, step / top if top > 0.0 else 1.0)
    progress = (step - top) / (last - top) if last > top else 1.0
    return _ease(1.0, start / schedule.final_divisor, progress)


def _ease(first: float, final: float, progress: float) -> float:
    """Go from one value to another along half a cosine."""
    return final + (first - final) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def should_stop(records: Sequence[EpochRecord], stopping: EarlyStoppingRecipe | None) -> bool:
    """Tell whether a phase's records ask for an early stop."""
    if stopping is None or not records or not records[-1].validation:
        return False
    values = [record.validation[stopping.metric] for record in records]
    waited = len(values) - 1 - best_epoch(values, stopping.metric, stopping.min_delta)
    return waited >= stopping.patience


def plateau_scale(records: Sequence[EpochRecord], schedule: ScheduleRecipe) -> float:
    """Return the factor of the learning rate after these epochs of the phase.

    Each time ``patience`` epochs bring no gain, the rate is multiplied by
    ``factor`` and the waiting starts again.
    """
    scale, waited, best = 1.0, 0, float("nan")
    for record in records:
        value = record.validation[schedule.metric]
        if best != best or is_better(schedule.metric, value, best):
            best, waited = value, 0
            continue
        waited += 1
        if waited >= schedule.patience:
            scale, waited = scale * schedule.factor, 0
    return scale


def shorten_phase(phase: PhaseRecipe, epochs: int) -> PhaseRecipe:
    """Give a phase fewer epochs; what its schedule counts in epochs shrinks alike.

    >>> schedule = {"kind": "multi_step", "milestones": [4, 8]}
    >>> shorten_phase(PhaseRecipe(name="a", epochs=10, schedule=schedule), 5).schedule.milestones
    (2, 4)
    """
    schedule, share = phase.schedule, epochs / phase.epochs
    if share == 1:
        return phase
    milestones = {max(1, round(share * each)) for each in schedule.milestones}
    kept = tuple(sorted(each for each in milestones if each < epochs))
    warmup = min(share * schedule.warmup_epochs, epochs)
    shrunk = schedule.model_copy(update={"milestones": kept, "warmup_epochs": warmup})
    if schedule.kind == "multi_step" and not kept:
        shrunk = ScheduleRecipe(warmup_epochs=warmup)
    swa = None if phase.swa is None or epochs < 2 else min(phase.swa, epochs)
    return phase.model_copy(update={"epochs": epochs, "schedule": shrunk, "swa": swa})


def follow_plans(
    phases: Sequence[PhaseRecipe], records: Sequence[EpochRecord]
) -> tuple[PhaseRecipe, ...]:
    """Return a recipe's phases as they were cut, epoch by epoch, to keep a time.

    Args:
        phases: As the recipe has them.
        records: Of every epoch so far.
    """
    current = list(phases)
    for record in records:
        for number, epochs in enumerate(record.plan):
            phase = current[number]
            if epochs < phase.epochs:
                done = record.epoch if number == record.phase_number else 0
                short = shorten_phase(phase, epochs)
                swa = None if short.swa is None else min(short.swa, epochs - done)
                current[number] = short.model_copy(update={"swa": swa})
    return tuple(current)


def describe_cut(phases: Sequence[PhaseRecipe], records: Sequence[EpochRecord]) -> str:
    """Say what the last of the records cut, and why; empty where it cut nothing.

    Args:
        phases: As the recipe has them.
        records: Of every epoch so far, up to the one that decided.
    """
    last = records[-1]
    if not last.plan:
        return ""
    before, after = follow_plans(phases, records[:-1]), follow_plans(phases, records)
    parts = [
        f"{old.name} {new.epochs} of {old.epochs}"
        for old, new in zip(before, after, strict=True)
        if new.epochs < old.epochs
    ]
    return (
        f"epochs take longer than estimated, {format_seconds(last.seconds)} in {last.phase}: cut "
        f"after its epoch {last.epoch} to keep the time: epochs {', '.join(parts)}"
    )
