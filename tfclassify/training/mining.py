"""How training images that are missed come to weigh more.

Owns: how misses become weights, and ``mining.csv``, the table of both.
Does not own: what counts as a miss (``scoring.tasks``), where the count is stored (``state``).

A weight follows from the image's start and its misses alone, so the count is all that
resuming needs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from tfclassify.data.index import Index
from tfclassify.errors import RunError
from tfclassify.files import guard_formula, open_regular, render_csv, write_text
from tfclassify.recipe.schema import MiningRecipe

FloatArray = npt.NDArray[np.float32]


_COLUMNS = {"image": str, "label": str, "start": float, "weight": float, "misses": int}


def mine_weights(
    start: npt.NDArray[np.float32], misses: npt.NDArray[np.int64], recipe: MiningRecipe
) -> npt.NDArray[np.float32]:
    """Return the weight of each image after its misses, ``(n,)``.

        weight = max(start, min(ceiling, start + delta * misses))

    An image that starts above the ceiling keeps its start.

    Args:
        start: ``(n,)``, the images' own weights.
        misses: ``(n,)``, epochs in which each was missed.
        recipe: Delta and ceiling.
    """
    raised = np.minimum(recipe.ceiling, start + recipe.delta * misses)
    return np.maximum(start, raised).astype(np.float32)


class HardExamples:
    """The misses of each training image so far, and what it weighs in the next epoch.

    Args:
        recipe: Delta and ceiling.
        start: ``(n,)``, the images' own weights.

    Attributes:
        start: As given.
        misses: ``(n,)`` int64, finished epochs in which each image was missed.
    """

    def __init__(self, recipe: MiningRecipe, start: npt.NDArray[np.float32]) -> None:
        self._recipe = recipe
        self.start = np.asarray(start, np.float32)
        self.misses = np.zeros(len(self.start), np.int64)

    @property
    def weights(self) -> npt.NDArray[np.float32]:
        """What each image weighs now, ``(n,)``."""
        return mine_weights(self.start, self.misses, self._recipe)

    def factors(self) -> npt.NDArray[np.float32]:
        """Return what each image's own weight is multiplied by, ``(n,)``; 1 without misses."""
        return np.asarray(self.weights / self.start, np.float32)

    def count(self, is_missed: npt.NDArray[np.bool_]) -> None:
        """Take in which images a finished epoch missed, ``(n,)``."""
        self.misses = self.misses + is_missed.astype(np.int64)

    def restore(self, misses: npt.NDArray[np.int64], where: Path) -> None:
        """Take over the misses of a training that goes on.

        Raises:
            RunError: If they are of other images.
        """
        if misses.shape != self.misses.shape:
            raise RunError(
                f"{where}: the saved state counts the misses of {len(misses)} images, but there "
                f"are {len(self.misses)} to train on; train anew, in another run"
            )
        self.misses = np.asarray(misses, np.int64)


def write_hard_examples(path: Path, train: Index, examples: HardExamples) -> None:
    """Write the training images, hardest first.

    Columns: ``image``, ``label``, ``start`` (weight before the training), ``weight`` (after
    it) and ``misses`` (epochs of all phases in which the training answered it wrongly).

    Args:
        path: Where to.
        train: The training images, in the order that they were trained in.
        examples: Their starts, misses and weights.
    """
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

    Raises:
        RunError: If the table is damaged, or of other images.
    """
    try:
        with open_regular(path) as stream:
            table = pd.read_csv(stream, dtype=_COLUMNS, keep_default_na=False)
        names = {guard_formula(name): name for name in index.frame["image"]}
        hardest = table[table["misses"] > 0].head(limit)
        return [(names[row.image], row.misses, row.weight) for row in hardest.itertuples()]
    except (OSError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise RunError(
            f"{path}: the weights of the images cannot be read ({error!r}); remove the file, and "
            "report the run again"
        ) from error
