from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from tests.data.builders import Listener
from tfclassify.data import download
from tfclassify.data.download import fetch, fetch_bytes
from tfclassify.errors import DownloadError
from tfclassify.files import cache_folder

CONTENT = b"photos" * 500_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
URL = "https://example.org/data/photos.zip?key=1"


class Response(io.BytesIO):
    """What urlopen gives, with headers."""

    def __init__(self, content: bytes, url: str = URL) -> None:
        super().__init__(content)
        self.url, self.headers = url, {"Content-Length": str(len(content))}

    def geturl(self) -> str:
        return self.url


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Answers every address with ``served['answer']`` and counts the calls."""
    state: dict[str, Any] = {"answer": lambda: Response(CONTENT), "calls": 0}

    def urlopen(request: Any, timeout: float) -> Any:
        assert request.full_url == URL
        assert timeout > 0
        state["calls"] += 1
        return state["answer"]()

    monkeypatch.setattr(download, "urlopen", urlopen)
    return state


def kept_files() -> list[str]:
    folder = cache_folder() / "downloads"
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def test_a_file_is_fetched_once(served: dict[str, Any]) -> None:
    listener = Listener()
    path = fetch(URL, DIGEST, observer=listener)
    assert path.read_bytes() == CONTENT
    assert path == cache_folder() / "downloads" / f"{DIGEST[:16]}-photos.zip"
    assert listener.steps[-1][1] == len(CONTENT) >> 20
    assert fetch(URL, DIGEST) == path
    assert served["calls"] == 1


def test_a_damaged_copy_is_fetched_again(served: dict[str, Any]) -> None:
    path = fetch(URL, DIGEST)
    path.write_bytes(b"half")
    assert fetch(URL, DIGEST).read_bytes() == CONTENT
    assert served["calls"] == 2


def test_another_content_is_not_kept(served: dict[str, Any]) -> None:
    with pytest.raises(
        DownloadError, match=rf"checksum is wrong, got sha256 {DIGEST}, expected 0+"
    ):
        fetch(URL, "0" * 64)
    assert kept_files() == []


@pytest.mark.parametrize("error", [URLError("Name or service not known"), TimeoutError("slow")])
def test_without_a_network_the_ways_out_are_told(served: dict[str, Any], error: Exception) -> None:
    def fail() -> None:
        raise error

    served["answer"] = fail
    place = cache_folder() / "downloads" / f"{DIGEST[:16]}-photos.zip"
    with pytest.raises(DownloadError) as caught:
        fetch(URL, DIGEST)
    reason = "Name or service not known" if isinstance(error, URLError) else "slow"
    assert str(caught.value) == (
        f"{URL}: cannot be downloaded ({reason}); go online, or fetch the file elsewhere and put "
        f"it at {place}, or set data.source to where you have it"
    )
    place.parent.mkdir(parents=True, exist_ok=True)
    Path(place).write_bytes(CONTENT)
    assert fetch(URL, DIGEST) == place


def test_http_is_refused(served: dict[str, Any]) -> None:
    with pytest.raises(DownloadError, match="only https addresses are fetched"):
        fetch("http://example.org/x.zip", DIGEST)
    served["answer"] = lambda: Response(CONTENT, "http://example.org/x.zip")
    with pytest.raises(
        DownloadError, match=r"leads on to http://example\.org/x\.zip, .* not https"
    ):
        fetch(URL, DIGEST)


def test_a_small_file_is_read_without_being_kept(served: dict[str, Any]) -> None:
    served["answer"] = lambda: Response(b"pixels")
    assert fetch_bytes(URL, limit=6) == b"pixels"
    assert kept_files() == []


def test_what_is_larger_or_not_https_is_not_read(served: dict[str, Any]) -> None:
    with pytest.raises(DownloadError, match=r"more than 1.0 MB; fetch the file elsewhere"):
        fetch_bytes(URL, limit=1 << 20)
    with pytest.raises(DownloadError, match="only https addresses are fetched"):
        fetch_bytes("http://example.org/a.png")
    served["answer"] = lambda: Response(b"", "http://example.org/a.png")
    with pytest.raises(DownloadError, match="it leads on to http:"):
        fetch_bytes(URL)

    def fail() -> Any:
        raise URLError("Name or service not known")

    served["answer"] = fail
    with pytest.raises(DownloadError, match=r"cannot be downloaded \(Name or service not known\)"):
        fetch_bytes(URL)


def test_a_sender_who_drips_does_not_hold_the_work(
    served: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10**6, 20))  # each look at the clock is 20 s later
    monkeypatch.setattr(download.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(Response, "read1", lambda self, size: b"x")
    with pytest.raises(DownloadError, match=r"4 bytes have come in 80 s, which would never end"):
        fetch(URL, DIGEST)
    assert kept_files() == []
    clock = iter(range(0, 10**6, 20))
    with pytest.raises(DownloadError, match=r"has not come within 60 s"):
        fetch_bytes(URL)


def test_more_than_the_disk_holds_is_not_fetched(
    served: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type(download.shutil.disk_usage("/"))(10**9, 0, 1000)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DownloadError, match=r"sends more than 1\.0 kB; fetch the file elsew"):
        fetch(URL, DIGEST)
    assert kept_files() == []


def test_a_length_that_is_no_number_is_not_believed(served: dict[str, Any]) -> None:
    response = Response(CONTENT)
    response.headers["Content-Length"] = "much"
    served["answer"] = lambda: response
    assert fetch(URL, DIGEST).read_bytes() == CONTENT
