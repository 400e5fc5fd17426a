from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.builders import (
    WHOLE,
    comparable,
    make_recipe,
    make_trainer,
    score_now,
    weights_of,
)
from tfclassify.recipe.schema import Recipe
from tfclassify.training.phases import count_updates, group_batches

#: Without dropout or BatchNorm, whose answers depend on the size of a batch.
PLAIN = {"backbone": "custom_cnn", "weights": "none", "layers": [{"conv": 4, "stride": 2}]}


@pytest.mark.parametrize("images", [1, 5, 16, 17, 40])
@pytest.mark.parametrize(("batch_size", "accumulate"), [(4, 1), (4, 3), (8, 2), (32, 4)])
def test_groups_cover_an_epoch(images: int, batch_size: int, accumulate: int) -> None:
    sizes = [min(batch_size, images - start) for start in range(0, images, batch_size)]
    groups = list(group_batches(images, batch_size, accumulate))
    assert len(groups) == len(sizes)
    assert groups[-1].ends
    updates, gathered = 0, 0.0
    for group in groups:
        gathered += group.share
        if group.ends:
            assert gathered == pytest.approx(1.0)
            updates, gathered = updates + 1, 0.0
    recipe = make_recipe([WHOLE | {"accumulate": accumulate}], batch_size=batch_size)
    assert updates == count_updates(images, recipe, recipe.phases[0])


def test_groups_weigh_a_small_last_batch_by_its_images() -> None:
    groups = [(group.share, group.ends) for group in group_batches(7, 3, 2)]
    assert groups == [(0.5, False), (0.5, True), (1.0, True)]
    groups = [(group.share, group.ends) for group in group_batches(5, 3, 2)]
    assert groups == [(0.6, False), (0.4, True)]


def test_accumulated_batches_train_as_large_ones(tmp_path: Path) -> None:
    """12 images: groups of 8 and 4, and one-cycle over those two updates an epoch."""
    phase = WHOLE | {"schedule": "one_cycle", "learning_rate": 0.05}

    def train(name: str, recipe: Recipe) -> tuple[list[np.ndarray], list[float]]:
        trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / name)
        losses = [record.train["loss"] for record in trainer.run()]
        return weights_of(trainer), losses

    large = train("large", make_recipe([phase], model=PLAIN, batch_size=8))
    small = train("small", make_recipe([phase | {"accumulate": 2}], model=PLAIN, batch_size=4))
    np.testing.assert_allclose(large[1], small[1], rtol=1e-5)
    for first, second in zip(large[0], small[0], strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


def test_label_sets_are_learnt(tmp_path: Path) -> None:
    recipe = make_recipe(
        [WHOLE | {"epochs": 12, "learning_rate": 0.01, "keep_best": "map"}],
        task="multi_label",
        metric="map",
        loss={"kind": "focal"},
        thresholds=0.4,
    )
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state")
    records = trainer.run()
    assert set(records[0].train) == {"loss", "iou"}
    assert set(records[0].validation) >= {"loss", "map", "iou", "f1_samples", "f1_macro"}
    assert records[-1].train["loss"] < 0.8 * records[0].train["loss"]
    best = max(record.validation["map"] for record in records)
    assert score_now(trainer)["map"] == pytest.approx(best)


def test_positive_weights_change_what_label_sets_cost(tmp_path: Path) -> None:
    recipe = make_recipe([WHOLE | {"epochs": 1}], task="multi_label", metric="map")
    photos = tmp_path / "photos"
    plain = make_trainer(recipe, photos, tmp_path / "a").run()
    same = make_trainer(recipe, photos, tmp_path / "b", class_weights=np.ones(3, np.float32)).run()
    more = make_trainer(
        recipe, photos, tmp_path / "c", class_weights=np.full(3, 5.0, np.float32)
    ).run()
    assert comparable(same) == comparable(plain)
    assert more[0].train["loss"] > 1.5 * plain[0].train["loss"]
    # Validation is judged by the metric, which knows no weights.
    assert more[0].validation["loss"] < 2 * plain[0].validation["loss"]
