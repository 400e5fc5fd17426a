"""Archives that lead outside, link, swell, repeat themselves or are damaged."""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import struct
import tarfile
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tests.builders import make_photo
from tests.data.builders import encode
from tests.hostile.cases import Case, flip_bits, overwrite

Content = list[tuple[str, bytes]]
_MIB = 1 << 20
#: Where an absolute path would lead, and nothing ever is.
_ELSEWHERE = f"{tempfile.gettempdir()}/tfclassify-hostile"


def make_zip(content: Content, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Pack pairs of names and bytes; a name may come twice."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        with zipfile.ZipFile(stream, "w", method) as archive:
            for name, data in content:
                info = zipfile.ZipInfo(name)
                info.filename, info.compress_type = name, method  # as it is, unlike ZipInfo
                archive.writestr(info, data)
    return stream.getvalue()


def make_tar(content: Content, packing: str = "") -> bytes:
    """Pack pairs of names and bytes as a tar."""
    return make_tar_of([(tarfile.TarInfo(name), data) for name, data in content], packing)


def make_tar_of(entries: list[tuple[tarfile.TarInfo, bytes]], packing: str = "") -> bytes:
    """Pack entries of any type as a tar."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=f"w:{packing}") as archive:
        for info, data in entries:
            info.size = info.size or len(data)
            archive.addfile(info, io.BytesIO(data) if data else None)
    return stream.getvalue()


def make_cases() -> list[Case]:
    """Make every hostile archive."""
    photo = encode(make_photo(1, (8, 8)))
    good = [("red/1.png", photo), ("blue/2.png", encode(make_photo(2, (8, 8))))]
    bases = {
        "zip": make_zip(good),
        "stored zip": make_zip(good, zipfile.ZIP_STORED),
        "tar": make_tar(good),
        "tar.gz": make_tar(good, "gz"),
        "tar.bz2": make_tar(good, "bz2"),
        "tar.xz": make_tar(good, "xz"),
    }
    return [
        *(Case("as it is", name, data) for name, data in bases.items()),
        *_lead_outside(good),
        *_link(good),
        *_swell(),
        *_repeat(good),
        *_damage(bases),
        *_name(photo),
        *_join(bases),
    ]


def _lead_outside(good: Content) -> list[Case]:
    names = (
        *("../escape", "a/../../escape", "red/../../escape", "..\\escape", "a\\..\\..\\escape"),
        *(
            "/escape",
            f"{_ELSEWHERE}/escape",
            "//escape",
            "C:\\escape",
            "c:escape",
            "\\\\host\\escape",
        ),
        *("..", "a/..", ".", "", "./../escape", "~/../escape", "red/1.png/../../../escape"),
    )
    cases = []
    for name in names:
        content = [*good, (name, b"escaped")]
        cases.append(Case("path outside", f"zip {name!r}", make_zip(content)))
        cases.append(Case("path outside", f"tar {name!r}", make_tar(content)))
    return cases


def _link(good: Content) -> list[Case]:
    """Link out of the archive, then write through the link."""
    kinds = {
        "soft link": tarfile.SYMTYPE,
        "hard link": tarfile.LNKTYPE,
        "pipe": tarfile.FIFOTYPE,
        "device": tarfile.CHRTYPE,
        "disk": tarfile.BLKTYPE,
        "unknown type": b"Z",
    }
    cases = []
    for name, kind in kinds.items():
        for target in ("..", "../escape", _ELSEWHERE, "/etc/passwd", "red/1.png"):
            info = tarfile.TarInfo("way")
            info.type, info.linkname = kind, target
            entries = [(info, b""), (tarfile.TarInfo("way/escape"), b"escaped")]
            cases.append(Case("links and devices", f"{name} to {target}", make_tar_of(entries)))
    for mode in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            info = zipfile.ZipInfo("way")
            info.external_attr = (mode | 0o777) << 16
            archive.writestr(info, "..")
            archive.writestr("way/escape", b"escaped")
        cases.append(Case("links and devices", f"zip {mode:o}", stream.getvalue()))
    return cases


def _swell() -> list[Case]:
    """Unpack to far more than their size, or say so."""
    zeros = bytes(_MIB)
    pax = tarfile.TarInfo("header")
    pax.type, pax.size = tarfile.XHDTYPE, 100 * _MIB
    longname = tarfile.TarInfo("header")
    longname.type, longname.size = tarfile.GNUTYPE_LONGNAME, 100 * _MIB
    contents = {
        "zip of 300 MiB in one file": _swollen_zip(300),
        "tar.gz of 300 MiB": _swollen_gz(tarfile.TarInfo("zeros"), 300),
        "tar.gz with a header of 100 MiB": _swollen_gz(pax, 100),
        "tar.gz with a name of 100 MiB": _swollen_gz(longname, 100),
        "tar.gz of zeros alone": gzip.compress(bytes(20 * _MIB), 1),
        "tar.xz of zeros alone": lzma.compress(bytes(20 * _MIB), preset=0),
        "zip in a zip in a zip": make_zip([("a.zip", make_zip([("b.zip", _swollen_zip(4))]))]),
        "zip of overlapping files": _overlap(make_zip([("kernel", zeros)]), 400),
        "zip that claims 4 GiB": _claim(make_zip([("1.png", zeros)]), 0xFFFFFFF0),
        "zip that claims less": _claim(make_zip([("1.png", zeros)]), 10),
        "tar that claims 8 GiB": _state(8 << 30),
        "tar.gz that claims 8 EiB": gzip.compress(_state(1 << 63)),
        "tar that claims less than nothing": _state(-1),
        "tar of a sparse file": _make_sparse(1 << 40),
        "tar of nested headers": _nest_headers(2_000),
        "zip of 3,000 names": make_zip([(f"{number}", b"") for number in range(3_000)], 0),
    }
    return [Case("swells", name, data) for name, data in contents.items()]


def _state(size: int) -> bytes:
    """Make a tar whose one file states a size that it does not have."""
    info = tarfile.TarInfo("1.png")
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT) + b"x" * 2048


def _swollen_zip(mebibytes: int) -> bytes:
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("zeros", "w") as entry,
    ):
        for _ in range(mebibytes):
            entry.write(bytes(_MIB))
    return stream.getvalue()


def _swollen_gz(info: tarfile.TarInfo, mebibytes: int) -> bytes:
    info.size = mebibytes * _MIB
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1) as packed:
        packed.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(mebibytes):
            packed.write(bytes(_MIB))
        packed.write(bytes(1024))
    return stream.getvalue()


def _claim(archive: bytes, size: int) -> bytes:
    """Change the unpacked size that a zip's directory states."""
    place = archive.index(b"PK\x01\x02") + 24
    return archive[:place] + struct.pack("<I", size) + archive[place + 4 :]


def _overlap(archive: bytes, count: int) -> bytes:
    """Let many directory entries share one content, as D. Fifield's bombs do (2019)."""
    start, end = archive.index(b"PK\x01\x02"), archive.index(b"PK\x05\x06")
    entry = archive[start:end]
    name = struct.unpack_from("<H", entry, 28)[0]
    entries = b"".join(
        entry[:46] + f"{number:0{name}}".encode()[:name] + entry[46 + name :]
        for number in range(count)
    )
    tail = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(entries), start, 0)
    return archive[:start] + entries + tail


