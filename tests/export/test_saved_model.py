from __future__ import annotations

import json

import numpy as np
import tensorflow as tf

from tests.builders_models import make_classifier
from tfclassify.export.saved_model import write_saved_model
from tfclassify.inference.views import build_view_model
from tfclassify.recipe.schema import TtaRecipe


def test_the_views_are_inside(tmp_path):
    tta = TtaRecipe(
        flips=["horizontal", "vertical"],
        shift=0.2,
        shift_fill="roll",
        rotations=[90, 180, 270],
        zoom=[0.1],
        combine="product",
    )
    views = build_view_model(make_classifier((10, 10), classes=4), tta)
    images = np.random.default_rng(0).integers(0, 256, (3, 10, 10, 3), dtype=np.uint8)
    write_saved_model(tmp_path / "model", views, {"classes": ["é"]})
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    scores = serve(images=tf.constant(images, tf.float32))["scores"]
    np.testing.assert_allclose(scores, views(images), atol=1e-6)
    # No trace of the Keras model itself is left, which another Keras could not read.
    assert not (tmp_path / "model" / "keras_metadata.pb").exists()
    settings = tmp_path / "model" / "assets.extra" / "settings.json"
    assert json.loads(settings.read_text(encoding="utf-8")) == {"classes": ["é"]}
