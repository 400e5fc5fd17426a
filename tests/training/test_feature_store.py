"""Features that trainings share: the same bits, and never those of something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.builders import (
    HEAD,
    StopsAfter,
    comparable,
    make_material,
    make_recipe,
    make_trainer,
    weights_of,
)
from tfclassify.errors import DataError
from tfclassify.events import Observer
from tfclassify.recipe.data_schema import DataRecipe
from tfclassify.training import feature_store
from tfclassify.training.feature_store import FeatureRoom, FeatureStore
from tfclassify.training.sources import open_stream
from tfclassify.training.trainer import Trainer

PHASE = HEAD | {"features": {"views": 2}}


def train(tmp_path: Path, name: str, store: FeatureStore | None, **sections: Any) -> Trainer:
    recipe = make_recipe([PHASE | sections.pop("phase", {})], **sections)
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / name, features=store)
    trainer.run()
    return trainer


def make_room(**data: Any) -> FeatureRoom:
    return FeatureRoom(DataRecipe(source="photos", image_size=16, **data))


def is_mapped(array: np.ndarray) -> bool:
    while array is not None and not isinstance(array, np.memmap):
        array = array.base  # type: ignore[assignment]
    return array is not None


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
        store.fetch(trainer.classifier.backbone, {}, fail, make_room())
    assert list_keys(store) == set()
    arrays = [np.arange(3), np.ones(2)]
    made = store.fetch(trainer.classifier.backbone, {}, lambda: arrays, make_room())
    again = store.fetch(trainer.classifier.backbone, {}, fail, make_room())
    assert all(np.array_equal(a, b) for a, b in zip(made, again, strict=True))


def test_the_budget_takes_arrays_until_it_is_used_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFCLASSIFY_CACHE", str(tmp_path))
    room = make_room(cache_gb=1e-6)  # 1000 bytes
    first, second, third = (room.make_array((n, 10), np.float32) for n in (20, 10, 5))
    # 800 bytes fit, 400 more do not, 200 do.
    assert [is_mapped(array) for array in (first, second, third)] == [False, True, False]
    second[3] = 7
    assert second.sum() == 70
    assert (second.shape, second.dtype) == ((10, 10), np.float32)
    assert room.describe() == (
        "features: 400 B of 1.4 kB are kept in memory-mapped files, since data.cache and "
        "data.cache_gb allow no more memory"
    )
    assert list(tmp_path.iterdir()) == []  # the file has no name
    assert make_room(cache_gb=1.0).describe() == ""
    assert is_mapped(make_room(cache="disk").make_array((1,), np.uint8))
    assert make_room(cache="disk").make_array((0, 4), np.uint8).shape == (0, 4)


def test_no_room_anywhere_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_store, "free_disk", lambda place: 100)
    with pytest.raises(DataError, match=r"features: 1.2 kB more are needed; data.cache_gb leaves "):
        make_room(cache_gb=1e-6).make_array((300,), np.float32)
    # Where no budget was stated, memory that is free beyond the share may be taken.
    monkeypatch.setattr(feature_store, "find_budget", lambda stated: 1000)
    monkeypatch.setattr(feature_store, "available_memory", lambda: 2000)
    assert not is_mapped(make_room().make_array((300,), np.float32))
    with pytest.raises(DataError, match="remove the phase's features"):
        make_room().make_array((600,), np.float32)


class Notes(Observer):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def on_note(self, text: str) -> None:
        self.notes.append(text)


def test_mapped_features_train_the_same_bits_resumed_or_not(tmp_path: Path) -> None:
    sections: dict[str, Any] = {"mining": {"delta": 0.5, "ceiling": 2.0}}
    alone = train(tmp_path, "alone", None, **sections)
    data = {"source": "photos", "image_size": 16, "cache_gb": 3e-7}
    recipe = make_recipe([PHASE], data=data, **sections)

    def start(state: str, **options: Any) -> Trainer:
        return make_trainer(recipe, tmp_path / "photos", tmp_path / state, **options)

    listener = Notes()
    mapped = start("mapped", observer=listener)
    records = mapped.run()
    told = [note for note in listener.notes if note.startswith("features: ")]
    assert len(told) == 1
    assert "are kept in memory-mapped files" in told[0]
    with pytest.raises(KeyboardInterrupt):
        start("stopped", observer=StopsAfter(1)).run()
    resumed = start("stopped")
    assert comparable(resumed.run(resume=True)) == comparable(records)
    store = FeatureStore(tmp_path / "features")
    shared = [start(f"shared-{n}", features=store) for n in (1, 2)]
    for trainer in shared:
        trainer.run()
    assert len(list_keys(store)) == 1
    for other in (mapped, resumed, *shared):
        pairs = zip(weights_of(alone), weights_of(other), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
