"""Features that trainings share: the same bits, and never those of something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.builders import HEAD, make_material, make_recipe, make_trainer, weights_of
from tfclassify.training.feature_store import FeatureStore
from tfclassify.training.sources import open_stream
from tfclassify.training.trainer import Trainer

PHASE = HEAD | {"features": {"views": 2}}


def train(tmp_path: Path, name: str, store: FeatureStore | None, **sections: Any) -> Trainer:
    recipe = make_recipe([PHASE | sections.pop("phase", {})], **sections)
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / name, features=store)
    trainer.run()
    return trainer


def list_keys(store: FeatureStore) -> set[str]:
    return {path.name for path in store.folder.iterdir() if path.is_dir()}


def test_stored_features_train_the_same_bits(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "features")
    alone = weights_of(train(tmp_path, "alone", None))
    first = weights_of(train(tmp_path, "first", store))
    keys = list_keys(store)
    second = weights_of(train(tmp_path, "second", store))
    assert len(keys) == 1
    assert list_keys(store) == keys
    for other in (first, second):
        assert all(np.array_equal(a, b) for a, b in zip(alone, other, strict=True))


def test_what_lies_behind_the_backbone_shares_the_features(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "features")
    train(tmp_path, "first", store)
    model = {"backbone": "custom_cnn", "weights": "none", "head": {"dense": [4], "dropout": 0.5}}
    layers = [{"conv": 4, "stride": 2, "batch_norm": True, "dropout": 0.1}, {"conv": 8, "pool": 2}]
    train(
        tmp_path,
        "second",
        store,
        model=model | {"layers": layers},
        loss={"label_smoothing": 0.1},
        phase={"learning_rate": 0.02, "optimizer": "sgd"},
    )
    assert len(list_keys(store)) == 1


@pytest.mark.parametrize("mix", [{}, {"cutmix": 0.5, "mixup": 0.5}])
def test_class_weights_share_the_features_and_weigh_as_the_stream_does(
    tmp_path: Path, mix: dict[str, float]
) -> None:
    store, sections = FeatureStore(tmp_path / "features"), {"augment": {"mix": mix}}
    by_class = np.array([3.0, 0.5, 2.0], np.float32)
    train(tmp_path, "first", store, **sections)
    recipe = make_recipe([PHASE], **sections)
    options = {"class_weights": by_class}
    cached = make_trainer(recipe, tmp_path / "photos", tmp_path / "b", features=store, **options)
    cached.run()
    assert len(list_keys(store)) == 1
    assert cached._source is not None
    material = make_material(recipe, tmp_path / "photos", **options)
    stream = iter(open_stream(material, recipe, recipe.phases[0], first_epoch=0))
    for _, targets, weights in cached._source.batches(1):
        _, own_targets, own_weights = next(stream)
        assert np.array_equal(targets, own_targets)
        assert np.array_equal(weights, own_weights)
        assert len(set(weights.tolist())) > 1


@pytest.mark.parametrize(
    "sections",
    [
        {"seed": 4},
        {"batch_size": 5},
        {"augment": {"flip": ["horizontal"]}},
        {"data": {"source": "photos", "image_size": 24}},
        {"phase": {"features": {"views": 1}}},
        {"phase": {"mix": False}},
        {"model": {"backbone": "custom_cnn", "weights": "none", "layers": [{"conv": 4}]}},
    ],
    ids=lambda sections: next(iter(sections)),
)
def test_what_changes_the_features_has_its_own(tmp_path: Path, sections: dict[str, Any]) -> None:
    store = FeatureStore(tmp_path / "features")
    train(tmp_path, "first", store)
    train(tmp_path, "second", store, **sections)
    assert len(list_keys(store)) == 2


def test_a_kill_while_features_are_stored_leaves_none(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "features")

    def fail() -> list[np.ndarray]:
        raise KeyboardInterrupt

    trainer = make_trainer(make_recipe([PHASE]), tmp_path / "photos", tmp_path / "state")
    with pytest.raises(KeyboardInterrupt):
        store.fetch(trainer.classifier.backbone, {}, fail)
    assert list_keys(store) == set()
    made = store.fetch(trainer.classifier.backbone, {}, lambda: [np.arange(3), np.ones(2)])
    again = store.fetch(trainer.classifier.backbone, {}, fail)
    assert all(np.array_equal(a, b) for a, b in zip(made, again, strict=True))
