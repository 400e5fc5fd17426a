"""Hugging Face's Hub: models sent there, and fetched from there once.

Owns: addresses such as ``hf:user/name@commit``, uploads, the store of what was fetched, the
Hub's errors in our words. Does not own: what a published model is (``folder``). Tokens are
the Hub's own affair: ``HF_TOKEN`` or its login; none is taken, kept or written here.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tfclassify.errors import MissingExtraError, PublishError, TargetError
from tfclassify.events import SILENT, Observer
from tfclassify.files import cache_folder, lock_file
from tfclassify.recipe.wording import format_bytes

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_SCHEME = "hf:"
_ADDRESS = re.compile(r"hf:([\w][\w.-]*/[\w][\w.-]*)(?:@([\w][\w./-]*))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
#: A larger repository is no image classifier.
_MOST_BYTES = 20 << 30
_MOST_FILES = 10_000
#: A folder holds a model that a verb can use if it has one of them.
_MARKS = ("published.json", "bundle.json", "artefact.json")


@dataclass(frozen=True)
class Address:
    """A model on the Hub.

    Attributes:
        name: ``user/name``.
        revision: A commit, branch or tag; empty for the newest.
    """

    name: str
    revision: str = ""

    def __str__(self) -> str:
        return f"{_SCHEME}{self.name}" + (f"@{self.revision}" if self.revision else "")


def is_address(text: object) -> bool:
    """Say whether a text or a path is meant as an address of the Hub."""
    return str(text).startswith(_SCHEME)


def parse_address(text: str) -> Address:
    """Take an address apart.

    Raises:
        TargetError: If it is not ``hf:user/name`` or ``hf:user/name@revision``.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise TargetError(
            f"{text}: an address on the Hub is hf:user/name or hf:user/name@commit, of letters, "
            "digits, dot, dash and underscore"
        )
    return Address(found[1], found[2] or "")


def open_hub() -> Hub:
    """Return the Hub at ``HF_ENDPOINT``, or the public one.

    Raises:
        MissingExtraError: If its package is not installed.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise MissingExtraError(
            "hf: addresses need the Hub's package, which is not installed; "
            'pip install "tfclassify[hub]"'
        ) from error
    return Hub(HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None))


def fetch(address: Address, observer: Observer = SILENT) -> Path:
    """Return the folder of a model of the Hub, fetched on its first use.

    A full commit that was fetched before needs neither network nor package.

    Raises:
        MissingExtraError: If the Hub's package is not installed.
        PublishError: If the model cannot be fetched, or is none of tfclassify.
    """
    kept = _store(address) / address.revision
    if _COMMIT.fullmatch(address.revision) and kept.is_dir():
        return kept
    return open_hub().fetch(address, observer)


def _store(address: Address) -> Path:
    return cache_folder() / "hub" / address.name.replace("/", "--")


class Hub:
    """Calls of the Hub, their errors in our words."""

    def __init__(self, api: HfApi) -> None:
        self._api = api

    def upload(
        self, folder: Path, address: Address, *, is_private: bool, observer: Observer = SILENT
    ) -> str:
        """Upload a folder in one commit; files that are there already are not sent again.

        Returns:
            The address of the commit: ``hf:user/name@commit``.

        Raises:
            PublishError: If the Hub cannot be reached or refuses.
        """
        observer.on_note(f"uploading to {self._api.endpoint}/{address.name}")
        with _in_our_words(address, self._api.endpoint), _without_bars():
            self._api.create_repo(address.name, private=is_private, exist_ok=True)
            commit = self._api.upload_folder(
                repo_id=address.name,
                folder_path=folder,
                revision=address.revision or None,
                commit_message="Publish the model, its card and its evidence",
            )
        return str(Address(address.name, commit.oid))

    def fetch(self, address: Address, observer: Observer = SILENT) -> Path:
        """Fetch a model; what was fetched before an interruption is not fetched again.

        Raises:
            PublishError: If the Hub cannot be reached, refuses, or has something else there.
        """
        with _in_our_words(address, self._api.endpoint):
            info = self._api.model_info(
                address.name, revision=address.revision or None, files_metadata=True
            )
        commit = str(info.sha or "")
        if not _COMMIT.fullmatch(commit):
            raise PublishError(f"{address}: the Hub names no commit, got {commit!r}; try again")
        store = _store(address)
        target = store / commit
        store.mkdir(parents=True, exist_ok=True)
        with lock_file(store / ".lock", is_waiting=True):
            if not target.is_dir():
                names = _choose_files(address, info.siblings or [])
                self._download(address, commit, names, target, observer)
        return target

    def _download(
        self, address: Address, commit: str, names: list[str], target: Path, observer: Observer
    ) -> None:
        """Fetch files into a folder beside the target, which appears when it is whole."""
        half = target.with_name(f"{commit}.part")
        observer.on_task_start("fetch", len(names))
        with _in_our_words(address, self._api.endpoint), _without_bars():
            for done, name in enumerate(names, start=1):
                self._api.hf_hub_download(address.name, name, revision=commit, local_dir=half)
                observer.on_task_step("fetch", done)
        observer.on_task_end("fetch")
        shutil.rmtree(half / ".cache", ignore_errors=True)
        half.replace(target)


def _choose_files(address: Address, siblings: list[Any]) -> list[str]:
    """Return the files to fetch; refuse what is no model of ours, or far too much."""
    names = [str(each.rfilename) for each in siblings]
    size = sum(int(each.size or 0) for each in siblings)
    if not set(_MARKS) & set(names):
        raise PublishError(
            f"{address}: is no model that tfclassify published, it has none of "
            f"{', '.join(_MARKS)}; its files are {', '.join(sorted(names)[:5]) or 'none'}"
        )
    if size > _MOST_BYTES or len(names) > _MOST_FILES:
        raise PublishError(
            f"{address}: {len(names)} files of {format_bytes(size)}, which is more than the "
            f"{_MOST_FILES} files and {format_bytes(_MOST_BYTES)} that are fetched"
        )
    unsafe = [name for name in names if "\\" in name or ".." in PurePosixPath(name).parts]
    unsafe += [name for name in names if PurePosixPath(name).is_absolute()]
    if unsafe:
        raise PublishError(f"{address}: names a file outside of its folder, {unsafe[0]!r}")
    return sorted(name for name in names if not name.startswith("."))


@contextmanager
def _without_bars() -> Iterator[None]:
    """Leave progress to our own display."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    was_off = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not was_off:
            enable_progress_bars()


