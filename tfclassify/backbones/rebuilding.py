"""Rebuilds a network with fewer channels, or with padding that is alike on every side.

Owns: cloning its layers with other settings; the copy has weights of its own, which are
new. Does not own: which channels a network can do without (``compress.channels``), whose
weights it is given (``workflows.material``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import keras

from tfclassify.errors import ModelError
from tfclassify.recipe.wording import find_nearest

#: Layer kind -> the setting that is its number of channels.
_WIDTHS: dict[type[keras.Layer], str] = {
    keras.layers.Conv2D: "filters",
    keras.layers.SeparableConv2D: "filters",
    keras.layers.Dense: "units",
}
_STRIDED = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def name_stably(network: keras.Model) -> dict[str, str]:
    """Name layers so that they are called the same however often a network was built.

    Keras numbers layers without a name of their own on and on within a process; here the
    numbers begin anew with every network.

    Returns:
        Name of a layer -> stable name, which is another only for such layers.
    """
    names = {layer.name: layer.name for layer in network._flatten_layers(include_self=False)}
    numbered: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for layer in network._flatten_layers(include_self=False):
        words = re.sub(r"(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", type(layer).__name__)
        kind = words.lower()  # as Keras makes a name of a class
        found = re.fullmatch(rf"{kind}(?:_(\d+))?", layer.name)
        if found:
            numbered[kind].append((int(found.group(1) or 0), layer.name))
    for kind, members in numbered.items():
        for rank, (_, name) in enumerate(sorted(set(members))):
            names[name] = f"{kind}_{rank}" if rank else kind
    return names


def rebuild(
    network: keras.Model, channels: Mapping[str, int], *, is_symmetric: bool = False
) -> keras.Model:
    """Copy a network with other numbers of channels.

    Layers that have no number of their own, such as a BatchNorm or a depthwise
    convolution, follow what comes in.

    Args:
        network: A functional model; models within it are copied too.
        channels: Filters or units of layers, by their stable names; the others keep theirs.
        is_symmetric: Whether strided convolutions see as much padding on the right and
            below as on the left and above. Feature maps keep their sizes.

    Returns:
        The copy, with new weights; ``network`` itself where there is nothing to change.

    Raises:
        ModelError: If there is no such layer, it has fewer channels already, or the rest
            of the network does not fit to them.
    """
    if not channels and not is_symmetric:
        return network
    sought, names = dict(channels), name_stably(network)

    def copy(layer: Any) -> Any:
        if not isinstance(layer, keras.Layer):
            return layer  # an operation without weights or settings
        config = layer.get_config()
        name = names.get(layer.name, layer.name)
        if name in sought:
            config |= _narrow(layer, sought.pop(name))
        if isinstance(layer, keras.layers.Reshape) and layer.target_shape[:2] == (1, 1):
            config["target_shape"] = (1, 1, -1)  # a vector as a map, however long
        if is_symmetric:
            config |= _pad_alike(layer)
        return type(layer).from_config(config)

    def call(layer: Any, *arguments: Any, **keywords: Any) -> Any:
        if is_symmetric and _pads_itself(layer):
            side = layer.kernel_size[0] // 2
            layer.padding = "valid"
            padded = keras.layers.ZeroPadding2D(side, name=f"{layer.name}_even_pad")(arguments[0])
            return layer(padded, **keywords)
        return layer(*arguments, **keywords)

    try:
        copied = keras.models.clone_model(
            network, clone_function=copy, call_function=call, recursive=True
        )
    except ValueError as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"model.channels: {network.name!r} cannot be built with these numbers: {reason}; "
            "layers whose results are added need the same number"
        ) from error
    if sought:
        widths = [names[each.name] for each in network._flatten_layers() if _find_width(each)]
        _refuse_unknown(network, next(iter(sought)), widths)
    return copied


def _refuse_unknown(network: keras.Model, name: str, widths: Sequence[str]) -> NoReturn:
    nearest = find_nearest(name, widths)
    raise ModelError(
        f"model.channels: {network.name!r} has no convolution or dense layer {name!r}"
        + (f"; did you mean {nearest!r}?" if nearest else "; the names are those of its layers")
    )


def _find_width(layer: Any) -> str | None:
    """Return the setting that is a layer's number of channels, or None."""
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return None
    return next((key for kind, key in _WIDTHS.items() if isinstance(layer, kind)), None)


def _narrow(layer: keras.Layer, count: int) -> dict[str, Any]:
    key = _find_width(layer)
    if key is None:
        raise ModelError(
            f"model.channels: {layer.name!r} is a {type(layer).__name__}, which follows what comes "
            "in; only convolutions and dense layers have numbers of their own"
        )
    most = getattr(layer, key)
    if not 1 <= count <= most:
        raise ModelError(
            f"model.channels: {layer.name!r} has {most} channels, got {count}; allowed are 1 to "
            f"{most}"
        )
    if getattr(layer, "groups", 1) > 1:  # a depthwise convolution by another name
        return {key: count, "groups": count}
    return {key: count}


def _pads_itself(layer: Any) -> bool:
    """Say whether a layer pads before steps of 2, which puts more on one side than the other."""
    return (
        isinstance(layer, _STRIDED)
        and layer.padding == "same"
        and tuple(layer.strides) == (2, 2)
        and layer.kernel_size[0] > 1
    )


def _pad_alike(layer: keras.Layer) -> dict[str, Any]:
    """Return the padding of a layer that pads for a strided one, made alike on both sides."""
    if not isinstance(layer, keras.layers.ZeroPadding2D):
        return {}
    users = [node.operation for node in layer._outbound_nodes]
    if not all(isinstance(user, _STRIDED) and max(user.strides) > 1 for user in users):
        return {}
    rows, columns = ((max(pair), max(pair)) for pair in layer.padding)
    return {"padding": (rows, columns)}
