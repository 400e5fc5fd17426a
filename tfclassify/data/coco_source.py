"""Reads COCO instance annotations as the labels of whole images.

Owns: the JSON and its faults, which boxes count, matching images to files. Does not own:
finding the files (``sources``), which labels are kept (``labels``).

The format is that of https://cocodataset.org/#format-data, "object detection": lists of
``images``, ``categories`` and ``annotations``, each of which is one box with a category.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tfclassify.data.csv_source import merge_repeated
from tfclassify.data.folders import (
    Listing,
    Row,
    clean_path,
    is_image_file,
    name_image,
    walk_files,
)
from tfclassify.data.integrity import Finding
from tfclassify.errors import SourceError
from tfclassify.recipe.schema import CocoRecipe
from tfclassify.recipe.wording import suggest

_SURROGATE = re.compile(r"[\ud800-\udfff]")
#: What each kind of entry must hold.
_ENTRIES: dict[str, dict[str, type]] = {
    "categories": {"id": int, "name": str},
    "images": {"id": int, "file_name": str},
    "annotations": {"image_id": int, "category_id": int},
}
#: Parts of an entry that are not read, and most of a file.
_UNREAD = ("segmentation", "caption", "keypoints", "coco_url", "flickr_url")


class Annotations(NamedTuple):
    """One file of annotations.

    Attributes:
        path: The JSON.
        shown: What to call it in messages.
        split: Split of its images.
    """

    path: Path
    shown: str
    split: Literal["train", "validation", "test"]


def read_coco_source(files: list[Annotations], root: Path, shown: str, coco: CocoRecipe) -> Listing:
    """Read annotated images.

    Args:
        files: The annotations, in the order of their splits.
        root: Folder of the source, which ``coco.images`` and stable names are relative to.
        shown: What to call the source in messages.
        coco: Folders of the images, and which boxes give labels.

    Returns:
        One row an image, with the names of the categories of its boxes; none where it has
        no boxes. Images that are annotated but absent have the fault ``missing``; images
        that are there but not annotated are findings.

    Raises:
        SourceError: If a file is no such JSON, its parts contradict one another, or none
            of its images is there.
    """
    listing = Listing(is_multi_label=True)
    names: dict[int, str] = {}
    rows: dict[str, Row] = {}
    on_disk: dict[str, str] = {}
    for file in files:
        content = _load(file)
        _gather_names(content["categories"], names, file.shown)
        labels = _gather_labels(content, names, coco, file.shown)
        folder = _find_folder(file, root, shown, coco)
        on_disk |= _list_images(root / folder, root)
        found = _read_images(content["images"], labels, file, folder)
        _check_found(found, on_disk, file)
        for row in found:
            row = row._replace(
                path=on_disk.get(row.image, f"{root.as_posix()}/{row.image}"),
                fault="" if row.image in on_disk else "missing",
            )
            first = rows.get(row.image)
            rows[row.image] = merge_repeated(listing, first, row) if first else row
    listing.rows = list(rows.values())
    listing.classes = tuple(dict.fromkeys(names[number] for number in sorted(names)))
    listing.findings += [
        Finding(image, "orphan", "has no entry in the annotations")
        for image in on_disk
        if image not in rows
    ]
    return listing


def _load(file: Annotations) -> dict[str, Any]:
    """Read a file, and check the form of every entry."""
    try:
        with file.path.open(encoding="utf-8") as stream:
            content = json.load(stream, object_hook=_slim)
    except (ValueError, RecursionError) as error:
        raise SourceError(
            f"{file.shown}: the annotations are no valid JSON ({error}); download them again"
        ) from error
    except OSError as error:
        raise SourceError(
            f"{file.shown}: the annotations cannot be read ({error.strerror})"
        ) from error
    for kind, keys in _ENTRIES.items():
        entries = content.get(kind) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise SourceError(
                f"{file.shown}: there is no list {kind!r}; expected COCO's instance annotations, "
                "such as instances_val2017.json"
            )
        for number, entry in enumerate(entries):
            _check_entry(entry, keys, f"{file.shown}, {kind}[{number}]")
    return dict(content)


def _slim(entry: dict[str, Any]) -> dict[str, Any]:
    """Forget what is not read as soon as it is parsed: outlines are most of a file."""
    for key in _UNREAD:
        entry.pop(key, None)
    return entry


def _check_entry(entry: Any, keys: Mapping[str, type], place: str) -> None:
    for key, kind in keys.items():
        value = entry.get(key) if isinstance(entry, dict) else None
        if not isinstance(value, kind) or isinstance(value, bool) or value == "":
            allowed = "a whole number" if kind is int else "a text"
            raise SourceError(f"{place}: {key!r} must be {allowed}, got {value!r:.60}")
        if isinstance(value, str) and _SURROGATE.search(value):
            raise SourceError(f"{place}: {key!r} holds half of a character, got {value!r:.60}")


def _gather_names(entries: list[dict[str, Any]], names: dict[int, str], shown: str) -> None:
    """Add the categories of a file to those of the others."""
    for entry in entries:
        name = entry["name"].strip()
        if names.setdefault(entry["id"], name) != name:
            raise SourceError(
                f"{shown}: category {entry['id']} is {name!r}, but was {names[entry['id']]!r} "
                "before; use annotations of one set"
            )


def _gather_labels(
    content: dict[str, Any], names: Mapping[int, str], coco: CocoRecipe, shown: str
) -> dict[int, dict[str, None]]:
    """Return the labels of every image id, in order and each once."""
    labels: dict[int, dict[str, None]] = {entry["id"]: {} for entry in content["images"]}
    for number, box in enumerate(content["annotations"]):
        place = f"{shown}, annotations[{number}]"
        if box["image_id"] not in labels:
            raise SourceError(f"{place}: there is no image {box['image_id']}")
        if box["category_id"] not in names:
            raise SourceError(f"{place}: there is no category {box['category_id']}")
        if (coco.crowds or not box.get("iscrowd")) and _measure(box, coco, place) >= coco.min_area:
            labels[box["image_id"]][names[box["category_id"]]] = None
    return labels


def _measure(box: dict[str, Any], coco: CocoRecipe, place: str) -> float:
    """Return a box's width times height in square pixels, where that matters."""
    if not coco.min_area:
        return 0.0
    sides = box.get("bbox")
    if not (
        isinstance(sides, list)
        and len(sides) == 4
        and all(isinstance(side, (int, float)) and not isinstance(side, bool) for side in sides)
    ):
        raise SourceError(
            f"{place}: 'bbox' must be [x, y, width, height], got {sides!r:.60}; it is needed for "
            "data.coco.min_area"
        )
    width, height = sides[2:]  # a whole number of any length is compared as it is
    return width * height


