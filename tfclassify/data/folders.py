"""Files on disk: walking folders, and what a layout of them says.

Owns: walking a folder without the junk that systems leave in it, stable image names, the
rows that every reader makes, and reading folders of images. Does not own: finding the
folder (``sources``), tables (``csv_source``).

    root/<class>/**.jpg                      folder per class
    root/<train|validation|test>/<class>/**  the source's own split
    root/*.jpg                               no classes: unlabelled images
    root/<anything>/<one of the above>       a wrapping folder, as archives have
"""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from tfclassify.data.formats import recognise
from tfclassify.data.images import ENDINGS
from tfclassify.data.integrity import Finding
from tfclassify.errors import AbsentSourceError, SourceError

#: How folders and tables call the splits, in lower case.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}
#: The year that COCO writes behind a split.
_YEAR = re.compile(r"[-_ ]?(19|20)\d\d$")
#: Images that are not read, but that are reported instead of passed over.
_ENDINGS = (*ENDINGS, ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".jxl")
_get_name = attrgetter("name")
_JUNK = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin"}


class Row(NamedTuple):
    """One image that a source names.

    Attributes:
        image: Stable name: POSIX path relative to the source.
        path: Where the file should be.
        place: Where the source says so, for messages.
        label: Label as written; empty if there is none, or if there may be several.
        group: Rows of one group never straddle a split; empty if none.
        split: ``train``, ``validation``, ``test`` or empty.
        weight: Per-image weight.
        fault: Kind of the fault that bars the image, empty if none is known yet.
        labels: Labels as written, where an image may have several.
        flags: Marks of the image, in the order of ``data.flags``.
        remark: What is to be said of it in the index; empty if nothing.
        sha256: That its file must have; empty where the source does not say.
    """

    image: str
    path: str
    place: str
    label: str = ""
    group: str = ""
    split: str = ""
    weight: float = 1.0
    fault: str = ""
    labels: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    remark: str = ""
    sha256: str = ""


@dataclass
class Listing:
    """What a reader found: rows for the index, and what it left out.

    Attributes:
        rows: The images.
        findings: What was left out or remarked on.
        is_multi_label: Whether an image may have several labels, which are in ``labels``.
        classes: Every label in the order of a source that has one, such as columns.
    """

    rows: list[Row] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    is_multi_label: bool = False
    classes: tuple[str, ...] = ()


def find_split(name: str) -> str | None:
    """Return the split that a source means, such as ``validation`` for ``val2017``."""
    name = name.lower()
    return SPLIT_NAMES.get(name, SPLIT_NAMES.get(_YEAR.sub("", name)))


def clean_path(value: str) -> str | None:
    """Return a path as a table writes it in POSIX form; None if it leads outside."""
    name = unicodedata.normalize("NFC", value.replace("\\", "/"))
    name = posixpath.normpath(name)
    return None if name.startswith(("/", "../")) or name in {".", ".."} or "\0" in name else name


def is_junk(name: str) -> bool:
    """Say whether a file or folder is hidden or left behind by a system."""
    return name.startswith(".") or name.lower() in _JUNK


def is_image_file(path: str) -> bool:
    """Say whether a file announces an image: by its ending, or by content without one."""
    name = path.rpartition("/")[2]
    if "." in name:
        return name.lower().endswith(_ENDINGS)
    if not is_file(path):
        return False
    try:
        with Path(path).open("rb") as stream:
            return recognise(stream.read(16)) is not None
    except OSError:
        return False


def is_file(path: str) -> bool:
    """Say whether a path leads to a plain file, also where no path can be so long."""
    try:
        return Path(path).is_file()
    except OSError:
        return False


def has_images(folder: Path, *, is_deep: bool = True) -> bool:
    """Say whether a folder holds an image; ``is_deep`` looks into subfolders."""
    files = walk_files(folder, is_deep=is_deep, is_sorted=False)
    return any(is_image_file(path) for path in files)


def list_folders(folder: Path) -> list[Path]:
    """Return the subfolders that are not junk, sorted by name."""
    return sorted(path for path in folder.iterdir() if not is_junk(path.name) and path.is_dir())


