from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.builders import make_index, make_set_index
from tfclassify.data.folds import make_folds
from tfclassify.data.index import Index
from tfclassify.errors import DataError


def held_in(fold: Index) -> set[str]:
    return set(fold.frame["image"][fold.frame["split"] == "validation"])


def counts_of(fold: Index) -> Counter[str]:
    return Counter(label for labels in fold.in_split("validation").label_sets() for label in labels)


def test_each_image_is_validated_once_and_trained_on_otherwise() -> None:
    index = make_index(["a"] * 10 + ["b"] * 5)
    folds = make_folds(index, folds=5, seed=0)
    assert [counts_of(fold) for fold in folds] == [{"a": 2, "b": 1}] * 5
    assert sorted(name for fold in folds for name in held_in(fold)) == sorted(index.frame["image"])
    for fold in folds:
        assert fold.classes == index.classes
        assert fold.frame["image"].tolist() == index.frame["image"].tolist()
        assert Counter(fold.frame["split"]) == {"train": 12, "validation": 3}


def test_test_images_stay_and_other_splits_are_overruled() -> None:
    splits = ["test"] * 4 + ["train"] * 6 + ["validation"] * 6
    folds = make_folds(make_index(["a", "b"] * 8, splits=splits), folds=3, seed=0)
    for fold in folds:
        assert fold.frame["split"].tolist()[:4] == ["test"] * 4
        assert counts_of(fold) == {"a": 2, "b": 2}


def test_quarantined_images_take_no_part() -> None:
    index = make_index(["a", "b"] * 4)
    index = index.with_frame(index.frame.assign(status=["quarantined"] * 2 + ["ok"] * 6))
    folds = make_folds(index, folds=3, seed=0)
    assert all(fold.frame["split"].tolist()[:2] == ["", ""] for fold in folds)
    assert [counts_of(fold) for fold in folds] == [{"a": 1, "b": 1}] * 3


def test_groups_and_copies_are_validated_together() -> None:
    groups = [f"g{number // 3}" for number in range(30)] + [""] * 30
    digests = [f"x{number}" for number in range(50)] + [f"x{number}" for number in range(10)]
    index = make_index(["a", "b"] * 30, groups=groups, digests=digests)
    folds = make_folds(index, folds=4, seed=1)
    for column in ("group", "sha256"):
        for fold in folds:
            named = fold.frame[fold.frame[column] != ""]
            assert named.groupby(column)["split"].nunique().max() == 1
    assert max(len(held_in(fold)) for fold in folds) <= 17


def test_label_sets_are_even_over_the_folds() -> None:
    # 20 of each pair and 20 images of nothing: every fold has a fifth of each.
    index = make_set_index(["ab"] * 20 + ["bc"] * 20 + ["ac"] * 20 + [""] * 20)
    for fold in make_folds(index, folds=5, seed=0):
        held = fold.in_split("validation")
        assert counts_of(fold) == {"a": 8, "b": 8, "c": 8}
        assert held.label_sets().count(()) == 4


def test_a_rare_label_of_a_set_is_let_through() -> None:
    folds = make_folds(make_set_index(["a"] * 9 + ["ab"]), folds=5, seed=0)
    assert [len(held_in(fold)) for fold in folds] == [2] * 5


def test_the_seed_draws_other_folds() -> None:
    index = make_index(["a", "b"] * 10)
    ways = {tuple(map(frozenset, map(held_in, make_folds(index, folds=5, seed=s)))) for s in (1, 2)}
    assert len(ways) == 2


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "a", "b", "ab", "abc"]), st.sampled_from(["", "", "g", "h"])
        ),
        min_size=4,
        max_size=40,
    ),
    st.integers(2, 5),
    st.randoms(),
)
def test_folds_of_any_label_sets(images: list[tuple[str, str]], folds: int, random: object) -> None:
    sets, groups = map(list, zip(*images, strict=True))
    index = make_set_index(sets, groups=groups)
    parts = len([group for group in groups if not group]) + len(set(groups) - {""})
    if parts < folds:
        with pytest.raises(DataError, match=f"{folds} folds need as many images .* got {parts}"):
            make_folds(index, folds=folds, seed=3)
        return
    made = make_folds(index, folds=folds, seed=3)
    assert Counter(name for fold in made for name in held_in(fold)) == Counter(index.frame["image"])
    assert all(held_in(fold) for fold in made)
    order = list(range(len(index)))
    random.shuffle(order)  # type: ignore[attr-defined]
    again = make_folds(index.with_frame(index.frame.iloc[order]), folds=folds, seed=3)
    assert [held_in(fold) for fold in again] == [held_in(fold) for fold in made]


def test_as_even_as_scikit_learns_over_grouped_classes() -> None:
    from sklearn.model_selection import StratifiedGroupKFold

    generator = np.random.default_rng(0)
    groups = [f"sender {number}" for number in range(60) for _ in range(1 + number % 13)]
    labels = ["abcdef"[(int(name.split()[1]) + int(generator.integers(3))) % 6] for name in groups]
    index = make_index(labels, groups=groups)

    def misfit(parts: list[np.ndarray]) -> float:
        marks = index.mark_labels()
        wanted = marks.sum(axis=0) / len(parts)
        held = np.stack([marks[part].sum(axis=0) for part in parts])
        return float(((held - wanted) ** 2 / wanted).sum())

    ours = [
        np.flatnonzero(fold.frame["split"] == "validation")
        for fold in make_folds(index, folds=5, seed=0)
    ]
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    theirs = [held for _, held in splitter.split(labels, labels, groups)]
    assert misfit(ours) <= misfit(theirs)


@pytest.mark.parametrize(
    ("index", "folds", "match"),
    [
        (make_index(["a", "b"] * 3), 1, r"made up: at least 2 folds are needed, got 1"),
        (make_index(["a", "b"]), 3, r"3 folds need as many images that can be apart, got 2"),
        (
            make_index(["a", "b"] * 3, groups=["x", "y"] * 3),
            3,
            r"got 2 \(groups and copies stay together\); ask for fewer folds",
        ),
        (
            make_index(["a"] * 6 + ["b"] * 3 + ["c"], groups=[""] * 6 + ["ann"] * 3 + [""]),
            2,
            r"2 of 3 classes cannot be trained on and validated as well: 'b' has 3 images, all "
            r"in the group 'ann', 'c' has 1 image; add images, or name such labels in data\.drop",
        ),
        (
            make_index(["a"] * 6 + ["b"] * 2, digests=[*"uvwxyz", "b", "b"]),
            2,
            r"'b' has 2 images, copies of one another",
        ),
        (
            make_index(
                ["a"] * 6 + ["b"] * 4,
                groups=[""] * 6 + [*"ppqq"],
                digests=[*"uvwxyz", "1", "2", "2", "3"],
            ),
            2,
            r"'b' has 4 images, in groups that share copies",
        ),
        (
            # Each pair of the three groups would have to be apart, in two folds.
            make_index([*"acabbc"], groups=[*"ppqqrr"]),
            2,
            r"no 2 folds could be found that train on every class each time; fold \d would",
        ),
    ],
)
def test_folds_that_cannot_be(index: Index, folds: int, match: str) -> None:
    with pytest.raises(DataError, match=match):
        make_folds(index, folds=folds, seed=0)


def test_many_classes_that_cannot_be_are_counted() -> None:
    index = make_index([*"aabcdefgh"])
    with pytest.raises(DataError, match=r"7 of 8 classes .* and 2 more; add images"):
        make_folds(index, folds=2, seed=0)
