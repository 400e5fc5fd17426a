from __future__ import annotations

from typing import Any

import pytest

from tests.recipe.builders import describe, make_recipe
from tfclassify.recipe.model_schema import name_backbones
from tfclassify.recipe.names import BACKBONE_NAMES
from tfclassify.recipe.problems import validate
from tfclassify.recipe.schema import ModelRecipe

HUB = {"model__backbone": "hub:https://tfhub.dev/a/b/1", "model__input_range": [0, 1]}
NAMED = "'hub:https://tfhub.dev/a/b/1'"
SHA = "0" * 64


def stack(*members: Any) -> dict[str, Any]:
    return {"model__backbone": "", "model__stack": list(members)}


CASES: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"model__backbone": ""},
        ["model.backbone: is missing; name a backbone that `tfclassify backbones` lists"],
    ),
    (
        {"model__stack": ["vgg16", "vgg19"]},
        ["model.backbone: got 'vgg16' and a stack as well; remove one of the two"],
    ),
    (
        {"model__backbone": "hub:folder"},
        [
            "model.input_range: is missing: 'hub:folder' does not say what it takes for black and "
            "white; write [0, 1], [-1, 1] or what its page says"
        ],
    ),
    (
        HUB | {"model__backbone": "hub:"},
        ["model.backbone: 'hub:' must name a folder or an https:// address of a module"],
    ),
    (
        HUB | {"model__backbone": "hub:http://a/b"},
        ["model.backbone: 'hub:http://a/b' must name a folder or an https:// address of a module"],
    ),
    (
        HUB | {"model__weights": "none"},
        [f"model.weights: {NAMED} comes with its own weights, got 'none'; remove weights"],
    ),
    (
        HUB | {"model__input_range": [1, 0]},
        ["model.input_range: must rise from black to white, got [1.0, 0.0]"],
    ),
    (
        HUB | {"phases__train": {"last_blocks": 2}},
        [f"phases[0].train: {NAMED} is one piece without blocks or layers; use head or all"],
    ),
    (
        HUB | {"model__layers": [{"conv": 8}]},
        [
            f"model.layers: layers belong to backbone 'custom_cnn', got {NAMED}; remove one of "
            "the two"
        ],
    ),
    (
        {"model__colour": "grey"},
        [
            "model.colour: 'grey' belongs to backbone 'custom_cnn', since the others take three "
            "channels, got 'vgg16'; remove it"
        ],
    ),
    (
        {"model__input_range": [0, 1]},
        [
            "model.input_range: belongs to hub and keras_hub backbones, got 'vgg16', which scales "
            "images by itself; remove it"
        ],
    ),
    (
        {"model__weights_sha256": SHA},
        [
            "model.weights_sha256: is the checksum of a weight file, got weights 'imagenet'; give "
            "the file's path, or remove weights_sha256"
        ],
    ),
    (
        {"model__backbone": "keras_hub:"},
        ["model.backbone: 'keras_hub:' must name a preset or the folder of one"],
    ),
    (
        {"model__backbone": "keras_hub:vit", "model__weights": "w.h5"},
        [
            "model.weights: 'keras_hub:vit' comes with its own weights, got 'w.h5'; remove "
            "weights, or write none"
        ],
    ),
    (
        stack("vgg16"),
        ["model.stack: needs at least 2 backbones, got 1; use backbone for one"],
    ),
    (
        stack("vgg16", "resnet5"),
        ["model.stack[1].backbone: unknown backbone 'resnet5'; did you mean 'resnet50'?"],
    ),
    (
        stack("vgg16", "custom_cnn"),
        [
            "model.stack[1].weights: backbone 'custom_cnn' has no 'imagenet' weights; write none, "
            "or a path to a file",
            "model.stack[1].backbone: 'custom_cnn' cannot be stacked; name another backbone",
        ],
    ),
    (
        stack(*[{"backbone": "hub:m", "input_range": [0, 1]}] * 2),
        [f"model.stack[{n}].backbone: 'hub:m' is stacked twice; once is enough" for n in (0, 1)],
    ),
    (
        stack("vgg16", "vgg19") | {"model__weights": "none"},
        [
            "model.weights: belongs to a single backbone, got 'none' with a stack; write it "
            "beside the member: {backbone: …, weights: …}"
        ],
    ),
    (
        stack("vgg16", "vgg19") | {"model__input_range": [0, 1]},
        [
            "model.input_range: belongs to a single backbone, got a stack; write it beside the "
            "member: {backbone: …, input_range: …}"
        ],
    ),
    (
        stack("vgg16", "vgg19") | {"model__layers": [{"conv": 8}]},
        [
            "model.layers: layers belong to backbone 'custom_cnn', got a stack; remove one of "
            "the two"
        ],
    ),
]


@pytest.mark.parametrize(("changes", "messages"), CASES, ids=[texts[0] for _, texts in CASES])
def test_an_impossible_model_says_why(changes: dict[str, Any], messages: list[str]) -> None:
    assert sorted(describe(make_recipe(**changes))) == sorted(messages)


@pytest.mark.parametrize(
    "changes",
    [
        HUB,
        HUB | {"phases__train": "all"},
        {"model__backbone": "keras_hub:vit", "model__weights": "none"},
        {"model__backbone": "keras_hub:vit", "model__input_range": [-1, 1]},
        {"model__backbone": "resnet18", "model__weights": "r.pth", "model__weights_sha256": SHA},
        stack("vgg16", {"backbone": "hub:m", "input_range": [0, 1]}),
        stack("vgg16", "vgg16"),
    ],
)
def test_a_possible_model_is_taken(changes: dict[str, Any]) -> None:
    recipe, faults = validate(make_recipe(**changes))
    assert recipe is not None, faults


def test_an_unknown_name_leads_to_the_list() -> None:
    assert describe(make_recipe(**stack("vgg16", "qqq"))) == [
        f"model.stack[1].backbone: unknown backbone 'qqq'; `tfclassify backbones` lists the "
        f"{len(BACKBONE_NAMES)} known"
    ]


def test_a_stack_is_called_by_all_its_names() -> None:
    assert name_backbones(ModelRecipe(backbone="vgg16")) == "vgg16"
    two = ModelRecipe(stack=({"backbone": "vgg16"}, {"backbone": "resnet18"}))
    assert name_backbones(two) == "vgg16 + resnet18"
