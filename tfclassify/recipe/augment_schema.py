"""The recipe's section ``augment``: what happens to images in training.

Owns: how the catalogue of augmentations becomes keys, and the keys that concern all of
them. Does not own: which augmentations there are (``augmentations``), doing them
(``pipeline``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
)

from tfclassify.augmentations.catalogue import AUGMENTATIONS, BUILT_IN
from tfclassify.augmentations.entry import Key
from tfclassify.recipe.fields import Fraction, Rate, Section, SignedRange

_TYPES: dict[str, Any] = {
    "range": SignedRange,
    "fraction": Fraction,
    "fractions": tuple[Fraction, Fraction],
    "amounts": tuple[Rate, Rate],
    "axes": tuple[Literal["horizontal", "vertical"], ...],
}


class MixRecipe(Section):
    """CutMix and MixUp; one or the other is drawn for each image."""

    cutmix: Fraction = Field(0.0, description="Chance of CutMix for an image.")
    mixup: Fraction = Field(0.0, description="Chance of MixUp for an image.")
    cutmix_alpha: Rate = Field(1.0, description="Beta parameter of the CutMix area.")
    mixup_alpha: Rate = Field(0.2, description="Beta parameter of the MixUp share.")

    @model_validator(mode="after")
    def _check_total(self) -> Self:
        if self.cutmix + self.mixup > 1.0 + 1e-9:
            raise ValueError(
                f"cutmix and mixup together must be at most 1, got "
                f"{self.cutmix} + {self.mixup}: an image gets one or the other"
            )
        return self


class _AugmentBase(Section):
    """Training-time augmentation. The geometric ones compose into one resampling."""

    engine: Literal["native", "keras", "keras_cv"] = Field(
        "native",
        description="native; keras: Keras' own layers; keras_cv: those of keras-cv, an extra. "
        "Only native repeats itself from a seed.",
    )
    fill: Literal["reflect", "constant", "nearest", "wrap"] = Field(
        "reflect", description="What is seen beyond the border."
    )
    interpolation: Literal["bilinear", "nearest"] = Field(
        "bilinear", description="How the one resampling reads between pixels."
    )
    mix: MixRecipe = Field(MixRecipe(), description="CutMix and MixUp.")
    custom: dict[str, float | tuple[float, float]] = Field(
        {}, description="Augmentations of your own, by the name they were registered with."
    )

    @model_validator(mode="after")
    def _check_custom(self) -> Self:
        # What is not registered here may be where the recipe is used.
        for name in self.custom.keys() & AUGMENTATIONS.keys() - set(BUILT_IN):
            try:
                value = _adapt(AUGMENTATIONS[name].key).validate_python(self.custom[name])
            except ValidationError as error:
                raise ValueError(f"custom.{name}: {error.errors()[0]['msg']}") from error
            self.custom[name] = value
        return self


class _PairCheck:
    """Checks what the type of a [low, high] leaves open.

    Args:
        key: The key that takes it.
    """

    def __init__(self, key: Key) -> None:
        self.key = key

    def __call__(self, value: tuple[float, float]) -> tuple[float, float]:
        """Return the pair.

        Raises:
            ValueError: If its ends are in the wrong order or too far out.
        """
        low, high = value
        if low > high:
            raise ValueError(f"must be [low, high], got {list(value)}")
        # Beyond these nothing of the image is left; degrees typed by mistake end up here.
        if self.key.most is not None and max(abs(low), abs(high)) > self.key.most:
            raise ValueError(f"must stay within ±{self.key.most:g}, got {list(value)}")
        if self.key.above is not None and low <= self.key.above:
            raise ValueError(f"must stay above {self.key.above:g}, got {list(value)}")
        return value


def _adapt(key: Key) -> TypeAdapter[Any]:
    return TypeAdapter(_type_of(key))


def _list_keys() -> Iterator[tuple[str, Key]]:
    """Yield the catalogue's keys of a recipe, options behind what they belong to."""
    for name in BUILT_IN:
        yield name, AUGMENTATIONS[name].key
        yield from AUGMENTATIONS[name].options.items()


def _type_of(key: Key, name: str = "") -> Any:
    """Return the type of a key's value; the section of that name where it is one."""
    if key.kind == "section":
        parts: dict[str, Any] = {
            part: (_type_of(inner), Field(inner.default, description=inner.meaning))
            for part, inner in key.parts.items()
        }
        title = f"{name.title()}Recipe"
        return create_model(title, __base__=Section, __doc__=key.meaning, **parts) | None
    if key.kind not in ("range", "fractions", "amounts"):
        return _TYPES[key.kind]
    annotated: Any = Annotated  # a type that is made at run time is none to a type checker
    pair = annotated[_TYPES[key.kind], AfterValidator(_PairCheck(key))]
    return pair | None if key.default is None else pair


if TYPE_CHECKING:

    class AugmentRecipe(_AugmentBase):
        """The base with one field for each key of the catalogue."""

        def __init__(self, **values: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...

else:
    AugmentRecipe = create_model(
        "AugmentRecipe",
        __base__=_AugmentBase,
        __doc__=_AugmentBase.__doc__,
        __module__=__name__,
        **{
            name: (_type_of(key, name), Field(key.default, description=key.meaning))
            for name, key in _list_keys()
        },
    )
