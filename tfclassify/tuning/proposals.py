"""What to try next, proposed by Optuna.

Owns: turning a space and the trials so far into the next proposal. Does not own: the space
(``recipe.search_schema``), the trials (``trials``).

A proposal is a pure function of the seed, its number and the trials that had ended by
then: each is made by a fresh sampler in a fresh study in memory. So nothing but the
journal has to survive a kill, and a search that goes on proposes what it would have.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfclassify.errors import MissingExtraError, RequestError
from tfclassify.recipe.search_schema import DimensionRecipe
from tfclassify.tuning.trials import Trial

#: Proposals at random before a sampler that learns has something to learn from.
STARTING_TRIALS = 10
#: How often a proposal that was tried already is drawn anew.
_REDRAWS = 20
#: Whole grids up to this size are tried without repetition.
_LARGEST_GRID = 100_000


@dataclass(frozen=True)
class Goal:
    """What a search looks for.

    Attributes:
        higher_is_better: Whether a larger score is a better one.
        has_cost: Whether a cost is made small as well.
    """

    higher_is_better: bool
    has_cost: bool = False


def import_optuna() -> Any:
    """Import Optuna, quietly.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError(
            "tune: needs the package optuna; install it by `pip install 'tfclassify[tune]'`"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def propose(
    space: Mapping[str, DimensionRecipe],
    number: int,
    ended: Sequence[Trial],
    running: Sequence[Trial],
    *,
    goal: Goal,
    sampler: str = "tpe",
    seed: int = 0,
) -> dict[str, Any] | None:
    """Propose the values of one trial.

    Args:
        space: The dimensions by recipe key, in order.
        number: Of the proposal, from 0.
        ended: The trials that have ended, in the order in which they ended.
        running: Those that run; a learning sampler keeps away from them.
        goal: What is looked for.
        sampler: As ``SearchFacts`` has it.
        seed: Seed of the search.

    Returns:
        Values by key, or None if the space is finite and all of it was tried.

    Raises:
        MissingExtraError: If Optuna, or what a sampler needs, is not installed.
        RequestError: If the sampler cannot work on such a space.
    """
    tried = {_spell(trial.asked.values) for trial in (*ended, *running)}
    grid = list_grid(space)
    if grid is not None and all(_spell(values) in tried for values in grid):
        return None
    if sampler == "grid":
        if grid is None:
            raise RequestError(
                "--sampler grid: needs choices, or a step for each range, and at most "
                f"{_LARGEST_GRID} combinations; use --sampler tpe"
            )
        return next(values for values in grid if _spell(values) not in tried)
    for redraw in range(_REDRAWS):
        address = hashlib.sha256(f"{seed} {number} {redraw}".encode()).digest()
        drawn = _draw(space, ended, running, goal, sampler, int.from_bytes(address[:4], "big"))
        if _spell(drawn) not in tried:
            return drawn
    # A small space, nearly all of it tried: take the first that is left.
    left = (values for values in grid or () if _spell(values) not in tried)
    return next(left, drawn)


def _spell(values: Mapping[str, Any]) -> str:
    """Write values so that equal ones are equal texts, tuples and lists alike."""
    return json.dumps(values, sort_keys=True)


def list_grid(space: Mapping[str, DimensionRecipe]) -> list[dict[str, Any]] | None:
    """Return every combination of a space, or None if it has no end or is too large."""
    axes: list[list[Any]] = []
    size = 1
    for dimension in space.values():
        values = _list_values(dimension)
        size *= len(values) if values is not None else _LARGEST_GRID + 1
        if values is None or size > _LARGEST_GRID:
            return None
        axes.append(values)
    found: dict[str, dict[str, Any]] = {}
    for combination in itertools.product(*axes):
        chosen = dict(zip(space, combination, strict=True))
        asked = {
            key: value
            for key, value in chosen.items()
            if all(chosen.get(other) == wanted for other, wanted in space[key].when.items())
        }
        found.setdefault(_spell(asked), asked)
    return list(found.values())


def _list_values(dimension: DimensionRecipe) -> list[Any] | None:
    if dimension.choices is not None:
        return list(dimension.choices)
    if dimension.int is not None:
        first, last, step = _list_whole(dimension)
        return list(range(first, last + 1, step))
    if dimension.range is not None and dimension.step is not None:
        low, high = dimension.range
        count = int((high - low) / dimension.step + 1e-9) + 1
        return [low + number * dimension.step for number in range(count)]
    return None


def _list_whole(dimension: DimensionRecipe) -> tuple[int, int, int]:
    """Return the first and last whole number that the step reaches, and the step."""
    assert dimension.int is not None
    low, high = (int(bound) for bound in dimension.int)
    step = int(dimension.step or 1)
    return low, high - (high - low) % step, step


def _draw(
    space: Mapping[str, DimensionRecipe],
    ended: Sequence[Trial],
    running: Sequence[Trial],
    goal: Goal,
    sampler: str,
    seed: int,
) -> dict[str, Any]:
    """Ask a fresh study once."""
    optuna = import_optuna()
    score = "maximize" if goal.higher_is_better else "minimize"
    study = optuna.create_study(
        directions=[score, "minimize"] if goal.has_cost else [score],
        sampler=_make_sampler(optuna, sampler, seed, goal),
    )
    for trial in (*ended, *running):
        frozen = _freeze(optuna, trial, space, goal)
        if frozen is not None:
            study.add_trial(frozen)
    asked = study.ask()
    values: dict[str, Any] = {}
    for key, dimension in space.items():
        if all(values.get(other) == wanted for other, wanted in dimension.when.items()):
            values[key] = _suggest(asked, key, dimension)
    return values


def _make_sampler(optuna: Any, name: str, seed: int, goal: Goal) -> Any:
    samplers = optuna.samplers
    if name == "random":
        return samplers.RandomSampler(seed=seed)
    if name == "cma_es":
        if goal.has_cost:
            raise RequestError("--sampler cma_es: has one aim only; use tpe, or leave --also out")
        try:
            import cmaes  # noqa: F401
        except ImportError as error:
            raise MissingExtraError(
                "--sampler cma_es: needs the package cmaes; install it by "
                "`pip install 'tfclassify[tune]'`, or use --sampler tpe"
            ) from error
        return samplers.CmaEsSampler(
            seed=seed, n_startup_trials=STARTING_TRIALS, warn_independent_sampling=False
        )
    with warnings.catch_warnings():
        # Grouping by condition is marked as experimental; the version is pinned.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return samplers.TPESampler(
            seed=seed, n_startup_trials=STARTING_TRIALS, multivariate=True, group=True
        )