def _find_folder(file: Annotations, root: Path, shown: str, coco: CocoRecipe) -> str:
    """Return the folder that a file's image names start at, relative to the source."""
    wanted = coco.images[file.split]
    folder = wanted if wanted == "." else clean_path(wanted)
    if folder is not None and (root / folder).is_dir():
        return folder
    siblings = [path.name for path in root.iterdir() if path.is_dir()]
    raise SourceError(
        f"{shown}: there is no folder {wanted!r} (data.coco.images.{file.split}) for the images of "
        f"{file.path.name}; unpack them there{suggest(wanted, siblings)}"
    )


def _read_images(
    entries: list[dict[str, Any]],
    labels: Mapping[int, dict[str, None]],
    file: Annotations,
    folder: str,
) -> list[Row]:
    """Return a row for every image of a file."""
    rows = []
    for number, entry in enumerate(entries):
        place = f"{file.shown}, images[{number}]"
        name = clean_path(entry["file_name"])
        if name is None:
            raise SourceError(
                f"{place}: file {entry['file_name']!r} lies outside of the images folder; allowed "
                "are paths inside it"
            )
        image = name if folder == "." else f"{folder}/{name}"
        rows.append(Row(image, "", place, split=file.split, labels=tuple(labels[entry["id"]])))
    return rows


def _list_images(folder: Path, root: Path) -> dict[str, str]:
    """Return the images in a folder by stable name, with where they are."""
    return {name_image(path, root): path for path in walk_files(folder) if is_image_file(path)}


def _check_found(rows: list[Row], on_disk: Mapping[str, str], file: Annotations) -> None:
    """Raise if a file names no images, or none of them is there."""
    if not rows:
        raise SourceError(f"{file.shown}: the annotations name no images")
    if not any(row.image in on_disk for row in rows):
        raise SourceError(
            f"{file.shown}: none of its {len(rows):,} images is on disk, the first is "
            f"{rows[0].image!r}; set data.coco.images.{file.split} to the folder that the names "
            "start at"
        )