def _make_sparse(size: int) -> bytes:
    """Make a tar whose one file is a hole of ``size`` bytes."""
    info = tarfile.TarInfo("hole.png")
    info.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.name": "hole.png",
        "GNU.sparse.size": str(size),
        "GNU.sparse.map": f"{size},0",
    }
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info)
    return stream.getvalue()


def _nest_headers(count: int) -> bytes:
    """Put extended header after extended header, each about the next."""
    record = b"12 path=abc\n"
    info = tarfile.TarInfo("header")
    info.type, info.size = tarfile.XHDTYPE, len(record)
    return (info.tobuf(tarfile.USTAR_FORMAT) + record.ljust(512, b"\0")) * count


def _repeat(good: Content) -> list[Case]:
    contents: dict[str, Content] = {
        "same name": [*good, good[0]],
        "same name, other content": [*good, ("red/1.png", b"other")],
        "file and folder": [("a", b"x"), ("a/b", b"y")],
        "folder and file": [("a/b", b"y"), ("a", b"x")],
        "same place by another path": [("a/./b", b"y"), ("a/b", b"x")],
        "the marker of unpacking": [*good, (".tfclassify-archive.json", b"{}")],
        "case": [("A.png", b"x"), ("a.png", b"y")],
    }
    cases = [Case("repeats", f"zip {name}", make_zip(data)) for name, data in contents.items()]
    return cases + [
        Case("repeats", f"tar {name}", make_tar(data)) for name, data in contents.items()
    ]


