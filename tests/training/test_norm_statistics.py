from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from tests.training.builders import WHOLE, make_recipe, make_trainer
from tfclassify.training.norm_statistics import find_trained_norms, measure_statistics

NORMED = {
    "backbone": "custom_cnn",
    "weights": "none",
    "layers": [{"conv": 4, "stride": 2, "batch_norm": True}],
}


def make_normed(trainable: bool = True) -> keras.Model:
    inputs = keras.Input((1,))
    norm = keras.layers.BatchNormalization(momentum=0.9, trainable=trainable)
    return keras.Model(inputs, norm(inputs))


def test_statistics_are_the_mean_over_the_batches_by_images() -> None:
    model = make_normed()
    norm = model.layers[1]
    batches = [np.array([[1.0], [3.0]], np.float32), np.array([[10.0]], np.float32)]
    measure_statistics([norm], lambda batch: model(batch, training=True), batches)
    # Means 2 (of two images) and 10 (of one), variances 1 and 0.
    np.testing.assert_allclose(norm.moving_mean.numpy(), [14 / 3], rtol=1e-6)
    np.testing.assert_allclose(norm.moving_variance.numpy(), [2 / 3], rtol=1e-6)
    assert norm.momentum == 0.9


def test_only_norms_that_are_trained_are_found() -> None:
    inner = make_normed()
    outer = keras.Model(inner.input, inner(inner.input))
    assert find_trained_norms([outer, make_normed(trainable=False)]) == [inner.layers[1]]


def test_an_average_of_epochs_measures_its_statistics_anew(tmp_path: Path) -> None:
    recipe = make_recipe(
        [WHOLE | {"epochs": 3, "swa": 2, "keep_best": None, "learning_rate": 0.03}],
        model=NORMED,
        augment={"flip": ["horizontal"], "rotate": 0.2},
    )
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state")
    trainer.run()
    norm = next(iter(find_trained_norms([trainer.classifier.backbone])))
    before = keras.Model(trainer.classifier.extractor.input, norm.input)
    seen = [before(before_norm(trainer, batch)).numpy() for batch in shown_images(trainer)]
    weights = [len(values) / 12 for values in seen]
    mean = sum(w * values.mean(axis=(0, 1, 2)) for w, values in zip(weights, seen, strict=True))
    spread = sum(w * values.var(axis=(0, 1, 2)) for w, values in zip(weights, seen, strict=True))
    np.testing.assert_allclose(norm.moving_mean.numpy(), mean, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(norm.moving_variance.numpy(), spread, rtol=1e-3, atol=1e-4)


def shown_images(trainer: object) -> list[np.ndarray]:
    """Return the images of the last epoch, as the phase saw them."""
    from tfclassify.training.sources import open_stream

    recipe, material = trainer._recipe, trainer._material  # type: ignore[attr-defined]
    stream = iter(open_stream(material, recipe, recipe.phases[0], first_epoch=2))
    return [next(stream)[0].numpy() for _ in range(3)]


def before_norm(trainer: object, images: np.ndarray) -> np.ndarray:
    """Scale images as the backbone does before its own layers."""
    values = images
    for layer in trainer.classifier.spec.contract.as_layers():  # type: ignore[attr-defined]
        values = layer(values)
    return values
