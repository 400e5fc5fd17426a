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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfclassify.api import *  # noqa: F403

__version__ = "0.1.0"

#: Verbs that have a room of the same name: ``tfclassify.backbones()`` is the verb, and the
#: room is imported as ``from tfclassify.backbones…``.
_VERBS_WITH_A_ROOM = frozenset(("backbones", "compress", "export", "runs"))


class _Package(ModuleType):
    """This package, in which importing a room does not hide the verb of its name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _VERBS_WITH_A_ROOM and isinstance(value, ModuleType)):
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
