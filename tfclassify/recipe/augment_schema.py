"""The recipe's section ``augment``: what happens to images in training.

Owns: its keys, their defaults and meaning. Does not own: doing it (``pipeline``).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tfclassify.recipe.fields import Fraction, Rate, Section, SignedRange


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


class ErasingRecipe(Section):
    """Random erasing of a rectangle."""

    chance: Fraction = Field(0.5, description="Chance for an image.")
    area: tuple[Fraction, Fraction] = Field((0.02, 0.2), description="Share of the image's area.")


class AugmentRecipe(Section):
    """Training-time augmentation. The geometric ones compose into one resampling."""

    engine: Literal["native", "keras_cv"] = Field(
        "native", description="native, or keras_cv (an extra; its CutMix labels are inexact)."
    )
    flip: tuple[Literal["horizontal", "vertical"], ...] = Field(
        (), description="Axes flipped, each with chance 0.5."
    )
    rotate: SignedRange = Field(
        (0.0, 0.0), description="Rotation as a fraction of a full turn, as keras.RandomRotation."
    )
    zoom: SignedRange = Field(
        (0.0, 0.0), description="Zoom as keras.RandomZoom: 0.15 shows 15 % more, -0.15 less."
    )
    shift: SignedRange = Field((0.0, 0.0), description="Shift as a fraction of height and width.")
    shear: SignedRange = Field((0.0, 0.0), description="Shear, as the tangent of the angle.")
    crop: tuple[Fraction, Fraction] | None = Field(
        None, description="Random resized crop: range of the area kept."
    )
    fill: Literal["reflect", "constant", "nearest", "wrap"] = Field(
        "reflect", description="What is seen beyond the border."
    )
    interpolation: Literal["bilinear", "nearest"] = Field(
        "bilinear", description="How the one resampling reads between pixels."
    )
    brightness: SignedRange = Field((0.0, 0.0), description="Added, as a share of full scale.")
    contrast: SignedRange = Field((0.0, 0.0), description="Contrast factor minus 1.")
    saturation: SignedRange = Field((0.0, 0.0), description="Saturation factor minus 1.")
    hue: SignedRange = Field((0.0, 0.0), description="Hue rotation as a fraction of a turn.")
    greyscale: Fraction = Field(0.0, description="Chance of greyscale.")
    invert: Fraction = Field(0.0, description="Chance of inverted colours.")
    equalise: Fraction = Field(0.0, description="Chance of histogram equalisation.")
    blur: Fraction = Field(0.0, description="Chance of a Gaussian blur.")
    blur_sigma: tuple[Rate, Rate] = Field((0.3, 1.5), description="Blur in pixels.")
    noise: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.0, description="Standard deviation of Gaussian noise, as a share of full scale."
    )
    erasing: ErasingRecipe | None = Field(None, description="Random erasing.")
    mix: MixRecipe = Field(MixRecipe(), description="CutMix and MixUp.")

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        names = ("rotate", "zoom", "shift", "shear", "brightness", "contrast", "saturation", "hue")
        for name in (*names, "crop", "blur_sigma"):
            pair = getattr(self, name)
            if pair is not None and pair[0] > pair[1]:
                raise ValueError(f"{name} must be [low, high], got {list(pair)}")
        # Beyond these nothing of the image is left; degrees typed by mistake end up here.
        for name, most in (("rotate", 1.0), ("shift", 1.0), ("shear", 4.0), ("zoom", 10.0)):
            pair = getattr(self, name)
            if max(abs(pair[0]), abs(pair[1])) > most:
                raise ValueError(f"{name} must stay within ±{most:g}, got {list(pair)}")
        if self.zoom[0] <= -1.0:
            raise ValueError(f"zoom must stay above -1, got {list(self.zoom)}")
        return self
