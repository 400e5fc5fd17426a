from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tests.builders import make_photo
from tfclassify.errors import DataError, ImageError
from tfclassify.pipeline import stream
from tfclassify.pipeline.cache import ImageStore, naming_broken_images, open_images
from tfclassify.pipeline.stream import (
    TrainingSet,
    epoch_order,
    training_stream,
    view_batches,
)
from tfclassify.recipe.schema import AugmentRecipe

COUNT = 11
BATCH = 4
STEPS = 3
CLASSES = 3
AUGMENT = AugmentRecipe.model_validate(
    {
        "flip": ["horizontal", "vertical"],
        "rotate": 0.35,
        "zoom": [0.0, 0.15],
        "hue": 0.1,
        "noise": 0.05,
        "mix": {"cutmix": 0.5, "mixup": 0.5},
    }
)
PLAIN = AugmentRecipe()


@dataclass(frozen=True)
class Decoding:
    image_size: tuple[int, int] = (16, 20)
    resize: str = "stretch"
    max_pixels: int = 10**6
    cache: str = "memory"


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("photos")
    found = []
    for number in range(COUNT):
        found.append(str(folder / f"{number}.png"))
        make_photo(number, size=(16, 20)).save(found[-1])
    return found


def open_set(paths: list[str], mode: str = "memory") -> TrainingSet:
    count = len(paths)
    return TrainingSet(
        images=open_images(paths, Decoding(cache=mode)),
        keys=np.arange(count) * 7919 + 13,
        targets=np.eye(CLASSES, dtype=np.float32)[np.arange(count) % CLASSES],
        weights=np.linspace(0.5, 1.5, count, dtype=np.float32),
    )


@pytest.fixture(scope="module")
def training_set(paths: list[str]) -> TrainingSet:
    return open_set(paths)


def take(dataset: tf.data.Dataset, count: int) -> list[list[np.ndarray]]:
    return [[part.numpy() for part in batch] for batch in islice(iter(dataset), count)]


def train(training_set: TrainingSet, steps: int, augment: AugmentRecipe = AUGMENT, **options):
    options = {"batch_size": BATCH, "seed": 5} | options
    return take(training_stream(training_set, augment, **options), steps)


def assert_same(one: list[list[np.ndarray]], other: list[list[np.ndarray]]) -> None:
    assert len(one) == len(other)
    for batch, expected in zip(one, other, strict=True):
        for part, expected_part in zip(batch, expected, strict=True):
            assert part.dtype == expected_part.dtype
            assert np.array_equal(part, expected_part)


def test_an_epoch_has_every_image_once(training_set: TrainingSet):
    stored = training_set.images.read(range(COUNT)).astype(np.float32)
    batches = train(training_set, 2 * STEPS, PLAIN)
    assert [len(images) for images, _, _ in batches] == [4, 4, 3, 4, 4, 3]
    for epoch in range(2):
        images, targets, weights = (
            np.concatenate(column)
            for column in zip(*batches[epoch * STEPS : (epoch + 1) * STEPS], strict=True)
        )
        order = epoch_order(COUNT, 5, epoch)
        assert sorted(order) == list(range(COUNT))
        assert np.array_equal(images, stored[order])
        assert np.array_equal(targets, training_set.targets[order])
        assert np.array_equal(weights, training_set.weights[order])


def test_epochs_are_shuffled_differently():
    orders = {tuple(epoch_order(COUNT, 5, epoch)) for epoch in range(20)}
    assert len(orders) == 20


def test_the_first_image_of_an_epoch_is_any_image():
    firsts = [epoch_order(6, 0, epoch)[0] for epoch in range(600)]
    assert stats.chisquare(np.bincount(firsts, minlength=6)).pvalue > 1e-3


@pytest.mark.parametrize("calls", [2, 5])
def test_parallelism_does_not_change_a_bit(training_set: TrainingSet, calls: int):
    one = train(training_set, 3 * STEPS, parallel_calls=1)
    assert_same(one, train(training_set, 3 * STEPS, parallel_calls=calls))


