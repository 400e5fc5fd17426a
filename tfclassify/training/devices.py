"""Which devices a training runs on: one, several of this machine, or those of several processes.

Owns: what ``runtime.strategy`` means here, joining processes, what cannot be followed. Does not
own: a step on the devices (``replicas``), who the processes are (``workers``).
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from tfclassify.backbones.hub_layer import HubFeatures
from tfclassify.errors import RequestError, TrainingError
from tfclassify.model.freezing import list_leaves
from tfclassify.recipe.schema import Recipe
from tfclassify.training.replicas import ONE, Replicas


def open_replicas(recipe: Recipe) -> Replicas:
    """Open the devices that a recipe asks for.

    ``auto`` takes all GPUs of this machine where there are several, else the one device.
    ``mirrored`` takes those, or all of TensorFlow's logical processors.

    Raises:
        RequestError: If there are not several devices, or XLA is to compile for them.
    """
    strategy = recipe.runtime.strategy
    devices = _list_devices()
    if strategy == "none" or (strategy == "auto" and devices[0].startswith("CPU")):
        return ONE
    if len(devices) == 1:
        if strategy == "auto":
            return ONE
        raise RequestError(
            f"runtime.strategy: mirrored needs several devices of one machine, got {devices[0]} "
            "alone; use auto, which takes what there is, or multi_worker for several machines"
        )
    if recipe.runtime.jit:
        raise RequestError(
            f"runtime.jit: XLA compiles a step for one device, got {len(devices)} "
            f"({devices[0]} to {devices[-1]}); use jit: false, or strategy: none"
        )
    return Replicas(tf.distribute.MirroredStrategy(devices))


def _list_devices() -> list[str]:
    """List the GPUs of this process, or its processors where there are none."""
    names = [
        [f"{kind}:{place}" for place, _ in enumerate(tf.config.list_logical_devices(kind))]
        for kind in ("GPU", "CPU")
    ]
    return names[0] or names[1]


def check_phase(
    replicas: Replicas, models: Sequence[keras.Model], batch_size: int, where: str
) -> None:
    """Refuse a phase that several devices cannot train together.

    Args:
        replicas: The devices.
        models: What the phase runs in training mode.
        batch_size: Images of a batch of the phase.
        where: The phase, for messages.

    Raises:
        TrainingError: If a batch has fewer images than there are devices, or a hub module
            would run in training mode, whose statistics and draws are out of reach.
    """
    if batch_size < replicas.count:
        raise TrainingError(
            f"{where}: a batch of {batch_size} images cannot be shared among {replicas.count} "
            f"devices; use batch_size: {replicas.count} or more, or fewer devices"
        )
    leaves = [leaf for model in models for leaf in list_leaves(model)]
    learning = [
        leaf
        for leaf in leaves
        if isinstance(leaf, HubFeatures) and leaf.trainable and not leaf.keeps_statistics
    ]
    if replicas.count > 1 and learning:
        raise TrainingError(
            f"{where}: the hub module {learning[0].module!r} runs in training mode, where its "
            "BatchNorms and its dropout see the images of one device only; use model.batch_norm: "
            "frozen, which trains its weights all the same, or runtime.strategy: none"
        )
