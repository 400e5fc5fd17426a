"""Reads folders of images: one folder a class, split folders, or no classes at all.

Owns: what a layout of folders means. Does not own: finding the folder (``sources``).

    root/<class>/**.jpg                      folder per class
    root/<train|validation|test>/<class>/**  the source's own split
    root/*.jpg                               no classes: unlabelled images
    root/<anything>/<one of the above>       a wrapping folder, as archives have
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tfclassify.data.integrity import Finding
from tfclassify.data.listing import (
    SPLIT_NAMES,
    Listing,
    Row,
    has_images,
    is_image_file,
    list_folders,
    name_image,
    walk_files,
)
from tfclassify.errors import SourceError


def read_folder(root: Path, shown: str, known_labels: Collection[str] = ()) -> Listing:
    """Read a folder of images.

    Args:
        root: The folder.
        shown: What to call it in messages.
        known_labels: Labels that the recipe names. A lone folder with such a name is a
            class and not a wrapping.

    Returns:
        Rows with labels and splits, unlabelled if there are no class folders.

    Raises:
        SourceError: If there is no image in it.
    """
    root = unwrap(root, known_labels)
    listing = Listing()
    split_folders = _find_split_folders(root)
    if split_folders:
        for folder in list_folders(root):
            if folder in split_folders:
                split = SPLIT_NAMES[folder.name.lower()]
                _read_classes(listing, folder, root, shown, split)
            else:
                _leave_out(listing, folder, root, "lies outside of the split folders")
    elif _has_class_folders(root):
        _read_classes(listing, root, root, shown, "")
    else:
        _read_flat(listing, root, shown)
    if not listing.rows:
        packed = [path for path in walk_files(root) if path.lower().endswith((".zip", ".tar"))]
        advice = (
            f"unpack {name_image(packed[0], root)!r} in it first"
            if packed
            else "expected a folder per class with images, or folders train, validation and test "
            "with a folder per class in each"
        )
        raise SourceError(f"{shown}: there are no images in it; {advice}")
    return listing


def unwrap(root: Path, known_labels: Collection[str] = ()) -> Path:
    """Step into a folder's only subfolder, as long as there is nothing else to read."""
    return list_wrappings(root, known_labels)[-1]


def list_wrappings(root: Path, known_labels: Collection[str] = ()) -> list[Path]:
    """Return the folder, its only subfolder, the only subfolder of that, and so on.

    It ends where images lie, or several folders, or a folder that the recipe names as a
    class.
    """
    roots = [root]
    while not has_images(roots[-1], is_deep=False):
        folders = list_folders(roots[-1])
        if len(folders) != 1 or folders[0].name in known_labels:
            break
        roots.append(folders[0])
    return roots


def _has_class_folders(folder: Path) -> bool:
    """Say whether some subfolder holds an image, at any depth."""
    return any(has_images(child) for child in list_folders(folder))


def _find_split_folders(root: Path) -> list[Path]:
    """Return the folders that are splits; none if they are to be read as classes.

    ``train`` may be a class of vehicles: it is a split if it holds folders and no images.
    """
    folders = list_folders(root)
    named = [folder for folder in folders if folder.name.lower() in SPLIT_NAMES]
    layered = [folder for folder in named if _is_layered(folder)]
    has_train = any(SPLIT_NAMES[folder.name.lower()] == "train" for folder in layered)
    return named if has_train or (layered and len(named) == len(folders)) else []


def _is_layered(folder: Path) -> bool:
    """Say whether a folder holds folders of images and no images itself."""
    return not has_images(folder, is_deep=False) and _has_class_folders(folder)


def _read_classes(listing: Listing, folder: Path, root: Path, shown: str, split: str) -> None:
    """Add the images of every class folder in ``folder``."""
    for child in list_folders(folder):
        label = name_image(child.as_posix(), folder)
        before = len(listing.rows)
        for path in walk_files(child):
            name = name_image(path, root)
            if is_image_file(path):
                listing.rows.append(Row(name, path, f"{shown}/{name}", label, split=split))
            else:
                listing.findings.append(Finding(name, "other_file", "is no image file"))
        if len(listing.rows) == before:
            place = name_image(child.as_posix(), root)
            listing.findings.append(
                Finding("", "few_images", f"class folder {place!r} holds no images")
            )
    for path in walk_files(folder, is_deep=False):
        if is_image_file(path):
            _add_unlabelled(listing, path, root, "lies outside of the class folders")


def _read_flat(listing: Listing, root: Path, shown: str) -> None:
    """Add every image without a label."""
    for path in walk_files(root):
        if is_image_file(path):
            image = name_image(path, root)
            listing.rows.append(Row(image, path, f"{shown}/{image}"))


def _leave_out(listing: Listing, folder: Path, root: Path, why: str) -> None:
    for path in walk_files(folder):
        if is_image_file(path):
            _add_unlabelled(listing, path, root, why)


def _add_unlabelled(listing: Listing, path: str, root: Path, why: str) -> None:
    listing.findings.append(Finding(name_image(path, root), "unlabelled", why))
