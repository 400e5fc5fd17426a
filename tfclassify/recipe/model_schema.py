"""The section ``model`` of a recipe: backbone, weights and head.

Owns: its keys, types, defaults and meanings. Does not own: checks across keys
(``model_checks``), building (``backbones``, ``model``).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from tfclassify.recipe.fields import Section, Share, to_backbone

Checksum = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class HeadRecipe(Section):
    """What is put on top of the backbone."""

    pool: Literal["average", "max", "flatten"] = Field("average", description="Pooling.")
    dropout: Share = Field(0.0, description="Dropout after pooling.")
    dense: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = Field(
        (), description="Units of the dense layers between pooling and the classes."
    )
    activation: str = Field("relu", description="Activation of the dense layers.")
    initializer: str = Field("glorot_uniform", description="Kernel initialiser.")
    l1: Annotated[float, Field(ge=0)] = Field(0.0, description="L1 of the dense kernels.")
    l2: Annotated[float, Field(ge=0)] = Field(0.0, description="L2 of the dense kernels.")
    batch_norm: bool = Field(False, description="BatchNorm after each dense layer.")
    final_dropout: Share = Field(0.0, description="Dropout before the class layer.")


class LayerRecipe(Section):
    """One block of ``custom_cnn``."""

    conv: Annotated[int, Field(ge=1)] | None = Field(None, description="Filters.")
    kernel: Annotated[int, Field(ge=1)] = Field(3, description="Kernel size of conv.")
    stride: Annotated[int, Field(ge=1)] = Field(1, description="Stride of conv.")
    padding: Literal["same", "valid"] = Field("same", description="Padding of conv and pool.")
    batch_norm: bool = Field(False, description="BatchNorm between conv and activation.")
    activation: str | None = Field("relu", description="Activation after conv.")
    pool: Annotated[int, Field(ge=1)] | None = Field(None, description="Max-pooling size.")
    pool_stride: Annotated[int, Field(ge=1)] | None = Field(None, description="Default: pool.")
    pool_padding: Annotated[int, Field(ge=0)] = Field(
        0, description="Pixels padded on each side before pooling."
    )
    dropout: Share = Field(0.0, description="Dropout after the block.")

    @model_validator(mode="after")
    def _check_work(self) -> Self:
        if self.conv is None and self.pool is None and self.dropout == 0.0:
            raise ValueError("a layer needs conv, pool or dropout")
        return self


class StackMemberRecipe(Section):
    """One backbone of a stack."""

    backbone: str = Field(
        description="As model.backbone; a name alone stands for a member without options."
    )
    weights: str = Field("imagenet", description="imagenet, none, or a path to a weight file.")
    weights_sha256: Checksum | None = Field(None, description="Checksum of the weight file.")
    input_range: tuple[float, float] | None = Field(None, description="As model.input_range.")


class ModelRecipe(Section):
    """Backbone, weights and head."""

    backbone: str = Field(
        "",
        description="A name that `tfclassify backbones` lists, hub:<handle or SavedModel folder>, "
        "or keras_hub:<preset>. Either this or stack.",
    )
    weights: str = Field(
        "imagenet",
        description="imagenet, none, or a path to a weight file: .weights.h5, .h5, and for "
        "resnet18, resnet34 and efficientnet_lite* .pth or .safetensors. Hub modules have "
        "their own.",
    )
    weights_sha256: Checksum | None = Field(
        None, description="SHA-256 that the weight file must have, 64 hexadecimal digits."
    )
    stack: tuple[Annotated[StackMemberRecipe, BeforeValidator(to_backbone)], ...] = Field(
        (), description="Several backbones whose pooled features are joined under one head."
    )
    input_range: tuple[float, float] | None = Field(
        None,
        description="What a hub backbone takes for black and white, such as [0, 1] or "
        "[-1, 1]; it needs this. A keras_hub preset says it by itself.",
    )
    layers: tuple[LayerRecipe, ...] = Field((), description="Blocks of custom_cnn.")
    head: HeadRecipe = Field(HeadRecipe(), description="What is put on top.")
    batch_norm: Literal["auto", "frozen", "trained"] = Field(
        "auto", description="auto: frozen (inference mode) if the backbone is pretrained."
    )
