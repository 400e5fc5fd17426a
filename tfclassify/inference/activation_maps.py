"""Where in an image the evidence for a class lies, read from inside the network.

Owns: finding the last feature maps of a network of any nesting, and weighing them for a
class. Does not own: networks that have none (``occlusion``), photos and views
(``explanation``).

A network ends in one or several feature maps, each pooled or flattened into a vector that
the class layer reads. With ``f`` a map of ``(h, w, c)`` and ``y`` a class's logit, the map is

    evidence[i, j] = h * w * sum over k of  dy/df[i, j, k] * f[i, j, k]

After average pooling the gradient is the same everywhere, so this is Grad-CAM (Selvaraju et
al. 2017, arXiv:1610.02391). After flattening it is not, and averaging it over positions, as
Grad-CAM does, would put evidence where there is none (Draelos and Carin 2020,
arXiv:2011.08891). After max pooling, where each channel has one position with a gradient, it
is summed over positions, as in Grad-CAM.

Where the class layer reads the average of the map itself, the gradient is its kernel over
``h * w`` and needs no differentiation: the class activation map (Zhou et al. 2016,
arXiv:1512.04150). The mean of its evidence and the class's bias add up to the logit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfclassify.errors import ModelError

#: Layers that pass their input on unchanged where nothing is trained.
_PASSIVE = (keras.layers.Dropout, keras.layers.Identity)


@dataclass(frozen=True)
class FeatureMap:
    """One of a network's last feature maps.

    Attributes:
        tensor: Symbolic ``(b, h, w, c)``.
        is_max_pooled: Whether only its greatest values are read.
        kernel: ``(c, classes)`` where the class layer reads the average of the map itself,
            else None.
    """

    tensor: Any
    is_max_pooled: bool
    kernel: Any


class ActivationMaps:
    """The evidence for classes in images, from the last feature maps of a network.

    Where the network averages several (an ensemble), what is explained is the weighted mean
    of their logits.

    Attributes:
        method: ``cam`` where the closed form holds for every map, else ``grad-cam``.
        image_size: ``(height, width)`` of the images.

    Args:
        model: Images ``(b, H, W, 3)`` 0..255 to probabilities ``(b, classes)``; functional
            models within it are looked into, however deep.

    Raises:
        ModelError: If the network ends in no feature map.
    """

    def __init__(self, model: keras.Model) -> None:
        if not hasattr(model, "_run_through_graph"):
            raise ModelError(
                f"explain: {type(model).__name__} is no functional Keras model, so it cannot be "
                "looked into; use the method occlusion"
            )
        images = keras.Input(model.input_shape[1:], name="image")
        heads = list(_find_logits(_inline(model, images), 1.0))
        self._shares = tuple(share for _, share in heads)
        found = [each for logits, _ in heads for each in _find_maps(logits)]
        self._maps = list({id(each.tensor): each for each in found}.values())
        tensors = [each.tensor for each in self._maps]
        self.image_size: tuple[int, int] = tuple(model.input_shape[1:3])
        self._features = _Stretch([images], tensors)
        self._tail = _Stretch(tensors, [logits for logits, _ in heads])
        has_kernels = all(each.kernel is not None for each in self._maps)
        self.method = "cam" if has_kernels and len(heads) == len(self._maps) else "grad-cam"
        signature = (
            tf.TensorSpec((None, *self.image_size, 3), tf.float32),
            tf.TensorSpec((None,), tf.int32),
        )
        self.graph = tf.function(self._draw, input_signature=signature)

    def __call__(self, images: Any, classes: Any) -> np.ndarray:
        """Return the evidence ``(b, H, W)`` float32 for a class of each image.

        Args:
            images: ``(b, H, W, 3)`` of any number type, 0..255.
            classes: Column of the class of each image, ``(b,)``.
        """
        drawn: np.ndarray = self.graph(
            tf.cast(tf.convert_to_tensor(images), tf.float32), tf.cast(classes, tf.int32)
        ).numpy()
        return drawn

    def read(
        self, images: Any, activate: Callable[[np.ndarray], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Run the network once for what it sees and what it says.

        Args:
            images: ``(b, H, W, 3)`` of any number type, 0..255.
            activate: The task's, from logits to probabilities.

        Returns:
            Features, ``(b, c)``: each map averaged over its positions, end to end; and
            probabilities, ``(b, classes)``.
        """
        features, logits = self._reading(tf.cast(tf.convert_to_tensor(images), tf.float32))
        parts = [
            share * activate(each.numpy()) for share, each in zip(self._shares, logits, strict=True)
        ]
        whole = np.stack(parts).sum(axis=0).astype(np.float32)
        return features.numpy(), whole

    @cached_property
    def _reading(self) -> Any:
        def read(images: Any) -> tuple[Any, list[Any]]:
            maps = self._features([images])
            flat = [tf.reduce_mean(tf.cast(each, tf.float32), axis=[1, 2]) for each in maps]
            return tf.concat(flat, axis=-1), [tf.cast(e, tf.float32) for e in self._tail(maps)]

        return tf.function(
            read, input_signature=[tf.TensorSpec((None, *self.image_size, 3), tf.float32)]
        )

    def _draw(self, images: Any, classes: Any) -> Any:
        """Add up the evidence of every map at the size of the images."""
        total = tf.zeros((tf.shape(images)[0], *self.image_size, 1))
        for evidence in self.weigh(images, classes, self.method):
            total += tf.image.resize(evidence[..., None], self.image_size, "bicubic")
        return total[..., 0]

    def weigh(self, images: Any, classes: Any, method: str) -> list[Any]:
        """Return the evidence ``(b, h, w)`` of each map at its own size.

        Args:
            images: ``(b, H, W, 3)`` float32, 0..255.
            classes: ``(b,)`` int32.
            method: ``cam``, only where ``self.method`` says so, or ``grad-cam``.
        """
        maps = [tf.cast(each, tf.float32) for each in self._features([images])]
        if method == "cam":
            shares = zip(maps, self._maps, self._shares, strict=True)
            return [
                share * tf.einsum("bhwc,cb->bhw", each, tf.gather(facts.kernel, classes, axis=1))
                for each, facts, share in shares
            ]
        with tf.GradientTape() as tape:
            tape.watch(maps)
            score = self._score(maps, classes)
        gradients = tape.gradient(score, maps, unconnected_gradients="zero")
        return [
            _join(each, gradient, facts)
            for each, gradient, facts in zip(maps, gradients, self._maps, strict=True)
        ]

    def _score(self, maps: list[Any], classes: Any) -> Any:
        """Return the weighted mean of the logits of each image's class, ``(b,)``."""
        logits = [
            share * tf.gather(tf.cast(answer, tf.float32), classes, axis=1, batch_dims=1)
            for share, answer in zip(self._shares, self._tail(maps), strict=True)
        ]
        return tf.add_n(logits)


