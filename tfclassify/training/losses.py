"""What a wrong answer costs: the losses, each from logits and soft labels.

Owns: the formulas, label smoothing, positive weights. Does not own: the weight of a
whole image (``pipeline.stream``), penalties on kernels, averaging over a batch (``steps``).

Every loss gives one number an image and is linear in the label, so that the label of a
mixed image costs the expectation of what its parts cost. The losses of label sets are
means over the classes, like the loss among the metrics; the papers sum, which is the same
at a learning rate that is lower by the number of classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfclassify.errors import TrainingError
from tfclassify.recipe.names import OWN_FUNCTIONS, find_own_function
from tfclassify.recipe.schema import DEFAULT_LOSSES, LOSS_KINDS, DistilRecipe, LossRecipe
from tfclassify.scoring.tasks import MULTI_LABEL

#: Targets ``(b, classes)`` and logits ``(b, classes)`` to what each image costs, ``(b,)``.
Loss = Callable[[Any, Any], Any]

#: Smallest share that a logarithm is taken of.
SMALLEST = 1e-7
#: The same for a teacher's probability, which a temperature brings back into sight.
TINY = 1e-37


def build_loss(recipe: LossRecipe, task: str, positive_weights: np.ndarray | None = None) -> Loss:
    """Build the loss of a recipe.

    Args:
        recipe: Kind, label smoothing and focusing.
        task: ``multi_class`` or ``multi_label``.
        positive_weights: ``(classes,)`` float32, what presence of a class weighs against
            its absence, for ``multi_label``; None weighs both the same.

    Raises:
        TrainingError: If the kind is not one of the task's.
    """
    if recipe.custom is not None:
        smooth_by = smooth_labels if task == MULTI_LABEL else smooth_classes
        return _guard_own_loss(recipe.custom, smooth_by, recipe.label_smoothing)
    kinds = LOSS_KINDS[task]
    kind = DEFAULT_LOSSES[task] if recipe.kind == "auto" else recipe.kind
    if kind not in kinds:
        raise TrainingError(
            f"loss.kind: {kind!r} does not go with task {task!r}; allowed: {', '.join(kinds)}"
        )
    if task == MULTI_LABEL:
        return _build_label_set_loss(kind, recipe, positive_weights)
    gamma = recipe.gamma if kind == "focal" else 0.0

    def cost_class(targets: Any, logits: Any) -> Any:
        smooth = smooth_classes(targets, recipe.label_smoothing)
        return (
            focal_cross_entropy(smooth, logits, gamma) if gamma else cross_entropy(smooth, logits)
        )

    return cost_class


def register_loss(name: str, loss: Loss) -> None:
    """Add a loss of one's own; recipes name it by ``loss: {custom: NAME}``.

    One of the same name that was added before is replaced, so a notebook's cell may run
    twice.

    Args:
        name: Name in recipes.
        loss: Maps targets ``(b, classes)``, already smoothed, and logits ``(b, classes)``,
            float32 tensors, to what each image costs, ``(b,)``. With mixed images it should be
            linear in the targets, else class weights and CutMix mean something else.

    Raises:
        TrainingError: If the name is no identifier.
    """
    if not name.isidentifier():
        raise TrainingError(
            f"register_loss: a name is letters, digits and underscores, got {name!r}"
        )
    OWN_FUNCTIONS["losses"][name] = loss


def _guard_own_loss(name: str, smooth_by: Callable[[Any, float], Any], smoothing: float) -> Loss:
    own = find_own_function("losses", name)

    def cost_own(targets: Any, logits: Any) -> Any:
        costs = tf.convert_to_tensor(own(smooth_by(targets, smoothing), logits))
        if costs.shape.rank not in (None, 1):
            raise TrainingError(
                f"loss.custom: {name!r} must give one number an image, (b,), got a tensor of "
                f"shape {tuple(costs.shape)}; average over the classes, not over the batch"
            )
        return costs

    return cost_own


def _build_label_set_loss(
    kind: str, recipe: LossRecipe, positive_weights: np.ndarray | None
) -> Loss:
    weights = None if positive_weights is None else tf.constant(positive_weights, tf.float32)

    def cost_set(targets: Any, logits: Any) -> Any:
        smooth = smooth_labels(targets, recipe.label_smoothing)
        if kind == "asymmetric":
            return asymmetric(
                smooth, logits, recipe.gamma_positive, recipe.gamma_negative, recipe.clip, weights
            )
        gamma = recipe.gamma if kind == "focal" else 0.0
        return binary_focal_cross_entropy(smooth, logits, gamma, weights)

    return cost_set


def add_teacher(loss: Loss, recipe: DistilRecipe, task: str) -> Loss:
    """Let a loss learn from a teacher's answers too.

        cost = alpha * T^2 * KL(teacher_T || student_T) + (1 - alpha) * loss(label, logits)

    Both sides are softened by the temperature T: what is above the softmax or the sigmoid
    is divided by it. ``T^2`` keeps the teacher's gradients as large as the label's. Under
    multi_label the divergence is that of each class's presence, its mean over the classes;
    positive weights are the loss's alone, since they would ask for other answers than the
    teacher's.

    Args:
        loss: What the labels cost.
        recipe: Temperature and alpha.
        task: ``multi_class`` or ``multi_label``.

    Returns:
        A loss of targets ``(b, 2 * classes)``: the soft label, then the teacher's
        probabilities.

    Reference:
        Hinton, Vinyals, Dean 2015, arXiv:1503.02531, section 2.
    """
    alpha, temperature = recipe.alpha, recipe.temperature
    diverge = diverge_labels if task == MULTI_LABEL else diverge_classes

    def cost(targets: Any, logits: Any) -> Any:
        labels, answers = tf.split(targets, 2, axis=-1)
        taught = temperature**2 * diverge(answers, logits, temperature)
        return alpha * taught + (1.0 - alpha) * loss(labels, logits)

    return cost


def diverge_classes(probabilities: Any, logits: Any, temperature: float) -> Any:
    """Return ``KL(p_T || softmax(logits / T))``, ``(b,)``, of probabilities that sum to 1."""
    # p^(1/T), normalised, is the softmax of the logits over T that p came from.
    wanted = tf.nn.log_softmax(tf.math.log(tf.maximum(probabilities, TINY)) / temperature)
    given = tf.nn.log_softmax(logits / temperature)
    return tf.reduce_sum(tf.exp(wanted) * (wanted - given), axis=-1)


def diverge_labels(probabilities: Any, logits: Any, temperature: float) -> Any:
    """Return the mean over the classes of ``KL(p_T || sigmoid(logits / T))``, ``(b,)``."""
    rest = tf.maximum(1.0 - probabilities, TINY)
    above = (tf.math.log(tf.maximum(probabilities, TINY)) - tf.math.log(rest)) / temperature
    below = logits / temperature
    present = tf.sigmoid(above) * (tf.nn.softplus(-below) - tf.nn.softplus(-above))
    absent = tf.sigmoid(-above) * (tf.nn.softplus(below) - tf.nn.softplus(above))
    return tf.reduce_mean(present + absent, axis=-1)


def smooth_classes(targets: Any, smoothing: float) -> Any:
    """Mix the uniform label into rows that sum to 1."""
    if not smoothing:
        return targets
    classes = tf.cast(tf.shape(targets)[-1], tf.float32)
    return targets * (1.0 - smoothing) + smoothing / classes


def smooth_labels(targets: Any, smoothing: float) -> Any:
    """Draw each presence and absence towards one half."""
    return targets * (1.0 - smoothing) + 0.5 * smoothing if smoothing else targets


def cross_entropy(targets: Any, logits: Any) -> Any:
    """Cost the softmax of the logits: ``-sum_c y_c log p_c``, ``(b,)``."""
    return tf.nn.softmax_cross_entropy_with_logits(labels=targets, logits=logits)


def focal_cross_entropy(targets: Any, logits: Any, gamma: float) -> Any:
    """Cost the softmax of the logits, the less the surer: ``(b,)``.

        loss = -sum_c y_c (1 - p_c)^gamma log p_c

    Args:
        targets: ``(b, classes)``, rows summing to 1.
        logits: ``(b, classes)``.
        gamma: 0 is cross-entropy.

    Reference:
        Lin et al. 2017, arXiv:1708.02002, equation 4, over classes.
    """
    logs = tf.nn.log_softmax(logits)
    rest = tf.maximum(1.0 - tf.exp(logs), SMALLEST)
    return -tf.reduce_sum(targets * tf.pow(rest, gamma) * logs, axis=-1)


def binary_focal_cross_entropy(
    targets: Any, logits: Any, gamma: float = 0.0, positive_weights: Any = None
) -> Any:
    """Cost the sigmoid of each logit, the less the surer: ``(b,)``, the mean over classes.

        loss = -mean_c [w_c y_c (1 - p_c)^gamma log p_c + (1 - y_c) p_c^gamma log(1 - p_c)]

    Args:
        targets: ``(b, classes)`` from 0 to 1.
        logits: ``(b, classes)``.
        gamma: 0 is binary cross-entropy.
        positive_weights: ``w``, ``(classes,)``; None is 1.

    Reference:
        Lin et al. 2017, arXiv:1708.02002, equation 4.
    """
    # -log p and -log(1 - p), exact where p itself would round to 0 or 1.
    miss, alarm = tf.nn.softplus(-logits), tf.nn.softplus(logits)
    positive, negative = miss, alarm
    if gamma:
        positive, negative = miss * tf.exp(-gamma * alarm), alarm * tf.exp(-gamma * miss)
    return _join_sides(targets, positive, negative, positive_weights)


def asymmetric(
    targets: Any,
    logits: Any,
    gamma_positive: float,
    gamma_negative: float,
    clip: float,
    positive_weights: Any = None,
) -> Any:
    """Cost presence and absence each with its own focus: ``(b,)``, the mean over classes.

        q    = max(p - clip, 0)
        loss = -mean_c [w y (1 - p)^g_positive log p + (1 - y) q^g_negative log(1 - q)]

    An absent class of less than ``clip`` costs nothing. The gradient runs through the
    focus too, as in the paper's formula; its authors' code leaves that part out.

    Args:
        targets: ``(b, classes)`` from 0 to 1.
        logits: ``(b, classes)``.
        gamma_positive: Focus where the class is there.
        gamma_negative: Focus where it is not.
        clip: What is taken off the probability of an absent class.
        positive_weights: ``w``, ``(classes,)``; None is 1.

    Reference:
        Ridnik et al. 2021, arXiv:2009.14119, equations 4 to 7.
    """
    miss, alarm = tf.nn.softplus(-logits), tf.nn.softplus(logits)
    positive = miss * tf.exp(-gamma_positive * alarm)
    if clip:
        shifted = tf.maximum(tf.sigmoid(logits) - clip, 0.0)
        focus = tf.pow(tf.maximum(shifted, SMALLEST), gamma_negative)
        negative = -focus * tf.math.log(tf.maximum(1.0 - shifted, SMALLEST))
    else:
        negative = alarm * tf.exp(-gamma_negative * miss)
    return _join_sides(targets, positive, negative, positive_weights)


def _join_sides(targets: Any, positive: Any, negative: Any, positive_weights: Any) -> Any:
    """Weigh what presence and absence cost by the label, and average over the classes."""
    if positive_weights is not None:
        positive = positive * positive_weights
    return tf.reduce_mean(targets * positive + (1.0 - targets) * negative, axis=-1)
