"""What an entry of the catalogue of augmentations says.

Owns: the shape of an entry and of its recipe keys, the phrases that entries share. Does
not own: the entries (``geometry``, ``colour``, ``degradation``), their list (``catalogue``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: range: [low, high] around 0, one number for both sides. fraction: a number from 0 to 1.
#: fractions, amounts: [low, high] of numbers from 0 to 1, or of positive numbers. axes:
#: horizontal, vertical. section: a mapping of further keys.
Kind = Literal["range", "fraction", "fractions", "amounts", "axes", "section"]
ActsOn = Literal["positions", "colours", "pixels"]
Words = Callable[[Any], str]


@dataclass(frozen=True)
class Key:
    """A key of a recipe's section ``augment``.

    Attributes:
        kind: What it takes.
        meaning: One sentence for the reference.
        default: Its value where a recipe does not name it.
        most: For a range, how far from 0 its ends may be; None for no limit.
        above: For a range, what its lower end must exceed; None for no limit.
        parts: For a section, its keys.
    """

    kind: Kind
    meaning: str
    default: Any
    most: float | None = None
    above: float | None = None
    parts: Mapping[str, Key] = field(default_factory=dict)


@dataclass(frozen=True)
class LayerContext:
    """What a layer of another engine may need beside its value.

    Attributes:
        layers: The module ``keras.layers`` or ``keras_cv.layers``.
        image_size: ``(height, width)`` in pixels.
        read: Keyword arguments of layers that resample: fill mode and interpolation.
        seed: Keyword argument ``seed``.
        by_chance: Wraps a layer so that it changes an image with a chance only.
    """

    layers: Any
    image_size: tuple[int, int]
    read: Mapping[str, Any]
    seed: Mapping[str, int]
    by_chance: Callable[[Any, float], Any]


#: (context, value, options by name) -> layer. A ValueError says what the layer cannot do.
MakeLayer = Callable[..., Any]


@dataclass(frozen=True)
class Augmentation:
    """All that there is to know of one augmentation.

    Attributes:
        name: Its key in a recipe.
        acts_on: ``positions``: it moves things, and composes with all others that do into
            one resampling. ``colours``: an affine change of RGB, composed likewise.
            ``pixels``: anything else.
        key: What the key takes; its default means off.
        draw: ``(value, draws, image_size, **options) -> parameters``, a tuple of arrays
            ``(b, ...)``: row ``k`` of each is what image ``k`` of a batch undergoes.
            ``draws`` are the batch's random numbers by name (``randomness.Draws``).
        apply: For positions ``(*parameters, image_size=...)`` gives ``(b, 3, 3)`` matrices
            from output to input positions ``(x, y)``; for colours ``(*parameters,
            mean=...)`` gives ``(b, 4, 4)`` matrices of (R, G, B, 1), where calling ``mean``
            gives the ``(b, 3)`` mean colours so far; for pixels ``(image, *row)`` takes and
            gives an image ``(height, width, 3)`` uint8, and must not write to its own.
        words: What a report says of a value.
        options: Further keys that it takes.
        layers: Engine -> what makes its layer of a value; engines without one refuse.
    """

    name: str
    acts_on: ActsOn
    key: Key
    draw: Callable[..., tuple[Any, ...]]
    apply: Callable[..., Any]
    words: Words
    options: Mapping[str, Key] = field(default_factory=dict)
    layers: Mapping[str, MakeLayer] = field(default_factory=dict)


def say_range(name: str, scale: float = 100.0, unit: str = " %") -> Words:
    """Make the words of a range: its name, and its ends times ``scale`` with a unit.

    >>> say_range("rotation", 360.0, "°")((-0.1, 0.1))
    'rotation ±36°'
    >>> say_range("zoom")((0.0, 0.15))
    'zoom 0 to 15 %'
    """

    def say(value: tuple[float, float]) -> str:
        low, high = (scale * end for end in value)
        return f"{name} " + (f"±{high:.4g}" if low == -high else f"{low:.4g} to {high:.4g}") + unit

    return say


def say_chance(name: str) -> Words:
    """Make the words of a chance.

    >>> say_chance("blur")(0.25)
    'blur for 25 %'
    """
    return lambda chance: f"{name} for {100 * chance:g} %"


def uniform(name: str) -> Callable[..., tuple[Any, ...]]:
    """Make the draw of one number within a range, under the augmentation's own name."""
    return lambda value, draws, image_size: (draws.uniform(name, *value),)


def happens(name: str) -> Callable[..., tuple[Any, ...]]:
    """Make the draw of whether something happens, by its chance."""
    return lambda value, draws, image_size: (draws.happens(name, value),)


def want_symmetric(value: tuple[float, float]) -> float:
    """Return how far a range goes to either side.

    Raises:
        ValueError: If it goes further to one side than to the other.
    """
    low, high = value
    if low != -high:
        raise ValueError(
            f"the layer wants a range around 0, got {[low, high]!r}; give "
            f"{max(abs(low), abs(high))}"
        )
    return high
