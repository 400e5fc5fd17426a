"""A recipe in plain words."""

from __future__ import annotations

import pytest

from tfclassify.pages.recipe_facts import (
    describe_network,
    describe_trained_part,
    describe_training,
)
from tfclassify.recipe.schema import Recipe

PHASE = {"name": "head", "train": "head", "epochs": 5}


def make_recipe(**changes: object) -> Recipe:
    values = {
        "name": "trees",
        "data": {"source": "photos.zip", "image_size": [64, 96]},
        "model": {"backbone": "efficientnet_lite0"},
        "phases": [PHASE],
    }
    return Recipe.model_validate({**values, **changes})


def read(facts) -> dict[str, str]:
    return {fact.name: fact.value for fact in facts}


def test_a_short_recipe() -> None:
    recipe = make_recipe()
    assert read(describe_network(recipe)) == {
        "Backbone": "efficientnet_lite0, ImageNet weights",
        "Input": "96 × 64 pixels; images stretched to it",
        "Head": "average pooling",
        "BatchNorm": "kept in inference mode",
    }
    assert read(describe_training(recipe)) == {
        "Augmentation": "none",
        "Mixing": "none",
        "Class weights": "none",
        "Loss": "cross-entropy",
        "Batch": "32 images",
        "Phase head": "head, up to 5 epochs, adam at 0.001",
        "Seed": "0",
    }


def test_a_full_recipe() -> None:
    recipe = make_recipe(
        seed=7,
        data={"source": "photos.zip", "image_size": 64},
        augment={
            "engine": "keras_cv",
            "flip": ["horizontal", "vertical"],
            "rotate": 0.35,
            "zoom": [0.0, 0.15],
            "crop": [0.5, 1.0],
            "greyscale": 0.1,
            "noise": 0.05,
            "erasing": {"chance": 0.25},
            "mix": {"cutmix": 0.5, "mixup": 0.25},
        },
        model={
            "backbone": "custom_cnn",
            "weights": "none",
            "layers": [{"conv": 8}],
            "head": {
                "pool": "flatten",
                "dropout": 0.39,
                "dense": [1024, 512],
                "batch_norm": True,
                "l1": 0.001,
                "final_dropout": 0.33,
            },
        },
        loss={"label_smoothing": 0.1},
        class_weights={"ash": 2.0},
        batch_size=1,
        phases=[
            {
                **PHASE,
                "features": {"views": 4},
                "early_stopping": {"metric": "accuracy", "patience": 3},
            },
            {
                "name": "whole",
                "epochs": 1,
                "optimizer": "adamw",
                "learning_rate": 5.2e-5,
                "schedule": "cosine",
                "weight_decay": 0.01,
                "clip_norm": 1.0,
            },
        ],
        tta={"flips": ["horizontal"], "shift": 0.1, "rotations": [90], "zoom": [0.1]},
    )
    network = read(describe_network(recipe, parameters=3_423_240))
    assert network["Backbone"] == "custom_cnn, no pretrained weights"
    assert network["Head"] == (
        "flatten, dropout 0.39, dense 1024, 512 (relu, BatchNorm), L1 0.001, final dropout 0.33"
    )
    assert network["BatchNorm"] == "trained"
    assert network["Parameters"] == "3,423,240"
    facts = read(describe_training(recipe))
    assert facts["Augmentation"] == (
        "crop to 50–100 % of the area, horizontal flip, vertical flip, rotation ±126°, zoom 0 to "
        "15 %, greyscale for 10 %, noise 5 %, erasing for 25 %, by keras_cv"
    )
    assert facts["Mixing"] == "CutMix for 50 % of images, MixUp for 25 % of images"
    assert facts["Class weights"] == "as given in the recipe"
    assert facts["Loss"] == "cross-entropy, label smoothing 0.1"
    assert facts["Batch"] == "1 image"
    assert facts["Phase head"] == (
        "head, up to 5 epochs, adam at 0.001, on 4 cached views of each image, "
        "stops after 3 epochs without a better accuracy"
    )
    assert facts["Phase whole"] == (
        "all layers, up to 1 epoch, adamw at 5.2e-05, cosine schedule, weight decay 0.01, "
        "gradients clipped at 1"
    )
    assert facts["Views"] == (
        "horizontal flip, shifts by 10 %, rotations by 90°, zooms of 10 %; each on its own"
    )


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ("head", "head"),
        ("all", "all layers"),
        ({"last_blocks": 2}, "head and last 2 blocks"),
        ({"freeze_layers": 1}, "all but the first 1 layer"),
    ],
)
def test_trained_parts(train: object, words: str) -> None:
    recipe = make_recipe(phases=[{**PHASE, "train": train}])
    assert describe_trained_part(recipe.phases[0]) == words


