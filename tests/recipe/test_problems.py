from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from tests.recipe.builders import describe, make_recipe
from tests.recipe.strategies import damaged_recipes, quick
from tfclassify.recipe.problems import Fault, drop_related, list_faults, validate
from tfclassify.recipe.schema import SINGLE_VALUES, Recipe
from tfclassify.recipe.wording import render_path

CASES: list[tuple[dict[str, Any], str]] = [
    ({"seed": "3"}, "seed: must be a whole number of at least 0 and below 2147483648, got '3'"),
    ({"seed": True}, "seed: must be a whole number of at least 0 and below 2147483648, got true"),
    ({"phases__epochs": -3}, "phases[0].epochs: must be at least 1, got -3"),
    ({"phases__epochs": 3.0}, "phases[0].epochs: must be a whole number of at least 1, got 3.0"),
    ({"phases__momentum": 1.0}, "phases[0].momentum: must be at least 0 and below 1, got 1.0"),
    ({"phases__clip_norm": 0}, "phases[0].clip_norm: must be above 0 and at most 100, got 0"),
    ({"data__strict": "yes"}, "data.strict: must be true or false, got 'yes'"),
    ({"data__table": 3}, 'data.table: must be text, or null, got 3; put it in quotes: "3"'),
    ({"data__source": None}, "data.source: must be text, got null"),
    ({"data__separator": ""}, "data.separator: must not be empty, got ''"),
    ({"data__separator": "ab"}, "data.separator: is too long, got 'ab' of 2 characters"),
    ({"data__sha256": "ABC"}, "data.sha256: must be 64 lower-case hexadecimal digits, got 'ABC'"),
    ({"data__classes": "a"}, "data.classes: must be a list of texts, or null, got 'a'"),
    (
        {"data__drop_labels": ["a", 1]},
        'data.drop_labels[1]: must be text, got 1; put it in quotes: "1"',
    ),
    (
        {"data__merge_classes": ["a"]},
        "data.merge_classes: must be a mapping of names to a list of texts, got ['a']",
    ),
    (
        {"data__merge_classes": {"a b": "c"}},
        "data.merge_classes.\"a b\": must be a list of texts, got 'c'",
    ),
    (
        {"data__image_size": 4},
        "data.image_size: must be [height, width] or one number, each from 8 to 4096, got 4",
    ),
    ({"data__image_size": [96, 4]}, "data.image_size[1]: must be from 8 to 4096, got 4"),
    (
        {"data__image_size": [96]},
        "data.image_size: must be [height, width] or one number, each from 8 to 4096, got [96]",
    ),
    (
        {"data__image_size": "96"},
        "data.image_size: must be [height, width] or one number, each from 8 to 4096, got '96'",
    ),
    (
        {"data__resize": "strech"},
        "data.resize: must be one of stretch, crop, letterbox, got 'strech'; did you mean "
        "'stretch'?",
    ),
    (
        {"augment__flip": ["up"]},
        "augment.flip[0]: must be one of horizontal, vertical, got 'up'",
    ),
    (
        {"augment__rotate": [1, 2, 3]},
        "augment.rotate: must be [low, high] or one number for both sides, got [1, 2, 3]",
    ),
    ({"augment__rotate": [0.2, 0.1]}, "augment.rotate: must be [low, high], got [0.2, 0.1]"),
    ({"augment__zoom": -1}, "augment.zoom: must stay above -1, got [-1.0, 1.0]"),
    ({"augment__noise": float("nan")}, "augment.noise: must be a finite number, got nan"),
    (
        {"augment__mix": {"cutmix": 0.8, "mixup": 0.8}},
        "augment.mix: cutmix and mixup together must be at most 1, got 0.8 + 0.8: an image gets "
        "one or the other",
    ),
    ({"augment__mix": 0.5}, "augment.mix: must be a mapping with the keys cutmix, mixup, "),
    (
        {"phases__train": "heads"},
        "phases[0].train: must be head, all or a mapping with the keys last_blocks and "
        "freeze_layers, got 'heads'; did you mean 'head'?",
    ),
    ({"phases__train": 3}, "phases[0].train: must be head, all or a mapping with the keys"),
    ({"phases__train": {}}, "phases[0].train: give exactly one of last_blocks and freeze_layers"),
    (
        {"phases__train": {"last_blocks": 0}},
        "phases[0].train.last_blocks: must be at least 1, got 0",
    ),
    (
        {"phases__train": {"last_block": 2}},
        "phases[0].train.last_block: unknown key 'last_block'; did you mean 'last_blocks'?",
    ),
    (
        {"phases__schedule": "cosin"},
        "phases[0].schedule: must be one of constant, cosine, plateau, "
        "one_cycle, multi_step, exponential, got 'cosin'; did you mean "
        "'cosine'?",
    ),
    (
        {"phases__schedule": {"kind": "cosin"}},
        "phases[0].schedule.kind: must be one of constant, cosine, plateau, "
        "one_cycle, multi_step, exponential, got 'cosin'; did you "
        "mean 'cosine'?",
    ),
    (
        {"phases__features": {}},
        "phases[0]: features needs train: head, since the backbone must not",
    ),
    (
        {"class_weights": "balance"},
        "class_weights: must be none, balanced or a mapping of names to numbers above 0 and at "
        "most 100, got 'balance'; did you mean 'balanced'?",
    ),
    ({"class_weights": {"a": 0}}, "class_weights.a: must be above 0 and at most 100, got 0"),
    ({"class_weights": 3}, "class_weights: must be none, balanced or a mapping of names to"),
    (
        {"name": "a b"},
        "name: must start with a letter or digit and continue with letters, ",
    ),
    ({"name": "a" * 81}, "name: is too long, got 'aaa"),
    (
        {"image_size": 96},
        "image_size: unknown key 'image_size' here; it is known as data.image_size",
    ),
    ({"modle": {}}, "modle: unknown key 'modle'; did you mean 'model'?"),
    (
        {"loss": {"xyz": 1}},
        "loss.xyz: unknown key 'xyz'; allowed are kind, custom, label_smoothing, gamma,",
    ),
    ({"bases": "x"}, "bases: unknown key 'bases'; did you mean 'base'?"),
    ({"model__layers": [{}]}, "model.layers[0]: a layer needs conv, pool or dropout"),
]