def _join(features: Any, gradient: Any, facts: FeatureMap) -> Any:
    """Weigh a map ``(b, h, w, c)`` by the gradient at its positions; see the module."""
    if facts.is_max_pooled:
        gradient = tf.reduce_sum(gradient, axis=[1, 2], keepdims=True)
    else:
        gradient *= tf.cast(features.shape[1] * features.shape[2], tf.float32)
    return tf.reduce_sum(gradient * features, axis=-1)


class _Stretch:
    """The operations that lead from some symbolic tensors to others, run in inference mode.

    No ``keras.Model``, in which no two layers may have one name: the members of an ensemble
    were named apart from each other, the layers within them were not.
    """

    def __init__(self, inputs: list[Any], outputs: list[Any]) -> None:
        self._inputs, self._outputs = inputs, outputs
        self._nodes: list[Any] = []
        done, waiting = {id(tensor) for tensor in inputs}, list(outputs)
        while waiting:  # depth first; a node comes after all that it reads
            node = _find_node(waiting[-1])
            unread = [each for each in node.input_tensors if id(each) not in done]
            if id(waiting[-1]) in done or not unread:
                if id(waiting.pop()) not in done:
                    self._nodes.append(node)
                    done |= {id(each) for each in node.outputs}
            else:
                waiting += unread

    def __call__(self, values: list[Any]) -> list[Any]:
        known = {id(tensor): value for tensor, value in zip(self._inputs, values, strict=True)}
        for node in self._nodes:
            given, named = node.arguments.fill_in(known)
            if getattr(node.operation, "_call_has_training_arg", False):
                named = {**named, "training": False}
            answers = tf.nest.flatten(node.operation(*given, **named))
            known |= {id(each): value for each, value in zip(node.outputs, answers, strict=True)}
        return [known[id(tensor)] for tensor in self._outputs]


