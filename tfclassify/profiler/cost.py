"""What a piece of a network costs in arithmetic.

Owns: the record of a cost and its sum. Does not own: how an operation is counted
(``counters``), which operations are (``operations``).

``macs`` counts multiply-accumulates; ``flops`` is twice that plus the element-wise
operations, each of which is kept under its own name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cost:
    """What one run of some operations costs.

    Attributes:
        macs: Multiply-accumulates of convolutions and products.
        elementwise: Other floating-point operations, by the name of what does them.
        uncounted: How many operations could not be counted, by type.
    """

    macs: int = 0
    elementwise: Counter[str] = field(default_factory=Counter)
    uncounted: Counter[str] = field(default_factory=Counter)

    @property
    def flops(self) -> int:
        """Return twice the MACs plus the element-wise operations."""
        return 2 * self.macs + self.elementwise.total()

    def repeated(self, times: int) -> Cost:
        """Return what ``times`` runs cost; an uncounted operation stays one."""
        elementwise = Counter({name: times * n for name, n in self.elementwise.items()})
        return Cost(times * self.macs, elementwise, Counter(self.uncounted))


def add_costs(costs: Iterable[Cost]) -> Cost:
    """Return the sum of costs."""
    macs, elementwise, uncounted = 0, Counter[str](), Counter[str]()
    for cost in costs:
        macs += cost.macs
        elementwise.update(cost.elementwise)
        uncounted.update(cost.uncounted)
    return Cost(macs, elementwise, uncounted)
