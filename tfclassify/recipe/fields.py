"""The types that recipe keys share, and the short forms that they accept.

Owns: bounded numbers, sizes, ranges and the base of every section.
Does not own: any key (``schema``, ``augment_schema``).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Rate = Annotated[float, Field(gt=0.0, le=100.0)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


def to_pair(value: Any) -> Any:
    """Let a single number stand for the symmetric range around zero."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (-abs(value), abs(value))
    return value


def to_size(value: Any) -> Any:
    """Let a single number stand for a square ``(height, width)``."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    return value


def to_kind(value: Any) -> Any:
    """Let ``cosine`` stand for ``{kind: cosine}``."""
    return {"kind": value} if isinstance(value, str) else value


def to_backbone(value: Any) -> Any:
    """Let ``resnet50`` stand for ``{backbone: resnet50}``."""
    return {"backbone": value} if isinstance(value, str) else value


Side = Annotated[int, Field(ge=8, le=4096)]
ImageSize = Annotated[tuple[Side, Side], BeforeValidator(to_size)]
BatchSize = Annotated[int, Field(ge=1, le=65536)] | Literal["auto"]
SignedRange = Annotated[tuple[float, float], BeforeValidator(to_pair)]


class Section(BaseModel):
    """Base of every part of a recipe: frozen, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
