"""Suggestions, orders and a head that is trained meanwhile, on made-up features."""

from __future__ import annotations

import numpy as np
import pytest

from tfclassify.data.journals import Answer
from tfclassify.errors import RequestError
from tfclassify.labelling.features import Features
from tfclassify.labelling.suggestions import (
    ModelAdviser,
    map_classes,
    train_labels,
    train_sets,
)
from tfclassify.labelling.vocabulary import make_vocabulary

NAMES = ("pen", "pencil", "ruler")


def make_features(
    size: int = 120, classes: tuple[str, ...] = ("ruler", "pen", "other"), seed: int = 0
) -> tuple[Features, np.ndarray]:
    """Make features of three kinds of images in turn, and their kind: 0, 1, 2, 0, …"""
    generator = np.random.default_rng(seed)
    kinds = np.arange(size) % 3
    centres = generator.normal(size=(3, 16)) * 3
    values = (centres[kinds] + generator.normal(size=(size, 16))).astype(np.float32)
    probabilities = generator.dirichlet(np.ones(len(classes)), size).astype(np.float32)
    return Features(classes, values, probabilities, np.ones(size, dtype=bool)), kinds


def make_adviser(
    given: dict[int, str] | None = None, names: tuple[str, ...] = NAMES, **facts: object
) -> ModelAdviser:
    features, _ = make_features()
    features = Features(**{**vars(features), **facts})  # type: ignore[arg-type]
    labels = [(given[place],) if given and place in given else () for place in range(120)]
    return ModelAdviser(features, make_vocabulary(names), labels)


def answer(label: str, *, is_skipped: bool = False) -> Answer:
    return Answer("x", "ann", (label,) if label else (), is_skipped=is_skipped)


def test_the_runs_classes_are_put_into_the_order_of_the_labels() -> None:
    features, _ = make_features()
    mapped = map_classes(features, NAMES)
    assert mapped is not None
    assert np.array_equal(mapped[:, 0], features.probabilities[:, 1])
    assert not mapped[:, 1].any()  # the run knows no pencils
    assert np.array_equal(mapped[:, 2], features.probabilities[:, 0])
    suggested = make_adviser().suggest(5)
    assert suggested is not None
    assert suggested.labels == (NAMES[int(mapped[5].argmax())],)
    assert suggested.probability == pytest.approx(mapped[5].max())


def test_a_run_of_other_classes_suggests_nothing_until_it_has_learned() -> None:
    adviser = make_adviser(names=("a", "b"))
    assert adviser.suggest(0) is None
    assert adviser.order("doubt", {}) == list(range(120))
    adviser.retrain({0: answer("a"), 1: answer("b")})
    assert adviser.suggest(0) is not None


def test_doubt_comes_first() -> None:
    probabilities = np.full((120, 3), 0.05, np.float32)
    probabilities[:, 0] = 0.9
    probabilities[7] = [0.5, 0.45, 0.05]
    probabilities[3] = [0.6, 0.3, 0.1]
    adviser = make_adviser(classes=NAMES, probabilities=probabilities)
    assert adviser.order("doubt", {})[:3] == [7, 3, 0]
    # One that could not be read has no answer, so it comes last.
    is_there = np.arange(120) != 7
    adviser = make_adviser(classes=NAMES, probabilities=probabilities, is_there=is_there)
    assert adviser.order("doubt", {})[-1] == 7
    assert adviser.suggest(7) is None


def test_disagreement_with_the_label_comes_first() -> None:
    probabilities = np.tile(np.array([0.7, 0.2, 0.1], np.float32), (120, 1))
    adviser = make_adviser(
        {4: "ruler", 9: "pencil", 11: "pen"}, classes=NAMES, probabilities=probabilities
    )
    assert adviser.order("disagreement", {})[:3] == [4, 9, 11]
    # What was answered since stands in place of the given label.
    now = {4: answer("pen"), 9: answer("", is_skipped=True), 20: answer("ruler")}
    assert adviser.order("disagreement", now)[:4] == [20, 9, 4, 11]


