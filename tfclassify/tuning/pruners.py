"""Whether a trial is stopped before its last epoch.

Owns: the rules, as pure functions of the trial's epochs and of those that ended before it was
proposed, so that a search that is resumed stops the same trials. Does not own: asking
(``workflows.trial``).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from statistics import median

from tfclassify.tuning.trials import Trial

#: Of the median: trials that must have ended before, and epochs that every trial has.
_LEAST_TRIALS, _FREE_EPOCHS = 4, 1
#: Of Hyperband: one in so many goes on from a rung to the next.
_FACTOR = 3


def should_prune(
    pruner: str,
    number: int,
    curve: Sequence[float],
    others: Sequence[Trial],
    *,
    epochs: int,
    higher_is_better: bool,
) -> bool:
    """Say whether a trial is to be stopped, from its epochs and those of earlier trials.

    Args:
        pruner: As ``SearchFacts`` has it.
        number: Of the trial.
        curve: Its metric after each epoch so far.
        others: The trials that had ended when it was proposed.
        epochs: Epochs of a whole trial.
        higher_is_better: Which way the metric goes.
    """
    if pruner == "none" or not 0 < len(curve) < epochs:
        return False  # after the last epoch there is nothing to save
    sign = 1.0 if higher_is_better else -1.0
    own = [sign * value for value in curve]
    if pruner == "median":
        known = [_list_epochs(trial, sign) for trial in others if trial.state == "complete"]
        return _is_below_median(own, known)
    brackets = 1 + math.floor(math.log(max(2, epochs), _FACTOR) + 1e-9)
    bracket = _find_bracket(number, brackets)
    rivals = [
        _list_epochs(trial, sign)
        for trial in others
        if trial.state in ("complete", "pruned")
        and _find_bracket(trial.number, brackets) == bracket
    ]
    return _is_halved(own, rivals, [_FACTOR**power for power in range(bracket, brackets)])


def _list_epochs(trial: Trial, sign: float) -> list[float]:
    """Return a trial's curve with more as better; NaN where an epoch had no value."""
    curve = trial.ended.curve if trial.ended else ()
    return [math.nan if value is None else sign * value for value in curve]


def _is_below_median(own: Sequence[float], known: Sequence[Sequence[float]]) -> bool:
    """Say whether a trial's best epoch is below what half of the others had by then."""
    epoch = len(own)
    there = [curve[epoch - 1] for curve in known if len(curve) >= epoch]
    values = [value for value in there if not math.isnan(value)]
    if len(known) < _LEAST_TRIALS or epoch <= _FREE_EPOCHS or not values:
        return False
    best = max((value for value in own if not math.isnan(value)), default=-math.inf)
    return best < median(values)


def _is_halved(
    own: Sequence[float], rivals: Sequence[Sequence[float]], rungs: Sequence[int]
) -> bool:
    """Say whether a trial that comes to a rung is not among the best third that came there.

    Asynchronous successive halving (Li et al. 2020, arXiv:1810.05934): nobody is waited for.
    """
    epoch = len(own)
    if epoch not in rungs:
        return False
    if math.isnan(own[-1]):
        return True
    there = [curve[epoch - 1] for curve in rivals if len(curve) >= epoch]
    values = sorted([*(value for value in there if not math.isnan(value)), own[-1]], reverse=True)
    return own[-1] < values[max(1, len(values) // _FACTOR) - 1]


def _find_bracket(number: int, brackets: int) -> int:
    """Return which of Hyperband's brackets a trial is in: a later one's first rung is later.

    As many trials are in each as the budgets of Hyperband say (Li et al. 2018, JMLR 18).
    """
    spans = range(brackets, 0, -1)
    budgets = [math.ceil(brackets * _FACTOR ** (span - 1) / span) for span in spans]
    place = zlib.crc32(f"search_{number}".encode()) % sum(budgets)
    for bracket, budget in enumerate(budgets):
        place -= budget
        if place < 0:
            return bracket
    raise AssertionError(place)
