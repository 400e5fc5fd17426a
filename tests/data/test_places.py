from __future__ import annotations

import builtins
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tfclassify.data import places
from tfclassify.data.places import (
    Mark,
    Stretch,
    find_stretch,
    hash_image,
    make_absolute,
    open_file_system,
    read_bytes,
    read_image_file,
    read_remote,
    stat_image,
)
from tfclassify.errors import AbsentSourceError, ImageError, MissingExtraError, SourceError

NAME = "images-00000.tfrecord"


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    system.pipe_file("/bucket/" + NAME, b"0123456789")
    yield system
    system.rm("/bucket", recursive=True)


def test_an_address_is_written_and_read_back() -> None:
    stretch = Stretch(f"a#b/{NAME}", 4, 3)
    assert stretch.address("daisy/1.jpg") == f"a#b/{NAME}#4+3/daisy/1.jpg"
    assert find_stretch(stretch.address("daisy/1.jpg")) == stretch
    assert find_stretch(Path(stretch.address("1.jpg"))) == stretch
    assert find_stretch(f"a/{NAME}") is None
    assert find_stretch("photos/daisy#1/1.jpg") is None


def test_a_path_object_keeps_an_address() -> None:
    address = Stretch(f"s3://bucket/{NAME}", 4, 3).address("1.jpg")
    assert find_stretch(Path(address)) == find_stretch(address)
    assert make_absolute(address) == address
    assert make_absolute("a.jpg") == str(Path.cwd() / "a.jpg")


def test_a_stretch_of_a_local_shard_is_read_hashed_and_dated(tmp_path: Path) -> None:
    shard = tmp_path / NAME
    shard.write_bytes(b"0123456789")
    path = Stretch(str(shard), 4, 3).address("1.jpg")
    assert read_bytes(path) == b"456"
    assert read_image_file(path, 100) == b"456"
    assert hash_image(path) == hashlib.sha256(b"456").hexdigest()
    assert stat_image(path) == Mark(3, shard.stat().st_mtime_ns)
    assert stat_image(str(tmp_path)) is None
    assert stat_image(str(tmp_path / "none.jpg")) is None


def test_a_stretch_behind_an_address_is_read_hashed_and_dated(memory: Any) -> None:
    path = Stretch(f"memory://bucket/{NAME}", 4, 3).address("1.jpg")
    assert read_bytes(path) == read_bytes(Path(path)) == b"456"
    assert hash_image(path) == hashlib.sha256(b"456").hexdigest()
    mark = stat_image(path)
    assert mark is not None
    assert mark.size == 3
    assert mark.changed < 0
    assert stat_image(Stretch(f"memory://bucket/no/{NAME}", 4, 3).address("1.jpg")) is None


def test_files_by_address_are_read_like_those_by_path(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"0123456789")
    assert read_remote(f"file://{tmp_path}/{NAME}", 4, 7) == b"456"
    assert read_bytes(Stretch(f"file://{tmp_path}/{NAME}", 4, 3).address("1.jpg")) == b"456"


@pytest.mark.parametrize("home", ["", "memory://bucket"])
def test_a_shard_that_ends_too_early_is_named(home: str, tmp_path: Path, memory: Any) -> None:
    (tmp_path / NAME).write_bytes(b"0123456789")
    path = Stretch(f"{home or tmp_path}/{NAME}", 8, 3).address("1.jpg")
    with pytest.raises(ImageError, match=r"images-00000\.tfrecord is cut short: it ends within"):
        read_image_file(path, 100)


def test_a_shard_that_is_gone_is_a_missing_image(tmp_path: Path, memory: Any) -> None:
    for home in (str(tmp_path), "memory://bucket/none"):
        with pytest.raises(ImageError, match="there is no such file") as caught:
            read_image_file(Stretch(f"{home}/{NAME}", 8, 3).address("1.jpg"), 100)
        assert caught.value.kind == "missing"


def test_more_bytes_than_the_pixels_could_have_are_not_read() -> None:
    path = Stretch(NAME, 0, 1 << 40).address("1.jpg")
    with pytest.raises(ImageError, match=r"raise data\.max_pixels"):
        read_image_file(path, 100)


@pytest.mark.parametrize("address", ["reference://x", "github://a:b@/x", "ftp://host/x", "S4://x"])
def test_only_some_kinds_of_addresses_are_read(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_open_scheme", lambda *_: pytest.fail("it was opened"))
    scheme = address.partition(":")[0]
    with pytest.raises(AbsentSourceError, match=rf"not read from {scheme}://, allowed are s3://, "):
        open_file_system(address)


def test_a_kind_of_address_that_this_fsspec_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("Protocol not known: oci")

    monkeypatch.setattr(places, "_open_scheme", refuse)
    with pytest.raises(AbsentSourceError, match=r"oci://b/x: the installed fsspec has no such fil"):
        open_file_system("oci://b/x")


def test_addresses_within_addresses_are_not_followed() -> None:
    with pytest.raises(AbsentSourceError, match="addresses within addresses are not followed"):
        open_file_system("simplecache::memory://x")


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name == "fsspec":
            raise ImportError("No module named 'fsspec'", name="fsspec")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"not installed \(fsspec\); install it, such as"):
        open_file_system("memory://not-asked-for-before/x")


class NoCredentialsError(Exception):
    """As botocore's."""


def test_an_address_without_credentials_says_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NoCredentialsError("Unable to locate credentials")

    system = fsspec.filesystem("memory")
    monkeypatch.setattr(type(system), "cat_file", refuse)
    with pytest.raises(OSError, match="NoCredentialsError: Unable to locate credentials"):
        read_remote("memory://bucket/x")
    places._open_scheme.cache_clear()
    monkeypatch.setattr(fsspec.core, "url_to_fs", refuse)
    with pytest.raises(SourceError, match=r"memory://bucket/x: cannot be reached \(NoCred.*AWS_PR"):
        open_file_system("memory://bucket/x")
