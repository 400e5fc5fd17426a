from __future__ import annotations

from pathlib import Path

import pytest

from tfclassify.data.integrity import KINDS, STORAGE_KINDS, Finding, IntegrityReport, make_report
from tfclassify.errors import IntegrityError
from tfclassify.files import write_json

FINDINGS = [
    Finding("d.png", "greyscale", "PNG"),
    Finding("c.png", "truncated", "cut"),
    Finding("a.png", "truncated", "cut"),
    Finding("", "few_images", "class 'x' has 1 usable images"),
    Finding("b.png", "empty", "0 bytes"),
]
REPORT = make_report("photos.zip", 10, 3, FINDINGS)


def test_rows_are_by_kind_and_image() -> None:
    assert [(row.kind, row.image) for row in REPORT.rows] == [
        ("empty", "b.png"),
        ("truncated", "a.png"),
        ("truncated", "c.png"),
        ("greyscale", "d.png"),
        ("few_images", ""),
    ]
    assert REPORT.counts == {"empty": 1, "truncated": 2, "greyscale": 1, "few_images": 1}


def test_each_kind_is_described_with_count_and_names() -> None:
    assert REPORT.describe() == [
        "1 empty file (quarantined): b.png",
        "2 truncated (quarantined): a.png, c.png",
        "1 greyscale: d.png",
        "1 class with few images: class 'x' has 1 usable images",
    ]


def test_many_names_are_counted() -> None:
    report = make_report("x", 9, 0, [Finding(f"{n}.png", "alpha", "") for n in range(1234)])
    assert report.describe()[0].endswith(": 0.png, 1.png, 10.png and 1,231 more")


def test_strict_lists_counts_and_paths_of_what_is_quarantined() -> None:
    with pytest.raises(
        IntegrityError, match=r"photos\.zip: 3 of 10 images cannot be used"
    ) as caught:
        REPORT.check_strict()
    text = str(caught.value)
    assert "\n  1 empty file: b.png\n  2 truncated: a.png, c.png\n" in text
    assert "greyscale" not in text
    assert "set data.strict: false" in text


def test_strict_does_not_mind_remarks() -> None:
    make_report("x", 5, 0, [Finding("a", "cmyk", "")]).check_strict()


def test_the_report_survives_json(tmp_path: Path) -> None:
    write_json(tmp_path / "integrity.json", REPORT.to_dict())
    assert IntegrityReport.read(tmp_path / "integrity.json") == REPORT


@pytest.mark.parametrize(
    "content",
    [
        {},
        {
            "source": "x",
            "images": 1,
            "quarantined": 0,
            "rows": [{"image": "a", "kind": "odd", "detail": ""}],
        },
    ],
)
def test_a_damaged_report_is_told(tmp_path: Path, content: dict[str, object]) -> None:
    write_json(tmp_path / "integrity.json", content)
    with pytest.raises(ValueError, match=r"source: Field required|unknown kind 'odd'"):
        IntegrityReport.read(tmp_path / "integrity.json")


def test_every_kind_has_a_title_of_its_own() -> None:
    assert len({kind.title for kind in KINDS.values()}) == len(KINDS)
    assert set(KINDS) > STORAGE_KINDS
    assert all(KINDS[name].severity == "remark" for name in STORAGE_KINDS)


def test_a_number_of_findings_is_said_in_the_plural() -> None:
    assert KINDS["few_images"].count(1) == "1 class with few images"
    assert KINDS["few_images"].count(20) == "20 classes with few images"
    assert KINDS["missing"].count(1200) == "1,200 not on disk"
