from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.builders import HEAD, WHOLE, make_material, make_recipe, make_teacher
from tfclassify.errors import ModelError
from tfclassify.events import SILENT
from tfclassify.model.assembly import build_classifier
from tfclassify.training.phases import start_phase
from tfclassify.training.sources import BatchSource
from tfclassify.training.steps import ForwardPass
from tfclassify.training.teacher import Teacher

DISTIL = {"teacher": "t"}
AUGMENT = {"flip": ["horizontal"], "rotate": 0.1, "mix": {"cutmix": 0.5, "mixup": 0.5}}


def open_source(home: Path, phase: dict[str, Any], teacher: Teacher | None = None) -> BatchSource:
    recipe = make_recipe([phase], augment=AUGMENT, distil=DISTIL)
    material = make_material(recipe, home / "photos")
    if teacher is not None:
        object.__setattr__(material, "teacher", teacher)
    classifier = build_classifier(recipe.model, 3, (16, 16), seed=1)
    network = ForwardPass(classifier.network)
    return start_phase(recipe, 0, classifier, material, network, SILENT).source


def test_a_teacher_answers_in_the_students_order_and_at_its_own_size() -> None:
    shapes = []

    def tell(images: Any) -> np.ndarray:
        shapes.append(tuple(images.shape))
        return np.array([[0.2, 0.3, 0.5]])

    teacher = Teacher(tell, (8, 6), [2, 0, 1])
    answers = teacher.ask(np.zeros((1, 16, 16, 3), np.uint8))
    np.testing.assert_allclose(answers, [[0.5, 0.2, 0.3]])
    assert answers.dtype == np.float32
    assert shapes == [(1, 8, 6, 3)]


def test_answers_that_are_no_numbers_are_refused() -> None:
    teacher = Teacher(lambda images: np.array([[np.nan, 1.0]]), (2, 2), [0, 1])
    with pytest.raises(ModelError, match=r"distil.teacher: its answer is not finite"):
        teacher.ask(np.zeros((1, 2, 2, 3)))


@pytest.mark.parametrize("phase", [WHOLE, HEAD | {"features": {"views": 2}}])
def test_the_teacher_sees_the_very_views_and_mixes(tmp_path: Path, phase: dict[str, Any]) -> None:
    """What it was shown, put in the order of the labels, gives what stands behind them."""
    seen: list[np.ndarray] = []
    source = open_source(tmp_path, phase, make_teacher(seen))
    stream = open_source(tmp_path, WHOLE)  # the same images, whatever a phase makes of them
    for epoch in (1, 2):
        for batch, shown in zip(source.batches(epoch), stream.batches(epoch), strict=True):
            targets, pixels = np.asarray(batch[1]), np.asarray(shown[0])
            assert targets.shape == (len(pixels), 6)
            np.testing.assert_array_equal(targets[:, :3], np.asarray(shown[1])[:, :3])
            light = pixels.mean(axis=(1, 2)) + 1.0
            told = (light / light.sum(axis=1, keepdims=True))[:, [2, 0, 1]]
            np.testing.assert_allclose(targets[:, 3:], told, rtol=1e-5)
    assert len(seen) == 6  # 12 images in batches of 4, two epochs


def test_images_that_stay_the_same_are_asked_about_once(tmp_path: Path) -> None:
    seen: list[np.ndarray] = []
    still = WHOLE | {"augment": False, "mix": False}
    source = open_source(tmp_path, still, make_teacher(seen))
    asked = make_teacher()
    for epoch in (1, 2, 3):
        for images, targets, _ in source.batches(epoch):
            np.testing.assert_allclose(np.asarray(targets)[:, 3:], asked.ask(images), rtol=1e-5)
    assert sum(map(len, seen)) == 12
