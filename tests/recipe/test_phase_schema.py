from __future__ import annotations

from typing import Any

import pytest

from tests.recipe.builders import describe, make_recipe
from tfclassify.errors import RequestError
from tfclassify.recipe.phase_schema import SCHEDULE_KEYS
from tfclassify.recipe.problems import validate
from tfclassify.recipe.schema import Recipe, ScheduleRecipe

#: The recipe of the tests has one phase of 3 epochs.
CASES: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"phases__schedule": "multi_step"},
        [
            "phases[0].schedule.milestones: multi_step needs some, got none; name the epochs "
            "after which the rate falls"
        ],
    ),
    (
        {"phases__schedule": {"kind": "multi_step", "milestones": [2, 1]}},
        ["phases[0].schedule.milestones: must rise from one to the next, got [2, 1]"],
    ),
    (
        {"phases__schedule": {"kind": "multi_step", "milestones": [1, 3]}},
        ["phases[0].schedule.milestones: must come before the phase's last epoch, 3, got 3"],
    ),
    (
        {"phases__schedule": {"kind": "one_cycle", "warmup_epochs": 1}},
        [
            "phases[0].schedule.warmup_epochs: belongs to constant, cosine, multi_step, "
            "exponential or plateau, got 1.0 with kind 'one_cycle'"
        ],
    ),
    (
        {"phases__image_size": 64, "model__head__pool": "flatten"},
        [
            "phases[0].image_size: must be data.image_size where model.head.pool is flatten, "
            "whose weights are for one size, got [64, 64] with data.image_size [224, 224]; use "
            "pool: average or max, or remove it"
        ],
    ),
    (
        {
            "phases__image_size": 64,
            "model__backbone": "hub:module",
            "model__input_range": [0, 1],
        },
        [
            "phases[0].image_size: must be data.image_size for a hub module, which is one piece "
            "with weights of its own, got [64, 64] with data.image_size [224, 224]; remove it"
        ],
    ),
    (
        {"phases__image_size": 64, "phases__quantise": True},
        [
            "phases[0].image_size: must be data.image_size where quantise gets the network used "
            "to the bits that it is shipped with, got [64, 64] with data.image_size [224, 224]; "
            "remove it"
        ],
    ),
    (
        {"phases__image_size": 4},
        [
            "phases[0].image_size: must be [height, width] or one number, each from 8 to 4096, or "
            "null, got 4",
        ],
    ),
    (
        {"phases__batch_size": "most"},
        [
            "phases[0].batch_size: must be a whole number from 1 to 65536 or auto, or null, got "
            "'most'"
        ],
    ),
    (
        {"phases__swa": 4},
        ["phases[0].swa: must be at most the phase's 3 epochs, got 4"],
    ),
    (
        {"phases__swa": 2, "phases__ema": 0.9},
        [
            "phases[0].swa: averages the weights, and so does ema, got 2 and 0.9; remove one of "
            "the two"
        ],
    ),
    (
        {"phases__swa": 2, "phases__early_stopping": {}},
        [
            "phases[0].swa: averages the phase's last epochs, which early_stopping may leave "
            "out; remove one of the two"
        ],
    ),
    (
        {"phases__swa": 2, "phases__keep_best": "loss"},
        [
            "phases[0].keep_best: must be null where swa averages the last epochs, got 'loss'; "
            "the phase ends with one or the other"
        ],
    ),
    (
        {"phases__train": "head", "phases__layer_decay": 0.7},
        [
            "phases[0].layer_decay: lowers the rate of the backbone's blocks, but train: head "
            "leaves them alone, got 0.7; remove it"
        ],
    ),
    (
        {"data__validation": 0, "keep_phase": "best"},
        [
            "keep_phase: 'best' needs validation images, but data.validation is 0; remove it or "
            "hold some out (last keeps the last phase)"
        ],
    ),
]


@pytest.mark.parametrize(("changes", "messages"), CASES, ids=[texts[0] for _, texts in CASES])
def test_an_impossible_phase_says_why(changes: dict[str, Any], messages: list[str]) -> None:
    assert describe(make_recipe(**changes)) == messages


def load(**changes: Any) -> Recipe:
    recipe, faults = validate(make_recipe(**changes))
    assert recipe is not None, faults
    return recipe


def test_a_phase_sees_its_own_sizes() -> None:
    recipe = load(phases__image_size=[64, 48], phases__batch_size=8)
    recipe = recipe.model_copy(
        update={"phases": (*recipe.phases, recipe.phases[0].model_copy(update={"name": "b"}))}
    )
    own = recipe.as_in(recipe.phases[0])
    assert (own.data.image_size, own.step_images) == ((64, 48), 8)
    plain = recipe.phases[0].model_copy(update={"image_size": None, "batch_size": None})
    assert recipe.as_in(plain) == recipe
    assert (recipe.data.image_size, recipe.step_images) == ((224, 224), 32)
    # The size that is judged may be named, whatever the network.
    load(phases__image_size=224, model__head__pool="flatten")


def test_a_batch_that_is_not_found_out_is_no_number() -> None:
    recipe = load(batch_size="auto")
    with pytest.raises(RequestError, match="batch_size: auto is found out when a training begins"):
        _ = recipe.step_images
    assert recipe.as_in(load(phases__batch_size=4).phases[0]).step_images == 4


def test_an_average_of_epochs_is_what_the_phase_ends_with() -> None:
    assert load(phases__swa=2).phases[0].keep_best is None
    assert load(phases__ema=0.99).phases[0].keep_best == "loss"


@pytest.mark.parametrize(
    "phase",
    [
        {"schedule": {"kind": "multi_step", "milestones": [1, 2], "factor": 0.1}},
        {"schedule": {"kind": "exponential", "warmup_epochs": 1}},
        {"schedule": {"kind": "one_cycle", "peak_at": 0.4}},
        {"swa": 3, "layer_decay": 0.8, "accumulate": 4},
        {"ema": 0.99, "early_stopping": {"metric": "accuracy"}},
    ],
)
def test_what_goes_together_is_taken(phase: dict[str, Any]) -> None:
    load(**{f"phases__{key}": value for key, value in phase.items()})


def test_every_key_of_a_schedule_belongs_to_a_kind() -> None:
    keys = {key for keys in SCHEDULE_KEYS.values() for key in keys}
    assert keys == set(ScheduleRecipe.model_fields) - {"kind", "custom"}


def test_exponential_lowers_the_rate_gently_unless_it_says_how() -> None:
    for schedule, factor in (
        ("exponential", 0.95),
        ({"kind": "exponential", "factor": 0.5}, 0.5),
        ("plateau", 0.5),
    ):
        recipe, faults = validate(make_recipe(phases__schedule=schedule))
        assert recipe is not None, faults
        assert recipe.phases[0].schedule.factor == factor
