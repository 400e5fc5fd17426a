"""One training step and one forward pass, as compiled functions.

Owns: the loss, the gradient step and the evaluation pass of one phase.
Does not own: where batches come from, epochs, what is saved.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfclassify.recipe.schema import Recipe


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
        recipe: For label smoothing, precision and jit.
    """

    def __init__(
        self,
        body: keras.Model | None,
        head: keras.Model,
        *,
        is_body_trained: bool,
        optimizer: keras.optimizers.Optimizer,
        recipe: Recipe,
    ) -> None:
        self._body, self._head = body, head
        self._is_body_trained = is_body_trained
        self._smoothing = recipe.loss.label_smoothing
        self._is_scaled = recipe.runtime.mixed_precision
        if self._is_scaled:
            optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
        self.optimizer = optimizer
        trained = [head, body] if body is not None and is_body_trained else [head]
        self._trained = trained
        self.variables = [v for model in trained for v in model.trainable_variables]
        optimizer.build(self.variables)
        first = body if body is not None else head
        shape = tf.TensorSpec([None, *first.inputs[0].shape[1:]], tf.float32)
        classes = head.outputs[0].shape[-1]
        signature = [
            shape,
            tf.TensorSpec([None, classes], tf.float32),
            tf.TensorSpec([None], tf.float32),
        ]
        self._run = tf.function(
            self._compute, input_signature=signature, jit_compile=recipe.runtime.jit or None
        )

    def __call__(self, inputs: Any, targets: Any, weights: Any) -> tuple[float, int]:
        """Take one step.

        Args:
            inputs: Images or features, ``(b, ...)`` float32.
            targets: Soft labels, ``(b, classes)`` float32.
            weights: Weight of each image, ``(b,)`` float32.

        Returns:
            The batch's loss and the number of images whose label came first.
        """
        loss, correct = self._run(inputs, targets, weights)
        return float(loss), int(correct)

    def set_learning_rate(self, rate: float) -> None:
        """Set the rate of the next step."""
        inner = self.optimizer.inner_optimizer if self._is_scaled else self.optimizer
        inner.learning_rate = rate

    def _compute(self, inputs: Any, targets: Any, weights: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            features = inputs
            if self._body is not None:
                features = self._body(inputs, training=self._is_body_trained)
            logits = tf.cast(self._head(features, training=True), tf.float32)
            errors = cross_entropy(targets, logits, self._smoothing)
            loss = tf.reduce_mean(weights * errors)
            penalties = [term for model in self._trained for term in model.losses]
            total = tf.add_n([loss, *[tf.cast(term, tf.float32) for term in penalties]])
            scaled = self.optimizer.scale_loss(total) if self._is_scaled else total
        gradients = tape.gradient(scaled, self.variables)
        self.optimizer.apply_gradients(zip(gradients, self.variables, strict=True))
        hits = tf.equal(tf.argmax(logits, axis=-1), tf.argmax(targets, axis=-1))
        return total, tf.reduce_sum(tf.cast(hits, tf.int32))


def cross_entropy(targets: Any, logits: Any, label_smoothing: float = 0.0) -> Any:
    """Cross-entropy of soft labels, ``(b,)``; smoothing mixes in the uniform label."""
    if label_smoothing:
        classes = tf.cast(tf.shape(targets)[-1], tf.float32)
        targets = targets * (1.0 - label_smoothing) + label_smoothing / classes
    return tf.nn.softmax_cross_entropy_with_logits(labels=targets, logits=logits)


class ForwardPass:
    """A model in inference mode, compiled once for batches of any length."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        shape = tf.TensorSpec([None, *model.inputs[0].shape[1:]], tf.float32)
        self._run = tf.function(self._compute, input_signature=[shape])

    def _compute(self, inputs: Any) -> Any:
        return tf.cast(self._model(inputs, training=False), tf.float32)

    def __call__(self, inputs: Any) -> np.ndarray:
        """Run one batch and return its outputs as float32."""
        return self._run(inputs).numpy()


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits ``(n, classes)`` into probabilities, float32, without overflow."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True), dtype=np.float32)
    return shifted / shifted.sum(axis=-1, keepdims=True)
