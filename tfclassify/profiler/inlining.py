"""Puts the functions that a graph calls into the graph itself.

Owns: the call of TensorFlow's own optimiser that does it, with everything else that it
could do switched off, so that no operation is merged or left out.
"""

from __future__ import annotations

from typing import Any

from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, rewriter_config_pb2
from tensorflow.python.grappler import tf_optimizer
from tensorflow.python.training.saver import export_meta_graph

#: Marks that keep a function from being inlined.
_BARRIERS = ("api_implements", "_XlaMustCompile", "_noinline", "_nospecialize")
#: Mark on loops and branches that would take them apart.
_LOWERING = "_lower_using_switch_merge"


def inline_functions(function: Any) -> Any:
    """Return a concrete function's graph as a ``GraphDef`` without plain calls.

    Loops and branches stay whole. Nothing is run, and no weight is read.
    """
    graph = function.graph.as_graph_def()
    _clear_marks(graph.node)
    for inner in graph.library.function:
        _clear_marks(inner.node_def)
        for mark in _BARRIERS:
            inner.attr.pop(mark, None)
    meta = export_meta_graph(graph_def=graph, graph=function.graph)
    fetched = meta_graph_pb2.CollectionDef()
    for tensor in (*function.inputs, *function.outputs):
        fetched.node_list.value.append(tensor.name)
    # Where the optimiser looks for what must not be lost.
    meta.collection_def["train_op"].CopyFrom(fetched)
    config = config_pb2.ConfigProto()
    rewrite = config.graph_options.rewrite_options
    rewrite.min_graph_nodes = -1
    rewrite.optimizers.append("function")
    rewrite.function_optimization = rewriter_config_pb2.RewriterConfig.AGGRESSIVE
    return tf_optimizer.OptimizeGraph(config, meta)


def _clear_marks(nodes: Any) -> None:
    for node in nodes:
        for mark in _BARRIERS:
            node.attr.pop(mark, None)
        if _LOWERING in node.attr:
            node.attr[_LOWERING].b = False
