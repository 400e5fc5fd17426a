from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from tests.builders import make_photo_folder
from tests.builders_models import make_classifier
from tfclassify.data.images import decode_image
from tfclassify.errors import ImageError, ModelError
from tfclassify.events import Observer
from tfclassify.model.prediction import predict_store, work_ahead
from tfclassify.pipeline.cache import open_images
from tfclassify.recipe.schema import DataRecipe

SIZE = (16, 16)


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    folder = make_photo_folder(tmp_path / "photos", images_per_class=3)
    return sorted(map(str, folder.rglob("*.png")))


class Recorder(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_task_step(self, task: str, done: int) -> None:
        self.steps.append(done)


def test_rows_are_in_the_order_of_the_store_and_steps_are_told(photos: list[str]) -> None:
    data, seen = DataRecipe(source="unused", image_size=SIZE, cache="none"), Recorder()
    model = make_classifier(SIZE, classes=3)
    said = predict_store(model, open_images(photos, data), 4, seen)
    alone = [model(decode_image(file, SIZE)[None].astype(np.float32)).numpy() for file in photos]
    np.testing.assert_allclose(said, np.concatenate(alone), atol=1e-6)
    assert seen.steps == [4, 8, 9]
    assert predict_store(model, open_images([], data)).shape == (0, 3)


def test_an_image_that_broke_since_is_named(photos: list[str]) -> None:
    data = DataRecipe(source="unused", image_size=SIZE, cache="none")
    store = open_images(photos, data)
    Path(photos[5]).write_bytes(b"broken")
    with pytest.raises(ImageError, match=Path(photos[5]).name):
        predict_store(lambda images: images, store, 2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answers_that_are_not_finite_are_an_error(photos: list[str], value: float) -> None:
    data = DataRecipe(source="unused", image_size=SIZE, cache="none")

    def network(images: np.ndarray) -> np.ndarray:
        answers = np.zeros((len(images), 3), np.float32)
        answers[-1, 1] = value
        return answers

    with pytest.raises(ModelError, match=r"infinite\) for 3 of 9 images; its weights"):
        predict_store(network, open_images(photos, data), 4)


def test_work_ahead_is_ordered_and_bounded():
    lock, started, most = threading.Lock(), [0], 0

    def work(item: int) -> int:
        with lock:
            started[0] += 1
        return item * item

    results = []
    for result in work_ahead(work, range(100), workers=3, ahead=7):
        with lock:
            most = max(most, started[0] - len(results))
        results.append(result)
    assert results == [item * item for item in range(100)]
    assert most <= 8  # seven ahead, and the one that was just handed over


def test_work_ahead_raises_when_the_result_is_due():
    def work(item: int) -> int:
        if item == 3:
            raise OSError("disk gone")
        return item

    seen = []
    with pytest.raises(OSError, match="disk gone"):
        seen.extend(work_ahead(work, range(9), workers=2, ahead=4))
    results = work_ahead(work, range(9), workers=2, ahead=4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    results.close()  # and stops its threads without a result of theirs being taken
