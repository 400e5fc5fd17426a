"""What must not leave the machine with a model, looked for in every file that would.

Owns: the patterns, opening the archives that models come in. Does not own: what is
published (``folder``), what is done about a finding (``workflows.publish``).
"""

from __future__ import annotations

import getpass
import os
import re
import socket
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: Files that people read; elsewhere a short name may stand by chance.
_TEXTS = (".json", ".md", ".txt", ".csv", ".yaml", ".yml", ".svg", ".py", ".html", ".pbtxt")
_ARCHIVES = (".keras", ".npz", ".zip")
#: More than any file within a model's archive; a larger one is not of a model.
_MOST_BYTES = 8 << 30
_SHORTEST_NAME = 4
#: Names that many machines and accounts share, and that say nothing of anybody.
_COMMON = {"root", "user", "users", "home", "admin", "ubuntu", "runner", "docker", "localhost"}
_PATTERNS = {
    "a path of a person's folder": re.compile(
        rb"(?:/home/|/Users/|/root/|/mnt/|/media/|[A-Za-z]:\\{1,2}Users\\{1,2})[\w.-]{2,}"
    ),
    "a token of the Hub": re.compile(rb"\bhf_[A-Za-z0-9]{30,}"),
    "a key of a cloud": re.compile(rb"\bAKIA[0-9A-Z]{16}\b"),
    "a private key": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
}
_FILE_NAME = re.compile(rb"[\w.()+-]+\.[A-Za-z0-9]{2,5}")


@dataclass(frozen=True)
class Finding:
    """Something private in a file that would be published.

    Attributes:
        file: The file, relative to the folder; within an archive ``archive: member``.
        kind: What it is.
        text: The words themselves, cut short.
    """

    file: str
    kind: str
    text: str


def search_private(
    folder: Path, *, paths: Iterable[Path] = (), data_files: Iterable[str] = ()
) -> list[Finding]:
    """Look into every file of a folder for what should stay at home.

    Args:
        folder: What would be published.
        paths: Folders and files whose absolute paths must not appear.
        data_files: Names of images that must not appear; none where they may.

    Returns:
        One finding for each kind and file, sorted by file.
    """
    places = {str(path.resolve()).encode() for path in (*paths, Path.home(), Path.cwd())}
    places = {place for place in places if place.count(b"/") > 1 or b"\\" in place}
    names = {os.fsencode(Path(name).name.split()[-1]) for name in data_files if name.strip()}
    people = _list_people()
    found = []
    for file, data in _read_all(folder):
        found += [Finding(file, kind, text) for kind, text in _search(data, places)]
        if file.lower().endswith(_TEXTS):
            found += [Finding(file, kind, text) for kind, text in _search_names(data, people)]
            listed = set(_FILE_NAME.findall(data)) & names
            found += [Finding(file, "a file of the data", _show(min(listed)))] if listed else []
    return sorted(found, key=lambda each: (each.file, each.kind))


def _search(data: bytes, places: set[bytes]) -> Iterator[tuple[str, str]]:
    for place in sorted(places):
        if place in data:
            yield "a path of this machine", _show(place)
            break
    for kind, pattern in _PATTERNS.items():
        if (hit := pattern.search(data)) is not None:
            text = hit[0] if kind.startswith("a path") else hit[0][:6] + b"..."
            yield kind, _show(text)
    secret = os.environ.get("HF_TOKEN", "").encode()
    if len(secret) > _SHORTEST_NAME and secret in data:
        yield "the token in HF_TOKEN", "..."


def _list_people() -> dict[str, re.Pattern[bytes]]:
    """Return patterns of the names of this account and machine, where they are telling."""
    names = {"the machine's name": socket.gethostname().split(".")[0]}
    with suppress(OSError, KeyError):  # an account without an entry, as in many containers
        names["the user's name"] = getpass.getuser()
    return {
        kind: re.compile(rb"(?<![\w-])" + re.escape(name.encode()) + rb"(?![\w-])")
        for kind, name in names.items()
        if len(name) >= _SHORTEST_NAME and name.lower() not in _COMMON
    }


def _search_names(data: bytes, people: dict[str, re.Pattern[bytes]]) -> Iterator[tuple[str, str]]:
    for kind, pattern in people.items():
        if (hit := pattern.search(data)) is not None:
            yield kind, _show(hit[0])


def _read_all(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of every file, those within archives too."""
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        name = path.relative_to(folder).as_posix()
        yield name, path.read_bytes()
        if path.suffix.lower() not in _ARCHIVES:
            continue
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.file_size <= _MOST_BYTES:
                    yield f"{name}: {member.filename}", archive.read(member)


def _show(text: bytes) -> str:
    return text[:80].decode("utf-8", "replace")
