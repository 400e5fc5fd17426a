"""Backbones from outside of the catalog: ``hub:<handle>`` and ``keras_hub:<preset>``.

Owns: what is known of them before they are built. Does not own: the catalog, building
them (``hub_backbone``, ``presets``). Imports neither TensorFlow nor KerasHub.
"""

from __future__ import annotations

from tfclassify.backbones.catalog import BackboneSpec, BlockRule, get_backbone
from tfclassify.backbones.contracts import InputContract
from tfclassify.backbones.hub_modules import PREFIX as HUB
from tfclassify.backbones.origins import HubNetwork, PresetNetwork
from tfclassify.errors import ModelError

PRESET = "keras_hub:"
#: A module is one piece, and of a preset's layers nothing is known.
_NO_BLOCKS = BlockRule(r"^(?!)")
_SIZE = (224, 224)


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
    title = handle.rstrip("/").rpartition("/")[2] or handle
    return BackboneSpec(
        name,
        f"TF-Hub {title}",
        declare_range(*input_range),
        _SIZE,
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
        _SIZE,
        1,
        None,
        BlockRule(r"^(?:[a-z]+_)??((?:stack|stage|block|layer)_?\d+(?:_block_?\d+)?)(?:_|$)"),
        PresetNetwork(preset),
    )
