"""``pack``: put the images of a source into a few large files that any of them is read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tfclassify.data.columns import conclude_source
from tfclassify.data.readers import read_listing
from tfclassify.data.shards import write_shards
from tfclassify.data.sources import find_source
from tfclassify.errors import RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.files import build_folder, hash_file
from tfclassify.recipe.loading import load_recipe
from tfclassify.recipe.schema import DataRecipe
from tfclassify.workflows.recipes import is_source
from tfclassify.workflows.start import verb


@dataclass(frozen=True)
class PackRequest:
    """What to pack.

    Attributes:
        source: A folder, archive, table or address, or a recipe, whose data is then packed.
        out: Folder of the shards, which must not be there yet.
        overrides: ``key=value`` texts, where a recipe is given.
        columns: Which column of a table holds what, for images without a recipe.
        shard_mb: Megabytes at which a shard is closed.
    """

    source: str
    out: Path
    overrides: tuple[str, ...] = ()
    columns: Mapping[str, str | None] = field(default_factory=dict)
    shard_mb: int = 256


@dataclass(frozen=True)
class PackResult:
    """What was packed.

    Attributes:
        out: Folder of the shards.
        images: Images in them.
        left_out: Images that could not be read; the index names each with its fault.
        shards: Number of shards.
        size_bytes: Of all shards.
        remarks: What the source, and each column of its table, was taken for.
    """

    out: Path
    images: int
    left_out: int
    shards: int
    size_bytes: int
    remarks: tuple[str, ...] = ()


@verb
def pack_source(request: PackRequest, observer: Observer = SILENT) -> PackResult:
    """Write a source's images, as their files are, with labels, groups and splits into shards.

    Raises:
        RequestError: If the folder is there already, or a number or change makes no sense.
        RecipeError: If the recipe is wrong.
        DataError: If the source cannot be read.
    """
    if request.shard_mb < 1:
        raise RequestError(f"--shard-mb: must be at least 1, got {request.shard_mb}")
    if request.out.exists():
        raise RequestError(
            f"{request.out}: is there already and is not overwritten; name another with --out"
        )
    data, remarks = _open_data(request, observer)
    # Weights of marks are the recipe's to give; the shards keep the images' own.
    plain = data.model_copy(update={"flag_weights": {}})
    source = find_source(plain, observer=observer)
    if source.shards is not None:
        raise RequestError(f"{request.source}: is packed already; pack what it was made from")
    listing = read_listing(source, plain, observer)
    given = Path(data.source).expanduser()
    is_archive = source.table != given and given.is_file()
    with build_folder(request.out) as folder:
        facts = write_shards(
            listing,
            folder,
            data,
            sha256=data.sha256 or (hash_file(given) if is_archive else None),
            shard_bytes=request.shard_mb * 1_000_000,
            observer=observer,
        )
    size = sum(shard.size for shard in facts.shards)
    left_out = facts.images - facts.packed
    if left_out:
        observer.on_warning(
            f"{request.source}: {left_out:,} of {facts.images:,} images could not be read and are "
            "in no shard; `tfclassify inspect` names them"
        )
    return PackResult(request.out, facts.packed, left_out, len(facts.shards), size, remarks)


def _open_data(request: PackRequest, observer: Observer) -> tuple[DataRecipe, tuple[str, ...]]:
    if not is_source(request.source):
        return load_recipe(Path(request.source), request.overrides).data, ()
    if request.overrides:
        raise RequestError(
            f"pack --set: {request.source} is no recipe; name a recipe, whose keys can be set"
        )
    concluded = conclude_source(request.source, request.columns, observer)
    return DataRecipe(**concluded.data), concluded.remarks
