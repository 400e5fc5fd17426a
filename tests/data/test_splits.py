from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.builders import make_index, make_set_index
from tfclassify.data.index import Index
from tfclassify.data.splits import (
    Unit,
    count_labels,
    find_units,
    make_folds,
    split_index,
)
from tfclassify.data.stratify import draw_order
from tfclassify.errors import DataError


def test_groups_and_copies_join_through_others() -> None:
    # 0 and 2 share a group, 2 and 4 their bytes; 1 and 3 stand alone.
    index = make_index(["a"] * 5, groups=["g", "", "g", "", ""], digests=["p", "q", "r", "s", "r"])
    assert find_units(index.frame) == [
        Unit("00000.png", (0, 2, 4)),
        Unit("00001.png", (1,)),
        Unit("00003.png", (3,)),
    ]


def test_images_without_a_checksum_are_not_copies() -> None:
    index = make_index(["a"] * 3)
    assert len(find_units(index.frame.assign(sha256=""))) == 3


def test_the_labels_of_a_unit_are_counted_and_images_without_any() -> None:
    index = make_set_index(["ab", "b", "", "a"], groups=["g", "g", "g", ""])
    counts = count_labels(index, find_units(index.frame))
    # Of a, of b, without a label.
    assert counts.tolist() == [[1, 2, 1], [1, 0, 0]]


def test_the_order_of_old_units_outlives_new_ones() -> None:
    keys = [f"{number}.png" for number in range(40)]
    order = draw_order(keys, "0:test")
    more = [unit for unit in draw_order([*keys, "new.png"], "0:test") if unit < 40]
    assert order == more
    assert sorted(order) == list(range(40))
    assert order != draw_order(keys, "1:test")


def splits_of(index: Index) -> dict[str, str]:
    return dict(zip(index.frame["image"], index.frame["split"], strict=True))


def counts_of(index: Index) -> Counter[tuple[str, str]]:
    usable = index.usable().frame
    return Counter(zip(usable["label"], usable["split"], strict=True))


def test_every_class_gives_its_share() -> None:
    index = split_index(make_index(["a"] * 80 + ["b"] * 40 + ["c"] * 8), validation=0.25, seed=0)
    assert counts_of(index) == {
        ("a", "train"): 60,
        ("a", "validation"): 20,
        ("b", "train"): 30,
        ("b", "validation"): 10,
        ("c", "train"): 6,
        ("c", "validation"): 2,
    }


def test_three_sides() -> None:
    index = split_index(make_index(["a"] * 50 + ["b"] * 50), validation=0.2, test=0.1, seed=3)
    assert counts_of(index)["a", "test"] == counts_of(index)["b", "test"] == 5
    assert counts_of(index)["a", "validation"] == counts_of(index)["b", "validation"] == 10


def test_a_share_of_zero_trains_on_all() -> None:
    index = make_index(["a", "b", "b"], splits=["", "validation", "train"])
    assert set(splits_of(split_index(index, validation=0.0, seed=0)).values()) == {"train"}


def test_unlabelled_images_are_split_too() -> None:
    index = split_index(make_index([""] * 10), validation=0.3, seed=0)
    assert counts_of(index) == {("", "train"): 7, ("", "validation"): 3}


def test_seeds_draw_other_splits_of_the_same_shape() -> None:
    index = make_index(["a"] * 40 + ["b"] * 40)
    drawn = [split_index(index, validation=0.25, seed=seed) for seed in range(6)]
    assert len({tuple(each.frame["split"]) for each in drawn}) == 6
    assert len({tuple(sorted(counts_of(each).items())) for each in drawn}) == 1


def test_the_sources_own_split_is_kept() -> None:
    splits = ["train"] * 20 + ["validation"] * 3 + ["test"] * 2
    index = make_index(["a", "b"] * 12 + ["a"], splits=splits)
    again = split_index(index, validation=0.5, test=0.5, seed=0)
    assert again.frame["split"].tolist() == splits


def test_what_the_source_does_not_hold_out_is_drawn_from_training() -> None:
    splits = ["train"] * 15 + [""] * 5 + ["test"] * 4
    index = split_index(
        make_index(["a", "b"] * 12, splits=splits), validation=0.2, test=0.5, seed=0
    )
    assert index.frame["split"].tolist()[20:] == ["test"] * 4
    assert Counter(index.frame["split"][:20]) == {"train": 16, "validation": 4}


