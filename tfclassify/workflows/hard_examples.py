"""What hard-example mining made of the training images, as a table.

Owns: ``mining.csv``. Does not own: the weights (``training.mining``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tfclassify.data.index import Index
from tfclassify.files import guard_formula, render_csv, write_text

if TYPE_CHECKING:
    from tfclassify.training.mining import HardExamples


def write_hard_examples(path: Path, train: Index, examples: HardExamples) -> None:
    """Write the training images, hardest first.

    Columns: ``image``, ``label``, ``start`` (weight before the training), ``weight`` (after
    it) and ``misses`` (epochs of all phases in which the training answered it wrongly).

    Args:
        path: Where to.
        train: The training images, in the order that they were trained in.
        examples: Their starts, misses and weights.
    """
    import pandas as pd

    table = pd.DataFrame(
        {
            "image": train.frame["image"].tolist(),
            "label": train.frame["label"].tolist(),
            "start": examples.start,
            "weight": examples.weights,
            "misses": examples.misses,
        }
    )
    table = table.sort_values("misses", ascending=False, kind="stable")
    write_text(path, render_csv(table, "%.6g"))


def read_hardest(path: Path, index: Index, *, limit: int) -> list[tuple[str, int, float]]:
    """Read the images that were missed most: name, misses and weight, hardest first.

    Args:
        path: From ``write_hard_examples``.
        index: The run's images; a name that was guarded against spreadsheets is undone.
        limit: How many at most; images that were never missed are left out.
    """
    import pandas as pd

    table = pd.read_csv(path, dtype={"image": str, "label": str}, keep_default_na=False)
    names = {guard_formula(name): name for name in index.frame["image"]}
    hardest = table[table["misses"] > 0].head(limit)
    return [(names[row.image], int(row.misses), float(row.weight)) for row in hardest.itertuples()]