@contextmanager
def _in_our_words(address: Address, endpoint: str) -> Iterator[None]:
    """Turn the errors of the Hub's package into ours."""
    try:
        yield
    except Exception as error:
        raise PublishError(f"{address}: {_explain(error, address, endpoint)}") from error


def _explain(error: BaseException, address: Address, endpoint: str) -> str:
    """Say what went wrong and what to do."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__  # an upload of one file
    if isinstance(error, RevisionNotFoundError):
        return f"there is no revision {address.revision!r}; leave it out for the newest"
    if isinstance(error, GatedRepoError):
        return "its owner must let you in first; ask on its page, then set HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError):
        return (
            "there is no such model, or it is private and the token is missing or of somebody "
            "else; set HF_TOKEN or run `hf auth login`"
        )
    if isinstance(error, HfHubHTTPError):
        return _explain_status(error, endpoint)
    is_network = type(error).__module__.partition(".")[0].startswith("httpx")
    if is_network or isinstance(error, (OfflineModeIsEnabled, ConnectionError, TimeoutError)):
        return (
            f"{endpoint} cannot be reached ({type(error).__name__}); go online, or name a commit "
            f"that was fetched before: {_list_kept(address)}"
        )
    return f"the Hub's package failed: {type(error).__name__}: {error}"


def _explain_status(error: Any, endpoint: str) -> str:
    status = error.response.status_code if error.response is not None else 0
    if status in (401, 403):
        return (
            f"{endpoint} refuses ({status}): the token is missing, or may not do this; set "
            "HF_TOKEN to one that may write, or run `hf auth login`"
        )
    if status == 429:
        wait = error.response.headers.get("Retry-After", "")
        return f"{endpoint} has had too many requests; try again in {wait or 'some'} seconds"
    if status >= 500:
        return f"{endpoint} failed ({status}); try again later, nothing was published by half"
    reason = " ".join(str(error).split())
    return f"{endpoint} answered {status}: {reason[:200]}"


def _list_kept(address: Address) -> str:
    """Name the commits of a model that are on this machine."""
    store = _store(address)
    commits = sorted(path.name for path in store.iterdir()) if store.is_dir() else []
    kept = [name for name in commits if _COMMIT.fullmatch(name)]
    return ", ".join(f"{_SCHEME}{address.name}@{name}" for name in kept) or "none is here"