def test_training_copies_of_held_out_images_are_quarantined() -> None:
    splits = ["test", "validation", "validation", "train", "train", "", "train"]
    digests = ["x", "x", "y", "x", "y", "y", "z"]
    index = split_index(
        make_index(["a", "b"] * 3 + ["a"], splits=splits, digests=digests), validation=0.2, seed=0
    )
    assert index.frame["status"].tolist() == [
        "ok",
        "quarantined",
        "ok",
        "quarantined",
        "quarantined",
        "quarantined",
        "ok",
    ]
    assert index.frame["reason"][1] == "training copy of a held-out image"


def test_quarantined_images_take_no_part() -> None:
    index = make_index(["a"] * 10 + ["b"] * 10, groups=["g"] * 2 + [""] * 18)
    status = ["quarantined"] * 8 + ["ok"] * 12
    split = split_index(index.with_frame(index.frame.assign(status=status)), validation=0.5, seed=0)
    assert split.frame["split"].tolist()[:8] == [""] * 8
    assert counts_of(split)["a", "validation"] == 1


@pytest.mark.parametrize(
    ("labels", "test", "match"),
    [
        ("aab", 0.0, "1 of 2 classes have too few images to split, 'b' has 1, needed are 2; add"),
        ("aaabb", 0.1, "'b' has 2, needed are 3"),
        ("bcdefghh", 0.0, "6 of 7 classes .* 'f' has 1 and 1 more, needed"),
    ],
)
def test_too_few_images_to_split(labels: str, test: float, match: str) -> None:
    with pytest.raises(DataError, match=rf"made up: .*{match}"):
        split_index(make_index(list(labels)), validation=0.2, test=test, seed=0)


def test_one_image_is_enough_without_a_split() -> None:
    assert len(split_index(make_index(["a", "b"]), validation=0.0, seed=0).in_split("train")) == 2


def test_many_senders_are_kept_whole_and_even() -> None:
    # 60 senders of 1 to 40 images, each with favourite classes.
    labels, groups = [], []
    for sender in range(60):
        for number in range(1 + (sender * 7) % 40):
            labels.append("abcdef"[(sender % 5 + number * number) % 6])
            groups.append(f"sender {sender}")
    index = split_index(make_index(labels, groups=groups), validation=0.2, seed=1)
    frame = index.frame
    assert frame.groupby("group")["split"].nunique().max() == 1
    is_held = frame["split"] == "validation"
    assert abs(is_held.mean() - 0.2) < 0.01
    assert (is_held.groupby(frame["label"]).mean() - 0.2).abs().max() < 0.05


def test_a_class_of_one_group_is_trained_on() -> None:
    labels = ["a"] * 20 + ["b"] * 5
    groups = [f"g{number % 7}" for number in range(20)] + ["only"] * 5
    index = split_index(make_index(labels, groups=groups), validation=0.4, seed=0)
    assert counts_of(index)["b", "train"] == 5


IMAGES = st.lists(
    st.tuples(
        st.sampled_from("abc"),  # label
        st.sampled_from(["", "", "g1", "g2", "g3", "g4"]),  # group
        st.integers(0, 40),  # bytes
        st.sampled_from(["ok", "ok", "ok", "quarantined"]),
    ),
    min_size=1,
    max_size=60,
)


