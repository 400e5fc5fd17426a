"""One step on several devices: each takes rows of the batch, their gradients are added up.

Owns: which rows are whose, what a network does otherwise while it computes rows of a larger
batch, the sum. Does not own: the step (``steps``), which devices and machines there are
(``cluster``), batches (``sources``).

Every device works on the one copy of the weights that a process has, and every process makes
the same update from the same sum, so what follows the sum (clipping, the optimizer, averages,
masks, what is saved) is the work of one device. What depends on the whole batch stays so:

* a loss is divided by the images of the batch, a penalty by the devices;
* BatchNorms that are trained take mean and variance over the whole batch;
* dropout draws for the whole batch and takes its rows, so that an image is dropped out alike
  wherever it is computed;
* a batch of fewer images than devices is computed by each of them, at its share.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfclassify.model.folding import Call, replaced
from tfclassify.model.freezing import list_leaves
from tfclassify.model.prediction import predict_store
from tfclassify.pipeline.cache import ImageStore
from tfclassify.training.averages import find_trained_norms

#: Numbers of 32 bits that are shared at once.
_WORDS = 1 << 22
#: Inputs, targets, weights and the part that they are, to loss, logits and gradients.
Work = Callable[[Any, Any, Any, "Part"], tuple[Any, Any, list[Any]]]
#: Opens what the network runs within while it computes a part.
Scope = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Part:
    """What one device computes of a batch.

    Attributes:
        share: What part of the batch's loss its own mean loss is; None for all of it.
        devices: How many devices add their results up.
        scope: Opens what the network runs within.
    """

    share: Any = None
    devices: int = 1
    scope: Scope = nullcontext

    def weigh(self, loss: Any) -> Any:
        """Return what the mean loss of the part's images adds to that of the batch."""
        return loss if self.share is None else loss * self.share

    def weigh_penalty(self, term: Any) -> Any:
        """Return what the part adds to a penalty, which no image has a part in."""
        return term if self.devices == 1 else term / self.devices


WHOLE = Part()


