"""Small networks for the profiler's tests, and a ViT-B/16."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from tfclassify.profiler.keras_profile import profile_model
from tfclassify.profiler.results import LayerProfile, Profile

L = keras.layers


def profile_function(
    build: Callable[[Any], Any], *shapes: Sequence[int], names: str = "net"
) -> Profile:
    """Profile what ``build`` makes of inputs of these shapes, batch left out."""
    inputs = [keras.Input(shape) for shape in shapes]
    model = keras.Model(inputs, build(*inputs), name=names)
    return profile_model(model, [tuple(shape) for shape in shapes], title=names, target=names)


def by_name(profile: Profile) -> dict[str, LayerProfile]:
    return {layer.name: layer for layer in profile.layers}


def build_vit(
    size: int = 224, patch: int = 16, width: int = 768, depth: int = 12, heads: int = 12
) -> keras.Model:
    """Build the ViT of Dosovitskiy et al. 2021, with its class token and head."""
    image = keras.Input((size, size, 3))
    x = L.Conv2D(width, patch, patch, name="patches")(image)
    x = L.Reshape((-1, width))(x)
    x = L.ZeroPadding1D((1, 0), name="class_token")(x)
    for number in range(depth):
        y = L.LayerNormalization(name=f"block{number}_norm1")(x)
        y = L.MultiHeadAttention(heads, width // heads, name=f"block{number}_attention")(y, y)
        x = L.Add(name=f"block{number}_add1")([x, y])
        y = L.LayerNormalization(name=f"block{number}_norm2")(x)
        y = L.Dense(4 * width, "gelu", name=f"block{number}_dense1")(y)
        y = L.Dense(width, name=f"block{number}_dense2")(y)
        x = L.Add(name=f"block{number}_add2")([x, y])
    x = L.LayerNormalization(name="norm")(x)
    logits = L.Dense(1000, name="logits")(x[:, 0])
    return keras.Model(image, logits, name="vit")


def build_objects50() -> keras.Model:
    """Build the custom network of the 50-class system: 64-33-17-9-5-3, dense 512."""
    image = keras.Input((64, 64, 3))
    x = image
    for number, filters in enumerate((32, 64, 128, 256, 512), start=1):
        x = L.Conv2D(filters, 3, padding="same", name=f"conv{number}")(x)
        x = L.BatchNormalization(name=f"bn{number}")(x)
        x = L.ReLU(name=f"relu{number}")(x)
        x = L.ZeroPadding2D(1, name=f"pad{number}")(x)
        x = L.MaxPooling2D(2, name=f"pool{number}")(x)
    x = L.Flatten(name="flatten")(x)
    x = L.Dense(512, "relu", name="dense")(x)
    x = L.Dropout(0.6, name="dropout")(x)
    return keras.Model(image, L.Dense(50, name="logits")(x), name="objects50")


# name: size, GMACs, tolerance of the published digits, parameters
PUBLISHED = {
    "ResNet50": (224, 3.858, 0.0005, 25_636_712),
    "MobileNetV2": (224, 0.3008, 0.00005, 3_538_984),
    "EfficientNetB0": (224, 0.3858, 0.00005, 5_330_571),
    "ConvNeXtTiny": (224, 4.4555, 0.00005, None),
    "VGG16": (224, 15.47, 0.005, 138_357_544),
    "MobileNetV3Large": (224, 0.22, 0.005, None),
    "DenseNet121": (224, 2.85, 0.02, None),
    "InceptionV3": (299, 5.7, 0.05, None),
    "Xception": (299, 8.4, 0.05, 22_910_480),
    "ConvNeXtLarge": (224, 34.4, 0.05, None),
}


def profile_published(name: str, size: int | None = None) -> Profile:
    size = size or PUBLISHED[name][0]
    shape = (size, size, 3)
    model = getattr(keras.applications, name)(weights=None, input_shape=shape)
    return profile_model(model, [shape], title=name, target=name)
