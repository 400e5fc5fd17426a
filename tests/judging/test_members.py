from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from tests.fake_runs import make_index, make_recipe, make_run
from tfclassify.data.index import Index
from tfclassify.data.integrity import make_report
from tfclassify.data.preparation import PreparedData
from tfclassify.judging.members import Member, join_images
from tfclassify.runs.directory import RunDirectory


def make_member(folder: Path, index: Index) -> Member:
    run = RunDirectory.open(make_run(folder, make_recipe(), index))
    data = PreparedData(index, make_report("photos", len(index), 0, []))
    return Member(run, make_recipe(), SimpleNamespace(), data)


def test_what_another_member_alone_was_trained_on_is_listed_too(tmp_path: Path) -> None:
    first = make_index(tmp_path / "photos")
    # Of the second member's images three are new, one of them under a name that is taken.
    frame = first.frame.copy()
    frame.loc[[0, 9, 18], "sha256"] = ["a" * 64, "b" * 64, "c" * 64]
    frame.loc[[9, 18], "image"] = ["new-9.png", "new-18.png"]
    second = first.with_frame(frame)
    members = [make_member(tmp_path / "one", first), make_member(tmp_path / "two", second)]
    joined = join_images(members, allow_different=True).index.frame
    assert len(joined) == len(first) + 3
    assert joined["image"].is_unique
    extra = joined.iloc[len(first) :]
    assert extra["image"].tolist() == ["two/000.png", "new-9.png", "new-18.png"]
    assert set(extra["split"]) == {"train"}
    # And what only one of them held out is not held out any more.
    held = first.frame["split"].isin(["validation", "test"])
    still = joined["split"].isin(["validation", "test"])
    assert still.sum() == held.sum() - held.iloc[[0, 9, 18]].sum()
