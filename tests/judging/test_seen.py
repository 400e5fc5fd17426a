"""Which images of a set a run knows: by bytes, and by what they look like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fake_runs import make_index, make_recipe, make_run
from tfclassify.errors import RunError
from tfclassify.judging.seen import find_seen, name_known
from tfclassify.runs.arrays import save_arrays
from tfclassify.runs.directory import RunDirectory


def make_thumbnails(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 9, 9, 3), dtype=np.uint8)


def test_bytes_and_likenesses_are_counted_once(tmp_path: Path) -> None:
    index = make_index(tmp_path / "photos")  # three classes; splits take turns: 9, 9 and 6
    run = RunDirectory.open(make_run(tmp_path / "run", make_recipe(), index))
    small = make_thumbnails(24, seed=0)
    save_arrays(run.thumbnails_path, {"thumbnails": small})
    splits = index.frame["split"].to_numpy()
    train, validation, test = (
        np.flatnonzero(splits == name) for name in ("train", "validation", "test")
    )
    others = [train[0], train[1], validation[0], test[0], test[1]]
    digests = index.frame["sha256"].iloc[others].tolist()
    other = index.with_frame(index.frame.iloc[others].assign(split=""))
    # The second was saved anew, a little brighter; the last is new and looks like nothing.
    digests[1], digests[4] = "f" * 64, "e" * 64
    other = other.with_frame(other.frame.assign(sha256=digests))
    looks = small[others].copy()
    looks[1] = np.clip(looks[1].astype(int) + 2, 0, 255)
    looks[4] = make_thumbnails(1, seed=9)[0]
    seen = find_seen(run, index, other, looks)
    assert (seen.trained, seen.chosen, seen.near) == (1, 1, 1)
    assert seen.is_known.tolist() == [True, True, True, False, False]
    assert seen.describe() == (
        "3 of 5 images are known to the run: 1 trained on, 1 used to choose the epoch, "
        "1 nearly equal to one of these."
    )


def test_a_run_without_thumbnails_says_that_it_is_half_blind(tmp_path: Path) -> None:
    index = make_index(tmp_path / "photos")
    run = RunDirectory.open(make_run(tmp_path / "run", make_recipe(), index))
    seen = find_seen(run, index, index, make_thumbnails(24, seed=0))
    assert (seen.trained, seen.chosen, seen.near) == (9, 9, 0)
    assert "near-duplicates could not be looked for" in seen.describe()
    new = index.with_frame(index.frame.assign(sha256=""))
    assert find_seen(run, index, new, None).describe() == (
        "none of 24 images is known to the run by its bytes; near-duplicates could not be looked "
        "for."
    )


def test_each_image_is_told_by_the_split_that_knows_it(tmp_path: Path) -> None:
    index = make_index(tmp_path / "photos")
    frame = index.frame
    both = frame["sha256"][frame["split"] == "validation"].iloc[0]
    frame.loc[frame.index[frame["split"] == "train"][0], "sha256"] = both
    broken = frame.index[frame["split"] == "train"][1]
    frame.loc[broken, "status"] = "quarantined"
    digest = {split: frame["sha256"][frame["split"] == split].iloc[2]
              for split in ("train", "validation", "test")}  # fmt: skip
    asked = [*digest.values(), both, frame["sha256"][broken], "", "f" * 64]
    assert name_known(index, asked) == ["train", "validation", "", "train", "", "", ""]


def test_damaged_thumbnails_are_reported(tmp_path: Path) -> None:
    index = make_index(tmp_path / "photos")
    run = RunDirectory.open(make_run(tmp_path / "run", make_recipe(), index))
    save_arrays(run.thumbnails_path, {"thumbnails": make_thumbnails(23, seed=0)})
    with pytest.raises(RunError, match="thumbnails has the shape and type"):
        find_seen(run, index, index, make_thumbnails(24, seed=0))
