"""Networks that several tests look at, each built once."""

from __future__ import annotations

import functools

import keras
import pytest

from tfclassify.backbones.building import build_backbone
from tfclassify.backbones.catalog import BACKBONES
from tfclassify.backbones.origins import KerasNetwork

#: Networks of every kind of input contract that are quick to build.
QUICK = (
    "convnext_tiny",
    "efficientnet_b0",
    "efficientnet_v2_b0",
    "mobilenet_025",
    "mobilenet_v3_small",
    "resnet50_v2",
    "vgg16",
    "efficientnet_lite0",
)

#: Every backbone but the recipe's own; those that take long to build are marked slow.
ALL = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in BACKBONES
    if name != "custom_cnn"
]
KERAS = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name, spec in BACKBONES.items()
    if isinstance(spec.origin, KerasNetwork)
]
#: All of keras.applications but VGG-16, for what takes long with the others.
SLOW_KERAS = [
    pytest.param(name, marks=pytest.mark.slow)
    for name, spec in BACKBONES.items()
    if isinstance(spec.origin, KerasNetwork) and name != "vgg16"
]


@functools.lru_cache(maxsize=len(QUICK))
def built(name: str) -> keras.Model:
    """Build a backbone without weights, for images of 96x96."""
    return build_backbone(name, (96, 96), weights="none")
