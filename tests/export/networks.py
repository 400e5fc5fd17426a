"""Networks of every kind with weights that matter, and bundles of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from tests.builders import make_photo
from tfclassify.model.assembly import build_classifier
from tfclassify.model.bundle import save_bundle, save_model
from tfclassify.recipe.loading import parse_recipe
from tfclassify.recipe.schema import Recipe

CLASSES = ("blue", "green", "red", "white", "yellow")


def make_recipe(model: str, size: int, task: str = "multi_class") -> Recipe:
    """Make a recipe whose section ``model`` is this YAML, one flow mapping."""
    sets = ", table: labels.csv, label_separator: '|'" if task == "multi_label" else ""
    return parse_recipe(
        f"name: lively\ntask: {task}\ndata: {{source: photos, image_size: {size}{sets}}}\n"
        f"model: {model}\nphases: [{{name: all, epochs: 1}}]\n"
    )


def enliven(network: keras.Model, size: int, seed: int = 0) -> None:
    """Give a fresh network weights under which every part changes the answer.

    Scales and offsets are drawn, BatchNorm's statistics are those of noisy images, and the
    logits are spread, so that a part that an export leaves out is noticed.
    """
    draw = np.random.default_rng(seed)
    for variable in network.weights:
        name, shape = variable.path.rpartition("/")[2], variable.shape
        if "gamma" in name:
            variable.assign(draw.uniform(0.5, 1.5, shape))
        elif "bias" in name or "beta" in name:
            variable.assign(draw.normal(0, 0.1, shape))
    photos = draw.integers(0, 256, (16, size, size, 3)).astype(np.float32)
    photos = np.concatenate([photos[:8], photos[8:, :1, :1] + photos[8:] / 8]).clip(0, 255)
    norms = [each for each in _list_layers(network) if hasattr(each, "moving_variance")]
    kept = [(each, each.momentum) for each in norms]
    for norm in norms:
        norm.momentum = 0.0
    network(photos, training=True)
    for norm, momentum in kept:
        norm.momentum = momentum
    # Photos unlike those may give features many times as large: their logits are to stay small
    # too, lest a probability hang on the last bits of a float. Many layers of drawn weights
    # multiply those bits already: ResNet50's logits, spread by 2, made 1e-4 of them.
    photos = np.concatenate([photos, *(_make_plain_photo(number, size) for number in range(8))])
    logits = np.asarray(network(photos, training=False))
    last = next(each for each in _list_layers(network) if each.name == "logits")
    kernel, bias = last.get_weights()
    scale = 1.0 / np.maximum(logits.std(axis=0), 1e-6)
    last.set_weights([kernel * scale, (bias - logits.mean(axis=0)) * scale])


def _make_plain_photo(number: int, size: int) -> np.ndarray:
    """Draw a photo as the exams' are: one colour, a little noise; ``(1, size, size, 3)``."""
    colour = (30 * number, 120, 250 - 30 * number)
    return np.asarray(make_photo(number, (size, size), colour), np.float32)[None]


def _list_layers(model: Any) -> list[Any]:
    found = []
    for layer in model.layers:
        found += _list_layers(layer) if isinstance(layer, keras.Model) else [layer]
    return found


def make_bundle(folder: Path, model: str, size: int, task: str = "multi_class") -> Path:
    """Write the bundle of a lively network; see ``make_recipe``."""
    recipe = make_recipe(model, size, task)
    network = build_classifier(recipe.model, len(CLASSES), (size, size), seed=0)
    enliven(network.network, size)
    limits = dict.fromkeys(CLASSES, 0.4) if task == "multi_label" else None
    save_bundle(folder, network, classes=CLASSES, recipe=recipe, thresholds=limits)
    return folder


def make_ensemble_bundle(folder: Path, sizes: tuple[int, int]) -> Path:
    """Write the bundle of two small networks of different sizes, averaged in one model."""
    from tfclassify.model.bundle import load_bundle
    from tfclassify.model.ensemble import build_ensemble

    model = "{backbone: custom_cnn, weights: none, layers: [{conv: 6, stride: 2}]}"
    members = [
        load_bundle(make_bundle(folder.with_name(f"member{size}"), model, size)).model
        for size in sizes
    ]
    joined = build_ensemble(members, (0.25, 0.75), (sizes[0], sizes[0]))
    save_model(folder, joined, classes=CLASSES, recipe=make_recipe(model, sizes[0]))
    return folder
