from __future__ import annotations

import io
import lzma
import stat
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tfclassify.data import archives
from tfclassify.data.archives import MARKER, ArchiveLimits, extract_archive, is_archive
from tfclassify.errors import ArchiveError

CONTENT = {"cat/1.jpg": b"one", "dog/2.jpg": b"two" * 1000, "read me.txt": b""}


def make_zip(path: Path, content: dict[str, bytes] = CONTENT, method: int = 8) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, content: dict[str, bytes] = CONTENT, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def read_folder(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MARKER
    }


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def patch_central(path: Path, offset: int, value: bytes) -> None:
    """Change bytes of the first entry in a zip's central directory."""
    data = bytearray(path.read_bytes())
    start = data.index(b"PK\x01\x02") + offset
    data[start : start + len(value)] = value
    path.write_bytes(data)


@pytest.mark.parametrize(
    "name", ["a.zip", "stored.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "no_ending"]
)
def test_extracts_what_was_packed(tmp_path: Path, name: str) -> None:
    archive = tmp_path / name
    if "zip" in name:
        make_zip(archive, method=0 if name == "stored.zip" else 8)
    else:
        packing = name.rpartition(".tar.")[2] if ".tar." in name else ""
        make_tar(archive, mode=f"w:{packing}")
    target = extract_archive(archive, tmp_path / "out" / "here")
    assert read_folder(target) == CONTENT


def test_windows_separators_make_folders(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"cat\\": b"", "cat\\1.jpg": b"x"})
    # zipfile itself writes them as they are on this system
    assert read_folder(extract_archive(archive, tmp_path / "out")) == {"cat/1.jpg": b"x"}


def test_empty_folders_and_modes_are_plain(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        folder = tarfile.TarInfo("empty")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        info = tarfile.TarInfo("script")
        info.mode = 0o4777
        archive.addfile(info)
    target = extract_archive(tmp_path / "a.tar", tmp_path / "out")
    assert (target / "empty").is_dir()
    assert not (target / "script").stat().st_mode & (stat.S_ISUID | stat.S_IXUSR)


def test_an_extracted_archive_is_left_alone(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip")
    target = extract_archive(archive, tmp_path / "out")
    before = (target / "cat" / "1.jpg").stat().st_ino
    extract_archive(archive, target)
    assert (target / "cat" / "1.jpg").stat().st_ino == before


@pytest.mark.parametrize("damage", ["removed", "longer", "marker"])
def test_a_damaged_copy_is_extracted_again(tmp_path: Path, damage: str) -> None:
    archive = make_zip(tmp_path / "a.zip")
    target = extract_archive(archive, tmp_path / "out")
    if damage == "removed":
        (target / "cat" / "1.jpg").unlink()
    elif damage == "longer":
        (target / "cat" / "1.jpg").write_bytes(b"onesie")
    else:
        (target / MARKER).write_text("[]")
    assert read_folder(extract_archive(archive, target)) == CONTENT


def test_another_archive_takes_the_place_of_the_old(tmp_path: Path) -> None:
    target = extract_archive(make_zip(tmp_path / "a.zip"), tmp_path / "out")
    extract_archive(make_zip(tmp_path / "b.zip", {"only": b"this"}), target)
    assert read_folder(target) == {"only": b"this"}


def expect_refusal(archive: Path, match: str, limits: ArchiveLimits | None = None) -> None:
    """Check that nothing but the error comes of an archive."""
    target = archive.parent / "out"
    with pytest.raises(ArchiveError, match=match):
        extract_archive(archive, target, limits=limits)
    left = set(names_in(archive.parent)) - {archive.name, ".out.lock"}
    assert left == set()


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../../x", "..\\x", "C:\\x", "c:/x", "a/..", "\\x"]
)
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_path_outside_is_refused(tmp_path: Path, name: str, make: object) -> None:
    assert callable(make)
    archive = make(tmp_path / "evil", {"good.jpg": b"x", name: b"evil"})
    expect_refusal(archive, "points outside of the archive")


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    expect_refusal(tmp_path / "a.zip", "'link' is a link or a device")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_a_link_or_device_in_a_tar_is_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("odd")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    expect_refusal(tmp_path / "a.tar", "'odd' is a link or a device")


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip")
    patch_central(archive, 8, b"\x01")
    expect_refusal(archive, "is encrypted; unpack it with its password")


def test_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"1.jpg": b"picture"}, method=0)
    data = archive.read_bytes().replace(b"picture", b"pictufe", 1)
    archive.write_bytes(data)
    expect_refusal(archive, "damaged or of an unknown kind .*CRC")


def test_a_file_shorter_than_announced_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"1.jpg": b"picture"})
    patch_central(archive, 24, (99).to_bytes(4, "little"))
    expect_refusal(archive, "'1.jpg' is damaged, got 7 of 99 bytes")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "text"])
