"""How long each layer takes inside of the whole, from a trace of the kernels that ran.

Owns: recording a trace, reading its kernels, whose they are, and how the time of a run is
shared out. Does not own: the time of the whole (``latency``), who made an operation
(``tracing``).

TensorFlow rewrites a graph before it runs it: it fuses a convolution with its bias and its
activation, folds constants, changes layouts. The kernels of what is left still carry the
names of operations, so each can be given to the layer that made that operation. A fused
kernel has the name of its last operation; it is given to the layer whose product it computes.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfclassify.profiler.tracing import Trace

#: Names from the outermost container to a layer.
Owner = tuple[str, ...]
#: Parts of the time of the whole by name and type of the operation that ran.
Shares = Mapping[tuple[str, str], float]
#: Name of the event that one run is, among the kernels of the trace.
_RUN = "tfclassify run"
#: Beginning of the events of an operation that TensorFlow does not wait for, such as a call of
#: a function that is compiled on its own (Keras' grouped convolutions are).
_CALL = "ExecutorState::ProcessAsync"
#: Types of operations whose products a fused kernel computes.
PRODUCTS = ("Conv2D", "DepthwiseConv2dNative", "MatMul", "BatchMatMulV2", "Einsum", "Conv3D")


@dataclass(frozen=True)
class Kernel:
    """One kernel that ran.

    Attributes:
        name: Of the operation that it computes, as in the graph that ran.
        kind: The operation's type, as rewritten.
        begin: When it began, in picoseconds.
        length: How long it took, in picoseconds.
    """

    name: str
    kind: str
    begin: int
    length: int

    @property
    def end(self) -> int:
        """When it ended, in picoseconds."""
        return self.begin + self.length


@dataclass(frozen=True)
class Shared:
    """How the time of a run is shared out; all of it together is 1.

    Attributes:
        shares: Parts of the whole by operation.
        calling: What passed before the first kernel and after the last.
        between: What passed between kernels.
    """

    shares: Shares
    calling: float
    between: float


def record_kernels(run: Callable[[], Any], runs: int) -> tuple[list[Kernel], list[Kernel]]:
    """Run something a few times and return each run, and every kernel in them.

    Args:
        run: Returns when all of it is done.
        runs: Times that it is run.
    """
    options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=2, python_tracer_level=0)
    with tempfile.TemporaryDirectory(prefix="tfclassify-") as folder:
        tf.profiler.experimental.start(folder, options)
        try:
            for number in range(runs):
                with tf.profiler.experimental.Trace(_RUN, step_num=number):
                    run()
        finally:
            tf.profiler.experimental.stop()
        files = sorted(Path(folder).rglob("*.xplane.pb"))
        return read_trace(files[0].read_bytes()) if files else ([], [])


def read_trace(content: bytes) -> tuple[list[Kernel], list[Kernel]]:
    """Read the runs and the kernels of a trace.

    On a processor a kernel is an event ``operation:type`` of the threads that compute. A GPU
    has streams of its own; what runs there says which operation it belongs to beside itself.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    space.ParseFromString(content)
    runs: list[Kernel] = []
    calls: list[tuple[int, str, str, str]] = []
    on_host: list[Kernel] = []
    on_device: list[Kernel] = []
    for plane in space.planes:
        is_device = plane.name.startswith("/device:GPU")
        for line in plane.lines:
            if is_device and not line.name.startswith("Stream"):
                continue  # lines that sum up what the streams did
            for event in line.events:
                title = plane.event_metadata[event.metadata_id].name
                named = _read_stats(plane, event).get("tf_op", "") if is_device else title
                begin = line.timestamp_ns * 1000 + event.offset_ps
                if title.startswith(_CALL):
                    about = _read_stats(plane, event)
                    calls.append(
                        (begin, title, about.get("name", ""), about.get("kernel_type", ""))
                    )
                    continue
                name, _, kind = named.rpartition(":")
                kernel = Kernel(name, kind, begin, event.duration_ps)
                if title.partition("#")[0] == _RUN:
                    runs.append(kernel)
                elif name and not name.endswith(":") and "/" not in kind and " " not in named:
                    (on_device if is_device else on_host).append(kernel)
    return runs, on_device or [*on_host, *_pair_calls(calls)]


def _pair_calls(calls: Iterable[tuple[int, str, str, str]]) -> list[Kernel]:
    """Make a kernel of each beginning and end of what TensorFlow does not wait for."""
    found, begun = list[Kernel](), dict[str, int]()
    for moment, title, name, kind in sorted(calls):
        if title.endswith("Start"):
            begun[name] = moment
        elif name in begun:
            first = begun.pop(name)
            found.append(Kernel(name, kind, first, moment - first))
    return found


