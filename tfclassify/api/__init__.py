"""The front door for Python: one function a verb of the command line, by the same names.

Owns: how people call the workflows from Python, a run as an object, progress displays.
Does not own: any of the work. ``import tfclassify`` gives all of it; the names here are
light, and what is heavy is imported when a function is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tfclassify.api.data import inspect, new, schema
from tfclassify.api.judging import compare, ensemble, evaluate, export, predict, submit
from tfclassify.api.networks import backbones, profile
from tfclassify.api.run import Run, load
from tfclassify.api.training import check, crossval, preview, train, tune
from tfclassify.errors import TfclassifyError
from tfclassify.events import Observer

if TYPE_CHECKING:
    from tfclassify.recipe.schema import Recipe

__all__ = [
    "Observer",
    "Recipe",
    "Run",
    "TfclassifyError",
    "backbones",
    "check",
    "compare",
    "crossval",
    "ensemble",
    "evaluate",
    "export",
    "inspect",
    "load",
    "new",
    "predict",
    "preview",
    "profile",
    "schema",
    "submit",
    "train",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name != "Recipe":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # The one name whose import takes a while, for all the checks that it holds.
    from tfclassify.recipe.schema import Recipe

    return Recipe