def _inline(model: Any, images: Any) -> Any:
    """Run a network symbolically with every functional model within it laid open."""

    def open_up(operation: Any) -> Any:
        inner = getattr(operation, "_functional", operation)  # a Sequential holds one
        if not hasattr(inner, "_run_through_graph"):
            return operation
        return lambda given, **_: _inline(inner, given)

    return model._run_through_graph(images, operation_fn=open_up)


def _producer(tensor: Any) -> tuple[Any, list[Any]]:
    """Return the operation that made a symbolic tensor, and what it was made from."""
    return tensor._keras_history.operation, _find_node(tensor).input_tensors


def _find_node(tensor: Any) -> Any:
    """Return the call that made a symbolic tensor."""
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]


def _find_logits(answer: Any, share: float) -> Iterator[tuple[Any, float]]:
    """Yield the logits behind probabilities, each with its share in an average."""
    operation, inputs = _producer(answer)
    activation = getattr(getattr(operation, "activation", None), "__name__", "")
    if isinstance(operation, keras.layers.Softmax) or (
        isinstance(operation, keras.layers.Activation) and activation in ("softmax", "sigmoid")
    ):
        yield inputs[0], share
    elif isinstance(operation, keras.layers.Rescaling):
        yield from _find_logits(inputs[0], share * float(operation.scale))
    elif isinstance(operation, keras.layers.Add):
        for each in inputs:
            yield from _find_logits(each, share)
    else:
        yield answer, share


def _find_maps(logits: Any) -> list[FeatureMap]:
    """Find the feature maps that logits are made from, the nearest on every way back."""
    found: dict[int, FeatureMap] = {}
    kernel = _read_kernel(logits)
    waiting, seen = [(logits, None)], set()
    while waiting:
        tensor, reader = waiting.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        operation, inputs = _producer(tensor)
        shape = tuple(tensor.shape[1:])
        if len(shape) == 3 and min(shape[:2]) > 1:
            if isinstance(operation, keras.layers.InputLayer) or shape[2] == 3:
                raise _explain_absence(reader)  # the image itself: nothing was made of it
            is_max = isinstance(reader, keras.layers.GlobalMaxPooling2D)
            found[id(tensor)] = FeatureMap(tensor, is_max, kernel)
        elif not inputs or (len(shape) == 2 and shape[0] != 1):
            raise _explain_absence(operation)  # tokens of a transformer have places no more
        else:
            waiting += [(each, operation) for each in inputs]
    return list(found.values())


def _read_kernel(logits: Any) -> Any:
    """Return the class layer's kernel if it reads the average of a map itself, else None."""
    operation, inputs = _producer(logits)
    if not isinstance(operation, keras.layers.Dense) or operation.activation not in (
        None,
        keras.activations.linear,
    ):
        return None
    kernel = operation.kernel
    operation, inputs = _producer(inputs[0])
    while isinstance(operation, _PASSIVE):
        operation, inputs = _producer(inputs[0])
    is_average = isinstance(operation, keras.layers.GlobalAveragePooling2D)
    return kernel if is_average and min(inputs[0].shape[1:3]) > 1 else None


def _explain_absence(operation: Any) -> ModelError:
    name = getattr(operation, "name", "network")
    return ModelError(
        f"explain: {name!r} ({type(operation).__name__}) takes the image and gives a vector or "
        "tokens, so there is no feature map to read; use the method occlusion"
    )
