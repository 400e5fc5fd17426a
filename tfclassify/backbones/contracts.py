"""What each network expects of its input, as plain numbers.

Owns: the five ways in which published networks scale RGB in 0..255.
Does not own: the Keras layers that do it (``preprocessing``), which network
follows which contract (``catalog``). Imports no TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InputContract:
    """How RGB in 0..255 becomes what a network was trained on.

    Each channel is ``value * scale + offset``, after the channels are put in the
    network's order.

    Attributes:
        name: One word for tables.
        range: The range that the network expects, for people.
        scale: Factor of each channel, in the network's channel order.
        offset: Addend of each channel, in the network's channel order.
        is_bgr: Whether the network takes blue, green, red.
        rescales_itself: Whether the network's own first layers scale 0..255, so
            that nothing may be done before it.
    """

    name: str
    range: str
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    is_bgr: bool = False
    rescales_itself: bool = False


RAW = InputContract("raw", "0..255, rescaled inside the network", rescales_itself=True)
SYMMETRIC = InputContract("symmetric", "-1..1", (1 / 127.5,) * 3, (-1.0,) * 3)
TORCH = InputContract(
    "torch",
    "0..1, then ImageNet mean and deviation",
    (1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)),
    (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225),
)
CAFFE = InputContract(
    "caffe",
    "0..255 as BGR, less the ImageNet mean",
    offset=(-103.939, -116.779, -123.68),
    is_bgr=True,
)
LITE = InputContract("lite", "(value - 127) / 128", (1 / 128,) * 3, (-127 / 128,) * 3)
UNIT = InputContract("unit", "0..1", (1 / 255,) * 3)
