"""SavedModels that read or write files when they are loaded, run or trained.

Each writes the file ``ran``, or holds what a ``secret`` says among its features, where a
loader lets it; none does anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

#: ``(height, width)`` of the images that the modules take.
SIZE = (16, 16)
_SPEC = tf.TensorSpec((None, *SIZE, 3), tf.float32, name="inputs")


def _features(images: Any) -> Any:
    return tf.reduce_mean(images, [1, 2])


def _change(folder: Path, change: Callable[[Any], None]) -> None:
    """Change the one graph of a SavedModel."""
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((folder / "saved_model.pb").read_bytes())
    change(model.meta_graphs[0])
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())


def _write_old_format(folder: Path, save: Any, restore: Any, features: Any, images: Any) -> None:
    """Write a graph in TensorFlow 1's format, whose saver is two given nodes."""
    model = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    graph = model.meta_graphs.add()
    graph.graph_def.CopyFrom(images.graph.as_graph_def())
    graph.meta_info_def.tags.append("serve")
    signature = graph.signature_def["serving_default"]
    signature.method_name = "tensorflow/serving/predict"
    for ends, name, tensor in (
        (signature.inputs, "inputs", images),
        (signature.outputs, "default", features),
    ):
        ends[name].name, ends[name].dtype = tensor.name, tensor.dtype.as_datatype_enum
        ends[name].tensor_shape.CopyFrom(tensor.shape.as_proto())
    saver = graph.saver_def
    saver.filename_tensor_name = "name:0"
    saver.save_tensor_name, saver.restore_op_name = save.name, restore.name
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())


def copy_while_restoring(folder: Path, source: Path, target: Path) -> None:
    """Name as the saver's restoring node one that copies a file: TensorFlow 1's format."""
    with tf.Graph().as_default():
        images = tf.compat.v1.placeholder(tf.float32, _SPEC.shape, "inputs")
        tf.constant("x", name="name")
        content = tf.io.read_file(str(source))
        copy = tf.io.write_file(str(target), content)
        _write_old_format(folder, content, copy, _features(images), images)


def read_as_saving(folder: Path, source: Path) -> None:
    """Name as the saver's saving node one that reads a file, which goes into the features."""
    with tf.Graph().as_default():
        images = tf.compat.v1.placeholder(tf.float32, _SPEC.shape, "inputs")
        tf.constant("x", name="name")
        content = tf.io.read_file(str(source))
        length = tf.cast(tf.strings.length(content), tf.float32)
        nothing = tf.no_op()
        _write_old_format(folder, content, nothing, _features(images) + length, images)


class _Writing(tf.saved_model.experimental.TrackableResource):
    """A resource whose initialiser writes a file."""

    def __init__(self, target: Path) -> None:
        super().__init__()
        self._target = str(target)

    def _create_resource(self) -> Any:
        return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=())

    def _initialize(self) -> None:
        tf.io.write_file(self._target, "x")


def write_while_initialising(folder: Path, target: Path) -> None:
    """Have a resource's initialiser write, and leave it out of the list of functions."""
    module = tf.Module()
    module.resource = _Writing(target)
    module.__call__ = tf.function(_features, input_signature=[_SPEC])
    tf.saved_model.save(module, str(folder))
    target.unlink(missing_ok=True)

    def hide(graph: Any) -> None:
        objects = graph.object_graph_def
        (name,) = [name for name in objects.concrete_functions if "initializer" in name]
        for node in objects.nodes:
            if name in (*node.function.concrete_functions, _name_bare(node)):
                node.bare_concrete_function.concrete_function_name = name
        del objects.concrete_functions[name]
        # The graph that TensorFlow 2 does not run calls it as well.
        called = [node for node in graph.graph_def.node if node.attr["f"].func.name == name]
        for node in called:
            graph.graph_def.node.remove(node)

    _change(folder, hide)


def _name_bare(node: Any) -> str:
    is_bare = node.WhichOneof("kind") == "bare_concrete_function"
    return node.bare_concrete_function.concrete_function_name if is_bare else ""


def write_by_gradient(folder: Path, target: Path) -> None:
    """Have the registered gradient of an operation write, out of the list of functions."""

    @tf.custom_gradient
    def scale(x: Any, kernel: Any) -> Any:
        def gradient(upstream: Any) -> Any:
            with tf.control_dependencies([tf.io.write_file(str(target), "x")]):
                return upstream * kernel, tf.reduce_sum(upstream * x, axis=0)

        return x * kernel, gradient

    module = tf.__internal__.tracking.AutoTrackable()
    module.kernel = tf.Variable(tf.ones(3))
    module.__call__ = tf.function(
        lambda images: scale(_features(images), module.kernel.read_value()), input_signature=[_SPEC]
    )
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    tf.saved_model.save(module, str(folder), options=options)

    def hide(graph: Any) -> None:
        for entry in graph.graph_def.library.registered_gradients:
            graph.object_graph_def.concrete_functions.pop(entry.gradient_func, None)

    _change(folder, hide)


