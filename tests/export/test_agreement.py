"""The contract that the same image gets the same answer wherever it is asked for."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.builders import make_photo
from tfclassify.export.codalab_model import model as SubmittedModel
from tfclassify.export.submission import write_codalab, write_csv_submission
from tfclassify.inference.prediction import expand_paths, predict_paths
from tfclassify.inference.views import build_view_model
from tfclassify.model.assembly import Classifier, build_classifier
from tfclassify.model.bundle import Bundle, load_bundle, save_bundle
from tfclassify.model.prediction import predict_store
from tfclassify.pipeline.cache import open_images
from tfclassify.recipe.schema import Recipe, TtaRecipe
from tfclassify.scoring.tasks import get_task
from tfclassify.training.steps import ForwardPass

CLASSES = ("blue", "green", "red", "white")
TTA = TtaRecipe(flips=["horizontal", "vertical"], shift=0.1, zoom=[0.1], combine="product")


def make_recipe(folder: Path, backbone: str, size: int) -> Recipe:
    layers = [{"conv": 4, "stride": 2}, {"conv": 6}] if backbone == "custom_cnn" else []
    weights = "none" if backbone == "custom_cnn" else "imagenet"
    return Recipe.model_validate(
        {
            "name": "agreement",
            "data": {"source": str(folder), "image_size": size, "resize": "letterbox"},
            "model": {"backbone": backbone, "weights": weights, "layers": layers},
            "phases": [{"name": "all", "epochs": 1}],
        }
    )


def make_photos(folder: Path) -> Path:
    """Write photos of one size, which is not the model's, of four colours."""
    folder.mkdir()
    for number in range(10):
        colour = [(40, 60, 200), (60, 190, 50), (200, 40, 40), (240, 240, 240)][number % 4]
        make_photo(number, (36, 44), colour).save(folder / f"{number}.png")
    return folder


def learn_a_little(classifier: Classifier, images: np.ndarray) -> None:
    """Take one large step, so that the answers are not all alike."""
    ids = np.arange(len(images)) % len(CLASSES)
    with tf.GradientTape() as tape:
        logits = classifier.network(images, training=True)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits)
    weights = [variable.value for variable in classifier.network.trainable_variables]
    for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
        weight.assign_sub(0.01 * gradient)


def build_all(tmp_path: Path, backbone: str, size: int) -> tuple[np.ndarray, Bundle, Path, Recipe]:
    """Return training-time probabilities, the reloaded bundle, the photos, the recipe."""
    photos = make_photos(tmp_path / "photos")
    recipe = make_recipe(photos, backbone, size)
    classifier = build_classifier(recipe.model, len(CLASSES), recipe.data.image_size, seed=3)
    store = open_images(expand_paths([photos]), recipe.data)
    learn_a_little(classifier, store.read(np.arange(10)).astype(np.float32))
    save_bundle(tmp_path / "bundle", classifier, classes=CLASSES, recipe=recipe)
    watch = ForwardPass(classifier.network)  # how training looks at its validation images
    trained = get_task("multi_class").activate(predict_store(watch, store, 4))
    assert np.ptp(trained, axis=0).max() > 0.01
    return trained, load_bundle(tmp_path / "bundle"), photos, recipe


def check_agreement(tmp_path: Path, backbone: str, size: int) -> None:
    trained, bundle, photos, recipe = build_all(tmp_path, backbone, size)
    store = open_images(expand_paths([photos]), recipe.data)
    one_view = build_view_model(bundle.model, TtaRecipe())
    answers = {
        "reloaded bundle": predict_store(bundle.model, store, 3),
        "predict": predict_paths(bundle, [photos]).probabilities,
        "one view": predict_store(one_view.probabilities, store, 4),
        "plain of both": predict_store(one_view.plain_and_mean, store, 4)[:, 0],
        "predict with one view": predict_paths(bundle, [photos], TtaRecipe()).probabilities,
    }
    written = write_csv_submission(bundle, photos, tmp_path / "out.csv", mode="probabilities")
    assert written.proof.largest_difference < 1e-6
    with (tmp_path / "out.csv").open() as stream:
        rows = list(csv.reader(stream))[1:]
    answers["csv submission"] = np.array([row[1:] for row in rows], np.float32)
    for name, probabilities in answers.items():
        np.testing.assert_allclose(probabilities, trained, atol=1e-6, err_msg=name)


def submit(bundle: Bundle, tta: TtaRecipe | None, photos: Path, folder: Path) -> SubmittedModel:
    """Write a checked submission and load it here too."""
    written = write_codalab(bundle, tta, folder / "out.zip", sorted(photos.iterdir()))
    assert written.proof.largest_difference < 1e-6
    with zipfile.ZipFile(folder / "out.zip") as opened:
        opened.extractall(folder / "server")
    return SubmittedModel(str(folder / "server"))


def read_raw(photos: Path) -> tf.Tensor:
    """Read photos as a competition's server does, at the size they have."""
    files = [tf.io.read_file(str(path)) for path in sorted(photos.iterdir())]
    return tf.stack([tf.io.decode_png(file, channels=3) for file in files])


def test_training_bundle_prediction_and_csv_agree(tmp_path):
    check_agreement(tmp_path, "custom_cnn", 24)


@pytest.mark.slow
def test_training_bundle_prediction_and_csv_agree_on_a_pretrained_network(tmp_path):
    check_agreement(tmp_path, "efficientnet_lite0", 64)


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "size"), [("custom_cnn", 24), ("efficientnet_lite0", 64)])
def test_the_codalab_submission_agrees(tmp_path, backbone, size):
    trained, bundle, photos, _ = build_all(tmp_path, backbone, size)
    (tmp_path / "plain").mkdir()
    plain = submit(bundle, None, photos, tmp_path / "plain")
    np.testing.assert_allclose(plain.predict_scores(read_raw(photos)), trained, atol=1e-6)
    assert plain.predict(read_raw(photos)).numpy().tolist() == trained.argmax(axis=1).tolist()
    with_views = submit(bundle, TTA, photos, tmp_path)
    expected = predict_paths(bundle, [photos], TTA)
    assert len(expected.views) == 24
    np.testing.assert_allclose(
        with_views.predict_scores(read_raw(photos)), expected.probabilities, atol=1e-6
    )
