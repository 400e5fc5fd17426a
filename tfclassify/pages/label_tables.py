"""Labels an image and labels together, as plain text for terminals.

Owns: the two tables. Does not own: alignment (``tables``), the counts
(``data.statistics``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfclassify.pages.tables import Column, render_table
from tfclassify.pages.wording import count_of, format_count

if TYPE_CHECKING:
    from tfclassify.data.statistics import LabelSets

#: Pairs that a terminal lists.
LISTED_PAIRS = 10


def tabulate_label_sets(sets: LabelSets) -> str:
    """Write how many labels images have, and which classes are most often together."""
    counts = [
        [number, format_count(images), f"{100 * images / max(1, sets.images):.1f} %"]
        for number, images in enumerate(sets.per_image)
    ]
    columns = [Column("labels", "right"), Column("images", "right"), Column("share", "right")]
    parts = [
        f"{count_of(sets.labels, 'label')} on {count_of(sets.images, 'image')}, "
        f"{sets.mean:.2f} an image",
        render_table(columns, counts),
    ]
    pairs = sets.find_pairs(LISTED_PAIRS)
    if pairs:
        names = [Column("together", longest=32), Column("with", longest=32)]
        rows = [[first, second, format_count(count)] for first, second, count in pairs]
        parts.append(render_table([*names, Column("images", "right")], rows))
    return "\n\n".join(parts)
