"""A SavedModel as a Keras layer and as a backbone: TensorFlow Hub's modules on Keras 3.

Owns: calling a module, sharing its variables with Keras, its regularisation losses, its
name and feature shape, where a saved layer finds its module again, and writing a backbone
as such a module. Does not own: which modules are safe (``saved_models``), their place on
disk (``hub_modules``, ``model.bundle``), the input range (``catalog``).

TensorFlow Hub's own layer is one of Keras 2, whose weights Keras 3 does not see.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common.stateless_scope import in_stateless_scope

from tfclassify.backbones.catalog import BackboneSpec
from tfclassify.backbones.preprocessing import make_preprocessing
from tfclassify.backbones.saved_models import bounded_run, load_saved_model
from tfclassify.errors import ModelError
from tfclassify.files import build_folder, hash_file

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
        if in_stateless_scope():  # only the shapes are asked for: see footprint
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
    loaded = load_saved_model(folder)
    try:
        return Module(loaded, folder)
    except (AttributeError, TypeError, ValueError) as error:  # objects under others' names
        raise ModelError(
            f"{folder}: the SavedModel is damaged, what it names is not of its kind: {error}; "
            "export or download it anew"
        ) from error


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


#: What a module consists of, besides its variables and assets.
_FILES = ("saved_model.pb", "fingerprint.pb")
_PARTS = ("variables", "assets")


def build_hub(folder: Path, image_size: tuple[int, int], name: str) -> keras.Model:
    """Build a network of one layer, which is the module.

    Args:
        folder: A TF2 SavedModel.
        image_size: ``(height, width)`` in pixels.
        name: The backbone's name, for messages.

    Returns:
        Float32 ``(batch, height, width, 3)`` in the module's own range to features
        ``(batch, h, w, c)``; a module that gives vectors has h and w of 1.

    Raises:
        ModelError: If the module is unsafe, cannot be used, or takes other images.
    """
    loaded, module = load_module(folder), name_module(folder)
    shape = _measure_features(loaded, image_size, name)
    layer = HubFeatures(module, shape, loaded, name=module)
    images = keras.Input((*image_size, 3), name="scaled_images")
    return keras.Model(images, layer(images), name="hub")


def list_module_files(folder: Path) -> list[str]:
    """List the files that make up a module, relative to its folder, sorted."""
    files = [name for name in _FILES if (folder / name).is_file()]
    for part in _PARTS:
        files += [
            path.relative_to(folder).as_posix()
            for path in (folder / part).rglob("*")
            if path.is_file()
        ]
    return sorted(files)


def name_module(folder: Path) -> str:
    """Name a module by its content: ``hub_`` and twelve hexadecimal digits."""
    digest = hashlib.sha256()
    for file in list_module_files(folder):
        digest.update(f"{file}\n{hash_file(folder / file)}\n".encode())
    return f"hub_{digest.hexdigest()[:12]}"


def _measure_features(
    module: Module, image_size: tuple[int, int], name: str
) -> tuple[int, int, int]:
    """Run a module on two blank images and return the ``(h, w, c)`` that it gives."""
    try:
        with bounded_run(f"model.backbone: {name!r}"):
            answer = module(tf.zeros((2, *image_size, 3)), False)
            if module.penalties:  # a training runs them as well
                _Penalty(module.penalties)(None)
    except ModelError:
        raise
    except Exception as error:  # a module may raise anything on what it was not traced for
        raise ModelError(_explain(name, image_size, module.sizes, error)) from error
    return _read_shape(answer, name)


def _read_shape(answer: Any, name: str) -> tuple[int, int, int]:
    lengths = tuple(answer.shape)
    if len(lengths) == 2 and lengths[0] == 2:
        return (1, 1, lengths[1])
    if len(lengths) == 3 and lengths[0] == 2:
        return (lengths[1], 1, lengths[2])
    if len(lengths) == 4 and lengths[0] == 2:
        return (lengths[1], lengths[2], lengths[3])
    raise ModelError(
        f"model.backbone: {name!r} gives {lengths} for 2 images; features are (2, c) or "
        "(2, h, w, c). Take a module of feature vectors"
    )


def _explain(name: str, image_size: tuple[int, int], sizes: set[Any], error: Exception) -> str:
    """Say that a module does not take the images, and what it takes."""
    height, width = image_size
    fixed = sorted(f"{h}x{w}" for h, w in sizes if h is not None and w is not None)
    if fixed and f"{height}x{width}" not in fixed:
        return (
            f"data.image_size: {name!r} takes images of {' or '.join(fixed)} pixels, got "
            f"{height}x{width}; set data.image_size: {fixed[0].partition('x')[0]}"
        )
    reason = " ".join(str(error).split())[:300]
    return (
        f"model.backbone: {name!r} cannot be run on float32 images of {height}x{width}x3: "
        f"{reason}. Take a module of image features, or another data.image_size"
    )


#: What the written modules take for black and white.
INPUT_RANGE = (0.0, 1.0)


def export_hub_module(
    spec: BackboneSpec, network: keras.Model, image_size: tuple[int, int], folder: Path
) -> int:
    """Write a backbone's pooled features as a SavedModel.

    The SavedModel is called with float32 images ``(b, height, width, 3)`` from 0 to 1
    and gives ``(b, c)``. It takes ``training=``, and has ``variables``,
    ``trainable_variables`` and ``regularization_losses``, so that it can be fine-tuned.

    Args:
        spec: The backbone's facts.
        network: The backbone's own network, as ``build_backbone`` makes it.
        image_size: ``(height, width)`` in pixels, which the module is fixed to.
        folder: Where to; what is there is replaced.

    Returns:
        The number of features, c.
    """
    images = keras.Input((*image_size, 3), name="inputs")
    # The contract starts at 0..255.
    x = keras.layers.Rescaling(255.0, name="from_unit", dtype="float32")(images)
    for layer in make_preprocessing(spec.contract):
        x = layer(x)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(network(x))
    model = keras.Model(images, pooled, name=spec.name)
    with build_folder(folder) as work:
        _save(model, image_size, work)
    return int(pooled.shape[-1])


def _save(model: keras.Model, image_size: tuple[int, int], folder: Path) -> None:
    """Save a model with the attributes by which a module is fine-tuned."""
    spec = tf.TensorSpec((None, *image_size, 3), tf.float32, name="inputs")

    def compute(inputs: Any, training: bool = False) -> Any:
        return model(inputs, training=training)

    call = tf.function(compute)
    call.get_concrete_function(spec, training=True)
    inference = call.get_concrete_function(spec, training=False)
    module = tf.__internal__.tracking.AutoTrackable()
    module.__call__ = call
    module.variables = [variable.value for variable in model.variables]
    module.trainable_variables = [variable.value for variable in model.trainable_variables]
    module.regularization_losses = [
        _make_penalty(variable) for variable in model.trainable_variables if variable.regularizer
    ]
    tf.saved_model.save(module, str(folder), signatures=inference)


def _make_penalty(variable: Any) -> Any:
    """Return a function without arguments of a variable's penalty."""

    def compute() -> Any:
        return variable.regularizer(variable)

    return tf.function(compute, input_signature=[])
