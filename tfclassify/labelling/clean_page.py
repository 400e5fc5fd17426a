"""The page of suspect labels and photos, and the same for a terminal and as a queue.

Owns: what it says. Does not own: finding them (``issues``), the look (``pages``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfclassify.files import render_csv, write_text
from tfclassify.labelling.issues import KINDS, Suspect
from tfclassify.pages.pictures import Photo
from tfclassify.pages.rendering import Page, render_page
from tfclassify.pages.tables import Table
from tfclassify.pages.wording import count_of, format_count, format_share

#: Pictures of each kind on the page, and rows of its tables and of the terminal's.
SHOWN_PHOTOS, SHOWN_ROWS = 24, 20


@dataclass(frozen=True, kw_only=True)
class CleanReport(Page):
    """Everything that is said of a run's or a cross-validation's images.

    Attributes:
        target: The run or cross-validation.
        images: Images that were judged.
        judged: By what, in words.
        suspects: In the order in which they are worth a look.
        kept: Images that somebody has looked at before and kept; they are not listed.
        remarks: What a reader should know.
        photos: Pictures of the first suspects of each kind.
    """

    target: str
    images: int
    judged: str
    suspects: tuple[Suspect, ...]
    kept: int = 0
    remarks: tuple[str, ...] = ()
    photos: dict[str, tuple[Photo, ...]]

    @property
    def lead(self) -> str:
        """The page in a sentence."""
        labels = self.counts.get("label", 0)
        return (
            f"{count_of(len(self.suspects), 'image')} of {format_count(self.images)} to look at; "
            f"of {format_count(labels)} the model contradicts the label."
        )

    @property
    def counts(self) -> dict[str, int]:
        """Images with an issue of each kind that occurs; one image may have several."""
        counted = Counter(issue.kind for each in self.suspects for issue in each.issues)
        return {kind: counted[kind] for kind in KINDS if counted[kind]}

    @property
    def kind_table(self) -> Table:
        """Images by kind."""
        rows = [
            [KINDS[kind], format_count(count), format_share(count, self.images)]
            for kind, count in self.counts.items()
        ]
        return Table("What was found", ["Kind", "Images", "Share"], rows, 2)

    @property
    def pair_table(self) -> Table:
        """Which labels are contradicted by which most often."""
        pairs = Counter(
            (each.given, issue.suggestion)
            for each in self.suspects
            for issue in each.issues
            if issue.kind == "label"
        )
        rows = [
            [given or "none", suggestion or "none", format_count(count)]
            for (given, suggestion), count in pairs.most_common(SHOWN_ROWS)
        ]
        return Table("Labels that are contradicted", ["Label", "The model", "Images"], rows, 1)

    @property
    def sections(self) -> list[tuple[str, str, int, tuple[Photo, ...]]]:
        """Kind, title, images and pictures of each kind, where an image is under its first."""
        counted = Counter(each.kind for each in self.suspects)
        return [
            (kind, KINDS[kind], counted[kind], self.photos.get(kind, ()))
            for kind in KINDS
            if counted[kind]
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "target": self.target,
            "images": self.images,
            "judged": self.judged,
            "kept": self.kept,
            "remarks": list(self.remarks),
            "counts": self.counts,
            "suspects": [
                {
                    "file": each.image,
                    "given": each.given,
                    "suggestion": each.suggestion,
                    "issues": [
                        {"kind": one.kind, "score": one.score, "reason": one.reason}
                        for one in each.issues
                    ],
                }
                for each in self.suspects
            ],
        }


def render_clean_page(report: CleanReport) -> str:
    """Return the page of what should be looked at."""
    return render_page("clean.html", page=report)


def describe_suspects(report: CleanReport) -> str:
    """Write it for a terminal: the kinds, and the first suspects."""
    rows = [
        [each.image, each.given, each.suggestion, each.reason]
        for each in report.suspects[:SHOWN_ROWS]
    ]
    parts = [report.lead, *(f"note: {remark}" for remark in report.remarks)]
    if report.suspects:
        first = Table("The first suspects", ["File", "Label", "Suggestion", "Why"], rows)
        parts += [report.kind_table.to_text(), first.to_text(60)]
    return "\n\n".join(parts)


def write_queue(path: Path, suspects: Sequence[Suspect]) -> None:
    """Write the suspects as a table that becomes corrections once ``action`` is filled in.

    The columns are ``file,label,action,reason`` as corrections have them, ``label`` being what
    is suggested, then ``given,kind,score``.
    """
    import pandas as pd

    rows = [
        [
            each.image,
            each.suggestion,
            "",
            each.reason,
            each.given,
            each.kind,
            each.issues[0].score,
        ]
        for each in suspects
    ]
    columns = ["file", "label", "action", "reason", "given", "kind", "score"]
    write_text(path, render_csv(pd.DataFrame(rows, columns=columns), "%.4g"))
