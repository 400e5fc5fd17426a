"""Builds networks of keras.applications with their ImageNet weights.

Owns: when a download is tried, how long it may hang, and what is said when there is
no network. Does not own: the download, its address and its checksum, which are
Keras' own.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator

import keras

from tfclassify.backbones.origins import KerasNetwork
from tfclassify.errors import WeightsError

#: Seconds without a byte after which a download has failed.
_PATIENCE_S = 20.0


def construct(
    origin: KerasNetwork, image_size: tuple[int, int], weights: str | None
) -> keras.Model:
    """Call the constructor of a network without its top.

    Args:
        origin: Which constructor.
        image_size: ``(height, width)`` in pixels.
        weights: ``imagenet`` or None.

    Returns:
        Images ``(batch, height, width, 3)``, scaled as the network's contract says,
        to a feature map.
    """
    constructor = getattr(keras.applications, origin.constructor)
    width = {} if origin.alpha is None else {"alpha": origin.alpha}
    return constructor(include_top=False, weights=weights, input_shape=(*image_size, 3), **width)


def build_pretrained(origin: KerasNetwork, image_size: tuple[int, int], name: str) -> keras.Model:
    """Build a network with ImageNet weights, from Keras' cache or the network.

    Args:
        origin: Which network.
        image_size: ``(height, width)`` in pixels.
        name: The backbone's name, for messages.

    Raises:
        WeightsError: If the weights are not cached and cannot be downloaded, or the
            cached file is damaged; the message holds the ways out.
    """
    size = origin.weights_size
    # Keras has one MobileNet file for each of a few sizes. One of them serves every
    # size here, so that what a recipe learns from does not hinge on its image size.
    weighted_size = image_size if size is None else (size, size)
    was_cached = origin.weights_here()  # asked now: Keras removes a file that does not fit
    try:
        with _bounded_download():
            network = construct(origin, weighted_size, "imagenet")
    except Exception as error:  # Keras raises bare Exception when a download fails
        raise WeightsError(_explain(origin, name, was_cached, error)) from error
    if weighted_size == image_size:
        return network
    resized = construct(origin, image_size, None)
    resized.set_weights(network.get_weights())
    return resized


@contextlib.contextmanager
def _bounded_download() -> Iterator[None]:
    """Let a dead connection fail soon, and keep standard output for results."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE_S)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(before)


def _explain(origin: KerasNetwork, name: str, was_cached: bool, error: Exception) -> str:
    """Say what failed and the three ways out."""
    path = origin.weights_path()
    reason = " ".join(str(error).split()) or type(error).__name__
    trouble = (
        "the cached file was damaged or of another version, and could not be replaced"
        if was_cached
        else "they are not on this machine and could not be downloaded"
    )
    return (
        f"model.weights: no ImageNet weights for {name!r}: {trouble} ({reason}). Three ways out: "
        f"put Keras' file {origin.weights_file} at {path}; or set weights: <path of that file>; "
        "or set backbone: efficientnet_lite0, whose weights need no download, or weights: none "
        "to start from nothing"
    )
