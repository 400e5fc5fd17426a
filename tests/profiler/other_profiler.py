"""TensorFlow's own profiler, ``tf.compat.v1.profiler``, on a frozen graph: an oracle."""

from __future__ import annotations

from collections import Counter
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2_as_graph,
)


def count_by_type(model: Any, shape: tuple[int, ...]) -> Counter[str]:
    """Return its float operations by the type of the operation."""
    spec = tf.TensorSpec((1, *shape), tf.float32)
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(spec)
    _, frozen = convert_variables_to_constants_v2_as_graph(function)
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(frozen, name="")
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        builder = tf.compat.v1.profiler.ProfileOptionBuilder(options)
        options = builder.with_empty_output().build()
        found = tf.compat.v1.profiler.profile(
            graph, tf.compat.v1.RunMetadata(), cmd="scope", options=options
        )
    counts: Counter[str] = Counter()
    pending = [found]
    while pending:
        node = pending.pop()
        pending.extend(node.children)
        if node.float_ops:
            kind = graph.get_operation_by_name(node.name).type
            counts[kind] += node.float_ops
    return counts
