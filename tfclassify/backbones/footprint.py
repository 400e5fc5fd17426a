"""What a network would take of the machine's memory, asked before any of it is there.

Owns: the one estimate that every way to a network goes through, and the share of the
memory that it may take. Does not own: building or reading the network.

A network is put together without its weights: Keras then knows the shape of every
variable and of every output, and has allocated none of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
from keras.src.backend.common import global_state

from tfclassify.data.memory import total_memory
from tfclassify.errors import ModelError
from tfclassify.recipe.wording import format_bytes

try:
    import resource
except ImportError:  # no POSIX system
    resource = None  # type: ignore[assignment]

#: Share of the machine's memory that one network may need.
MEMORY_SHARE = 0.8
#: Values a weight in training: itself, its gradient, and two running means of Adam.
_TRAINED_COPIES = 4
_NAMES = "object_name_uids"  # Keras' numbers of layers that were given no name
_PENDING = "uninitialized_variables"  # Keras' list of variables without a value yet


@dataclass(frozen=True)
class Footprint:
    """What a network is made of, in bytes.

    Attributes:
        parameters: Numbers in its variables.
        weight_bytes: Bytes of its variables.
        activation_bytes: Bytes of the outputs of all layers for one image.
        largest_bytes: Bytes of the largest output of a layer for one image.
    """

    parameters: int
    weight_bytes: int
    activation_bytes: int
    largest_bytes: int

    def to_run(self, batch_size: int = 1) -> int:
        """Return the least bytes that a prediction takes: an output is made from another."""
        return self.weight_bytes + 2 * batch_size * self.largest_bytes

    def to_train(self, batch_size: int) -> int:
        """Return roughly what a training step takes: outputs are kept for the gradient."""
        return _TRAINED_COPIES * self.weight_bytes + batch_size * self.activation_bytes


def measure(build: Callable[[], keras.Model]) -> Footprint:
    """Measure a network that is built for this alone, without its weights.

    Args:
        build: Builds it from initialisers; it must not read or assign values. Raises
            what it likes.
    """
    pending: list[keras.Variable] = global_state.get_global_attribute(
        _PENDING, [], set_to_default=True
    )
    others = list(pending)
    numbers: dict[str, int] = global_state.get_global_attribute(_NAMES, {}) or {}
    named = dict(numbers)
    try:
        with keras.StatelessScope(initialize_variables=False):
            network = build()
        made = pending[len(others) :]
        sizes = [_count(each.shape) * _size(each.dtype) for each in _list_outputs(network)]
        return Footprint(
            sum(_count(variable.shape) for variable in made),
            sum(_count(variable.shape) * _size(variable.dtype) for variable in made),
            sum(sizes),
            max(sizes, default=0),
        )
    finally:
        # Else Keras would give them values at its next opportunity.
        pending[:] = others
        numbers.clear()
        numbers.update(named)


def check_need(where: str, need: int, footprint: Footprint, advice: str) -> None:
    """Refuse a network that needs more memory than the machine may give it.

    Args:
        where: What the message begins with.
        need: Bytes.
        footprint: What the need was worked out from.
        advice: What to do.

    Raises:
        ModelError: If it does.
    """
    made_of = (
        f" ({footprint.parameters:,} parameters, {format_bytes(footprint.activation_bytes)} of "
        "features an image)"
    )
    check_size(where, need, advice, made_of)


def check_size(where: str, need: int, advice: str, made_of: str = "") -> None:
    """Refuse what needs so many bytes; else as ``check_need``, which says what it is made of."""
    limit = int(MEMORY_SHARE * total_memory())
    if need > limit:
        raise ModelError(
            f"{where}: needs about {format_bytes(need)} of memory{made_of}, allowed is "
            f"{MEMORY_SHARE:.0%} of this machine's, {format_bytes(limit)}; {advice}"
        )


@contextmanager
def limited_memory() -> Iterator[None]:
    """Let this process take no more than its share of the machine's memory in this block.

    What asks for more gets an error, where the system can be told so (Linux).
    """
    status = Path("/proc/self/statm")
    if resource is None or not status.is_file():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    in_use = int(status.read_text().split()[0]) * resource.getpagesize()
    limits = [in_use + int(MEMORY_SHARE * total_memory()), soft, hard]
    lowest = min(limit for limit in limits if limit != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_AS, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _list_outputs(network: keras.Model) -> Iterator[keras.KerasTensor]:
    """Yield the outputs of all layers, those of nested networks included."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from _list_outputs(layer)
            continue
        for node in layer._inbound_nodes:
            yield from node.output_tensors


def _count(shape: tuple[int | None, ...]) -> int:
    return math.prod(length or 1 for length in shape)


def _size(dtype: str) -> int:
    """Return the bytes of one number."""
    bits = re.search(r"\d+", str(dtype))
    return max(1, int(bits[0]) // 8) if bits else 1
