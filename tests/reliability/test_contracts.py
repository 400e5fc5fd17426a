"""The same image, the same answer, for each kind of backbone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reliability.contracts import ALLOWED, KINDS, compare_answers


@pytest.mark.slow  # a training, and a server in a process of its own; see also test_agreement
@pytest.mark.parametrize("name", KINDS)
def test_all_ways_of_asking_agree(name: str, tmp_path: Path) -> None:
    differences = compare_answers(name, tmp_path)
    assert len(differences) == 5
    assert max(differences.values()) <= ALLOWED, differences
