"""How near a layer comes to what the machine reaches: its place under the roofline.

Owns: the roof, a layer's place under it, and the sum of several. Does not own: measuring the
roof and the times (``latency``), which bytes a layer moves (``memory``). Imports no TensorFlow.

A layer must compute its operations and must move the tensors that it reads and writes. Neither
can be done faster than the machine does it at its best, so that the longer of the two is the
least time that the layer could take. It is bound by what takes longer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Bound = Literal["compute", "memory"]


@dataclass(frozen=True)
class Roof:
    """What the machine reaches.

    Attributes:
        gflops: GFLOP/s of a large float32 matrix product.
        gbytes: GB/s of the copy of a large array, read once and written once.
    """

    gflops: float
    gbytes: float


@dataclass(frozen=True)
class Rated:
    """A layer under the roof, in one run of a batch; or several layers as one.

    Attributes:
        latency_ms: Time that it took.
        flops: Floating-point operations.
        moved_bytes: Bytes of the tensors that it reads and writes, weights included; each
            counted once, however often a kernel reads it.
        least_ms: Time that it would take on the roof.
        bound: What that time is made of.
    """

    latency_ms: float
    flops: int
    moved_bytes: int
    least_ms: float
    bound: Bound

    @property
    def gflops(self) -> float:
        """Return the GFLOP/s that it reached."""
        return self.flops / self.latency_ms / 1e6

    @property
    def gbytes(self) -> float:
        """Return the GB/s that it reached; more than the roof's where caches held its tensors."""
        return self.moved_bytes / self.latency_ms / 1e6

    @property
    def share(self) -> float:
        """Return the time on the roof over the time taken."""
        return self.least_ms / self.latency_ms

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "flops": self.flops,
            "moved_bytes": self.moved_bytes,
            "gflops_per_s": self.gflops,
            "gbytes_per_s": self.gbytes,
            "bound": self.bound,
            "share_of_roof": self.share,
        }


def rate(flops: int, moved_bytes: int, latency_ms: float, roof: Roof) -> Rated | None:
    """Place what some work took under the roof; None where nothing was worked or timed.

    The roofline of Williams, Waterman and Patterson (2009), as times rather than rates:

        least = max(flops / peak FLOP/s, bytes / peak bytes/s)

    Args:
        flops: Operations of the run.
        moved_bytes: Bytes read and written in the run.
        latency_ms: Time taken; 0 where other layers' kernels did the work.
        roof: What the machine reaches.

    Example:
        >>> rate(2_000_000, 1_000_000, 0.5, Roof(gflops=10.0, gbytes=2.0))
        Rated(latency_ms=0.5, flops=2000000, moved_bytes=1000000, least_ms=0.5, bound='memory')
    """
    if latency_ms <= 0 or not (flops or moved_bytes):
        return None
    compute_ms = flops / roof.gflops / 1e6
    memory_ms = moved_bytes / roof.gbytes / 1e6
    bound: Bound = "compute" if compute_ms > memory_ms else "memory"
    return Rated(latency_ms, flops, moved_bytes, max(compute_ms, memory_ms), bound)


def join_rated(rated: Sequence[Rated]) -> Rated | None:
    """Return several layers as one, bound by what binds most of their time; None for none."""
    if not rated:
        return None
    spent = Counter[Bound]()
    for each in rated:
        spent[each.bound] += each.latency_ms  # type: ignore[assignment]
    return Rated(
        sum(each.latency_ms for each in rated),
        sum(each.flops for each in rated),
        sum(each.moved_bytes for each in rated),
        sum(each.least_ms for each in rated),
        max(spent, key=lambda bound: spent[bound]),
    )
