from __future__ import annotations

from tfclassify.backbones.catalog import BACKBONES
from tfclassify.workflows.backbones import list_backbones


def test_every_backbone_is_listed_once() -> None:
    rows = {row.name: row for row in list_backbones()}
    assert list(rows) == list(BACKBONES)
    assert rows["efficientnet_lite0"].has_weights_here
    assert rows["custom_cnn"].parameters is None
    # Keras' table of applications: ResNet50 without its top has 23.6 M parameters.
    assert round(rows["resnet50"].parameters / 1e6, 1) == 23.6
