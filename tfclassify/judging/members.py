"""The runs that an ensemble is made of: whether they fit together, what none trained on.

Owns: reading the members, refusing those that do not fit, the images left to judge by.
Does not own: their weights (``ensemble``), the joined model (``model.ensemble``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tfclassify.data.index import Index
from tfclassify.data.preparation import PreparedData
from tfclassify.errors import RequestError
from tfclassify.judging.seen import load_thumbnails
from tfclassify.recipe.loading import load_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.directory import RunDirectory

if TYPE_CHECKING:
    from tfclassify.model.bundle import Bundle

_HELD_OUT = ("validation", "test")


@dataclass(frozen=True)
class Member:
    """One run of an ensemble.

    Attributes:
        run: Its folder.
        recipe: What it was trained by.
        bundle: Its model.
        data: Its images.
    """

    run: RunDirectory
    recipe: Recipe
    bundle: Bundle
    data: PreparedData

    @property
    def name(self) -> str:
        """The run, as the user named it."""
        return str(self.run.path)


def read_members(paths: Sequence[Path]) -> list[Member]:
    """Load the runs of an ensemble.

    Raises:
        RequestError: If there are not two different ones.
        TargetError: If one is no finished run.
        BundleError: If a model is damaged or unsafe.
    """
    from tfclassify.model.bundle import load_bundle

    runs = [RunDirectory.open(path, needs_bundle=True) for path in paths]
    places = [run.path.resolve() for run in runs]
    if len(set(places)) < max(2, len(places)):
        raise RequestError(
            f"ensemble: needs two different runs at least, got {', '.join(map(str, paths))}"
        )
    return [
        Member(run, load_recipe(run.recipe_path), load_bundle(run.bundle_dir), _read_images(run))
        for run in runs
    ]


def _read_images(run: RunDirectory) -> PreparedData:
    data = PreparedData.load(run.index_path, run.integrity_path)
    return replace(data, thumbnails=load_thumbnails(run, data.index))


def check_members(members: Sequence[Member]) -> None:
    """Refuse members whose answers cannot be averaged.

    Raises:
        RequestError: If their tasks, classes, or ways to resize an image differ.
    """
    first = members[0]
    for other in members[1:]:
        for what, one, two in (
            ("task", first.recipe.task, other.recipe.task),
            ("data.resize", first.bundle.resize, other.bundle.resize),
        ):
            if one != two:
                raise RequestError(
                    f"ensemble: {first.name} has {what} {one!r}, {other.name} {two!r}; the members "
                    "must have the same"
                )
        if first.bundle.classes != other.bundle.classes:
            raise RequestError(_explain_classes(first, other))
        if first.bundle.resize != "stretch" and not _have_one_shape(first, other):
            raise RequestError(
                f"ensemble: {first.name} and {other.name} take images of {_say_size(first)} and "
                f"{_say_size(other)} pixels by data.resize {first.bundle.resize!r}, of which one "
                "cannot be had from the other; train them in one shape, or with resize: stretch"
            )


def _explain_classes(first: Member, other: Member) -> str:
    one, two = first.bundle.classes, other.bundle.classes
    only_one, only_two = sorted(set(one) - set(two)), sorted(set(two) - set(one))
    if not only_one and not only_two:
        difference = "the same ones in another order; set data.classes in both recipes"
    else:
        difference = f"only the first has {only_one}, only the second {only_two}"
    return (
        f"ensemble: {first.name} and {other.name} have different classes, {len(one)} and "
        f"{len(two)}: {difference}"
    )


def _have_one_shape(first: Member, other: Member) -> bool:
    (height, width), (other_height, other_width) = first.bundle.image_size, other.bundle.image_size
    return height * other_width == width * other_height


def _say_size(member: Member) -> str:
    height, width = member.bundle.image_size
    return f"{height}x{width}"


def choose_size(members: Sequence[Member]) -> tuple[int, int]:
    """Return the largest ``(height, width)``: what is smaller can be had from it."""
    return max((member.bundle.image_size for member in members), key=lambda size: size[0] * size[1])


def join_images(members: Sequence[Member], *, allow_different: bool) -> PreparedData:
    """Return the members' images, held out where every member held them out.

    Images that the first member does not list count as trained on.

    Args:
        members: The members.
        allow_different: Whether their held-out images may differ. What only some held out
            then counts as trained on.

    Raises:
        RequestError: If the held-out images differ and that is not allowed.
    """
    first = members[0]
    kept = {split: _list_images(first, split) for split in _HELD_OUT}
    for other in members[1:]:
        for split in _HELD_OUT:
            own = _list_images(other, split)
            if own != kept[split] and not allow_different:
                raise RequestError(_explain_images(first, other, split, kept[split], own))
            kept[split] = kept[split] & own
    frame = first.data.index.frame
    names = {split: {image for image, _, _ in images} for split, images in kept.items()}
    splits = [
        next((split for split in _HELD_OUT if image in names[split]), "train")
        for image in frame["image"]
    ]
    frames = [frame.assign(split=splits)]
    for other in members[1:]:
        frames.append(_list_strangers(other, pd.concat(frames)))
    index = first.data.index.with_frame(pd.concat(frames))
    return PreparedData(index, first.data.integrity, _join_thumbnails(members, index))


def _join_thumbnails(members: Sequence[Member], index: Index) -> np.ndarray | None:
    """Return the thumbnails of the members' images; None where a member has none."""
    small: dict[str, np.ndarray] = {}
    for member in members:
        if member.data.thumbnails is None:
            return None
        small |= dict(zip(member.data.index.paths(), member.data.thumbnails, strict=True))
    return np.stack([small[path] for path in index.paths()])


def _list_strangers(member: Member, known: pd.DataFrame) -> pd.DataFrame:
    """Return a member's images that others do not list: it may have trained on them."""
    own = member.data.index.usable().frame
    is_known = own["sha256"].isin(known["sha256"]) & (own["sha256"] != "")
    is_same = own["image"].isin(known["image"]) & (own["sha256"] == "")
    strangers = own[~is_known & ~is_same]
    is_taken = strangers["image"].isin(known["image"])
    names = strangers["image"].where(~is_taken, f"{member.run.path.name}/" + strangers["image"])
    return strangers.assign(split="train", image=names)


def _list_images(member: Member, split: str) -> set[tuple[str, str, str]]:
    frame = member.data.index.in_split(split).frame
    return set(zip(frame["image"], frame["sha256"], frame["label"], strict=True))


def _explain_images(
    first: Member, other: Member, split: str, one: set[tuple[str, str, str]],
    two: set[tuple[str, str, str]],
) -> str:  # fmt: skip
    return (
        f"ensemble: {first.name} and {other.name} held out different {split} images, "
        f"{len(one - two)} only the first and {len(two - one)} only the second; an image that a "
        "member trained on would flatter it. Train both on one split (same data, seed and "
        "shares), or use only what all held out by --allow-different-images"
    )


def make_recipe(members: Sequence[Member], name: str) -> Recipe:
    """Return the recipe that an ensemble is used by.

    It is the first member's, at the ensemble's size, with the views that all members
    share; its network and phases are that member's and say nothing of the others.
    """
    first = members[0].recipe
    tta = first.tta if all(member.recipe.tta == first.tta for member in members) else None
    data = first.data.model_copy(update={"image_size": choose_size(members)})
    listed = ", ".join(member.name for member in members)
    description = f"Ensemble of {len(members)} runs: {listed}."
    return first.model_copy(
        update={"name": name, "description": description, "data": data, "tta": tta}
    )
