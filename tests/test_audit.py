"""The audit tells a vulnerable package from one that could not be looked up."""

from __future__ import annotations

from tests.audit import sort_packages


def test_a_vulnerability_is_named_with_what_mends_it() -> None:
    packages = [
        {"name": "sound", "version": "1.0", "vulns": []},
        {"name": "own", "skip_reason": "not on the index"},
        {
            "name": "holed",
            "version": "2.0",
            "vulns": [
                {"id": "PYSEC-1", "fix_versions": ["2.1", "3.0"]},
                {"id": "PYSEC-2", "fix_versions": []},
            ],
        },
    ]
    lines, looked_up = sort_packages(packages)
    assert looked_up == 2
    assert lines == [
        "holed 2.0: PYSEC-1, mended in 2.1, 3.0",
        "holed 2.0: PYSEC-2, mended in no version yet",
    ]
