"""The names that ``model.backbone`` may have.

Owns: the plain list, so that a misspelt name is answered without TensorFlow.
Does not own: what stands behind a name (``backbones.catalog``, tested to hold
exactly these).
"""

from __future__ import annotations

#: Beginnings of names that lead out of the list: a hub module, a preset of KerasHub.
HUB, PRESET = "hub:", "keras_hub:"
OUTSIDE_SOURCES = (HUB, PRESET)

#: The classifiers of keras.applications, then the networks built here.
BACKBONE_NAMES = (
    "convnext_tiny",
    "convnext_small",
    "convnext_base",
    "convnext_large",
    "convnext_xlarge",
    "densenet121",
    "densenet169",
    "densenet201",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnet_v2_b0",
    "efficientnet_v2_b1",
    "efficientnet_v2_b2",
    "efficientnet_v2_b3",
    "efficientnet_v2_s",
    "efficientnet_v2_m",
    "efficientnet_v2_l",
    "inception_resnet_v2",
    "inception_v3",
    "mobilenet",
    "mobilenet_025",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "nasnet_mobile",
    "nasnet_large",
    "resnet50",
    "resnet50_v2",
    "resnet101",
    "resnet101_v2",
    "resnet152",
    "resnet152_v2",
    "vgg16",
    "vgg19",
    "xception",
    "resnet18",
    "resnet34",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "custom_cnn",
)
