"""Image classification by transfer learning on Keras 3 and TensorFlow.

    import tfclassify as tfc

    run = tfc.train("photos/")
    run.metrics["accuracy"]
    run.predict(["a.jpg", "b.jpg"])

``tfclassify.api`` holds what is public; it is imported with the first name that is used.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

TYPE_CHECKING = False  # typing's own costs a moment in which the command line hears no signal
if TYPE_CHECKING:
    from typing import Any

    from tfclassify.api import *  # noqa: F403

__version__ = "0.1.0"

#: Verbs that have a room of the same name. Importing the room would hide the verb.
_VERBS_WITH_A_ROOM = frozenset(("backbones", "compress", "export", "runs"))


class _Room(ModuleType):
    """A room that is called as the verb of its name: ``tfclassify.export(run, format="onnx")``."""

    def __call__(self, *given: Any, **named: Any) -> Any:
        api = importlib.import_module("tfclassify.api")
        return getattr(api, self.__name__.rpartition(".")[2])(*given, **named)


class _Package(ModuleType):
    """This package, whose rooms stay callable where a verb has their name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _VERBS_WITH_A_ROOM and isinstance(value, ModuleType):
            value.__class__ = _Room
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    # A dunder is looked up by import machinery and inspection; only __all__ is ours.
    if name != "__all__" and name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    api = importlib.import_module("tfclassify.api")
    names = ["__version__", *api.__all__]
    if name == "__all__":
        return names
    if name not in names:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted(__getattr__("__all__"))
