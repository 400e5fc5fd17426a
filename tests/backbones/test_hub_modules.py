"""A handle leads to a folder: as it is, from the cache, or by a download."""

from __future__ import annotations

import functools
import hashlib
import http.server
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from tests.hub_modules import make_hub_module
from tfclassify.backbones import hub_modules
from tfclassify.backbones.catalog import find_spec
from tfclassify.backbones.hub_modules import (
    fetch_module,
    find_cached_module,
    has_module,
    locate_module,
)
from tfclassify.data.archives import ArchiveLimits
from tfclassify.errors import DownloadError, WeightsError

HANDLE = "https://tfhub.dev/example/tiny/1"


def get_title(name: str) -> str:
    return find_spec(name, (0.0, 1.0)).title


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of TensorFlow Hub."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every request fail at once."""

    def refuse(*arguments: object, **keywords: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("urllib.request.OpenerDirector.open", refuse)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve ``tmp_path/site`` on this machine, by what passes for https."""
    (tmp_path / "site").mkdir()

    def open_plainly(request: Request, timeout: float) -> Any:
        response = urlopen(request.full_url.replace("https:", "http:"), timeout=timeout)
        response.geturl = lambda: request.full_url
        return response

    monkeypatch.setattr("tfclassify.data.download.urlopen", open_plainly)
    handler = functools.partial(_Quiet, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def pack(folder: Path, archive: Path) -> None:
    with tarfile.open(archive, "w:gz") as opened:
        for path in folder.rglob("*"):
            opened.add(path, str(path.relative_to(folder)), recursive=False)


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    make_hub_module(tmp_path / "m")
    assert locate_module(str(tmp_path / "m")) == tmp_path / "m"
    assert has_module(str(tmp_path / "m"))


def test_a_folder_that_is_no_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"the folder holds no saved_model\.pb; name the folder"):
        locate_module(str(tmp_path))
    with pytest.raises(WeightsError, match=r"model\.backbone: 'hub:.*': there is no such folder"):
        locate_module(str(tmp_path / "absent"))
    assert not has_module(str(tmp_path))


def test_an_address_comes_from_the_cache(cache: Path, offline: None) -> None:
    assert find_cached_module(HANDLE) is None
    assert not has_module(HANDLE)
    place = cache / hashlib.sha1(HANDLE.encode()).hexdigest()
    make_hub_module(place)
    assert fetch_module(HANDLE) == locate_module(HANDLE) == place
    assert has_module(HANDLE)


def test_without_a_network_the_ways_out_are_told(cache: Path, offline: None) -> None:
    place = cache / hashlib.sha1(HANDLE.encode()).hexdigest()
    message = (
        rf"cannot be fetched: .*no network.*download {HANDLE}\?tf-hub-format=compressed elsewhere "
        rf"and unpack it to {place}; or set TFHUB_CACHE_DIR .*name that folder"
    )
    with pytest.raises(DownloadError, match=message):
        fetch_module(HANDLE)
    with pytest.raises(WeightsError, match=f"model.backbone: {HANDLE}: is not in TensorFlow Hub"):
        locate_module(HANDLE)


def test_an_address_is_downloaded_once(tmp_path: Path, cache: Path, server: str) -> None:
    make_hub_module(tmp_path / "m")
    archive = tmp_path / "site" / "m.tar.gz"
    pack(tmp_path / "m", archive)
    first = fetch_module(f"{server}/m.tar.gz")
    assert (first / "saved_model.pb").read_bytes() == (
        tmp_path / "m" / "saved_model.pb"
    ).read_bytes()
    archive.unlink()
    assert fetch_module(f"{server}/m.tar.gz") == first


def test_a_module_is_what_its_checksum_says(tmp_path: Path, cache: Path, server: str) -> None:
    make_hub_module(tmp_path / "m")
    archive = tmp_path / "site" / "m.tar.gz"
    pack(tmp_path / "m", archive)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    address = f"{server}/m.tar.gz"
    with pytest.raises(DownloadError, match=f"checksum is wrong, got sha256 {digest}, not 0000"):
        fetch_module(f"{address}#sha256={'0' * 64}")
    assert not list(cache.iterdir())
    loose = fetch_module(address)
    pinned = fetch_module(f"{address}#sha256={digest.upper()}")
    assert (pinned / "saved_model.pb").is_file()
    assert pinned != loose  # what was fetched without a checksum does not stand for it
    assert get_title(f"hub:{address}#sha256={digest}") == "TF-Hub m.tar.gz"


@pytest.mark.parametrize("fragment", ["sha256=abc", "md5=" + "0" * 64, "x"])
def test_a_checksum_that_is_none_is_refused(fragment: str, cache: Path) -> None:
    with pytest.raises(DownloadError, match="must be the checksum of the module's archive"):
        fetch_module(f"{HANDLE}#{fragment}")


def test_a_download_that_is_no_module_is_refused(tmp_path: Path, cache: Path, server: str) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "readme.txt").write_text("an older module")
    pack(tmp_path / "other", tmp_path / "site" / "old.tar.gz")
    with pytest.raises(DownloadError, match=r"holds no saved_model\.pb: no TF2 SavedModel"):
        fetch_module(f"{server}/old.tar.gz")
    assert not list(cache.iterdir())


@pytest.mark.parametrize("scheme", ["http", "gs"])
def test_only_https_is_fetched(scheme: str, cache: Path) -> None:
    with pytest.raises(DownloadError, match="only https addresses are fetched, since others can"):
        fetch_module(f"{scheme}://tfhub.dev/example/tiny/1")
    assert not list(cache.iterdir())


def test_a_bomb_leaves_nothing(
    tmp_path: Path, cache: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module of 3 MB left 3.1 GB in the cache."""
    make_hub_module(tmp_path / "m")
    with (tmp_path / "m" / "assets" / "zeros").open("wb") as stream:
        stream.truncate(300 << 20)
    pack(tmp_path / "m", tmp_path / "site" / "bomb.tar.gz")
    with pytest.raises(DownloadError, match=r"cannot be fetched: .*times"):
        fetch_module(f"{server}/bomb.tar.gz")
    assert not list(cache.iterdir())
    monkeypatch.setattr(hub_modules, "_LIMITS", ArchiveLimits(max_bytes=1 << 20))
    with pytest.raises(DownloadError, match=r"cannot be fetched: .*unpacks to more than 1\.0 MB"):
        fetch_module(f"{server}/bomb.tar.gz")
    assert not list(cache.iterdir())


def test_a_download_without_end_is_given_up(
    tmp_path: Path, cache: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site" / "long").write_bytes(bytes(1 << 20))
    monkeypatch.setattr(hub_modules, "_LARGEST_DOWNLOAD", (1 << 20) - 1)
    with pytest.raises(DownloadError, match=r"sends more than 1\.0 MB"):
        fetch_module(f"{server}/long")
    monkeypatch.setattr(hub_modules, "_LARGEST_DOWNLOAD", 1 << 20)
    monkeypatch.setattr(hub_modules, "_LONGEST_S", -1.0)
    with pytest.raises(DownloadError, match="has not come within -1 s"):
        fetch_module(f"{server}/long")
    assert not list(cache.iterdir())
