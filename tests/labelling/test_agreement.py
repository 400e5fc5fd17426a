"""Agreement against hand-worked numbers and three other libraries."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import krippendorff
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from tests.labelling.answers import CLASSES, answers_of, draw_answers
from tfclassify.errors import RequestError
from tfclassify.labelling.agreement import BANDS, Agreement, find_band, measure_agreement
from tfclassify.labelling.ratings import Distance, Ratings, find_distances, make_ratings

#: Krippendorff's example of four observers, twelve units and missing data (2011, section C).
OBSERVERS = {
    "A": ["1", "2", "3", "3", "2", "1", "4", "1", "2", ".", ".", "."],
    "B": ["1", "2", "3", "3", "2", "2", "4", "1", "2", "5", ".", "3"],
    "C": [".", "3", "3", "3", "2", "3", "4", "2", "2", "5", "1", "."],
    "D": ["1", "2", "3", "3", "2", "4", "4", "1", "2", "5", "1", "."],
}


def measure(
    table: dict[str, list[str]],
    classes: tuple[str, ...] = CLASSES,
    distance: Distance = "nominal",
    resamples: int = 50,
) -> Agreement:
    ratings = make_ratings(answers_of(table), classes, distance=distance)
    return measure_agreement(ratings, resamples=resamples)


def test_alpha_of_the_published_example() -> None:
    table = {name: [word.strip(".") for word in row] for name, row in OBSERVERS.items()}
    found = measure(table, ("1", "2", "3", "4", "5"))
    assert found.alpha.value == pytest.approx(0.743, abs=5e-4)  # as printed there
    assert found.shared == 11  # the last unit has one answer


def test_two_labellers_by_hand() -> None:
    # 10 images: 7 alike. Ann says pen 6 times and ruler 4, Bob pen 5 and ruler 5: chance
    # is 0.6 * 0.5 + 0.4 * 0.5 = 0.5, so kappa is (0.7 - 0.5) / 0.5 = 0.4.
    ann = ["pen"] * 6 + ["ruler"] * 4
    bob = ["pen"] * 4 + ["ruler"] * 2 + ["pen"] + ["ruler"] * 3
    found = measure({"ann": ann, "bob": bob}, ("pen", "ruler"))
    (pair,) = found.pairs
    assert (pair.raw.value, pair.raw.n) == (pytest.approx(0.7), 10)
    assert pair.kappa.value == pytest.approx(0.4)
    assert pair.confusion.tolist() == [[0, 0, 4], [0, 1, 2], [1, 0, 1], [1, 1, 3]]
    # Fleiss: of 20 answers 11 are pen; chance is 0.55^2 + 0.45^2 = 0.505.
    assert found.fleiss.value == pytest.approx((0.7 - 0.505) / (1 - 0.505))
    # Alpha: 6 answers of images in dispute; chance gives 2 * 11 * 9 / 19.
    assert found.alpha.value == pytest.approx(1 - 6 / (2 * 11 * 9 / 19))
    # Of 11 answers pen, 8 have a partner that says pen.
    assert found.classes[0].again.value == pytest.approx(8 / 11)
    assert found.classes[0].named == 7


@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_as_other_libraries_compute_it(missing: float) -> None:
    table = draw_answers(80, 4, seed=2, missing=missing)
    found = measure(table)
    codes = found.ratings.codes.astype(float)
    codes[codes < 0] = np.nan
    alpha = krippendorff.alpha(codes.T, level_of_measurement="nominal")
    assert found.alpha.value == pytest.approx(alpha, abs=1e-12)
    for pair in found.pairs:
        both = [
            (one, other)
            for one, other in zip(table[pair.first], table[pair.second], strict=True)
            if one and other
        ]
        expected = cohen_kappa_score(*zip(*both, strict=True))
        assert pair.kappa.value == pytest.approx(expected, abs=1e-12)
        assert pair.raw.n == len(both)


def test_fleiss_as_statsmodels_computes_it() -> None:
    found = measure(draw_answers(60, 5, seed=4))
    table, _ = aggregate_raters(found.ratings.codes)
    assert found.fleiss.value == pytest.approx(fleiss_kappa(table), abs=1e-12)
    assert (found.fleiss_answers, found.fleiss.n) == (5, 60)


def test_fleiss_takes_the_images_with_as_many_answers() -> None:
    # Three labellers, each image has two of them: no image has all, and Fleiss does not ask.
    table = draw_answers(90, 3, seed=1)
    for number, words in enumerate(table.values()):
        words[number::3] = [""] * 30
    found = measure(table)
    assert (found.fleiss_answers, found.fleiss.n) == (2, 90)
    twice = [[code for code in row if code >= 0] for row in found.ratings.codes.tolist()]
    counts, _ = aggregate_raters(np.array(twice))
    assert found.fleiss.value == pytest.approx(fleiss_kappa(counts), abs=1e-12)


@pytest.mark.parametrize("distance", ["jaccard", "masi"])
def test_alpha_of_sets_by_brute_force(distance: Distance) -> None:
    generator = np.random.default_rng(5)
    table = {}
    for name in ("ann", "bob", "cleo"):
        chosen = generator.random((30, 4)) < 0.4
        sets = ["|".join(np.array(CLASSES)[row]) or "-" for row in chosen]
        table[name] = [text if generator.random() < 0.8 else "" for text in sets]
    found = measure(table, distance=distance)
    assert found.alpha.value == pytest.approx(_alpha_by_pairs(found.ratings), abs=1e-6)


def _alpha_by_pairs(ratings: Ratings) -> float:
    """Krippendorff's alpha from its definition: every ordered pair of answers."""

    def apart(one: int, other: int) -> float:
        first, second = set(ratings.values[one]), set(ratings.values[other])
        if not first | second:
            return 0.0
        share = len(first & second) / len(first | second)
        if ratings.distance == "jaccard":
            return 1 - share
        if first == second:
            return 0.0
        is_within = first <= second or second <= first
        return 1 - share * (2 / 3 if is_within else 1 / 3)

    rows = [[code for code in row if code >= 0] for row in ratings.codes.tolist()]
    rows = [row for row in rows if len(row) > 1]
    everything = [code for row in rows for code in row]
    seen = sum(
        apart(one, other) / (len(row) - 1)
        for row in rows
        for one, other in itertools.permutations(row, 2)
    )
    chance = sum(apart(one, other) for one, other in itertools.permutations(everything, 2))
    return 1 - seen / (chance / (len(everything) - 1))


