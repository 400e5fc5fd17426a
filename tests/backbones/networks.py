"""Networks that several tests look at, each built once."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tfclassify.backbones.building import build_backbone
from tfclassify.backbones.catalog import BACKBONES, BackboneSpec
from tfclassify.backbones.preprocessing import make_preprocessing

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

_kept: dict[str, keras.Model] = {}


def built(name: str, is_kept: bool = True) -> keras.Model:
    """Return a backbone without weights, for images of 96x96; do not change it."""
    if name in _kept:
        return _kept[name]
    network = build_backbone(name, (96, 96), weights="none")
    if is_kept:
        _kept[name] = network
    return network


def apply_contract(spec: BackboneSpec, images: np.ndarray) -> np.ndarray:
    """Scale images as the backbone's contract says."""
    for layer in make_preprocessing(spec.contract):
        images = layer(images)
    return np.asarray(images)