class Replicas:
    """The devices that compute a step: this one alone, unless a strategy is given.

    Args:
        strategy: Runs work on each device of this process, and adds up over all processes;
            None for one device.
        workers: Processes.
        worker: Which of them this is, from 0.

    Attributes:
        count: Devices of all processes.
        workers: As given.
        worker: As given.
    """

    def __init__(
        self, strategy: tf.distribute.Strategy | None = None, workers: int = 1, worker: int = 0
    ) -> None:
        self._strategy = strategy
        self.count = 1 if strategy is None else strategy.num_replicas_in_sync
        self.workers, self.worker = workers, worker

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes the run."""
        return self.worker == 0

    def own_rows(self, images: int) -> slice:
        """Return the rows of a batch that the devices of this process compute.

        >>> Replicas().own_rows(5)
        slice(0, 5, None)
        """
        if images < self.count:
            return slice(0, images)
        local = self.count // self.workers
        first = self.worker * local
        return slice(images * first // self.count, images * (first + local) // self.count)

    def share(self, content: bytes) -> bytes:
        """Return what the first process has for ``content``."""
        if self.workers == 1:
            return content
        own = np.frombuffer(content + bytes(-len(content) % 4), np.int32)
        sizes = np.array([len(content), len(own)], np.int32)
        sizes = self._sum(sizes if self.is_chief else np.zeros_like(sizes))
        words = np.zeros(sizes[1], np.int32)
        for start in range(0, len(words), _WORDS):
            part = words[start : start + _WORDS]
            part[:] = self._sum(own[start : start + len(part)] if self.is_chief else part)
        return words.tobytes()[: sizes[0]]

    def agree(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the first process's values, by which all of them decide."""
        if self.workers == 1:
            return dict(values)
        told: dict[str, float] = json.loads(self.share(json.dumps(dict(values)).encode()))
        return told

    def predict(
        self, network: Callable[[Any], Any], images: ImageStore, batch_size: int
    ) -> np.ndarray:
        """Run a network over images as ``predict_store`` does, each process a part of them."""
        if self.workers == 1:
            return predict_store(network, images, batch_size)
        batches = -(-len(images) // batch_size)
        first, last = (
            min(len(images), batch_size * (batches * place // self.workers))
            for place in (self.worker, self.worker + 1)
        )
        own = predict_store(network, _Part(images, first, last), batch_size)
        answers = np.zeros((len(images), *own.shape[1:]), np.float32)
        answers[first:last] = own
        return self._sum(answers)

    def close(self) -> None:
        """Look after the other processes no longer: they may end."""
        extended: Any = self._strategy.extended if self._strategy else None
        if self.workers > 1:
            extended._check_health_thread_should_stop.set()
            extended._check_health_thread = None  # else its end is waited for

    def _sum(self, values: np.ndarray) -> np.ndarray:
        """Add arrays of the same shape up over the processes."""
        strategy = self._strategy
        assert strategy is not None  # there are other processes
        mine = tf.constant(values)

        @tf.function(autograph=False, input_signature=[tf.TensorSpec(None, mine.dtype)])
        def add(given: Any) -> Any:
            def run() -> Any:
                device = tf.distribute.get_replica_context()
                is_first = device.replica_id_in_sync_group % (self.count // self.workers) == 0
                return device.all_reduce("SUM", given * tf.cast(is_first, given.dtype))

            return strategy.experimental_local_results(strategy.run(run))[0]

        return np.asarray(add(tf.reshape(mine, [-1]))).reshape(values.shape)

    def add_up(
        self, work: Work, models: Sequence[keras.Model], inputs: Any, targets: Any, weights: Any
    ) -> tuple[Any, Any, list[Any]]:
        """Compute a batch on all devices; within a graph.

        Args:
            work: Computes a part.
            models: What runs in training mode.
            inputs: ``(b, ...)``, or only the rows of this process.
            targets: ``(b, columns)``, of the whole batch.
            weights: ``(b,)``, of the whole batch.

        Returns:
            The loss, the logits ``(b, classes)`` and the gradients of the whole batch; a
            gradient is None where the loss does not depend on its variable.
        """
        strategy = self._strategy
        if strategy is None:
            return work(inputs, targets, weights, WHOLE)
        states = [v for model in models for v in model.variables if not v.trainable]

        def run() -> tuple[Any, Any, list[Any], list[Any]]:
            context = tf.distribute.get_replica_context()
            rows = Rows.choose(context.replica_id_in_sync_group, self.count, tf.shape(targets)[0])
            with tf.device("CPU:0"):  # where the batch is, so that only the rows travel
                own = rows.take(inputs, self._find_shift(inputs, rows.images))
                taken = own, rows.take(targets), rows.take(weights)
            state = keras.StatelessScope(initialize_variables=False)
            part = Part(rows.share, self.count, lambda: _computing(models, rows, state))
            loss, logits, gradients = work(*taken, part)
            present = [gradient for gradient in gradients if gradient is not None]
            terms = [loss, rows.spread(logits), *present]
            loss, logits, *sums = context.all_reduce(tf.distribute.ReduceOp.SUM, terms)
            added = iter(sums)
            gradients = [None if each is None else next(added) for each in gradients]
            return loss, logits, gradients, [state.get_current_value(v) for v in states]

        with _synchronised(models):
            results = strategy.run(run)
        local = [strategy.experimental_local_results(each)[0] for each in tf.nest.flatten(results)]
        loss, logits, gradients, values = tf.nest.pack_sequence_as(results, local)
        # Alike on all devices: statistics are of the whole batch, and draws go on by one.
        for variable, value in zip(states, values, strict=True):
            if value is not None:
                variable.assign(value)
        return loss, logits, gradients

    def _find_shift(self, inputs: Any, images: Any) -> Any:
        """Return the row of the batch that the first of the inputs is."""
        if self.workers == 1:
            return 0
        local = self.count // self.workers
        first = tf.where(images < self.count, 0, images * self.worker * local // self.count)
        return tf.where(tf.shape(inputs)[0] == images, 0, first)


@dataclass(frozen=True)
class Rows:
    """Rows of a batch, as whole-number tensors.

    Attributes:
        images: Of the batch.
        start: First row.
        stop: Behind the last row.
        share: What part of the batch they are, float32; of a batch that every device
            computes, what part of the result each one's counts for.
        scale: Of what they are added up with: 1, or that share.
    """

    images: Any
    start: Any
    stop: Any
    share: Any
    scale: Any

    @classmethod
    def choose(cls, device: Any, devices: int, images: Any) -> Rows:
        """Choose the rows of a device; all of them where there are fewer than devices."""
        is_small = images < devices
        start = tf.where(is_small, 0, images * device // devices)
        stop = tf.where(is_small, images, images * (device + 1) // devices)
        count = tf.cast(stop - start, tf.float32) / tf.cast(images, tf.float32)
        scale = tf.where(is_small, 1.0 / devices, 1.0)
        return cls(images, start, stop, count * scale, scale)

    def take(self, values: Any, shift: Any = 0) -> Any:
        """Take them of ``values``, whose first row is row ``shift`` of the batch."""
        return values[self.start - shift : self.stop - shift]

    def spread(self, values: Any) -> Any:
        """Put what was computed of them into a batch of zeros."""
        edges = [[self.start, self.images - self.stop], *[[0, 0]] * (values.shape.rank - 1)]
        return tf.pad(values * self.scale, edges)


@contextmanager
def _computing(
    models: Sequence[keras.Model], rows: Rows, state: keras.StatelessScope
) -> Iterator[None]:
    """Run models on rows of a larger batch; what they would change is kept in ``state``."""
    calls = {layer: _draw_for_batch(layer, rows) for layer in _find_random_layers(models)}
    with state, replaced(calls):
        yield


def _find_random_layers(models: Sequence[keras.Model]) -> list[keras.Layer]:
    leaves = [leaf for model in models for leaf in list_leaves(model)]
    parts = [part for leaf in leaves for part in leaf._flatten_layers()]
    return list({id(part): part for part in parts if part._seed_generators}.values())


def _draw_for_batch(layer: Any, rows: Rows) -> Call:
    """Make what a random layer does with rows of a batch: what it does with all of it."""
    own = type(layer).call

    def call(inputs: Any, *given: Any, **named: Any) -> Any:
        if isinstance(layer, keras.layers.Dropout):
            noise = layer._get_noise_shape(inputs) if hasattr(layer, "_get_noise_shape") else None
            noise = noise or layer.noise_shape or [None] * inputs.shape.rank
            own_sides = tf.unstack(tf.shape(inputs))[1:]
            sides = [1 if n == 1 else s for n, s in zip(noise[1:], own_sides, strict=True)]
            ones = tf.ones([rows.images, *sides], inputs.dtype)
            return inputs * rows.take(own(layer, ones, *given, **named))
        edges = [[rows.start, rows.images - rows.stop], *[[0, 0]] * (inputs.shape.rank - 1)]
        return rows.take(own(layer, tf.pad(inputs, edges), *given, **named))

    return call


@contextmanager
def _synchronised(models: Sequence[keras.Model]) -> Iterator[None]:
    """Let BatchNorms that are trained take mean and variance over all devices."""
    norms = [norm for norm in find_trained_norms(models) if not norm.synchronized]
    try:
        for norm in norms:
            norm.synchronized = True
        yield
    finally:
        for norm in norms:
            norm.synchronized = False


class _Part(ImageStore):
    """Some neighbouring images of a store."""

    def __init__(self, images: ImageStore, first: int, last: int) -> None:
        self._images, self._first, self._last = images, first, last
        self.image_size = images.image_size

    def __len__(self) -> int:
        return self._last - self._first

    def read(self, positions: Any) -> Any:
        return self._images.read(np.asarray(positions) + self._first)


#: This device alone.
ONE = Replicas()