@settings(deadline=None, max_examples=150)
@given(IMAGES, st.sampled_from([0.0, 0.1, 0.3]), st.sampled_from([0.0, 0.2]), st.randoms())
def test_splits_of_any_images(
    images: list[tuple[str, str, int, str]], validation: float, test: float, random: object
) -> None:
    labels, groups, digests, status = (list(each) for each in zip(*images, strict=True))
    # Copies under two labels were quarantined by the scan.
    digests = [f"{label}{digest}" for label, digest in zip(labels, digests, strict=True)]
    index = make_index(labels, groups=groups, digests=digests)
    index = index.with_frame(index.frame.assign(status=status))
    sides = 1 + (validation > 0) + (test > 0)
    usable = Counter(index.usable().frame["label"])
    if any(count < sides for count in usable.values()):
        with pytest.raises(DataError, match="too few images to split"):
            split_index(index, validation=validation, test=test, seed=5)
        return
    split = split_index(index, validation=validation, test=test, seed=5)
    frame = split.usable().frame
    # Every usable image has a side, and nothing else has.
    assert set(frame["split"]) <= {"train", "validation", "test"}
    assert set(split.frame["split"][split.frame["status"] != "ok"]) <= {""}
    # Nothing straddles.
    for column in ("sha256", "group"):
        named = frame[frame[column] != ""]
        assert (named.groupby(column)["split"].nunique() == 1).all()
    # Every class is trained on.
    assert set(frame[frame["split"] == "train"]["label"]) == set(usable)
    assert validation > 0 or "validation" not in set(frame["split"])
    # Row order does not matter.
    order = list(range(len(index)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = split_index(
        index.with_frame(index.frame.iloc[order]), validation=validation, test=test, seed=5
    )
    assert splits_of(shuffled) == splits_of(split)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(3, 60), min_size=2, max_size=6),
    st.floats(0.05, 0.5),
    st.integers(0, 1000),
)
def test_without_groups_the_shares_are_exact(sizes: list[int], share: float, seed: int) -> None:
    labels = [f"c{number}" for number, size in enumerate(sizes) for _ in range(size)]
    index = split_index(make_index(labels), validation=share, seed=seed)
    counts = counts_of(index)
    for number, size in enumerate(sizes):
        held = counts[f"c{number}", "validation"]
        assert 1 <= held < size
        assert held == 1 or abs(held - share * size) < 1
    # Beyond the rounding of the total there are only classes raised to one image.
    raised = sum(share * size < 1 for size in sizes)
    total = sum(counts[f"c{n}", "validation"] for n in range(len(sizes)))
    assert -0.5 - 1e-9 <= total - share * sum(sizes) <= 0.5 + raised + 1e-9


def test_names_alone_decide() -> None:
    names = [f"{number}.png" for number in range(30)]
    one = split_index(make_index(["a"] * 30, names=names), validation=0.3, seed=0)
    other = split_index(
        make_index(["a"] * 30, names=names[::-1], digests=[str(n) for n in range(30)]),
        validation=0.3,
        seed=0,
    )
    assert splits_of(one) == splits_of(other)


def test_chains_of_groups_and_copies_stay_together() -> None:
    # 0 and 1 share a group, 1 and 2 their bytes, 2 and 3 a group, and so on.
    groups = ["g0", "g0", "g1", "g1", "g2", "g2"] + [""] * 14
    digests = ["0", "1", "1", "2", "2", "3"] + [f"x{n}" for n in range(14)]
    for seed in range(20):
        index = make_index(["a"] * 20, groups=groups, digests=digests)
        split = split_index(index, validation=0.4, seed=seed).frame["split"].tolist()
        assert all(one == other for one, other in pairwise(split[:6]))


def count_sets(index: Index, split: str) -> Counter[str]:
    return Counter("".join(labels) for labels in index.in_split(split).label_sets())


def test_label_sets_give_their_share() -> None:
    index = make_set_index(["ab"] * 20 + ["c"] * 20 + ["bc"] * 10 + [""] * 30)
    split = split_index(index, validation=0.2, test=0.1, seed=0)
    assert count_sets(split, "validation") == {"ab": 4, "c": 4, "bc": 2, "": 6}
    assert count_sets(split, "test") == {"ab": 2, "c": 2, "bc": 1, "": 3}
    assert len(split.in_split("train")) == 56
    assert split.is_multi_label


def test_rare_labels_of_sets_are_trained_on_first() -> None:
    index = make_set_index(["a"] * 30 + ["ax", "ay", "ay"])
    for seed in range(5):
        train = split_index(index, validation=0.3, seed=seed).in_split("train")
        assert train.mark_labels().any(axis=0).all()


def test_groups_and_copies_of_label_sets_stay_together() -> None:
    groups = [f"g{number // 4}" for number in range(40)] + [""] * 20
    digests = [str(number) for number in range(50)] + [str(number) for number in range(10)]
    index = make_set_index(["a", "ab", "bc", ""] * 15, groups=groups, digests=digests)
    frame = split_index(index, validation=0.25, seed=2).frame
    for column in ("group", "sha256"):
        named = frame[frame[column] != ""]
        assert named.groupby(column)["split"].nunique().max() == 1
    assert abs((frame["split"] == "validation").mean() - 0.25) <= 0.07


