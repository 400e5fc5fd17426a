"""Settings that the tests of data share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is unpacked out of the user's cache."""
    monkeypatch.setenv("TFCLASSIFY_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def shared_data() -> Path:
    """Real photos beside the repository, where there are any."""
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data here: it holds photos that are no part of the project")
    return folder