def _damage(bases: Mapping[str, bytes]) -> list[Case]:
    cases = []
    for name, data in bases.items():
        for share in (0.0, 0.1, 0.5, 0.9, 0.99):
            cases.append(Case("truncation", f"{name} {share:.0%}", data[: int(len(data) * share)]))
        for seed in range(6):
            cases.append(Case("bit flips", f"{name} {seed}", flip_bits(data, seed, 1 + seed)))
        for seed in range(2):
            cases.append(Case("noise", f"{name} {seed}", overwrite(data, seed, 0.2)))
    stored = bases["stored zip"]
    place = stored.index(b"PK\x01\x02")
    changes: dict[str, Callable[[bytearray], None]] = {
        "encrypted": lambda data: data.__setitem__(place + 8, 1),
        "wrong CRC": lambda data: data.__setitem__(place + 16, data[place + 16] ^ 255),
        "unknown method": lambda data: data.__setitem__(place + 10, 97),
        "needs a later version": lambda data: data.__setitem__(place + 6, 99),
        "content before the file": lambda data: data.__setitem__(place + 45, 255),
        "two disks": lambda data: data.__setitem__(data.rindex(b"PK\5\6") + 4, 1),
    }
    for name, change in changes.items():
        data = bytearray(stored)
        change(data)
        cases.append(Case("damaged zip", name, bytes(data)))
    packed = bytearray(bases["tar.gz"])
    packed[-6] ^= 255
    return [*cases, Case("damaged tar", "wrong CRC of the packing", bytes(packed))]


def _name(photo: bytes) -> list[Case]:
    """Use names of several scripts, of no script, and of words that systems keep."""
    names = (
        *(
            "Äpfel/größe.png",
            "яблоко/1.png",
            "苹果/1.png",
            "りんご/1.png",
            "사과/1.png",
            "תפוח/1.png",
        ),
        *("تفاح/1.png", "🍎/1.png", "e\u0301/1.png", "\u202egnp.1/x.png", "a\u200b/1.png"),
        *("CON/nul.png", "a:b/1.png", "a b /1.png", " /1.png", "-rf/1.png", "=cmd()/1.png"),
        *("<script>/1.png", "$(reboot)/1.png", "a\nb/1.png", "\x1b[31m/1.png", "a\tb/1.png"),
        *("x" * 300 + ".png", "d/" * 150 + "1.png", "y" * 5_000, "%2e%2e/1.png", "a\x00b.png"),
    )
    cases = [Case("odd names", f"zip {name[:40]!r}", make_zip([(name, photo)])) for name in names]
    cases += [Case("odd names", f"tar {name[:40]!r}", make_tar([(name, photo)])) for name in names]
    raw = make_tar([("caf?/1.png", photo)])
    block = bytearray(raw[:512])
    block[3] = 0xE9  # Latin-1, as old tools write it
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return [*cases, Case("odd names", "tar not UTF-8", bytes(block) + raw[512:])]


def _join(bases: Mapping[str, bytes]) -> list[Case]:
    zipped = bases["zip"]
    contents = {
        "program before a zip": b"MZ" + bytes(600) + zipped,
        "zip twice": zipped + zipped,
        "zip in a tar": make_tar([("inner.zip", zipped)]),
        "tar in a zip": make_zip([("inner.tar", bases["tar"])]),
        "tar behind a zip": zipped + bases["tar"],
        "text": b"PK is how it begins",
        "empty": b"",
        "zip of nothing": make_zip([]),
        "tar of nothing": make_tar([]),
        "zlib stream": zlib.compress(bases["tar"]),
        "noise": np.random.default_rng(0).bytes(4096),
    }
    return [Case("polyglots", name, data) for name, data in contents.items()]


def read(case: Case, folder: Path) -> str:
    """Unpack an archive and read what it held; say what came of it."""
    from tfclassify.data.archives import extract_archive
    from tfclassify.data.readers import read_source
    from tfclassify.errors import TfclassifyError
    from tfclassify.recipe.schema import DataRecipe

    archive, cache = folder / "photos.download", folder / "cache"
    archive.write_bytes(case.content)
    cache.mkdir()
    try:
        target = extract_archive(archive, cache / "out")
        assert all(path.resolve().is_relative_to(target.resolve()) for path in target.rglob("*"))
        outcome = "unpacked"
        try:
            read_source(DataRecipe(source=str(target)))
        except TfclassifyError as error:
            outcome = f"unpacked, then {type(error).__name__}"
    finally:
        expected = {archive, cache, cache / "out", cache / ".out.lock"}
        strays = {*folder.iterdir(), *cache.iterdir()} - expected
        assert not strays, f"left behind: {strays}"
        outside = (Path("/escape"), Path(_ELSEWHERE), folder.parent / "escape")
        assert not any(path.exists() for path in outside)
    return outcome
