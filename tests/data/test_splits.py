from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.builders import make_index, make_set_index
from tfclassify.data.index import Index
from tfclassify.data.splits import split_index
from tfclassify.errors import DataError


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