def test_lookalikes_lie_side_by_side() -> None:
    adviser = make_adviser()
    order = list(adviser.order("lookalikes", {}))
    assert sorted(order) == list(range(120))
    _, kinds = make_features()
    assert (np.diff(kinds[order]) == 0).mean() > 0.8
    assert (kinds[list(adviser.find_alike(0, 10))] == kinds[0]).all()


def test_a_head_learns_from_a_few_answers() -> None:
    adviser = make_adviser(names=NAMES)
    _, kinds = make_features()
    answers = {place: answer(NAMES[kinds[place]]) for place in range(12)}
    answers |= {20: answer("pen", is_skipped=True), 21: answer("")}
    told = adviser.retrain(answers)
    assert told.startswith("learned from 12 images in ")
    assert "of images held back from it in turn, 100 % right" in told
    suggested = [adviser.suggest(place) for place in range(120)]
    right = [each and each.labels == (NAMES[kind],) for each, kind in zip(suggested, kinds)]  # noqa: B905
    assert np.mean(right) > 0.95


def test_too_few_answers_to_learn_from() -> None:
    adviser = make_adviser()
    before = adviser.suggest(0)
    with pytest.raises(RequestError, match="two labels at least, got 1 of 1; label more first"):
        adviser.retrain({3: answer("pen")})
    with pytest.raises(RequestError, match="two labels at least, got 0 of 0"):
        adviser.retrain({})
    assert adviser.suggest(0) == before
    # Few are learned from, but nothing is claimed about them.
    told = adviser.retrain({0: answer("pen"), 1: answer("ruler")})
    assert "held back" not in told


def test_labels_of_sets_are_learned_one_by_one() -> None:
    features, kinds = make_features()
    words = make_vocabulary(NAMES, several=True)
    adviser = ModelAdviser(features, words, [()] * 120)
    sets = {0: ("pen", "pencil"), 1: ("pencil",), 2: ()}
    answers = {place: Answer("x", "ann", sets[int(kinds[place])]) for place in range(30)}
    told = adviser.retrain(answers)
    assert "100 % right" in told
    for place in (60, 61, 62):
        suggested = adviser.suggest(place)
        assert suggested is not None
        assert suggested.labels == sets[int(kinds[place])]
    unsure = adviser.order("doubt", {})[0]
    found = [adviser.suggest(place) for place in range(120)]
    assert found[unsure] == min(found, key=lambda each: each.probability)  # type: ignore[union-attr]
    given = ModelAdviser(features, words, [("pen", "pencil")] * 120)
    given.retrain(answers)
    first = list(given.order("disagreement", {}))[:80]
    assert not (kinds[first] == 0).any()  # those do have both
    with pytest.raises(RequestError, match="a label that some images have and others do not"):
        adviser.retrain({0: Answer("x", "ann", ("pen",))})


def test_heads_are_those_of_the_marks() -> None:
    unit = np.eye(4)
    marks = np.array([[1, 0, 0], [0, 0, 1]], dtype=bool)
    found = train_labels(unit, np.array([0, 2]), marks)
    assert found.shape == (4, 3)
    assert found.sum(axis=1) == pytest.approx(np.ones(4))
    assert not found[:, 1].any()
    assert (found[[0, 2]].argmax(axis=1) == [0, 2]).all()
    found = train_sets(unit, np.array([0, 2]), np.array([[1, 0, 1], [0, 0, 1]], dtype=bool))
    assert found[:, 1].tolist() == [0, 0, 0, 0]
    assert found[:, 2].tolist() == [1, 1, 1, 1]
    assert found[0, 0] > 0.5 > found[2, 0]


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(RequestError, match="there is no 'size', a model knows doubt"):
        make_adviser().order("size", {})