def test_distances_by_hand() -> None:
    sets = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0], [0, 0, 1]], dtype=bool)
    jaccard = find_distances(sets, "jaccard")
    assert jaccard[0].tolist() == pytest.approx([0, 1 / 2, 2 / 3, 1, 1])
    assert jaccard[3].tolist() == pytest.approx([1, 1, 1, 0, 1])
    masi = find_distances(sets, "masi")
    # Within one another: 1 - 1/2 * 2/3. Overlapping: 1 - 1/3 * 1/3.
    assert masi[0].tolist() == pytest.approx([0, 2 / 3, 8 / 9, 1, 1])


def test_sublabels_are_told_apart_on_demand() -> None:
    table = {"ann": ["pen/blue", "pen/red", "ruler"], "bob": ["pen/blue", "pen/blue", "ruler"]}
    answers = answers_of(table)
    assert measure_agreement(make_ratings(answers, CLASSES)).raw.value == 1.0
    fine = make_ratings(answers, CLASSES, with_sublabels=True)
    assert fine.classes == ("pen / blue", "pen / red", "pencil", "ruler", "rubber")
    assert measure_agreement(fine).raw.value == pytest.approx(2 / 3)


def test_the_one_who_differs_comes_first_and_is_told() -> None:
    table = draw_answers(200, 3, seed=0, error=0.05)
    noise = draw_answers(200, 1, seed=9, error=1.0)
    found = measure({**table, "zoe": noise["labeller 0"]}, resamples=200)
    first, *others = found.labellers
    assert first.name == "zoe"
    assert first.is_different
    assert not any(each.is_different for each in others)
    assert first.raw.value is not None
    assert first.raw.value < 0.5 < (others[0].raw.value or 0)


