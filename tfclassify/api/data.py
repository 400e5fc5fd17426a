"""Verbs that take images, and what a recipe may say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfclassify.api.parameters import AnyPath, Changes, Columns, Source, read_columns, read_path
from tfclassify.api.progress import choose_observer
from tfclassify.events import Observer

if TYPE_CHECKING:
    from tfclassify.workflows.inspect import InspectResult
    from tfclassify.workflows.pack import PackResult


def inspect(
    source: Source,
    *,
    set: Changes = (),
    columns: Columns = None,
    html: AnyPath | None = None,
    progress: bool | Observer = True,
) -> InspectResult:
    """Show what a data source holds: classes, sizes, colours and bad images.

    Args:
        source: A folder, archive, table or address, or a recipe, whose data is then read.
        set: Changes of the recipe, where one is given.
        columns: Which column of a table holds what, where it is taken wrongly:
            ``file=Id,label=Genre``; also group, split, weight, ``one_hot=A+B``.
        html: Page to write.
        progress: Whether to show any, or an ``Observer`` of your own.

    Raises:
        DataError: If the source cannot be read.
        RequestError: If there are changes without a recipe.
    """
    from tfclassify.workflows.inspect import InspectRequest, inspect_source
    from tfclassify.workflows.recipes import list_overrides

    page = read_path(html)
    observer = choose_observer(progress)
    request = InspectRequest(os.fspath(source), list_overrides(set), page, read_columns(columns))
    return inspect_source(request, observer)


def new(
    name: str,
    *,
    data: Source,
    out: AnyPath | None = None,
    columns: Columns = None,
    progress: bool | Observer = True,
) -> Path:
    """Write a commented recipe that fits the data.

    Args:
        name: Name of the recipe and of its runs.
        data: A folder, archive, table or address of images.
        out: Recipe to write, which must not be there yet; default: NAME.yaml.
        columns: Which column of a table holds what, where it is taken wrongly:
            ``file=Id,label=Genre``; also group, split, weight, ``one_hot=A+B``.
        progress: Whether to show any, or an ``Observer`` of your own.

    Returns:
        The recipe's path.

    Raises:
        RequestError: If the file is there already, or the images have no labels.
        DataError: If the source cannot be read.
    """
    from tfclassify.workflows.create import CreateRequest, create_recipe

    path = Path(f"{name}.yaml" if out is None else out)
    observer = choose_observer(progress)
    return create_recipe(
        CreateRequest(name, os.fspath(data), path, read_columns(columns)), observer
    )


def pack(
    source: Source,
    *,
    out: AnyPath,
    set: Changes = (),
    columns: Columns = None,
    shard_mb: int = 256,
    progress: bool | Observer = True,
) -> PackResult:
    """Pack the images of a source into shards: few large files with an index.

    The folder is a source like any other, here or behind an address, and trains to the same
    bits as what was packed. Other programs read the shards as TFRecord of ``tf.train.Example``.

    Args:
        source: A folder, archive, table or address, or a recipe, whose data is then packed.
        out: Folder to write, which must not be there yet.
        set: Changes of the recipe, where one is given.
        columns: Which column of a table holds what, where it is taken wrongly:
            ``file=Id,label=Genre``; also group, split, weight, ``one_hot=A+B``.
        shard_mb: Megabytes at which a shard is closed and the next begun.
        progress: Whether to show any, or an ``Observer`` of your own.

    Raises:
        RequestError: If the folder is there already, or there are changes without a recipe.
        DataError: If the source cannot be read.
    """
    from tfclassify.workflows.pack import PackRequest, pack_source
    from tfclassify.workflows.recipes import list_overrides

    observer = choose_observer(progress)
    request = PackRequest(
        os.fspath(source), Path(out), list_overrides(set), read_columns(columns), shard_mb
    )
    return pack_source(request, observer)


def schema() -> dict[str, Any]:
    """Give the JSON Schema of a recipe, for editors."""
    from tfclassify.recipe.reference import json_schema

    return json_schema()