def test_half_an_archive_is_refused(tmp_path: Path, kind: str) -> None:
    archive = tmp_path / f"a.{kind}"
    noise = {"1.jpg": np.random.default_rng(0).bytes(50_000)}
    if kind == "zip":
        make_zip(archive, noise)
    elif kind == "text":
        archive.write_text("<html>not found</html>" * 100)
    else:
        make_tar(archive, noise, "w:gz" if kind == "tar.gz" else "w")
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    expect_refusal(archive, "damaged or of an unknown kind|is damaged")


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_RATIO_FLOOR", 1 << 20)
    archive = make_zip(tmp_path / "a.zip", {"zeros": bytes(2 << 20)})
    expect_refusal(archive, "more than 100 times its size, like a bomb")


def test_a_small_archive_may_pack_well(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"zeros": bytes(2 << 20)})
    assert extract_archive(archive, tmp_path / "out").is_dir()


def test_size_and_number_are_limited(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip")
    expect_refusal(archive, r"more than 1\.0 kB", ArchiveLimits(max_bytes=1000))
    expect_refusal(archive, "more than 2 entries", ArchiveLimits(max_files=2))


def test_a_full_disk_is_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_zip(tmp_path / "a.zip")
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    expect_refusal(archive, r"needs 3\.0 kB more and the disk has 100 B")


@pytest.mark.parametrize("content", [["a", "a"], ["a", "a/b"], ["x" * 300]])
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_names_that_cannot_be_written_are_refused(tmp_path: Path, content: list[str]) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in content:
            archive.writestr(name, b"x")
    expect_refusal(tmp_path / "a.zip", "cannot be written")


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "inner.zip", {"hidden": b"x"}).read_bytes()
    archive = make_tar(tmp_path / "a.tar", {"inner.zip": inner})
    assert read_folder(extract_archive(archive, tmp_path / "out")) == {"inner.zip": inner}


def test_a_zip_behind_a_program_is_a_zip(tmp_path: Path) -> None:
    packed = make_zip(tmp_path / "plain.zip").read_bytes()
    (tmp_path / "setup.exe").write_bytes(b"MZ" + bytes(600) + packed)
    assert is_archive(tmp_path / "setup.exe")
    assert read_folder(extract_archive(tmp_path / "setup.exe", tmp_path / "out")) == CONTENT


def test_what_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("PK, he said")
    assert not is_archive(tmp_path / "text")
    assert not is_archive(tmp_path)
    assert not is_archive(tmp_path / "absent")


def test_a_lzma_tar_is_read(tmp_path: Path) -> None:
    plain = make_tar(tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar.lzma").write_bytes(lzma.compress(plain, lzma.FORMAT_ALONE))
    assert read_folder(extract_archive(tmp_path / "a.tar.lzma", tmp_path / "out")) == CONTENT


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz"])
def test_a_header_without_end_is_refused(tmp_path: Path, packing: str) -> None:
    info = tarfile.TarInfo("name")
    info.type, info.size = tarfile.XHDTYPE, 8 << 20
    with tarfile.open(tmp_path / "a.tar", f"w:{packing}") as archive:
        archive.addfile(info, io.BytesIO(bytes(8 << 20)))
    expect_refusal(tmp_path / "a.tar", r"a header of over 4,194,304 bytes")


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz"])
def test_damage_between_entries_is_told(tmp_path: Path, packing: str) -> None:
    noise = np.random.default_rng(0)
    content = {f"{number}.jpg": noise.bytes(40_000) for number in range(8)}
    archive = make_tar(tmp_path / "a.tar", content, f"w:{packing}")
    data = bytearray(archive.read_bytes())
    data[len(data) // 2 :] = noise.bytes(len(data) - len(data) // 2)
    archive.write_bytes(data)
    expect_refusal(archive, "damaged or of an unknown kind|is damaged")


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    expect_refusal(make_zip(tmp_path / "a.zip", {"a": b"x", "a/": b""}), "cannot be written")


def test_a_full_disk_is_not_the_archives_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    archive = make_zip(tmp_path / "a.zip")
    monkeypatch.setattr(archives.zipfile.ZipFile, "open", fail)
    with pytest.raises(OSError, match="No space left"):
        extract_archive(archive, tmp_path / "out")


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tar")
    data = bytearray(archive.read_bytes())
    data[1024:1030] = b"\xff" * 6  # the second entry's name; its checksum is wrong now
    archive.write_bytes(data)
    expect_refusal(archive, "what follows the last readable entry is none")


def test_more_behind_the_end_is_refused(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tar")
    archive.write_bytes(archive.read_bytes() + bytes(4 << 20))
    expect_refusal(archive, "4,194,304 bytes or more follow its end")


def test_a_content_that_cannot_be_opened_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make_tar(tmp_path / "a.tar")
    monkeypatch.setattr(archives.tarfile.TarFile, "extractfile", lambda *_: None)
    expect_refusal(archive, "has no content to unpack")