def test_of_two_labellers_nobody_differs() -> None:
    found = measure(draw_answers(40, 2, seed=0))
    assert [each.gain for each in found.labellers] == [None, None]
    assert not any(each.is_different for each in found.labellers)


def test_intervals_hold_the_value_and_narrow_with_images() -> None:
    few, many = (measure(draw_answers(n, 3, seed=7), resamples=300).alpha for n in (30, 600))
    for interval in (few, many):
        assert interval.low is not None
        assert interval.high is not None
        assert interval.value is not None
        assert interval.low <= interval.value <= interval.high
    assert (few.high or 0) - (few.low or 0) > 2 * ((many.high or 0) - (many.low or 0))


def test_the_interval_is_that_of_resampled_images() -> None:
    # Alpha of each resample by another library; the quantiles of the same draws.
    found = measure(draw_answers(25, 2, seed=3), resamples=200)
    codes = found.ratings.codes
    generator = np.random.default_rng(0)
    samples = []
    for drawn in generator.integers(25, size=(200, 25)):
        samples.append(krippendorff.alpha(codes[drawn].T, level_of_measurement="nominal"))
    assert found.alpha.low == pytest.approx(np.quantile(samples, 0.025), abs=1e-9)
    assert found.alpha.high == pytest.approx(np.quantile(samples, 0.975), abs=1e-9)


def test_one_answer_alone_has_no_coefficient() -> None:
    found = measure({"ann": ["pen"] * 5, "bob": ["pen"] * 5})
    assert (found.raw.value, found.alpha.value, found.fleiss.value) == (1.0, None, None)
    assert found.raw.method == "exact"  # five of five does not mean always
    assert found.bands["perfect"] == 5
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("value", "band"),
    [
        (-0.01, "poor"),
        (0.0, "slight"),
        (0.2, "slight"),
        (0.21, "half"),
        (0.6, "good"),
        (0.61, "great"),
        (0.81, "perfect"),
        (1.0, "perfect"),
        (None, "–"),
    ],
)
def test_bands(value: float | None, band: str) -> None:
    assert find_band(value) == band


def test_images_are_counted_by_their_own_band() -> None:
    # Three labellers, half of all answers pen: chance 0.5. All alike: kappa 1. Two of three:
    # a third of the pairs, (1/3 - 1/2) / (1/2) below 0.
    table = {
        "ann": ["pen", "ruler", "pen", "ruler"],
        "bob": ["pen", "ruler", "pen", "ruler"],
        "cleo": ["pen", "ruler", "ruler", "pen"],
    }
    found = measure(table)
    assert list(found.bands) == list(reversed(BANDS))
    assert (found.bands["perfect"], found.bands["poor"]) == (2, 2)


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(RequestError, match="two labellers at least, nobody has answered"):
        measure({})
    with pytest.raises(RequestError, match="two labellers at least, only 'ann' has answered"):
        measure({"ann": ["pen"]})
    with pytest.raises(RequestError, match="none of 2 images was labelled by two of the 2"):
        measure({"ann": ["pen", ""], "bob": ["", "pen"]})
    with pytest.raises(RequestError, match="the label 'pan' is none of the 4"):
        measure({"ann": ["pan"], "bob": ["pen"]})


def test_too_many_different_sets_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfclassify.labelling.ratings.MOST_SETS", 2)
    table = {"ann": ["pen", "ruler", "pen|ruler"], "bob": ["pen", "ruler", "-"]}
    with pytest.raises(RequestError, match="4 different sets of labels are more than the 2"):
        measure(table, distance="masi")


def test_the_last_of_several_answers_holds() -> None:
    answers = answers_of({"ann": ["pen"], "bob": ["ruler"]}) + answers_of({"bob": ["pen"]})
    assert measure_agreement(make_ratings(answers, CLASSES)).raw.value == 1.0


def test_a_skipped_image_is_not_answered() -> None:
    answers = answers_of({"ann": ["pen", "pen"], "bob": ["ruler", "pen"]})
    answers[2] = replace(answers[2], labels=(), is_skipped=True)
    assert measure_agreement(make_ratings(answers, CLASSES)).shared == 1
