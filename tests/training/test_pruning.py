"""Pruned weights are the right ones, as many as asked for, and stay at zero."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.training.builders import WHOLE, make_recipe, make_trainer
from tfclassify.errors import RecipeError, TrainingError
from tfclassify.recipe.loading import build_recipe
from tfclassify.recipe.phase_schema import PruneRecipe
from tfclassify.training.pruning import (
    Pruner,
    find_kernels,
    keep_largest,
    measure_sparsity,
    regrow,
    share_sparsity,
)

PRUNE = {"sparsity": 0.8, "every": 1}


def test_the_largest_are_kept_and_of_equal_ones_the_first() -> None:
    values = np.array([[0.1, -3.0, 0.5], [0.5, 0.0, -0.5]])
    np.testing.assert_array_equal(keep_largest(values, 3), [[0, 1, 1], [1, 0, 0]])
    assert keep_largest(values, 0).sum() == 0


def test_rigl_drops_the_smallest_and_grows_by_gradient() -> None:
    mask = np.float32([1, 1, 1, 1, 0, 0, 0, 0])
    weights = np.float32([0.1, -2, 0.3, 4, 0, 0, 0, 0])
    gradients = np.float32([9, 0, 0, 0, 0.2, -0.9, 0.1, 0.3])
    # Half of four go: 0.1 and 0.3. The first comes back for its gradient, with number 5.
    np.testing.assert_array_equal(regrow(mask, weights, gradients, 0.5), [1, 1, 0, 1, 0, 1, 0, 0])
    # A kernel that is nearly full has few to grow.
    full = np.float32([1, 1, 1, 0])
    assert regrow(full, weights[:4], gradients[:4], 0.9).sum() == 3


@pytest.mark.parametrize("distribution", ["erk", "uniform"])
@pytest.mark.parametrize("sparsity", [0.5, 0.8, 0.95])
def test_a_sparsity_is_shared_out_to_the_last_weight(distribution, sparsity) -> None:
    shapes = [(3, 3, 3, 32), (3, 3, 32, 64), (1, 1, 64, 128), (128, 5)]
    sizes = np.array([np.prod(shape) for shape in shapes])
    kept = np.array(share_sparsity(shapes, sparsity, distribution))
    assert (kept <= sizes).all()
    assert kept.sum() == pytest.approx((1 - sparsity) * sizes.sum(), abs=2)
    if distribution == "uniform":
        np.testing.assert_allclose(kept / sizes, 1 - sparsity, atol=0.01)
    else:
        # Where none is whole, densities are as sum over product of the sides.
        density = kept / sizes
        raw = np.array([sum(shape) for shape in shapes]) / sizes
        free = density < 1
        ratio = density[free] / raw[free]
        np.testing.assert_allclose(ratio, ratio[0], rtol=0.02)


def make_network() -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(6, 3, name="first")(inputs)
    x = keras.layers.DepthwiseConv2D(3, name="depth")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Conv2D(6, 3, groups=6, name="grouped")(x)
    inner = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x), name="inner")
    return keras.Model(inputs, keras.layers.Dense(4, name="last")(inner(inputs)))


def test_kernels_of_convolutions_and_dense_layers_are_pruned() -> None:
    network = make_network()
    assert [kernel.path for kernel in find_kernels(network)] == ["first/kernel", "last/kernel"]
    assert [kernel.path for kernel in find_kernels(network, "las")] == ["last/kernel"]
    assert measure_sparsity(network)["first/kernel"] == (162, 162)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(6, 1, name="point")(keras.layers.Conv2D(6, 3)(inputs))
    wide = keras.Model(inputs, keras.layers.Dense(2)(x))
    assert [kernel.path for kernel in find_kernels(wide, is_pointwise=True)] == ["point/kernel"]


def test_the_schedule_is_cubic_and_ends_exactly() -> None:
    network = make_network()
    recipe = PruneRecipe(sparsity=0.5, every=2, until=0.8, distribution="uniform")
    pruner = Pruner(network, recipe, updates=10, where="phases[0]")
    zeros = []
    for update in range(1, 11):
        for kernel in pruner.kernels:  # a step that moves every weight
            kernel.assign(kernel + np.random.default_rng(update).normal(0, 1, kernel.shape))
        pruner.follow(update)
        zeros.append(162 - measure_sparsity(network)["first/kernel"][1])
    # 81 * (1 - (1 - t/8)^3) at 2, 4, 6 and 8 updates, nothing between and after.
    assert zeros == [0, 47, 47, 71, 71, 80, 80, 81, 81, 81]


@pytest.mark.parametrize("method", ["magnitude", "rigl"])
def test_a_phase_ends_as_sparse_as_asked_for(method: str, tmp_path: Path) -> None:
    phases = [WHOLE | {"prune": PRUNE | {"method": method}}, WHOLE | {"name": "tune"}]
    trainer = make_trainer(make_recipe(phases), tmp_path / "photos", tmp_path / "state")
    before = measure_sparsity(trainer.classifier.network)
    trainer.run()
    after = measure_sparsity(trainer.classifier.network)
    assert after.keys() == before.keys()
    shapes = [tuple(each.shape) for each in find_kernels(trainer.classifier.network)]
    # The phase that follows keeps what was pruned, and only that.
    assert [kept for _, kept in after.values()] == share_sparsity(shapes, 0.8, "erk")


def test_one_that_empties_a_layer_is_refused() -> None:
    recipe = PruneRecipe(sparsity=0.99, distribution="uniform")
    with pytest.raises(TrainingError, match=r"prune.sparsity: 0.99 leaves 'last/kernel' with none"):
        Pruner(make_network(), recipe, 10, "phases[0]")
    recipe = PruneRecipe(sparsity=0.5, layers="nothing")
    with pytest.raises(TrainingError, match=r"phases\[0\].prune.layers: 'nothing' is in the name"):
        Pruner(make_network(), recipe, 10, "phases[0]")


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        ({"ema": 0.9}, "ema.*does not go with prune"),
        ({"early_stopping": {"patience": 2}}, "early_stopping.*does not go with prune"),
        ({"keep_best": "loss"}, "keep_best.*does not go with prune"),
        ({"train": "head"}, "needs a phase that trains the backbone"),
        ({"prune": {"sparsity": 0.5, "layers": "("}}, "must be a regular expression, got"),
        ({"prune": {"sparsity": 1.0}}, "must be above 0 and below 1"),
    ],
)
def test_what_does_not_go_together(phase, message) -> None:
    content = make_recipe([WHOLE]).model_dump(mode="json")
    content["phases"] = [WHOLE | {"prune": PRUNE} | phase]
    with pytest.raises(RecipeError, match=rf"(?s){message}"):
        build_recipe(content)
    content["phases"] = [WHOLE | {"prune": PRUNE}]
    content["keep_phase"] = "best"
    with pytest.raises(RecipeError, match="may keep a phase from before the pruning"):
        build_recipe(content)
