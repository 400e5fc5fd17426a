"""The names of activations and kernel initialisers that a recipe may use.

Owns: the plain lists, each a subset of what Keras knows under the same name.
Does not own: the layers themselves (``model``).
"""

from __future__ import annotations

ACTIVATION_NAMES = (
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "mish",
    "hard_silu",
    "softplus",
    "tanh",
    "sigmoid",
    "linear",
)

INITIALIZER_NAMES = (
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "lecun_uniform",
    "lecun_normal",
    "orthogonal",
    "random_uniform",
    "random_normal",
    "truncated_normal",
    "variance_scaling",
    "zeros",
)
