"""Makes tiny networks with weights that differ, so that views give different answers."""

from __future__ import annotations

import keras


def make_classifier(
    image_size: tuple[int, int] = (16, 16), classes: int = 3, seed: int = 0
) -> keras.Model:
    """Make a network of images 0..255 ``(b, H, W, 3)`` -> probabilities ``(b, classes)``.

    Its dense layer sees every position, so that no view of a picture looks like another.
    """
    start = keras.initializers.RandomNormal(stddev=0.3, seed=seed)
    inputs = keras.Input((*image_size, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = keras.layers.Conv2D(4, 3, strides=2, activation="relu", kernel_initializer=start)(x)
    x = keras.layers.Flatten()(x)
    logits = keras.layers.Dense(classes, kernel_initializer=start, name="logits")(x)
    return keras.Model(inputs, keras.layers.Softmax(name="probabilities")(logits))
