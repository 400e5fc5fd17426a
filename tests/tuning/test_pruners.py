"""Which trials are stopped early: those that fall behind, and never the best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tfclassify.tuning.pruners import should_prune
from tfclassify.tuning.trials import Asked, Ended, Trial

EPOCHS = 9


def make_trial(number: int, state: str, curve: Sequence[float]) -> Trial:
    score = curve[-1] if state == "complete" else None
    ended = {"number": number, "state": state, "score": score, "curve": tuple(curve)}
    return Trial(Asked(number=number, values={}, known=()), Ended.model_validate(ended))


def make_curves(*ends: float, state: str = "complete") -> list[Trial]:
    """Make trials whose metric rises evenly to an end."""
    return [
        make_trial(number, state, [end * epoch / EPOCHS for epoch in range(1, EPOCHS + 1)])
        for number, end in enumerate(ends)
    ]


def ask(pruner: str, curve: Sequence[float], others: Sequence[Trial], **options: object) -> bool:
    given = {"number": 7, "epochs": EPOCHS, "higher_is_better": True} | options
    return should_prune(pruner, given.pop("number"), curve, others, **given)


def test_without_a_pruner_nothing_is_stopped() -> None:
    assert not ask("none", [0.0, 0.0], make_curves(0.9, 0.9, 0.9, 0.9, 0.9))
    assert not ask("median", [], make_curves(0.9, 0.9, 0.9, 0.9, 0.9))


@pytest.mark.parametrize("higher", [True, False])
def test_the_median_by_hand(higher: bool) -> None:
    """At the second of nine epochs the five trials have 2/9 of their ends; the median is 0.16."""
    sign = 1 if higher else -1
    others = make_curves(*(sign * end for end in (0.54, 0.63, 0.72, 0.81, 0.90)))
    below, above = [sign * 0.10, sign * 0.15], [sign * 0.01, sign * 0.17]
    assert ask("median", below, others, higher_is_better=higher)
    assert not ask("median", above, others, higher_is_better=higher)  # its best epoch counts
    # Its first epoch is too early, and three trials are too few to know a median.
    assert not ask("median", below[:1], others, higher_is_better=higher)
    assert not ask("median", below, others[:3], higher_is_better=higher)


def test_the_median_is_not_moved_by_trials_that_failed() -> None:
    others = make_curves(0.54, 0.63, 0.72, 0.81, 0.90)
    failed = make_curves(*[9.0] * 9, state="failed")
    assert not ask("median", [0.01, 0.17], [*others, *failed])


def test_hyperband_stops_some_of_the_worst_and_none_of_the_best() -> None:
    others = make_curves(*(0.5 + 0.02 * number for number in range(20)))
    worst, best = [0.01 * epoch for epoch in (1, 2, 3)], [0.5 * epoch for epoch in (1, 2, 3)]
    numbers = range(20, 60)
    stopped = [ask("hyperband", worst, others, number=number) for number in numbers]
    # Which bracket a trial is in, and so how long it has, depends on its number.
    assert 0 < sum(stopped) < len(stopped)
    assert stopped == [ask("hyperband", worst, others, number=number) for number in numbers]
    assert not any(ask("hyperband", best, others, number=number) for number in numbers)


@pytest.mark.parametrize("epochs", [2, 5, 9, 30])
@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_optuna_stops_the_same_trials(pruner: str, epochs: int) -> None:
    """Optuna's own pruners, in a study that runs, are the oracle."""
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    judges = {
        "median": optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2),
        "hyperband": optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs),
    }
    study = optuna.create_study(study_name="search", direction="maximize", pruner=judges[pruner])
    generator = np.random.default_rng(epochs)
    trials: list[Trial] = []
    stopped = 0
    for number in range(40):
        curve = (generator.random() + 0.1 * generator.random(epochs)).tolist()
        asked, told = study.ask(), optuna.trial.TrialState.COMPLETE
        for epoch in range(1, epochs):
            asked.report(curve[epoch - 1], epoch)
            is_stopped = asked.should_prune()
            assert is_stopped == ask(pruner, curve[:epoch], trials, number=number, epochs=epochs), (
                number,
                epoch,
            )
            if is_stopped:
                curve, told = curve[:epoch], optuna.trial.TrialState.PRUNED
                stopped += 1
                break
        is_whole = len(curve) == epochs
        if is_whole:
            asked.report(curve[-1], epochs)
            asked.should_prune()  # which is where it comes to its last rung
        study.tell(asked, curve[-1] if is_whole else None, state=told)
        state = "complete" if is_whole else "pruned"
        trials.append(make_trial(number, state, curve))
    assert stopped or epochs == 2
