"""Verbs that take networks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from tfclassify.api.parameters import AnyPath, Size, Source
from tfclassify.api.progress import choose_observer
from tfclassify.errors import RequestError
from tfclassify.events import Observer

if TYPE_CHECKING:
    from tfclassify.workflows.backbones import BackboneExport, BackboneRow
    from tfclassify.workflows.profile import Profiled


@overload
def backbones() -> tuple[BackboneRow, ...]: ...


@overload
def backbones(
    name: str | None,
    *,
    export: AnyPath | None,
    image_size: Size | None = None,
    weights: str = "imagenet",
    progress: bool | Observer = True,
) -> tuple[BackboneRow, ...] | BackboneExport: ...


def backbones(
    name: str | None = None,
    *,
    export: AnyPath | None = None,
    image_size: Size | None = None,
    weights: str = "imagenet",
    progress: bool | Observer = True,
) -> tuple[BackboneRow, ...] | BackboneExport:
    """List the backbones: parameters, input size, source, weights here; or export one.

    Args:
        name: Backbone to export; without ``export``, all are listed.
        export: Folder to write the backbone's features to, as a TensorFlow Hub module.
        image_size: Pixels it takes: 160, or 160x192, height first.
        weights: ``imagenet``, ``none``, or a weight file.
        progress: Whether to show any, or an ``Observer`` of your own.

    Raises:
        RequestError: If there is no such backbone, or one of ``name`` and ``export`` is
            missing.
        WeightsError: If the weights cannot be had.
    """
    from tfclassify.workflows.backbones import (
        BackboneExportRequest,
        export_backbone,
        list_backbones,
    )
    from tfclassify.workflows.profile import parse_sizes

    if name is None or export is None:
        if name is not None or export is not None:
            raise RequestError("backbones: NAME and --export FOLDER go together; give both")
        return list_backbones()
    size = next(iter(parse_sizes(_word_size(image_size), None)), None)
    observer = choose_observer(progress)
    return export_backbone(BackboneExportRequest(name, Path(export), size, weights), observer)


@overload
def profile(
    target: Source,
    /,
    *,
    image_size: Size | None = None,
    batch_size: int = 1,
    latency: bool = True,
    device: str | None = None,
    depth: int | None = None,
    sort: str | None = None,
    top: int | None = None,
    sweep: None = None,
    progress: bool | Observer = True,
) -> Profiled: ...


@overload
def profile(
    *targets: AnyPath,
    image_size: Size | None = None,
    batch_size: int = 1,
    latency: bool = True,
    device: str | None = None,
    depth: int | None = None,
    sort: str | None = None,
    top: int | None = None,
    sweep: str | None = None,
    progress: bool | Observer = True,
) -> tuple[Profiled, ...]: ...


def profile(
    *targets: AnyPath,
    image_size: Size | None = None,
    batch_size: int = 1,
    latency: bool = True,
    device: str | None = None,
    depth: int | None = None,
    sort: Literal["macs", "flops", "params", "latency", "activation"] | str | None = None,
    top: int | None = None,
    sweep: str | None = None,
    progress: bool | Observer = True,
) -> Profiled | tuple[Profiled, ...]:
    """Say what each layer of a network costs: operations, memory, receptive field, time.

    Args:
        *targets: Backbones, recipes, runs, .keras files, SavedModel folders, TensorFlow Hub
            addresses; default: the newest run. Several are compared.
        image_size: Pixels: 224, or 160x192, height first.
        batch_size: Images a timed run.
        latency: Measure times; without, operations are only counted.
        device: ``cpu``, ``gpu:0`` and so on; default: a GPU if there is one.
        depth: Fold layers to this depth: 1 for blocks.
        sort: What the layers are sorted by, most expensive first.
        top: List so many layers, the most expensive ones.
        sweep: One profile for each size, such as ``image_size=96,224``.
        progress: Whether to show any, or an ``Observer`` of your own.

    Returns:
        The profile of one target; a tuple of them for several, or for a sweep.

    Raises:
        RequestError: If a target is unknown, or its size is not fixed.
        ProfileError: If a model cannot be loaded or run.
    """
    from tfclassify.workflows.profile import ProfileRequest, parse_sizes, profile_targets

    sizes = parse_sizes(_word_size(image_size), sweep)
    names = tuple(os.fspath(target) for target in targets)
    observer = choose_observer(progress)
    request = ProfileRequest(names, sizes, batch_size, latency, device, depth, sort, top)
    found = profile_targets(request, observer)
    return found[0] if len(targets) < 2 and sweep is None else found


def _word_size(size: Size | None) -> str | None:
    if isinstance(size, tuple):
        return "x".join(map(str, size))
    return None if size is None else str(size)
