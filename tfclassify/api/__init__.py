"""The front door for Python: one function a verb of the command line, by the same names.

Owns: how people call the workflows from Python, a run as an object, progress displays.
Does not own: any of the work. ``import tfclassify`` gives all of it; the names here are
light, and what is heavy is imported when a function is called.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tfclassify.api.data import inspect, new, pack, schema
from tfclassify.api.judging import (
    compare,
    compress,
    ensemble,
    evaluate,
    export,
    predict,
    runs,
    submit,
)
from tfclassify.api.labelling import agree, clean, label
from tfclassify.api.networks import backbones, profile
from tfclassify.api.publishing import publish, verify
from tfclassify.api.run import Run, load
from tfclassify.api.show import demo, explain, serve
from tfclassify.api.training import check, crossval, lr, preview, train, tune
from tfclassify.errors import TfclassifyError
from tfclassify.events import Observer

if TYPE_CHECKING:
    from tfclassify.augmentations.catalogue import register_augmentation
    from tfclassify.augmentations.entry import Augmentation, Key
    from tfclassify.backbones.catalog import register_backbone
    from tfclassify.executors.catalogue import register_executor
    from tfclassify.export.formats import ArtefactFormat, register_artefact_format
    from tfclassify.recipe.schema import Recipe
    from tfclassify.scoring.metrics import LabelMetric, Metric, register_metric
    from tfclassify.training.losses import register_loss
    from tfclassify.training.schedules import register_schedule

__all__ = [
    "ArtefactFormat",
    "Augmentation",
    "Key",
    "LabelMetric",
    "Metric",
    "Observer",
    "Recipe",
    "Run",
    "TfclassifyError",
    "agree",
    "backbones",
    "check",
    "clean",
    "compare",
    "compress",
    "crossval",
    "demo",
    "ensemble",
    "evaluate",
    "explain",
    "export",
    "inspect",
    "label",
    "load",
    "lr",
    "new",
    "pack",
    "predict",
    "preview",
    "profile",
    "publish",
    "register_artefact_format",
    "register_augmentation",
    "register_backbone",
    "register_executor",
    "register_loss",
    "register_metric",
    "register_schedule",
    "runs",
    "schema",
    "serve",
    "submit",
    "train",
    "tune",
    "verify",
]


#: Names whose import takes a while, and where they are.
_LATER = {
    "ArtefactFormat": "tfclassify.export.formats",
    "Augmentation": "tfclassify.augmentations.entry",
    "Key": "tfclassify.augmentations.entry",
    "LabelMetric": "tfclassify.scoring.metrics",
    "Metric": "tfclassify.scoring.metrics",
    "Recipe": "tfclassify.recipe.schema",
    "register_artefact_format": "tfclassify.export.formats",
    "register_augmentation": "tfclassify.augmentations.catalogue",
    "register_backbone": "tfclassify.backbones.catalog",
    "register_executor": "tfclassify.executors.catalogue",
    "register_loss": "tfclassify.training.losses",
    "register_metric": "tfclassify.scoring.metrics",
    "register_schedule": "tfclassify.training.schedules",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
