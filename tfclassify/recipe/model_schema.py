"""The section ``model`` of a recipe: backbone, weights and head.

Owns: its keys, types, defaults and meanings, and which keys go with which kind of backbone.
Does not own: anything that needs files, the network or TensorFlow (``backbones``, ``model``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from tfclassify.recipe.fields import Section, Share, to_backbone
from tfclassify.recipe.names import HUB, OUTSIDE_SOURCES, PRESET, is_backbone, list_backbone_names
from tfclassify.recipe.wording import KeyPath, find_nearest, show

if TYPE_CHECKING:
    from tfclassify.recipe.schema import Recipe


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
        "or keras_hub:<preset>. Either this or stack. An address may end in #sha256=<checksum of "
        "its archive>.",
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
    colour: Literal["rgb", "grey"] = Field(
        "rgb",
        description="grey: custom_cnn sees one channel; the images, which are given as ever, turn "
        "grey within the network.",
    )
    start_from: str = Field(
        "",
        description="A run, or a bundle, of the same network and classes; training begins with "
        "all of its weights.",
    )
    channels: dict[str, Annotated[int, Field(ge=1)]] = Field(
        {},
        description="Filters of the backbone's convolutions, by layer name, where they are fewer "
        "than its own; what `tfclassify compress --macs` finds. Weights come from start_from.",
    )
    padding: Literal["own", "symmetric"] = Field(
        "own",
        description="symmetric: strided convolutions are padded alike on every side, as sparse "
        "kernels for small devices need.",
    )
    head: HeadRecipe = Field(HeadRecipe(), description="What is put on top.")
    batch_norm: Literal["auto", "frozen", "trained"] = Field(
        "auto", description="auto: frozen (inference mode) if the backbone is pretrained."
    )


CUSTOM = "custom_cnn"
#: Words of ``weights`` that are no path.
WORDS = ("imagenet", "none")
Finding = tuple[KeyPath, str]


def check_model(recipe: Recipe) -> Iterator[Finding]:
    """Check the backbone or the stack, and all keys that belong to one kind of backbone."""
    model = recipe.model
    yield from _check_choice(model)
    yield from _check_layers(model)
    yield from _check_colour(model)
    if model.backbone:
        alone = StackMemberRecipe(
            backbone=model.backbone,
            weights=model.weights,
            weights_sha256=model.weights_sha256,
            input_range=model.input_range,
        )
        yield from _check_member(alone, ("model",))
    if model.stack:
        yield from _check_stack(model)
    yield from _check_rebuilt(model)
    yield from _check_trained_parts(recipe)


def _check_choice(model: ModelRecipe) -> Iterator[Finding]:
    path: KeyPath = ("model", "backbone")
    if model.stack and model.backbone:
        yield path, f"got {model.backbone!r} and a stack as well; remove one of the two"
    elif not model.stack and not model.backbone:
        yield path, "is missing; name a backbone that `tfclassify backbones` lists"


def _check_layers(model: ModelRecipe) -> Iterator[Finding]:
    path: KeyPath = ("model", "layers")
    if model.backbone == CUSTOM and not model.layers:
        yield path, f"backbone {CUSTOM!r} needs layers, got none; list its blocks"
    if not model.layers or model.backbone == CUSTOM:
        return
    is_outside = model.backbone.startswith(OUTSIDE_SOURCES)
    if model.stack or is_outside or is_backbone(model.backbone):
        got = "a stack" if model.stack else repr(model.backbone)
        yield path, f"layers belong to backbone {CUSTOM!r}, got {got}; remove one of the two"


def _check_colour(model: ModelRecipe) -> Iterator[Finding]:
    if model.colour != "rgb" and model.backbone != CUSTOM:
        got = "a stack" if model.stack else repr(model.backbone)
        yield (
            ("model", "colour"),
            f"{model.colour!r} belongs to backbone {CUSTOM!r}, since the others take three "
            f"channels, got {got}; remove it",
        )


def _check_stack(model: ModelRecipe) -> Iterator[Finding]:
    """Check the members, and that no key of a single backbone stands beside them."""
    path: KeyPath = ("model", "stack")
    if len(model.stack) < 2:
        yield path, f"needs at least 2 backbones, got {len(model.stack)}; use backbone for one"
    if model.weights != "imagenet":
        yield (
            ("model", "weights"),
            f"belongs to a single backbone, got {show(model.weights)} with a stack; write it "
            "beside the member: {backbone: …, weights: …}",
        )
    for key in ("weights_sha256", "input_range"):
        if getattr(model, key) is not None:
            yield (
                ("model", key),
                f"belongs to a single backbone, got a stack; write it beside the member: "
                f"{{backbone: …, {key}: …}}",
            )
    counts = Counter(member.backbone for member in model.stack)
    for number, member in enumerate(model.stack):
        place: KeyPath = (*path, number)
        yield from _check_member(member, place)
        if member.backbone == CUSTOM:
            yield (*place, "backbone"), f"{CUSTOM!r} cannot be stacked; name another backbone"
        elif member.backbone.startswith(HUB) and counts[member.backbone] > 1:
            yield (*place, "backbone"), f"{member.backbone!r} is stacked twice; once is enough"


def _check_rebuilt(model: ModelRecipe) -> Iterator[Finding]:
    """Check what makes another network of a backbone than the one that was published."""
    asked = {"channels": model.channels, "padding": model.padding != "own"}
    for key in (key for key, is_asked in asked.items() if is_asked):
        path: KeyPath = ("model", key)
        if model.stack or model.backbone.startswith(OUTSIDE_SOURCES):
            got = "a stack" if model.stack else repr(model.backbone)
            yield path, f"belongs to a single backbone of the catalog, got {got}; remove it"
    if model.channels and model.weights != "none" and not model.start_from:
        yield (
            ("model", "channels"),
            f"the weights {show(model.weights)} are those of the whole network; name a run or "
            "bundle of the smaller one as start_from, or write weights: none",
        )


def _check_member(member: StackMemberRecipe, path: KeyPath) -> Iterator[Finding]:
    """Check one backbone with its weights and its input range."""
    check = _check_catalog
    if member.backbone.startswith(HUB):
        check = _check_hub
    elif member.backbone.startswith(PRESET):
        check = _check_preset
    yield from ((path + tail, text) for tail, text in check(member))
    if member.weights_sha256 is not None and member.weights in WORDS:
        yield (
            (*path, "weights_sha256"),
            f"is the checksum of a weight file, got weights {member.weights!r}; give the file's "
            "path, or remove weights_sha256",
        )
    if member.input_range is not None and member.input_range[0] >= member.input_range[1]:
        yield (
            (*path, "input_range"),
            f"must rise from black to white, got {show(list(member.input_range))}",
        )


def _check_catalog(member: StackMemberRecipe) -> Iterator[Finding]:
    name = member.backbone
    if not is_backbone(name):
        names = list_backbone_names()
        nearest = find_nearest(name, names)
        hint = f"did you mean {nearest!r}?" if nearest is not None else ""
        listing = f"`tfclassify backbones` lists the {len(names)} known"
        yield ("backbone",), f"unknown backbone {name!r}; {hint or listing}"
    if member.input_range is not None:
        yield (
            ("input_range",),
            f"belongs to hub and keras_hub backbones, got {name!r}, which scales images by "
            "itself; remove it",
        )
    if name == CUSTOM and member.weights == "imagenet":
        yield (
            ("weights",),
            f"backbone {CUSTOM!r} has no 'imagenet' weights; write none, or a path to a file",
        )


def _check_hub(member: StackMemberRecipe) -> Iterator[Finding]:
    handle = member.backbone.removeprefix(HUB)
    if not handle or handle.startswith("http://"):
        yield (
            ("backbone",),
            f"{member.backbone!r} must name a folder or an https:// address of a module",
        )
    if member.input_range is None:
        yield (
            ("input_range",),
            f"is missing: {member.backbone!r} does not say what it takes for black and white; "
            "write [0, 1], [-1, 1] or what its page says",
        )
    if member.weights != "imagenet":
        yield (
            ("weights",),
            f"{member.backbone!r} comes with its own weights, got {show(member.weights)}; "
            "remove weights",
        )


def _check_preset(member: StackMemberRecipe) -> Iterator[Finding]:
    if not member.backbone.removeprefix(PRESET):
        yield ("backbone",), f"{member.backbone!r} must name a preset or the folder of one"
    if member.weights not in WORDS:
        yield (
            ("weights",),
            f"{member.backbone!r} comes with its own weights, got {show(member.weights)}; remove "
            "weights, or write none",
        )


def _check_trained_parts(recipe: Recipe) -> Iterator[Finding]:
    """Check that no phase counts the blocks or layers of a hub module, which has none."""
    names = [recipe.model.backbone, *(member.backbone for member in recipe.model.stack)]
    hubs = [name for name in names if name.startswith(HUB)]
    for number, phase in enumerate(recipe.phases):
        if hubs and not isinstance(phase.train, str):
            yield (
                ("phases", number, "train"),
                f"{hubs[0]!r} is one piece without blocks or layers; use head or all",
            )


def name_backbones(model: ModelRecipe) -> str:
    """Return what a report calls the backbone, or the backbones of a stack."""
    return " + ".join(member.backbone for member in model.stack) or model.backbone
