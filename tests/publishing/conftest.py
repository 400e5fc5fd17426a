"""A Hub on this machine, and a model that was published into a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.publishing.loopback_hub import TOKEN, LoopbackHub
from tests.tiny_run import TinyRun


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    """A Hub that is empty, a token that it takes, and a store of its own."""
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    opened = LoopbackHub()
    monkeypatch.setenv("HF_ENDPOINT", opened.address)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("TFCLASSIFY_CACHE", str(tmp_path / "store"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(_http.time, "sleep", lambda seconds: None)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def published(tiny_run: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run, published with two of its photos; only to be looked at."""
    from tfclassify.workflows.publish import PublishRequest, publish_run

    target = tmp_path_factory.mktemp("published") / "model"
    publish_run(PublishRequest(tiny_run.run, str(target), license="mit", samples=2))
    return target
