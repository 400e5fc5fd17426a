"""A SavedModel as a Keras layer: TensorFlow Hub's modules on Keras 3.

Owns: calling a module, sharing its variables with Keras, its regularisation losses, and
where a saved layer finds its module again. Does not own: which modules are safe
(``saved_models``), their place on disk (``hub_modules``, ``model.bundle_modules``).

TensorFlow Hub's own layer is one of Keras 2, whose weights Keras 3 does not see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common.stateless_scope import in_stateless_scope

from tfclassify.backbones.saved_models import load_saved_model
from tfclassify.errors import ModelError

#: Which output of a module that gives several is taken.
_DEFAULT_OUTPUT = "default"
_SIGNATURES = ("serving_default", "default")
_FOLDERS: ContextVar[Mapping[str, Path]] = ContextVar("module folders", default={})  # noqa: B039


@contextmanager
def module_folders(folders: Mapping[str, Path]) -> Iterator[None]:
    """Let layers that are loaded inside this block find their modules.

    Args:
        folders: The folder of each module by its name. A saved layer holds the name only,
            so that no saved model can point anywhere else.
    """
    token = _FOLDERS.set(folders)
    try:
        yield
    finally:
        _FOLDERS.reset(token)


@keras.saving.register_keras_serializable(package="tfclassify")
class HubFeatures(keras.layers.Layer):
    """Turns images into a feature map by a SavedModel.

    Its variables are the module's own: Keras trains, counts and saves what the module
    reads. The module is told that it is being trained (``training=True``) only while
    this layer is trainable and ``keeps_statistics`` is off. It computes in float32
    whatever the policy.

    Args:
        module: Name of the module; ``module_folders`` says where it lies.
        feature_shape: ``(h, w, c)`` of what it gives for one image.
        loaded: The module, where it is loaded already; no other layer may have it.

    Attributes:
        keeps_statistics: Whether the module always runs as in inference, BatchNorm and
            dropout included, although its weights may be trained.

    Raises:
        ModelError: If the module is not known by name, is unsafe, or cannot be used.
    """

    def __init__(
        self,
        module: str,
        feature_shape: Sequence[int],
        loaded: Module | None = None,
        **options: Any,
    ) -> None:
        options["dtype"] = "float32"
        super().__init__(**options)
        self.module = module
        self.feature_shape = tuple(int(length) for length in feature_shape)
        self.keeps_statistics = True
        if in_stateless_scope():  # only the shapes are asked for: see model.footprint
            self._shared, self.built = [], True
            return
        # A saved description cannot hold a module, only its name.
        self._forward = loaded if isinstance(loaded, Module) else _find_module(module)
        trained = {id(variable) for variable in self._forward.trainable}
        self._shared = [
            keras.Variable(
                variable, trainable=id(variable) in trained, name=_name(variable, number)
            )
            for number, variable in enumerate(self._forward.variables)
        ]
        self._add_penalty()
        self.built = True

    @property
    def folder(self) -> Path:
        """Return where the module lies."""
        return self._forward.folder

    def _add_penalty(self) -> None:
        """Hang the module's regularisation losses on its first trainable variable.

        Keras adds a variable's penalty up exactly as long as the variable is trained.
        """
        first = next((variable for variable in self._shared if variable.trainable), None)
        if first is not None and self._forward.penalties:
            first.regularizer = _Penalty(self._forward.penalties)

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        """Turn ``(b, height, width, 3)`` float32 into ``(b, h, w, c)`` float32."""
        learns = bool(training) and self.trainable and not self.keeps_statistics
        features = tf.cast(self._forward(tf.cast(inputs, tf.float32), learns), tf.float32)
        return tf.reshape(features, [-1, *self.feature_shape])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return ``(b, h, w, c)``."""
        return (input_shape[0], *self.feature_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the module's name and the shape of its features; no path."""
        config = {key: value for key, value in super().get_config().items() if key != "dtype"}
        return {**config, "module": self.module, "feature_shape": list(self.feature_shape)}


class Module:
    """A loaded SavedModel, called in one way whatever its form.

    Attributes:
        folder: Where it lies.
        variables: Its variables, each once, in the order of the file.
        trainable: Those of them that training may change.
        penalties: Functions without arguments, each a regularisation loss.
        takes_training: Whether it can be told that it is being trained.
        sizes: ``(height, width)`` of the images that it says it takes; None where any.
    """

    def __init__(self, loaded: Any, folder: Path) -> None:
        self._loaded, self.folder = loaded, folder
        self._function, functions, self._is_signature = _choose_function(loaded, folder)
        self.takes_training = not self._is_signature and _takes_training(self._function)
        self.variables = _list_variables(loaded, functions)
        named = getattr(loaded, "trainable_variables", None)
        marked = [variable for variable in self.variables if variable.trainable]
        self.trainable = _unique(named) if named is not None and len(named) else marked
        self.penalties = list(getattr(loaded, "regularization_losses", None) or ())
        self.sizes = _list_sizes(functions)

    def __call__(self, images: Any, training: bool) -> Any:
        """Return the features of images ``(b, height, width, 3)`` float32 as the module gives them.

        Raises:
            ModelError: If it gives several outputs, none of which is the default.
        """
        if self._is_signature:
            (name,) = self._function.structured_input_signature[1]
            return self._pick(self._function(**{name: images}))
        options = {"training": training} if self.takes_training else {}
        return self._pick(self._function(images, **options))

    def _pick(self, answer: Any) -> Any:
        if isinstance(answer, Mapping):
            if len(answer) != 1 and _DEFAULT_OUTPUT not in answer:
                raise ModelError(
                    f"{self.folder}: the module gives several outputs, {sorted(answer)}, none of "
                    f"which is {_DEFAULT_OUTPUT!r}; take the module that gives one feature vector"
                )
            key = next(iter(answer)) if len(answer) == 1 else _DEFAULT_OUTPUT
            return answer[key]
        if isinstance(answer, (list, tuple)) and len(answer) == 1:
            return answer[0]
        if not tf.is_tensor(answer):
            raise ModelError(
                f"{self.folder}: the module gives a {type(answer).__name__}, not one tensor of "
                "features; take the module that gives one feature vector"
            )
        return answer


class _Penalty(keras.regularizers.Regularizer):
    """The sum of a module's regularisation losses; what it is hung on plays no part."""

    def __init__(self, functions: Sequence[Callable[[], Any]]) -> None:
        self._functions = functions

    def __call__(self, x: Any) -> Any:
        return tf.add_n([tf.cast(function(), tf.float32) for function in self._functions])

    def get_config(self) -> dict[str, Any]:
        return {}


def _find_module(name: str) -> Module:
    """Load the module that a saved layer names."""
    folder = _FOLDERS.get().get(name)
    if folder is None:
        raise ModelError(
            f"{name}: this layer's SavedModel lies in a bundle; load the bundle's folder, "
            "not its model.keras alone"
        )
    return load_module(folder)


def load_module(folder: Path) -> Module:
    """Load a SavedModel after a look at its operations.

    Raises:
        ModelError: If it is unsafe, damaged, or cannot be called with images.
    """
    return Module(load_saved_model(folder), folder)


def _choose_function(loaded: Any, folder: Path) -> tuple[Any, list[Any], bool]:
    """Return what is called, its traces, and whether it is a signature."""
    called = getattr(loaded, "__call__", None)  # noqa: B004 - the function itself is wanted
    traces = list(getattr(called, "concrete_functions", ()))
    if traces:
        return called, traces, False
    signatures: Mapping[str, Any] = getattr(loaded, "signatures", {})
    for name in _SIGNATURES:
        if name in signatures and len(signatures[name].structured_input_signature[1]) == 1:
            return signatures[name], [signatures[name]], True
    raise ModelError(
        f"{folder}: the SavedModel can neither be called with images nor has it a signature of "
        f"one input, {' or '.join(_SIGNATURES)}; got the signatures {sorted(signatures)}. Only TF2 "
        "SavedModels are supported"
    )


def _takes_training(function: Any) -> bool:
    """Say whether a restored function has the argument ``training``."""
    return "training" in function.function_type.parameters


def _list_variables(loaded: Any, functions: Sequence[Any]) -> list[Any]:
    """List a module's variables: those that it names, then any other that it reads."""
    named = list(getattr(loaded, "variables", None) or ())
    read = [variable for function in functions for variable in function.variables]
    return _unique([*named, *read])


def _unique(variables: Sequence[Any]) -> list[Any]:
    return list({id(variable): variable for variable in variables}.values())


def _name(variable: Any, number: int) -> str:
    """Return a name that Keras takes; the number tells twins apart."""
    return f"{variable.name.partition(':')[0].replace('/', '_')}_{number}"


def _list_sizes(functions: Sequence[Any]) -> set[tuple[int | None, int | None]]:
    """Return the image sizes that the traces of a function take."""
    sizes = set()
    for function in functions:
        for spec in tf.nest.flatten(function.structured_input_signature):
            if isinstance(spec, tf.TensorSpec) and spec.shape.rank == 4:
                sizes.add((spec.shape[1], spec.shape[2]))
    return sizes