@pytest.mark.parametrize(("changes", "message"), CASES, ids=[message for _, message in CASES])
def test_a_fault_is_reported_once_in_our_words(changes: dict[str, Any], message: str) -> None:
    consequences = ["model.layers: layers belong to backbone 'custom_cnn'"]
    found = describe(make_recipe(**changes))
    assert len([text for text in found if text.startswith(message)]) == 1
    others = [text for text in found if not text.startswith((message, *consequences))]
    assert others == []


def test_missing_keys_say_what_they_are_for() -> None:
    assert describe({}) == [
        "name: missing; it is required: Name of the runs' folder: letters, digits, dot, dash and "
        "underscore.",
        "data: missing; it is required: The images.",
        "model: missing; it is required: The network.",
        "phases: missing; it is required: Stretches of training, in order.",
    ]
    assert describe(make_recipe(phases=[]) | {"phases": []}) == [
        "phases: must have at least one item, got []"
    ]
    assert describe(make_recipe() | {"phases": [{}, 3]})[:2] == [
        "phases[0].name: missing; it is required: Name in logs and figures.",
        "phases[0].epochs: missing; it is required: Epochs at most.",
    ]
    assert describe(make_recipe() | {"phases": [{}, 3]})[2].startswith(
        "phases[1]: must be a mapping"
    )


def test_faults_that_hide_behind_others_are_reported_too() -> None:
    content = make_recipe(
        seed=-1, model__backbone="vgg61", augment__mix={"cutmix": 0.9, "mixup": 0.9}
    )
    content["augment"]["mix"]["typo"] = 1
    content["phases"] = [{"name": "a", "epochs": "x"}, {"name": "a", "epochs": 1, "keep_best": "x"}]
    paths = [text.partition(":")[0] for text in describe(content)]
    assert sorted(paths) == [
        "augment.mix",
        "augment.mix.typo",
        "model.backbone",
        "phases[0].epochs",
        "phases[1].keep_best",
        "phases[1].name",
        "seed",
    ]


def test_what_follows_from_a_fault_is_not_reported() -> None:
    # Without a readable train it is not known whether features may stand there.
    found = describe(make_recipe(phases__train="hed", phases__features={}))
    assert [text.partition(":")[0] for text in found] == ["phases[0].train"]
    found = describe(make_recipe(model__backbone="custom_cnn", model__layers=[{"conv": 0}]))
    assert [text.partition(":")[0] for text in found] == ["model.layers[0].conv"]


def test_a_misspelt_key_is_read_as_the_one_that_was_meant() -> None:
    content = make_recipe()
    content["modle"] = content.pop("model") | {"backbon": "vgg161", "heads": {"pol": "avg"}}
    del content["modle"]["backbone"], content["modle"]["head"]
    assert describe(content) == [
        "modle: unknown key 'modle'; did you mean 'model'?",
        "modle.backbon: unknown key 'backbon'; did you mean 'backbone'?",
        "modle.heads: unknown key 'heads'; did you mean 'head'?",
        "modle.heads.pol: unknown key 'pol'; did you mean 'pool'?",
        "modle.heads.pol: must be one of average, max, flatten, got 'avg'; did you mean 'average'?",
        "modle.backbon: unknown backbone 'vgg161'; did you mean 'vgg16'?",
    ]


def test_related_faults_are_those_above_and_below() -> None:
    faults = [Fault(path, "check", "") for path in [("a",), ("a", "b"), ("a", "b", 0), ("c",)]]
    assert [fault.path for fault in drop_related(faults, [("a", "b")])] == [("c",)]
    section = Fault(("a",), "value_error", "b needs d")
    assert drop_related([section], [("a", "b")]) == []
    assert drop_related([section], [("a", "e")]) == [section]


@quick
@given(damaged_recipes())
def test_no_damage_brings_out_the_schemas_own_words(content: dict[str, Any]) -> None:
    try:
        Recipe.model_validate(content, context=SINGLE_VALUES)
    except ValidationError as error:
        for fault in list_faults(error, content):
            text = f"{render_path(fault.path)}: {fault.message}"
            assert not re.search(r"Input should|Value error|function-|Recipe\b|pydantic", text)
            assert all(isinstance(step, (str, int)) for step in fault.path)
    recipe, faults = validate(content)
    assert (recipe is None) == bool(faults)
    assert len({(fault.path, fault.message) for fault in faults}) == len(faults)
