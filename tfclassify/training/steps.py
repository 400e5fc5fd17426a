"""One training step and one forward pass, as compiled functions.

Owns: the gradient step and the evaluation pass of one phase. Does not own: the loss
(``losses``), where batches come from, epochs, what is saved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfclassify.model.folding import FoldedPair, find_frozen_pairs, find_pairs, folded
from tfclassify.recipe.schema import Recipe
from tfclassify.training.losses import add_teacher, build_loss
from tfclassify.training.replicas import ONE, WHOLE, Part, Replicas

Within = Callable[[], AbstractContextManager[None]]


class TrainingStep:
    """The gradient step of one phase.

    A frozen backbone runs in inference mode, dropout and stochastic depth
    included, so that cached features and the full network learn the same.

    Args:
        body: Model from the batch's inputs to the head's inputs; None if the
            inputs are features already.
        head: Model from features to logits.
        is_body_trained: Whether the phase changes the body.
        optimizer: The phase's optimizer.
        recipe: For the loss, precision and jit.
        positive_weights: ``(classes,)`` float32 for a loss of label sets, or None.
        is_accumulating: Whether several batches make one update.
        within: Opens what the network runs within; None folds BatchNorms that are frozen.
        replicas: The devices that compute a batch together.

    Attributes:
        optimizer: As given, or what scales its losses under float16.
        head: As given.
        models: The models that the phase trains.
        variables: What the optimizer changes.
    """

    def __init__(
        self,
        body: keras.Model | None,
        head: keras.Model,
        *,
        is_body_trained: bool,
        optimizer: keras.optimizers.Optimizer,
        recipe: Recipe,
        positive_weights: np.ndarray | None = None,
        is_accumulating: bool = False,
        within: Within | None = None,
        replicas: Replicas = ONE,
    ) -> None:
        self._body, self.head, self._replicas = body, head, replicas
        self._is_body_trained = is_body_trained
        run = [head] if body is None else [head, body]
        self._within = within or (lambda: folded(self._find_pairs(), run))
        self._loss = build_loss(recipe.loss, recipe.task, positive_weights)
        self._columns = head.output_shape[-1]
        if recipe.distil is not None:
            self._loss = add_teacher(self._loss, recipe.distil, recipe.task)
            self._columns *= 2
        self._is_scaled = recipe.runtime.precision == "float16"
        if self._is_scaled:
            optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
        self.optimizer = optimizer
        self.models = [head, body] if body is not None and is_body_trained else [head]
        self.variables = [v for model in self.models for v in model.trainable_variables]
        optimizer.build(self.variables)
        self._is_accumulating = is_accumulating
        self._kept_gradients: list[tuple[int, tf.Variable]] = []
        self._sums = [
            tf.Variable(tf.zeros_like(v.value)) for v in self.variables if is_accumulating
        ]
        signature = self._describe_batch()
        share, jit = tf.TensorSpec([], tf.float32), recipe.runtime.jit or None
        self._run = tf.function(self._compute, input_signature=signature, jit_compile=jit)
        self._add = tf.function(self._gather, input_signature=[*signature, share], jit_compile=jit)
        self._update = tf.function(self._apply_sums, jit_compile=jit)

    def __call__(
        self,
        inputs: Any,
        targets: Any,
        weights: Any,
        share: float = 1.0,
        *,
        ends_group: bool = True,
    ) -> tuple[Any, Any]:
        """Take one step, without waiting for a device that works by itself.

        Args:
            inputs: Images or features, ``(b, ...)`` float32; those of this process are enough.
            targets: Soft labels, ``(b, classes)`` float32; with a teacher's answers behind
                them, ``(b, 2 * classes)``, where the recipe distils.
            weights: Weight of each image, ``(b,)`` float32.
            share: What part of the images of one update these are; counts only where
                batches are gathered.
            ends_group: Whether the update happens now; always, where they are not.

        Returns:
            The batch's loss and its logits, ``(b, classes)``: float32 tensors.
        """
        if not self._is_accumulating:
            return self._run(inputs, targets, weights)
        outcome = self._add(inputs, targets, weights, tf.constant(share, tf.float32))
        if ends_group:
            self._update()
        return outcome

    def keep_gradients(
        self, variables: Sequence[keras.Variable], targets: Sequence[tf.Variable]
    ) -> None:
        """Write the gradients of some variables into targets at every update from now on."""
        places = {id(variable): place for place, variable in enumerate(self.variables)}
        named = zip(variables, targets, strict=False)
        self._kept_gradients = [(places[id(each)], target) for each, target in named]

    def _apply(self, gradients: Sequence[Any]) -> None:
        for place, target in self._kept_gradients:
            target.assign(tf.cast(gradients[place], target.dtype))
        self.optimizer.apply_gradients(zip(gradients, self.variables, strict=True))

    def set_learning_rate(self, rate: float) -> None:
        """Set the rate of the next step."""
        inner = self.optimizer.inner_optimizer if self._is_scaled else self.optimizer
        inner.learning_rate = rate

    def call_network(self, inputs: Any) -> Any:
        """Run the network as the step does, in training mode: logits ``(b, classes)``."""
        features = inputs
        if self._body is not None:
            features = self._body(inputs, training=self._is_body_trained)
        return tf.cast(self.head(features, training=True), tf.float32)

    def _find_pairs(self) -> list[FoldedPair]:
        """Find the convolutions whose BatchNorm runs in inference mode in this phase."""
        if self._body is None:
            return []
        return find_frozen_pairs(self._body) if self._is_body_trained else find_pairs(self._body)

    def _describe_batch(self) -> list[tf.TensorSpec]:
        first = self._body if self._body is not None else self.head
        return [
            tf.TensorSpec([None, *first.inputs[0].shape[1:]], tf.float32),
            tf.TensorSpec([None, self._columns], tf.float32),
            tf.TensorSpec([None], tf.float32),
        ]

    def _compute(self, inputs: Any, targets: Any, weights: Any) -> tuple[Any, Any]:
        total, logits, gradients = self._add_up(inputs, targets, weights)
        self._apply(gradients)
        return total, logits

    def _gather(self, inputs: Any, targets: Any, weights: Any, share: Any) -> tuple[Any, Any]:
        """Add a batch's share of the gradient of the mean over the whole group."""
        total, logits, gradients = self._add_up(inputs, targets, weights)
        for gathered, gradient in zip(self._sums, gradients, strict=True):
            if gradient is not None:
                gathered.assign_add(tf.cast(share, gradient.dtype) * gradient)
        return total, logits

    def _apply_sums(self) -> None:
        """Make the update and start anew, so that nothing is left for later."""
        self._apply([tf.identity(gathered) for gathered in self._sums])
        for gathered in self._sums:
            gathered.assign(tf.zeros_like(gathered))

    def _add_up(self, inputs: Any, targets: Any, weights: Any) -> tuple[Any, Any, list[Any]]:
        return self._replicas.add_up(self._differentiate, self.models, inputs, targets, weights)

    def _differentiate(
        self, inputs: Any, targets: Any, weights: Any, part: Part = WHOLE
    ) -> tuple[Any, Any, list[Any]]:
        with tf.GradientTape() as tape:
            with part.scope(), self._within():
                logits = self.call_network(inputs)
            loss = part.weigh(tf.reduce_mean(weights * self._loss(targets, logits)))
            penalties = [term for model in self.models for term in model.losses]
            terms = [part.weigh_penalty(tf.cast(term, tf.float32)) for term in penalties]
            total = tf.add_n([loss, *terms])
            scaled = self.optimizer.scale_loss(total) if self._is_scaled else total
        return total, logits, tape.gradient(scaled, self.variables)


class ForwardPass:
    """A model in inference mode, compiled once for batches of any length.

    Args:
        model: The model.
        within: Opens what it runs within, such as ``fold_all(model)``, which is faster and
            rounds differently; None runs the model as it is.
    """

    def __init__(self, model: keras.Model, within: Within | None = None) -> None:
        self._model = model
        self._within = within or nullcontext
        shape = tf.TensorSpec([None, *model.inputs[0].shape[1:]], tf.float32)
        self._run = tf.function(self._compute, input_signature=[shape])

    def _compute(self, inputs: Any) -> Any:
        with self._within():
            return tf.cast(self._model(inputs, training=False), tf.float32)

    def __call__(self, inputs: Any) -> Any:
        """Run one batch, of any number type; its outputs are a float32 tensor."""
        return self._run(tf.cast(tf.convert_to_tensor(inputs), tf.float32))
