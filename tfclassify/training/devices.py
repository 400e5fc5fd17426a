"""Which devices a training runs on: one, several of this machine, or those of several processes.

Owns: what ``runtime.strategy`` means here, joining processes, what cannot be followed. Does not
own: a step on the devices (``replicas``), who the processes are (``workers``).
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf
from tensorflow.python.distribute.collective_all_reduce_strategy import (
    CollectiveAllReduceExtended,
)
from tensorflow.python.eager import context

from tfclassify.backbones.hub_layer import HubFeatures
from tfclassify.errors import RequestError, TrainingError
from tfclassify.model.freezing import list_leaves
from tfclassify.recipe.schema import Recipe
from tfclassify.training.replicas import ONE, Replicas
from tfclassify.training.workers import PATIENCE_S, Workers

#: Seconds between two looks at the other processes, and for one to answer.
_LOOK_S = 5


def join_processes(workers: Workers, patience_s: float = PATIENCE_S) -> Replicas:
    """Connect this process with the others; before TensorFlow does anything else.

    Raises:
        RequestError: If TensorFlow has worked in this process already.
        TrainingError: If the others cannot be reached.
    """
    gpus = len(tf.config.list_physical_devices("GPU"))
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(workers.addresses)}),
        task_type="worker",
        task_id=workers.place,
        rpc_layer="grpc",
        num_accelerators={"GPU": gpus},
    )
    try:
        # Its coordination service ends the other processes when one is done; what looks after
        # them without it is told below how often.
        context.context().configure_coordination_service(service_type="")
        kind = CollectiveAllReduceExtended
        kind._check_health_initial_timeout = int(patience_s)
        kind._check_health_interval, kind._check_health_timeout = _LOOK_S, _LOOK_S
        kind._check_health_retry_limit = 2
        strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except RuntimeError as error:
        if "program startup" in str(error):
            raise RequestError(
                f"{workers}: TensorFlow has worked in this process already; start the training in "
                "a fresh one, such as the command tfclassify train"
            ) from error
        raise TrainingError(
            f"{workers}: the others cannot be reached ({error}); see that they run and that no "
            "firewall is between the machines"
        ) from error
    except tf.errors.OpError as error:
        raise TrainingError(f"{workers}: {describe_loss(error)}") from error
    return Replicas(strategy, len(workers.addresses), workers.place)


def describe_loss(error: tf.errors.OpError) -> str:
    """Say in a sentence that another process is gone, as far as TensorFlow tells."""
    said = " ".join((error.message or "").split())
    return f"another worker stopped or cannot be reached ({type(error).__name__}: {said[-120:]})"


def open_replicas(recipe: Recipe) -> Replicas:
    """Open the devices of this process that a recipe asks for.

    ``auto`` takes all GPUs of this machine where there are several, else the one device.
    ``mirrored`` takes those, or all of TensorFlow's logical processors.

    Raises:
        RequestError: If there are not several devices, XLA is to compile for them, or only
            several processes would do.
    """
    strategy = recipe.runtime.strategy
    if strategy == "multi_worker":
        raise RequestError(
            "runtime.strategy: multi_worker is for the command train alone, whose processes "
            "start together; use auto here"
        )
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
    replicas = Replicas(tf.distribute.MirroredStrategy(devices))
    check_recipe(replicas, recipe)
    return replicas


def check_recipe(replicas: Replicas, recipe: Recipe) -> None:
    """Refuse a recipe that several devices cannot follow.

    Raises:
        RequestError: If XLA is to compile for them, or several processes would each draw
            their own augmentation.
    """
    if recipe.runtime.jit:
        raise RequestError(
            f"runtime.jit: XLA compiles a step for one device, got {replicas.count}; use "
            "jit: false, or strategy: none"
        )
    if replicas.workers > 1 and recipe.augment.engine != "native":
        raise RequestError(
            f"augment.engine: {recipe.augment.engine} draws anew in every process, so "
            f"{replicas.workers} workers would see different images; use native"
        )


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