@pytest.mark.parametrize(
    ("task", "loss", "words"),
    [
        ("multi_label", {}, "binary cross-entropy"),
        ("multi_class", {"kind": "focal", "gamma": 1.5}, "focal, gamma 1.5"),
        (
            "multi_label",
            {"kind": "asymmetric", "label_smoothing": 0.1},
            "asymmetric, gamma 0 where a class is there and 4 where not, clip 0.05, "
            "label smoothing 0.1",
        ),
    ],
)
def test_losses(task: str, loss: dict[str, object], words: str) -> None:
    data = {"source": "tags.csv", "label_separator": "+" if task == "multi_label" else None}
    recipe = make_recipe(task=task, loss=loss, data=data)
    assert read(describe_training(recipe))["Loss"] == words


def test_averages_mining_and_the_best_phase() -> None:
    recipe = make_recipe(
        phases=[
            {**PHASE, "ema": 0.99, "accumulate": 4, "schedule": "one_cycle"},
            {**PHASE, "name": "all", "train": "all", "layer_decay": 0.8, "swa": 3},
        ],
        keep_phase="best",
        metric="f1_macro",
        mining={"delta": 0.5, "ceiling": 3},
    )
    facts = read(describe_training(recipe, "head"))
    assert facts["Phase head"] == (
        "head, up to 5 epochs, adam at 0.001, one-cycle schedule, steps of 4 batches, "
        "moving average of the weights, decay 0.99"
    )
    assert facts["Phase all"] == (
        "all layers, up to 5 epochs, adam at 0.001, times 0.8 for each block further from the "
        "head, ends with the mean of its last 3 epochs"
    )
    assert facts["Best phase"] == "head, by f1_macro on validation; kept"
    assert facts["Hard examples"] == "weight + 0.5 at each miss, up to 3"
    assert "Best phase" not in read(describe_training(recipe))


def test_pruning_is_told() -> None:
    pruned = {**PHASE, "train": "all", "prune": {"sparsity": 0.8, "method": "rigl"}}
    facts = read(describe_training(make_recipe(phases=[pruned])))
    assert facts["Phase head"].endswith("adam at 0.001, 80 % of the weights set to zero (rigl)")


def test_a_weight_file_and_plain_views() -> None:
    recipe = make_recipe(model={"backbone": "mobilenet", "weights": "w.h5"}, tta={})
    assert read(describe_network(recipe))["Backbone"] == "mobilenet, weights of w.h5"
    assert read(describe_training(recipe))["Views"] == "the plain image"


def test_sizes_of_a_phase_are_named() -> None:
    small = {"name": "small", "epochs": 1, "image_size": [64, 96], "batch_size": 48}
    most = {"name": "most", "epochs": 1, "batch_size": "auto"}
    facts = read(describe_training(make_recipe(phases=[small, most], batch_size="auto")))
    assert "images of 64x96, batches of 48 images" in facts["Phase small"]
    assert "batches of as many images as fit" in facts["Phase most"]
    assert facts["Batch"] == "as many images as fit"