def test_the_own_split_of_label_sets_is_kept() -> None:
    splits = ["train"] * 12 + ["test"] * 4
    index = make_set_index(["a", "ab", "", "b"] * 4, splits=splits)
    split = split_index(index, validation=0.25, test=0.5, seed=0)
    assert split.frame["split"].tolist()[12:] == ["test"] * 4
    assert count_sets(split, "validation").total() == 3
    everything = split_index(index, validation=0.0, seed=0)
    assert set(splits_of(everything).values()) == {"train", "test"}


def test_too_few_images_with_label_sets() -> None:
    index = make_set_index(["ab", "a", "b"], groups=["g", "g", ""])
    match = r"made up: too few images to split: 3 in 2 parts .* needed are 3; add images"
    with pytest.raises(DataError, match=match):
        split_index(index, validation=0.2, test=0.2, seed=0)


def held_in(fold: Index) -> set[str]:
    return set(fold.frame["image"][fold.frame["split"] == "test"])


def counts_of_folds(fold: Index) -> Counter[str]:
    return Counter(label for labels in fold.in_split("test").label_sets() for label in labels)


def test_each_image_is_validated_once_and_trained_on_otherwise() -> None:
    index = make_index(["a"] * 10 + ["b"] * 5)
    folds = make_folds(index, folds=5, seed=0)
    assert [counts_of_folds(fold) for fold in folds] == [{"a": 2, "b": 1}] * 5
    assert sorted(name for fold in folds for name in held_in(fold)) == sorted(index.frame["image"])
    for fold in folds:
        assert fold.classes == index.classes
        assert fold.frame["image"].tolist() == index.frame["image"].tolist()
        assert Counter(fold.frame["split"]) == {"train": 12, "test": 3}


def test_some_training_images_of_each_fold_watch() -> None:
    groups = [f"g{number // 2}" for number in range(60)]
    index = make_index(["a", "a", "a", "b"] * 15, groups=groups)
    plain = make_folds(index, folds=5, seed=0)
    folds = make_folds(index, folds=5, seed=0, watch=0.25)
    assert [held_in(fold) for fold in folds] == [held_in(fold) for fold in plain]
    for fold in folds:
        watching = fold.in_split("validation")
        assert Counter(label for (label,) in watching.label_sets()) == {"a": 9, "b": 3}
        sides = fold.frame[fold.frame["group"] != ""].groupby("group")["split"].nunique()
        assert sides.max() == 1
    drawn = [set(fold.in_split("validation").frame["image"]) for fold in folds]
    assert len(set(map(frozenset, drawn))) == 5
    other = make_folds(index, folds=5, seed=1, watch=0.25)
    assert set(other[0].in_split("validation").frame["image"]) != drawn[0]


def test_whoever_watches_takes_no_class_away() -> None:
    # Of b there is one image a fold: watching it would leave none to learn from in two folds.
    for fold in make_folds(make_index(["a"] * 8 + ["b"] * 2), folds=2, seed=0, watch=0.4):
        assert ("b",) in fold.in_split("train").label_sets()


def test_test_images_are_left_out_and_other_splits_are_overruled() -> None:
    splits = ["test"] * 4 + ["train"] * 6 + ["validation"] * 6
    index = make_index(["a", "b"] * 8, splits=splits)
    folds = make_folds(index, folds=3, seed=0)
    for fold in folds:
        assert len(fold) == 12
        assert not set(index.frame["image"][:4]) & set(fold.frame["image"])
        assert counts_of_folds(fold) == {"a": 2, "b": 2}


def test_quarantined_images_take_no_part_in_folds() -> None:
    index = make_index(["a", "b"] * 4)
    index = index.with_frame(index.frame.assign(status=["quarantined"] * 2 + ["ok"] * 6))
    folds = make_folds(index, folds=3, seed=0)
    assert all(fold.frame["split"].tolist()[:2] == ["", ""] for fold in folds)
    assert [counts_of_folds(fold) for fold in folds] == [{"a": 1, "b": 1}] * 3


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
        held = fold.in_split("test")
        assert counts_of_folds(fold) == {"a": 8, "b": 8, "c": 8}
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
        np.flatnonzero(fold.frame["split"] == "test") for fold in make_folds(index, folds=5, seed=0)
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
            r"2 of 3 classes cannot be trained on and judged as well: 'b' has 3 images, all "
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
