"""Which images of a labelled set a run knows already, so that a score on them would flatter.

Owns: the comparison by bytes and by near-duplicates, how it is told, and the thumbnails that
a run keeps for it. Does not own: the fingerprints (``data.leaks``), who leaves the images out
(``workflows.evaluate``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfclassify.data.index import Index
from tfclassify.data.leaks import find_near_matches
from tfclassify.data.scan_cache import THUMBNAIL
from tfclassify.runs.arrays import load_arrays, save_arrays
from tfclassify.runs.directory import ResultsFolder, RunDirectory


@dataclass(frozen=True, eq=False)
class Seen:
    """The images of a set that a run knows.

    Attributes:
        is_known: Whether each image is known, ``(n,)`` bool.
        trained: Images whose bytes were trained on.
        chosen: Images whose bytes chose the epoch, the thresholds or the temperature.
        near: Other images that nearly equal one of those.
        has_near: Whether near-duplicates could be looked for.
    """

    is_known: np.ndarray
    trained: int
    chosen: int
    near: int
    has_near: bool

    @property
    def known(self) -> int:
        """How many images are known."""
        return int(self.is_known.sum())

    def describe(self) -> str:
        """Say what was found in one sentence; empty where nothing was and all was looked for."""
        if not self.known:
            if self.has_near:
                return ""
            return (
                f"none of {len(self.is_known):,} images is known to the run by its bytes; "
                "near-duplicates could not be looked for."
            )
        parts = [
            f"{count:,} {what}"
            for count, what in (
                (self.trained, "trained on"),
                (self.chosen, "used to choose the epoch"),
                (self.near, "nearly equal to one of these"),
            )
            if count
        ]
        blind = "" if self.has_near else "; near-duplicates could not be looked for"
        return (
            f"{self.known:,} of {len(self.is_known):,} images are known to the run: "
            f"{', '.join(parts)}{blind}."
        )


def find_seen(run: RunDirectory, own: Index, other: Index, thumbnails: np.ndarray | None) -> Seen:
    """Compare labelled images with those that a run was made with.

    Args:
        run: The run.
        own: Its index.
        other: The images to be judged.
        thumbnails: Theirs, ``(n, 9, 9, 3)`` uint8; None looks at bytes alone.

    Raises:
        RunError: If the run's thumbnails cannot be read.
    """
    splits = {
        split: set(own.frame["sha256"][(own.frame["split"] == split).to_numpy()]) - {""}
        for split in ("train", "validation")
    }
    digests = other.frame["sha256"]
    trained = digests.isin(splits["train"]).to_numpy()
    chosen = digests.isin(splits["validation"]).to_numpy() & ~trained
    near = np.zeros(len(other), dtype=bool)
    stored = None if thumbnails is None else load_thumbnails(run, own)
    if thumbnails is not None and stored is not None:
        is_used = own.frame["split"].isin(["train", "validation"]) & (own.frame["status"] == "ok")
        near = find_near_matches(thumbnails, stored[is_used.to_numpy()]) & ~trained & ~chosen
    counts = [int(rows.sum()) for rows in (trained, chosen, near)]
    return Seen(trained | chosen | near, counts[0], counts[1], counts[2], stored is not None)


def name_known(own: Index, digests: Sequence[str]) -> list[str]:
    """Say for each SHA-256 in which split the run has that image: ``train``, ``validation``.

    Empty where it has none, or only held it out. Trained on goes first.
    """
    frame = own.frame[(own.frame["sha256"] != "") & (own.frame["status"] == "ok")]
    known: dict[str, str] = {}
    for split in ("validation", "train"):
        known |= dict.fromkeys(frame["sha256"][frame["split"] == split], split)
    return [known.get(digest, "") for digest in digests]


def save_thumbnails(place: ResultsFolder, thumbnails: np.ndarray | None) -> None:
    """Keep the images of a run's index in small, ``(n, 9, 9, 3)``; None keeps nothing."""
    if thumbnails is not None:
        save_arrays(place.thumbnails_path, {"thumbnails": thumbnails})


def load_thumbnails(place: ResultsFolder, index: Index) -> np.ndarray | None:
    """Read the images of a run's index in small, ``(n, 9, 9, 3)`` uint8; None without any.

    Raises:
        RunError: If they cannot be read, or are of other images.
    """
    if not place.thumbnails_path.exists():
        return None
    expected = {"thumbnails": ((len(index), THUMBNAIL, THUMBNAIL, 3), "uint8")}
    return load_arrays(place.thumbnails_path, expected)["thumbnails"]
