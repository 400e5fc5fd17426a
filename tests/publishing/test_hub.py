"""The Hub: addresses, uploads, fetching, and every way in which it fails."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.publishing.loopback_hub import TOKEN, Fault, LoopbackHub
from tests.tiny_run import CommandLine, TinyRun
from tfclassify.errors import MissingExtraError, PublishError, TargetError
from tfclassify.publishing.folder import list_files
from tfclassify.publishing.hub import Address, fetch, open_hub, parse_address

ADDRESS = Address("me/tiny")
# The Hub's package sends a file in a way that its own HTTP library is about to leave.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def upload(folder: Path) -> str:
    return open_hub().upload(folder, ADDRESS, is_private=False)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hf:me/tiny", Address("me/tiny")),
        ("hf:me/tiny@v1.0", Address("me/tiny", "v1.0")),
        ("hf:a-b/c_d.e@refs/pr/1", Address("a-b/c_d.e", "refs/pr/1")),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["hf:tiny", "hf:me/tiny/more", "hf:../x", "hf:me/tiny@", "hf://a/b"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(TargetError, match=r"an address on the Hub is hf:user/name"):
        parse_address(text)


def test_what_was_published_comes_back(hub: LoopbackHub, published: Path) -> None:
    place = upload(published)
    assert place == f"hf:me/tiny@{hub.newest('me/tiny')}"
    folder = fetch(parse_address(place))
    assert list_files(folder) == list_files(published)
    for name in list_files(folder):
        assert (folder / name).read_bytes() == (published / name).read_bytes()
    before = len(hub.seen)
    assert fetch(parse_address(place)) == folder
    assert len(hub.seen) == before


def test_the_newest_is_asked_for_and_fetched_once(hub: LoopbackHub, published: Path) -> None:
    upload(published)
    folder = fetch(ADDRESS)
    before = len(hub.seen)
    assert fetch(ADDRESS) == folder
    assert [path for _, path, _ in hub.seen[before:]] == ["/api/models/me/tiny"]


def test_the_token_goes_to_the_hub_alone_and_into_no_file(
    hub: LoopbackHub, published: Path
) -> None:
    upload(published)
    assert {token for _, path, token in hub.seen if path.startswith("/api/")} == {TOKEN}
    folder = fetch(ADDRESS)
    for name in list_files(folder.parent):
        assert TOKEN.encode() not in (folder.parent / name).read_bytes()


def test_an_upload_that_was_cut_goes_on(hub: LoopbackHub, published: Path) -> None:
    hub.faults = [Fault(r"POST /api/models/me/tiny/commit", 503, times=99)]
    with pytest.raises(PublishError, match=r"failed \(503\); try again later"):
        upload(published)
    sent = list(hub.uploads)
    assert sent
    hub.faults = []
    upload(published)
    assert hub.uploads == sent


def test_a_connection_cut_within_a_file_is_tried_again(hub: LoopbackHub, published: Path) -> None:
    hub.faults = [Fault(r"PUT /blobs/", 0, times=1)]
    upload(published)
    assert not hub.faults[0].times
    assert fetch(ADDRESS).is_dir()


def test_a_download_that_was_cut_goes_on(hub: LoopbackHub, published: Path) -> None:
    upload(published)
    hub.faults = [Fault(r"GET .*/resolve/.*/published\.json", 500, times=99)]
    with pytest.raises(PublishError, match=r"failed \(500\)"):
        fetch(ADDRESS)
    got = [path for method, path, _ in hub.seen if method == "GET" and "/resolve/" in path]
    hub.faults = []
    before = len(hub.seen)
    fetch(ADDRESS)
    again = [
        path for method, path, _ in hub.seen[before:] if method == "GET" and "/resolve" in path
    ]
    assert again
    assert not set(again) & {path for path in got if not path.endswith("published.json")}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("POST /api/repos", 401, 99), r"refuses \(401\): the token is missing"),
        (Fault("POST /api/repos", 403, 99), r"refuses \(403\): the token is missing"),
        (
            Fault("preupload", 429, 99, {"Retry-After": "7"}),
            r"too many requests; try again in 7 seconds",
        ),
        (Fault("objects/batch", 502, 99), r"failed \(502\); try again later"),
        (Fault("PUT /blobs", 507, 99), r"failed \(507\)"),
        (Fault("commit", 422, 99), r"answered 422"),
    ],
)
def test_refusals_of_an_upload(
    hub: LoopbackHub, published: Path, fault: Fault, message: str
) -> None:
    hub.faults = [fault]
    with pytest.raises(PublishError, match=message):
        upload(published)


def test_without_a_token(
    hub: LoopbackHub, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(PublishError, match=r"set HF_TOKEN"):
        upload(published)


def test_what_is_not_there(hub: LoopbackHub, published: Path) -> None:
    with pytest.raises(PublishError, match="there is no such model, or it is private"):
        fetch(Address("me/other"))
    upload(published)
    with pytest.raises(PublishError, match="there is no revision 'v9'"):
        fetch(Address("me/tiny", "v9"))


def test_a_repository_of_something_else(hub: LoopbackHub) -> None:
    hub.commits["me/tiny"] = {"a" * 40: {"weights.bin": b"x"}}
    with pytest.raises(PublishError, match=r"is no model that tfclassify published.*weights\.bin"):
        fetch(ADDRESS)


@pytest.mark.parametrize("name", ["../../evil.txt", "/etc/evil", "a\\b"])
def test_a_file_outside_of_the_folder(hub: LoopbackHub, name: str) -> None:
    hub.commits["me/tiny"] = {"a" * 40: {"bundle.json": b"{}", name: b"x"}}
    with pytest.raises(PublishError, match="names a file outside of its folder"):
        fetch(ADDRESS)


def test_far_too_many_files(hub: LoopbackHub) -> None:
    files = {f"{number}.txt": b"" for number in range(10_001)}
    hub.commits["me/tiny"] = {"a" * 40: {"bundle.json": b"{}", **files}}
    with pytest.raises(PublishError, match=r"10002 files of 2 B, which is more than the 10000"):
        fetch(ADDRESS)


def test_a_hub_that_names_no_commit(hub: LoopbackHub) -> None:
    hub.commits["me/tiny"] = {"main-1": {"bundle.json": b"{}"}}
    with pytest.raises(PublishError, match="names no commit, got 'main-1'"):
        fetch(ADDRESS)


def test_no_network(hub: LoopbackHub, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = upload(published)
    fetch(parse_address(place))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(PublishError, match=f"cannot be reached .* fetched before: {place}"):
        fetch(ADDRESS)
    assert fetch(parse_address(place)).is_dir()


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r'pip install "tfclassify\[hub\]"'):
        open_hub()


def test_verbs_take_an_address(
    hub: LoopbackHub,
    published: Path,
    tiny_run: TinyRun,
    tmp_path: Path,
    tfclassify: CommandLine,
) -> None:
    photo = next(tiny_run.photos.rglob("*.png"))
    sent = tfclassify("publish", tiny_run.run, "hf:me/tiny", "--quiet")
    assert sent.code == 0, sent.err
    assert "published: hf:me/tiny@" in sent.out
    verified = tfclassify("verify", "hf:me/tiny", "--quiet")
    assert verified.code == 0, verified.out + verified.err
    table = tmp_path / "answers.csv"
    answer = tfclassify("predict", "hf:me/tiny", photo, "--out", table, "--quiet")
    assert answer.code == 0, answer.err
    own = tmp_path / "own.csv"
    assert tfclassify("predict", tiny_run.run, photo, "--out", own, "--quiet").code == 0
    assert table.read_text("utf-8") == own.read_text("utf-8")
    profiled = tfclassify("profile", "hf:me/tiny", "--no-latency", "--quiet")
    assert profiled.code == 0, profiled.err


def test_a_tampered_model_is_refused_like_any_other(
    hub: LoopbackHub, published: Path, tmp_path: Path
) -> None:
    from tfclassify.errors import BundleError
    from tfclassify.workflows.verify import VerifyRequest, verify_published

    folder = Path(shutil.copytree(published, tmp_path / "tampered"))
    data = bytearray((folder / "model.keras").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.keras").write_bytes(bytes(data))
    upload(folder)
    with pytest.raises(BundleError, match="was changed after it was written"):
        verify_published(VerifyRequest(Path("hf:me/tiny")))


def test_a_server_takes_an_address(
    hub: LoopbackHub, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tfclassify.web import prediction_server
    from tfclassify.web.prediction_server import ServeOptions, run_server

    served: list[Path] = []
    monkeypatch.setattr(
        prediction_server, "_serve_one", lambda options, *_: served.append(options.model)
    )
    place = parse_address(upload(published))
    run_server(ServeOptions(Path(str(place)), port=0))
    assert served == [fetch(place)]
