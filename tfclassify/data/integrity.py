"""What was found wrong or unusual about the images, and how it is told.

Owns: the table of kinds, the report, the error under ``strict``.
Does not own: the finding itself (``readers``, ``scan``, ``leaks``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from tfclassify.errors import IntegrityError
from tfclassify.files import Document

Severity = Literal["quarantined", "remark"]
_SHOWN = 3  # paths that a line of text names


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Attributes:
        title: What a table's row is called.
        severity: ``quarantined`` images are kept out of everything; ``remark`` ones are used.
        several: What it is called behind a number of them; empty where that is the title.
    """

    title: str
    severity: Severity
    several: str = ""

    def count(self, number: int) -> str:
        """Write a number of findings, such as ``2 exact duplicates``."""
        return f"{number:,} {self.several if number > 1 and self.several else self.title}"


KINDS = {
    "missing": Kind("not on disk", "quarantined"),
    "empty": Kind("empty file", "quarantined", "empty files"),
    "not_an_image": Kind("not an image that is read", "quarantined"),
    "truncated": Kind("truncated", "quarantined"),
    "unreadable": Kind("damaged or unreadable", "quarantined"),
    "too_large": Kind("too many pixels", "quarantined"),
    "label_conflict": Kind("same image under different labels", "quarantined"),
    "straddling": Kind(
        "training copy of a held-out image", "quarantined", "training copies of held-out images"
    ),
    "relabelled": Kind("relabelled by data.corrections", "remark"),
    "dropped": Kind("left out by data.corrections", "remark"),
    "unlabelled": Kind(
        "image without a label, left out", "remark", "images without a label, left out"
    ),
    "orphan": Kind("on disk but not in the table, left out", "remark"),
    "listed_twice": Kind("listed twice, read once", "remark"),
    "other_column": Kind(
        "column that is no class, left out", "remark", "columns that are no class, left out"
    ),
    "other_file": Kind(
        "file that is no image, left out", "remark", "files that are no images, left out"
    ),
    "wrong_extension": Kind("extension of another format", "remark"),
    "animated": Kind("animated, first frame used", "remark"),
    "cmyk": Kind("CMYK colours", "remark"),
    "greyscale": Kind("greyscale", "remark"),
    "palette": Kind("palette colours", "remark"),
    "alpha": Kind("transparency, shown on white", "remark"),
    "sixteen_bit": Kind("16 bits a channel, read as 8", "remark"),
    "duplicate": Kind("exact duplicate", "remark", "exact duplicates"),
    "near_duplicate": Kind(
        "near-duplicate across splits", "remark", "near-duplicates across splits"
    ),
    "shared_group": Kind(
        "group on both sides of the source's own split",
        "remark",
        "groups on both sides of the source's own split",
    ),
    "few_images": Kind("class with few images", "remark", "classes with few images"),
    "one_class": Kind("a single class", "remark"),
    "not_held_out": Kind(
        "class without held-out images", "remark", "classes without held-out images"
    ),
}
#: Kinds that were asked for: what the recipe's own file says.
CORRECTED_KINDS = frozenset({"relabelled", "dropped"})
#: Kinds that say how an image is stored, and nothing is wrong with that.
STORAGE_KINDS = frozenset(
    {"wrong_extension", "animated", "cmyk", "greyscale", "palette", "alpha", "sixteen_bit"}
)


@dataclass(frozen=True)
class Finding:
    """One thing found about one image, or about a class.

    Attributes:
        image: The image's stable name; empty for a finding about a class.
        kind: A key of ``KINDS``.
        detail: What was found, in words that make sense beside the image's name.
    """

    image: str
    kind: str
    detail: str

    @property
    def severity(self) -> Severity:
        """Whether the image was quarantined or merely remarked on."""
        return KINDS[self.kind].severity


@dataclass(frozen=True)
class IntegrityReport:
    """Everything found about one source.

    Attributes:
        source: What was read, as the user named it.
        images: Images considered, quarantined ones included.
        quarantined: Images kept out.
        rows: The findings, by kind in the order of ``KINDS``, then by image.
    """

    source: str
    images: int
    quarantined: int
    rows: tuple[Finding, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Findings of each kind that occurs, in the order of ``KINDS``."""
        found = [row.kind for row in self.rows]
        return {kind: found.count(kind) for kind in KINDS if kind in found}

    def of_kind(self, kind: str) -> tuple[Finding, ...]:
        """Return the findings of one kind."""
        return tuple(row for row in self.rows if row.kind == kind)

    def describe(self) -> list[str]:
        """Say what was found, one line a kind, with counts and the first names."""
        return [
            f"{KINDS[kind].count(count)}"
            f"{' (quarantined)' if KINDS[kind].severity == 'quarantined' else ''}: "
            f"{_name_first(self.of_kind(kind))}"
            for kind, count in self.counts.items()
        ]

    def check_strict(self) -> None:
        """Raise if any image was quarantined.

        Raises:
            IntegrityError: With the counts, and the first images of each kind.
        """
        if not self.quarantined:
            return
        lines = [line for line in self.describe() if "(quarantined)" in line]
        raise IntegrityError(
            f"{self.source}: {self.quarantined:,} of {self.images:,} images cannot be used, and "
            "data.strict is true\n  "
            + "\n  ".join(line.replace(" (quarantined)", "") for line in lines)
            + "\nmend or remove them, or set data.strict: false to leave them out"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what a program may read, of plain types."""
        return {
            "source": self.source,
            "images": self.images,
            "quarantined": self.quarantined,
            "counts": self.counts,
            "rows": [
                {
                    "image": row.image,
                    "kind": row.kind,
                    "severity": row.severity,
                    "detail": row.detail,
                }
                for row in self.rows
            ],
        }

    @classmethod
    def read(cls, path: Path) -> IntegrityReport:
        """Read what ``to_dict`` returned and ``write_json`` wrote.

        Raises:
            OSError: If the system does not let it be read.
            ValueError: If it is no such report.
        """
        facts = _Facts.read(path)
        rows = tuple(Finding(row.image, row.kind, row.detail) for row in facts.rows)
        return cls(facts.source, facts.images, facts.quarantined, rows)


class _Row(Document):
    image: str
    kind: str
    detail: str

    @field_validator("kind")
    @classmethod
    def _check_kind(cls, kind: str) -> str:
        if kind not in KINDS:
            raise ValueError(f"unknown kind {kind!r}")
        return kind


class _Facts(Document):
    """``integrity.json``, as far as it is read back."""

    source: str
    images: int = Field(ge=0)
    quarantined: int = Field(ge=0)
    rows: tuple[_Row, ...]


def make_report(
    source: str, images: int, quarantined: int, findings: Iterable[Finding]
) -> IntegrityReport:
    """Order findings into a report."""
    order = {kind: position for position, kind in enumerate(KINDS)}
    rows = sorted(findings, key=lambda row: (order[row.kind], row.image, row.detail))
    return IntegrityReport(source, images, quarantined, tuple(rows))


def _name_first(rows: tuple[Finding, ...]) -> str:
    """Name the first few findings and count the rest."""
    names = [row.image or row.detail for row in rows[:_SHOWN]]
    more = len(rows) - len(names)
    return ", ".join(names) + (f" and {more:,} more" if more else "")
