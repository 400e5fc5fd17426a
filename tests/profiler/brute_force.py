"""An oracle that multiplies one pair of numbers at a time and counts the products.

Nested loops over plain Python indices: no formula of the profiler is in here. A tap that
falls on padding counts, since the padded map is what is looped over.
"""

from __future__ import annotations

import itertools
import math


def same_padding(length: int, taps: int, step: int, dilation: int = 1) -> tuple[int, int]:
    """Return the padding before and after, found by trial."""
    outputs = math.ceil(length / step)
    total = 0
    while len(window_starts(length + total, taps, step, dilation)) < outputs:
        total += 1
    return total // 2, total - total // 2


def window_starts(length: int, taps: int, step: int, dilation: int = 1) -> list[int]:
    """Return the positions at which a window fits."""
    return [s for s in range(0, length, step) if s + dilation * (taps - 1) < length]


def count_convolution(
    lengths: tuple[int, ...], inputs: int, outputs: int, taps: tuple[int, ...], *,
    step: int = 1, dilation: int = 1, groups: int = 1, is_same: bool = True,
) -> int:  # fmt: skip
    """Count the products of a convolution of any rank."""
    padded = [
        length + (sum(same_padding(length, k, step, dilation)) if is_same else 0)
        for length, k in zip(lengths, taps, strict=True)
    ]
    starts = [
        window_starts(length, k, step, dilation) for length, k in zip(padded, taps, strict=True)
    ]
    products = 0
    for _ in itertools.product(*starts):
        for output in range(outputs):
            group = output // (outputs // groups)
            for source in range(inputs):
                if source // (inputs // groups) != group:
                    continue
                for _ in itertools.product(*map(range, taps)):
                    products += 1
    return products


def count_depthwise(
    lengths: tuple[int, ...], channels: int, multiplier: int, taps: tuple[int, ...], step: int = 1
) -> int:
    """Count the products of a depthwise convolution with same padding."""
    return count_convolution(
        lengths, channels, channels * multiplier, taps, step=step, groups=channels
    )


def count_transposed(
    lengths: tuple[int, ...], inputs: int, outputs: int, taps: tuple[int, ...]
) -> int:
    """Count the products of a transposed convolution, before anything is cropped."""
    products = 0
    for _ in itertools.product(*map(range, lengths)):
        for _ in itertools.product(range(inputs), range(outputs), *map(range, taps)):
            products += 1
    return products


def count_product(rows: int, inner: int, columns: int, batch: int = 1) -> int:
    """Count the products of a matrix product."""
    return sum(1 for _ in itertools.product(*map(range, (batch, rows, inner, columns))))


def count_recurrent(steps: int, inputs: int, units: int, gates: int) -> int:
    """Count the products of an LSTM's (4 gates) or GRU's (3) kernels over time."""
    products = 0
    for _ in range(steps):
        for _ in range(gates):
            products += count_product(1, inputs, units) + count_product(1, units, units)
    return products


def count_attention(tokens: int, width: int, heads: int, key: int) -> int:
    """Count the products of self-attention: four projections, QK and AV."""
    inner = heads * key
    products = 3 * count_product(tokens, width, inner) + count_product(tokens, inner, width)
    for _ in range(heads):
        products += count_product(tokens, key, tokens) + count_product(tokens, tokens, key)
    return products