def make_old_format(folder: Path) -> None:
    """Add a second graph, for which TensorFlow takes a module for one of the old format."""
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((folder / "saved_model.pb").read_bytes())
    model.meta_graphs.add().CopyFrom(model.meta_graphs[0])
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())


def call_the_saver(folder: Path, target: Path) -> None:
    """Have the network call the function that the saver's node names, which writes."""

    @tf.function(input_signature=[])
    def saves() -> None:
        tf.raw_ops.SaveV2(
            prefix=str(target), tensor_names=["x"], shape_and_slices=[""], tensors=[1.0]
        )

    def call(images: Any) -> Any:
        saves()
        return _features(images)

    module = tf.Module()
    module.__call__ = tf.function(call, input_signature=[_SPEC])
    tf.saved_model.save(module, str(folder))

    def pose(graph: Any) -> None:
        library = graph.graph_def.library
        (name,) = [
            f.signature.name for f in library.function if "inference_saves" in f.signature.name
        ]
        node = graph.graph_def.node.add(name="own_saver", op="StatefulPartitionedCall")
        node.attr["f"].func.name = name
        graph.saver_def.save_tensor_name = "own_saver:0"

    _change(folder, pose)


def call_the_saver_by_another_name(folder: Path, target: Path) -> None:
    """Have the network call a function that the file lacks, such as another file's saver."""
    call_the_saver(folder, target)

    def rename(graph: Any) -> None:
        for function in graph.graph_def.library.function:
            for node in function.node_def:
                if "inference_saves" in node.attr["f"].func.name:
                    node.attr["f"].func.name = "__inference_traced_save_7"

    _change(folder, rename)


def name_the_saver_as_an_operation(folder: Path, target: Path) -> None:
    """Name a harmless function like the operation that the network calls."""
    module = tf.Module()

    def call(images: Any) -> Any:
        with tf.control_dependencies([tf.io.write_file(str(target), "x")]):
            return _features(images)

    module.__call__ = tf.function(call, input_signature=[_SPEC])
    tf.saved_model.save(module, str(folder))

    def add(graph: Any) -> None:
        graph.graph_def.library.function.add().signature.name = "WriteFile"

    _change(folder, add)


def never_end(folder: Path) -> None:
    """Have the network loop for ever."""

    def call(images: Any) -> Any:
        turn, _ = tf.while_loop(lambda n, _: n >= 0, lambda n, x: (n * 1, x + 1), (0, 0.0))
        return _features(images) + tf.cast(turn, tf.float32)

    _save_call(folder, call)


def fill_memory(folder: Path) -> None:
    """Have the network ask for 64 TB."""

    def call(images: Any) -> Any:
        length = tf.cast(tf.reduce_sum(images) * 0, tf.int64) + (1 << 22)
        return _features(images) + tf.reduce_sum(tf.fill(tf.stack([length, length]), 1.0))

    _save_call(folder, call)


def call_too_often(folder: Path, levels: int = 30) -> None:
    """Have each of some functions call the next one twice."""
    inner = tf.function(lambda x: x + 1, autograph=False)
    outer = tf.function(lambda x: inner(x) + inner(x), autograph=False)
    _save_call(folder, lambda images: outer(_features(images)))

    def repeat(graph: Any) -> None:
        library = graph.graph_def.library
        (pair,) = (each for each in library.function if len(_list_calls(each)) == 2)
        below = _list_calls(pair)[0].attr["f"].func.name
        for level in range(levels):
            copy = library.function.add()
            copy.CopyFrom(pair)
            copy.signature.name = f"level_{level}"
            for node in _list_calls(copy):
                node.attr["f"].func.name = below
            below = copy.signature.name
        for node in _list_calls(pair):
            node.attr["f"].func.name = below

    _change(folder, repeat)


def _list_calls(function: Any) -> list[Any]:
    return [node for node in function.node_def if node.op.endswith("PartitionedCall")]


def call_itself(folder: Path) -> None:
    """Have a function call itself."""
    call_too_often(folder, 0)

    def tie(graph: Any) -> None:
        for function in graph.graph_def.library.function:
            for node in _list_calls(function):
                node.attr["f"].func.name = function.signature.name

    _change(folder, tie)


def _save_call(folder: Path, call: Callable[[Any], Any]) -> None:
    module = tf.Module()
    module.__call__ = tf.function(call, input_signature=[_SPEC], autograph=False)
    tf.saved_model.save(module, str(folder))