def _freeze(
    optuna: Any, trial: Trial, space: Mapping[str, DimensionRecipe], goal: Goal
) -> Any | None:
    """Turn a trial into Optuna's own record; None where it has nothing to learn from it."""
    states = optuna.trial.TrialState
    values = trial.asked.values
    if not values or any(key not in space for key in values):
        return None  # the start has no proposal
    record = {
        "params": {key: _to_param(space[key], value) for key, value in values.items()},
        "distributions": {key: _distribute(optuna, space[key]) for key in values},
    }
    ended = trial.ended
    if ended is None:
        return optuna.trial.create_trial(state=states.RUNNING, **record)
    if ended.state == "complete" and ended.score is not None:
        scores = [ended.score, ended.cost or 0.0] if goal.has_cost else [ended.score]
        return optuna.trial.create_trial(values=scores, **record)
    if ended.state in ("pruned", "refused"):
        return optuna.trial.create_trial(state=states.PRUNED, **record)
    return None


def _spell_choices(dimension: DimensionRecipe) -> list[str]:
    """Write choices as texts, since Optuna takes scalars only."""
    return [json.dumps(choice) for choice in dimension.choices or ()]


def _to_param(dimension: DimensionRecipe, value: Any) -> Any:
    return json.dumps(value) if dimension.choices is not None else value


def _distribute(optuna: Any, dimension: DimensionRecipe) -> Any:
    distributions = optuna.distributions
    if dimension.choices is not None:
        return distributions.CategoricalDistribution(_spell_choices(dimension))
    if dimension.int is not None:
        first, last, step = _list_whole(dimension)
        return distributions.IntDistribution(first, last, step=step)
    assert dimension.bounds is not None
    low, high = dimension.bounds
    return distributions.FloatDistribution(
        low, high, log=dimension.log is not None, step=dimension.step
    )


def _suggest(asked: Any, key: str, dimension: DimensionRecipe) -> Any:
    if dimension.choices is not None:
        texts = _spell_choices(dimension)
        return dimension.choices[texts.index(asked.suggest_categorical(key, texts))]
    if dimension.int is not None:
        first, last, step = _list_whole(dimension)
        return asked.suggest_int(key, first, last, step=step)
    assert dimension.bounds is not None
    low, high = dimension.bounds
    return asked.suggest_float(key, low, high, log=dimension.log is not None, step=dimension.step)


def find_importance(
    space: Mapping[str, DimensionRecipe], trials: Sequence[Trial], *, higher_is_better: bool
) -> dict[str, float]:
    """Say how much of the score's variation each key explains (fANOVA), most first.

    Args:
        space: The dimensions.
        trials: Complete ones.
        higher_is_better: Which way the score goes.

    Returns:
        Shares that add up to 1; empty where there are too few trials, or all are alike.
    """
    optuna = import_optuna()
    goal = Goal(higher_is_better)
    usable = [trial for trial in trials if set(trial.asked.values) == set(space)]
    scores = {trial.ended.score for trial in usable if trial.ended}
    if len(usable) < 4 or len(scores) < 2:
        return {}
    study = optuna.create_study(direction="maximize" if higher_is_better else "minimize")
    for trial in usable:
        study.add_trial(_freeze(optuna, trial, space, goal))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {key: float(share) for key, share in found.items()}