def walk_files(
    folder: Path,
    *,
    is_deep: bool = True,
    is_sorted: bool = True,
    on_fault: Callable[[str, OSError], None] | None = None,
) -> Iterator[str]:
    """Yield the files that are not junk, as POSIX paths, by folder and name.

    Args:
        folder: Where to start.
        is_deep: Whether to enter subfolders. Linked ones too, but each real one once.
        is_sorted: Whether their order matters; without it a large folder is read sooner.
        on_fault: Told of each folder that cannot be read; without it such a folder raises.

    Raises:
        OSError: If a folder cannot be read, and nobody is to be told.
    """
    # Strings, since a million Path objects take a minute to make and compare.
    key = _get_name if is_sorted else None
    return _walk(folder.as_posix(), is_deep, key, set(), on_fault)


def _walk(
    folder: str,
    is_deep: bool,
    key: Callable[[os.DirEntry[str]], str] | None,
    seen: set[str],
    on_fault: Callable[[str, OSError], None] | None,
) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    try:
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=key) if key else list(entries)
    except OSError as error:
        if on_fault is None:
            raise
        on_fault(folder, error)
        return
    for entry in ordered:
        if is_junk(entry.name):
            continue
        if not entry.is_dir():
            yield f"{folder}/{entry.name}"
        elif is_deep:
            yield from _walk(f"{folder}/{entry.name}", is_deep, key, seen, on_fault)


def name_image(path: str, root: Path) -> str:
    """Return the stable name of a file or folder: its POSIX path relative to ``root``.

    Composed and decomposed accents count as one, since systems disagree on them.

    Raises:
        SourceError: If the name is not valid text.
    """
    return _name_from(path, root.as_posix())


def _name_from(path: str, root: str) -> str:
    """Return the stable name, as ``name_image``; a root as text is soon taken off many."""
    name = path.removeprefix(root).lstrip("/")
    if path.isascii():
        return name
    try:
        path.encode("utf-8")  # an index holds the path as well
    except UnicodeEncodeError:
        raise SourceError(f"{path!a}: the name is not valid UTF-8; rename it") from None
    return unicodedata.normalize("NFC", name)


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
        AbsentSourceError: If there is no image in it.
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
        raise _miss_images(root, shown)
    return listing


def list_classes(root: Path, shown: str, known_labels: Collection[str] = ()) -> set[str]:
    """Return the labels that ``read_folder`` gives, without listing every image.

    Args:
        root: The folder.
        shown: What to call it in messages.
        known_labels: As for ``read_folder``.

    Returns:
        The classes; empty where the images have no labels.

    Raises:
        AbsentSourceError: If there is no image in it.
    """
    root = unwrap(root, known_labels)
    layers = _find_split_folders(root) or [root]
    classes = {
        name_image(child.as_posix(), layer)
        for layer in layers
        for child in list_folders(layer)
        if has_images(child)
    }
    if not classes and not has_images(root):
        raise _miss_images(root, shown)
    return classes


def _miss_images(root: Path, shown: str) -> AbsentSourceError:
    packed = [path for path in walk_files(root) if path.lower().endswith((".zip", ".tar"))]
    advice = (
        f"unpack {name_image(packed[0], root)!r} in it first"
        if packed
        else "expected a folder per class with images, or folders train, validation and test "
        "with a folder per class in each"
    )
    return AbsentSourceError(f"{shown}: there are no images in it; {advice}")


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
    start = root.as_posix()
    for child in list_folders(folder):
        label = name_image(child.as_posix(), folder)
        before = len(listing.rows)
        for path in walk_files(child):
            name = _name_from(path, start)
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
    start = root.as_posix()
    for path in walk_files(root):
        if is_image_file(path):
            image = _name_from(path, start)
            listing.rows.append(Row(image, path, f"{shown}/{image}"))


def _leave_out(listing: Listing, folder: Path, root: Path, why: str) -> None:
    for path in walk_files(folder):
        if is_image_file(path):
            _add_unlabelled(listing, path, root, why)


def _add_unlabelled(listing: Listing, path: str, root: Path, why: str) -> None:
    listing.findings.append(Finding(name_image(path, root), "unlabelled", why))