@pytest.mark.parametrize("mode", ["disk", "none"])
def test_where_images_are_kept_does_not_change_a_bit(
    training_set: TrainingSet,
    paths: list[str],
    mode: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("TFCLASSIFY_CACHE", str(tmp_path))
    assert_same(train(training_set, STEPS), train(open_set(paths, mode), STEPS))


@pytest.mark.parametrize("first", [1, 2])
def test_a_later_start_continues_bit_for_bit(training_set: TrainingSet, first: int):
    whole = train(training_set, 3 * STEPS)
    rest = train(training_set, (3 - first) * STEPS, first_epoch=first)
    assert_same(whole[first * STEPS :], rest)


def test_epochs_and_seeds_see_other_images(training_set: TrainingSet):
    first = train(training_set, STEPS)
    assert not np.array_equal(first[0][0], train(training_set, 1, first_epoch=1)[0][0])
    assert not np.array_equal(first[0][0], train(training_set, 1, seed=6)[0][0])


def test_the_map_function_is_traced_once(
    training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
):
    traces = []
    build = stream._build_batch_maker

    def counting(*args, **options):
        make = build(*args, **options)

        def traced(number):
            traces.append(number)
            return make(number)

        return traced

    monkeypatch.setattr(stream, "_build_batch_maker", counting)
    assert len(train(training_set, 4 * STEPS)) == 4 * STEPS
    assert len(traces) == 1


def test_values_and_shapes(training_set: TrainingSet):
    dataset = training_stream(training_set, AUGMENT, batch_size=BATCH, seed=5)
    images, targets, weights = dataset.element_spec
    assert images.shape.as_list() == [None, 16, 20, 3]
    assert targets.shape.as_list() == [None, CLASSES]
    assert weights.shape.as_list() == [None]
    assert {images.dtype, targets.dtype, weights.dtype} == {tf.float32}
    for pixels, _, _ in train(training_set, STEPS):
        assert pixels.min() >= 0.0
        assert 1.0 < pixels.max() <= 255.0


def test_mix_off_leaves_labels_hard(training_set: TrainingSet):
    for _, targets, _ in train(training_set, STEPS, mix=False):
        assert set(targets.ravel()) == {0.0, 1.0}
    soft = np.concatenate([targets for _, targets, _ in train(training_set, STEPS)])
    assert ((soft > 0.0) & (soft < 1.0)).any()


def test_augmented_off_mixes_the_images_as_they_are(training_set: TrainingSet):
    cut = AugmentRecipe.model_validate(AUGMENT.model_dump() | {"mix": {"cutmix": 1.0}})
    stored = training_set.images.read(range(COUNT)).astype(np.float32)
    for images, _, _ in train(training_set, STEPS, cut, augmented=False):
        for image in images:
            assert (stored == image).all(axis=-1).any(axis=0).all()


def test_sample_weights_are_the_expectation_of_the_class_weights(training_set: TrainingSet):
    class_weights = np.array([1.0, 10.0, 100.0], np.float32)
    mixup = AugmentRecipe.model_validate({"mix": {"mixup": 1.0, "mixup_alpha": 1.0}})
    batches = train(training_set, STEPS, mixup, class_weights=class_weights)
    order = epoch_order(COUNT, 5, 0)
    own = np.split(training_set.weights[order], [4, 8])
    for (_, targets, weights), image_weights in zip(batches, own, strict=True):
        for target, weight, image_weight in zip(targets, weights, image_weights, strict=True):
            expected = image_weight * sum(
                share * class_weight
                for share, class_weight in zip(target, class_weights, strict=True)
            )
            assert weight == pytest.approx(expected, rel=1e-5)


def test_a_half_and_half_image_weighs_the_mean_not_the_argmax():
    store = ImageStore(["a"], Decoding(), "memory", np.zeros((1, 16, 20, 3), np.uint8))
    soft = TrainingSet(
        store, np.zeros(1, np.int64), np.array([[0.5, 0.5]], np.float32), np.ones(1, np.float32)
    )
    options = {"class_weights": np.array([1.0, 3.0], np.float32)}
    assert train(soft, 1, PLAIN, **options)[0][2].tolist() == [2.0]


def test_views_are_the_epochs_of_training_in_row_order(training_set: TrainingSet):
    alone = AugmentRecipe.model_validate(AUGMENT.model_dump() | {"mix": {}})
    options = {"batch_size": BATCH, "seed": 5}
    for epoch in (0, 2):
        viewed = take(view_batches(training_set, alone, view=epoch, **options), 99)
        assert [len(batch[0]) for batch in viewed] == [4, 4, 3]
        trained = train(training_set, STEPS, alone, first_epoch=epoch)
        order = epoch_order(COUNT, 5, epoch)
        for view, stream_part in zip(
            zip(*viewed, strict=True), zip(*trained, strict=True), strict=True
        ):
            assert np.array_equal(np.concatenate(view)[order], np.concatenate(stream_part))


def test_views_take_class_weights(training_set: TrainingSet):
    weights = np.array([1.0, 2.0, 4.0], np.float32)
    views = view_batches(training_set, PLAIN, view=0, batch_size=99, seed=0, class_weights=weights)
    (_, _, sample_weights) = take(views, 1)[0]
    np.testing.assert_allclose(
        sample_weights, training_set.weights * weights[np.arange(COUNT) % CLASSES]
    )


def test_a_broken_image_stops_the_stream_and_is_named(paths: list[str], tmp_path: Path):
    copies = []
    for number, path in enumerate(paths):
        copies.append(str(tmp_path / f"{number}.png"))
        Path(copies[-1]).write_bytes(Path(path).read_bytes() if number != 6 else b"broken")
    broken = open_set(copies, "none")
    with pytest.raises(ImageError, match=r"6\.png"), naming_broken_images(broken.images):
        train(broken, STEPS)
    with pytest.raises(tf.errors.OpError, match=r"6\.png"):
        train(broken, STEPS)


def test_no_images_is_an_error(training_set: TrainingSet):
    empty = TrainingSet(
        open_images([], Decoding()),
        np.zeros(0, np.int64),
        np.zeros((0, CLASSES), np.float32),
        np.zeros(0, np.float32),
    )
    with pytest.raises(DataError, match="no images to train on; got 0"):
        training_stream(empty, PLAIN, batch_size=4, seed=0)


def test_columns_of_different_length_are_an_error(training_set: TrainingSet):
    with pytest.raises(DataError, match="equally many, got 11, 11, 11, 10"):
        replace(training_set, weights=training_set.weights[:-1])


def test_many_epochs_of_one_batch_do_not_end(training_set: TrainingSet):
    assert len(train(training_set, 50, PLAIN, batch_size=64)) == 50