def _read_stats(plane: Any, event: Any) -> dict[str, str]:
    names = plane.stat_metadata
    return {
        names[stat.metadata_id].name: str(stat.str_value or names[stat.ref_value].name)
        for stat in event.stats
        if stat.WhichOneof("value") in ("str_value", "ref_value")
    }


def share_out(runs: Sequence[Kernel], kernels: Sequence[Kernel]) -> Shared:
    """Return the part of the runs' time that each operation took.

    Where kernels run side by side, each of them has an equal part of that time, so that the
    parts never come to more than the whole. Runs that took longer than most, since other
    programs were at work, are left out.

    Args:
        runs: When each run was.
        kernels: What ran in them.
    """
    ordered = sorted(runs, key=lambda run: run.length)
    kept = ordered[: max(1, (len(ordered) + 1) // 2)]
    whole = sum(run.length for run in kept)
    found: Counter[tuple[str, str]] = Counter()
    at_work = 0
    listed = [[kernel for kernel in kernels if run.begin <= kernel.begin < run.end] for run in kept]
    for own in listed:
        at_work += max((k.end for k in own), default=0) - min((k.begin for k in own), default=0)
        _share_run(own, found)
    if not whole:
        return Shared({}, 0.0, 0.0)
    shares = {key: spent / whole for key, spent in found.items()}
    calling = max(0.0, 1 - at_work / whole)  # on a GPU a kernel may end after its call
    return Shared(shares, calling, max(0.0, 1 - calling - sum(shares.values())))


def _share_run(kernels: Sequence[Kernel], found: Counter[tuple[str, str]]) -> None:
    """Add the picoseconds that each operation had to itself in one run."""
    changes = sorted(
        change
        for place, kernel in enumerate(kernels)
        for change in ((kernel.begin, True, place), (kernel.end, False, place))
    )
    active: set[int] = set()
    before = 0
    for moment, begins, place in changes:
        # A function that was called has the time in which nothing within it tells its name.
        inner = [each for each in active if not kernels[each].kind.endswith("Call")]
        for at_work in inner or active:
            key = kernels[at_work].name, kernels[at_work].kind
            found[key] += (moment - before) / len(inner or active)  # type: ignore[assignment]
        before = moment
        if begins:
            active.add(place)
        else:
            active.discard(place)


def find_layers(shares: Shares, trace: Trace) -> Counter[Owner]:
    """Return the parts of the whole by the path of the layer whose operations they are.

    Args:
        shares: Parts by name and type of what ran.
        trace: The layers, and the graph before it was rewritten.

    Returns:
        The parts; what belongs to no operation of the graph is left out.
    """
    nodes = {node.name: node for node in trace.nodes}
    owners = {node.name: calls.path for calls in trace.layers for node in calls.nodes}
    scopes = _find_scopes(owners)
    found: Counter[Owner] = Counter()
    for (name, kind), share in shares.items():
        known = _find_known(name, nodes)
        if known and "Fused" in kind and "FusedBatchNorm" not in kind:
            known = _find_product(nodes[known]) or known
        scope, is_new, _ = name.partition("/ArithmeticOptimizer/")
        owner = owners.get(known) or (scopes.get(scope) if is_new else None)
        if owner is not None:
            found[owner] += share  # type: ignore[assignment]
    return found


def _find_scopes(owners: Mapping[str, Owner]) -> dict[str, Owner]:
    """Return the layer of each scope in which only one has operations.

    What TensorFlow sums up otherwise than the graph did has a new name in the old scope.
    """
    found: dict[str, set[Owner]] = {}
    for name, owner in owners.items():
        found.setdefault(name.rpartition("/")[0], set()).add(owner)
    return {scope: next(iter(those)) for scope, those in found.items() if len(those) == 1}


def _find_known(name: str, nodes: Mapping[str, Any]) -> str:
    """Return the operation that a name stems from: itself, or what was rewritten around it.

    A function that was put in place has the name of its call before its own operations;
    a copy in another layout has words after a dash.
    """
    while name and name not in nodes:
        cut = max(name.rfind("/"), name.rfind("-"))
        name = name[:cut] if cut > 0 else ""
    return name


def _find_product(node: Any) -> str:
    """Return the product that a chain of additions and activations begins with."""
    for _ in range(6):
        if node.type in PRODUCTS:
            return str(node.name)
        sources = [t.op for t in node.inputs if t.op.type not in ("ReadVariableOp", "Const")]
        if not sources:
            return ""
        products = [each for each in sources if each.type in PRODUCTS]
        node = products[0] if products else sources[0]
    return ""
