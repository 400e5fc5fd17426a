from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfclassify.errors import TrainingError
from tfclassify.recipe import names
from tfclassify.recipe.schema import DEFAULT_LOSSES, LOSS_KINDS, DistilRecipe, LossRecipe
from tfclassify.training.losses import (
    add_teacher,
    asymmetric,
    binary_focal_cross_entropy,
    build_loss,
    diverge_classes,
    diverge_labels,
    focal_cross_entropy,
    register_loss,
    smooth_classes,
    smooth_labels,
)

#: Logits whose sigmoids are 0.9, 0.5, 0.2 and 0.04.
LOGITS = np.log([[9.0, 1.0, 0.25, 0.04 / 0.96]]).astype(np.float32)
LABELS = np.array([[1.0, 0.0, 1.0, 0.0]], np.float32)


def cost(recipe: dict[str, object], task: str, targets: np.ndarray, logits: np.ndarray) -> float:
    loss = build_loss(LossRecipe.model_validate(recipe), task)
    return float(loss(tf.constant(targets), tf.constant(logits))[0])


def test_cross_entropy_by_hand() -> None:
    # softmax of (log 8, log 1, log 1) is (0.8, 0.1, 0.1).
    logits = np.log([[8.0, 1.0, 1.0]]).astype(np.float32)
    hard, soft = np.eye(3, dtype=np.float32)[[0]], np.array([[0.5, 0.5, 0.0]], np.float32)
    assert cost({}, "multi_class", hard, logits) == pytest.approx(0.2231436, abs=1e-6)
    assert cost({}, "multi_class", soft, logits) == pytest.approx(1.2628643, abs=1e-6)
    # Smoothing by 0.3 turns the hard label into (0.8, 0.1, 0.1): 0.8 * 0.2231 + 0.2 * 2.3026.
    smooth = {"label_smoothing": 0.3}
    assert cost(smooth, "multi_class", hard, logits) == pytest.approx(0.6390319, abs=1e-6)


def test_focal_cross_entropy_by_hand() -> None:
    logits = np.log([[8.0, 1.0, 1.0]]).astype(np.float32)
    hard = np.eye(3, dtype=np.float32)
    # 0.2^2 * 0.2231436 where it is right; 0.9^2 * 2.3025851 where it is not.
    assert cost({"kind": "focal"}, "multi_class", hard[:1], logits) == pytest.approx(
        0.00892574, abs=1e-7
    )
    assert cost({"kind": "focal"}, "multi_class", hard[1:2], logits) == pytest.approx(
        1.8650939, abs=1e-6
    )


def test_focal_cross_entropy_agrees_with_keras() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(5, 4)).astype(np.float32)
    targets = np.eye(4, dtype=np.float32)[generator.integers(4, size=5)]
    oracle = keras.losses.CategoricalFocalCrossentropy(
        alpha=1.0, gamma=1.5, from_logits=True, reduction="none"
    )
    mine = focal_cross_entropy(targets, logits, 1.5)
    np.testing.assert_allclose(mine, oracle(targets, logits), rtol=1e-5)


def test_binary_cross_entropy_by_hand() -> None:
    # -log 0.9, -log 0.5, -log 0.2, -log 0.96 = 0.1053605, 0.6931472, 1.6094379, 0.0408220
    assert cost({}, "multi_label", LABELS, LOGITS) == pytest.approx(0.6121919, abs=1e-6)
    smooth = {"label_smoothing": 0.2}
    # Labels 0.9 and 0.1: e.g. the first class costs 0.9 * 0.1053605 + 0.1 * 2.3025851.
    parts = [0.3250830, 0.6931472, 1.4708086, 0.3586275]
    expected = sum(parts) / 4
    assert cost(smooth, "multi_label", LABELS, LOGITS) == pytest.approx(expected, abs=1e-6)


def test_binary_focal_by_hand_and_as_keras_has_it() -> None:
    # 0.1^2 * 0.1053605, 0.5^2 * 0.6931472, 0.8^2 * 1.6094379, 0.04^2 * 0.0408220
    expected = (0.0010536 + 0.1732868 + 1.0300403 + 0.0000653) / 4
    assert cost({"kind": "focal"}, "multi_label", LABELS, LOGITS) == pytest.approx(
        expected, abs=1e-6
    )
    generator = np.random.default_rng(1)
    logits = generator.normal(scale=3, size=(6, 5)).astype(np.float32)
    targets = generator.integers(2, size=(6, 5)).astype(np.float32)
    oracle = keras.losses.BinaryFocalCrossentropy(gamma=1.5, from_logits=True, reduction="none")
    mine = binary_focal_cross_entropy(targets, logits, 1.5)
    np.testing.assert_allclose(mine, oracle(targets, logits), rtol=1e-4)


def test_asymmetric_by_hand() -> None:
    # Positive, focus 1: 0.1 * 0.1053605 and 0.8 * 1.6094379.
    # Negative, clip 0.1, focus 2: q = 0.4: 0.16 * -log 0.6 = 0.16 * 0.5108256; 0.04 < 0.1: 0.
    kind = {"kind": "asymmetric", "gamma_positive": 1, "gamma_negative": 2, "clip": 0.1}
    expected = (0.01053605 + 1.28755033 + 0.08173210 + 0.0) / 4
    assert cost(kind, "multi_label", LABELS, LOGITS) == pytest.approx(expected, abs=1e-6)


def test_asymmetric_of_equal_sides_is_focal() -> None:
    same = binary_focal_cross_entropy(LABELS, LOGITS, 2.0)
    np.testing.assert_allclose(asymmetric(LABELS, LOGITS, 2.0, 2.0, 0.0), same, rtol=1e-6)
    # A clip of next to nothing changes next to nothing: the two ways to write it agree.
    np.testing.assert_allclose(asymmetric(LABELS, LOGITS, 2.0, 2.0, 1e-6), same, rtol=1e-4)


@pytest.mark.parametrize("kind", LOSS_KINDS["multi_label"])
def test_positive_weights_weigh_presence_alone(kind: str) -> None:
    weights = np.array([10.0, 10.0, 2.0, 10.0], np.float32)
    recipe = LossRecipe.model_validate({"kind": kind})
    plain, weighed = build_loss(recipe, "multi_label"), build_loss(recipe, "multi_label", weights)
    # Only class 2 costs anything: the other three are surely, and rightly, absent.
    logits = np.array([[-50.0, -50.0, 0.25, -50.0]], np.float32)
    present = np.array([[0.0, 0.0, 1.0, 0.0]], np.float32)
    assert float(weighed(present, logits)[0]) == pytest.approx(2 * float(plain(present, logits)[0]))
    assert float(weighed(0 * present, logits)[0]) == float(plain(0 * present, logits)[0])


@pytest.mark.parametrize("task", list(DEFAULT_LOSSES))
def test_every_loss_is_linear_in_the_label(task: str) -> None:
    generator = np.random.default_rng(2)
    logits = generator.normal(size=(1, 4)).astype(np.float32)
    one, other = (np.eye(4, dtype=np.float32)[[row]] for row in (0, 2))
    for kind in LOSS_KINDS[task]:
        parts = [cost({"kind": kind}, task, label, logits) for label in (one, other)]
        mixed = cost({"kind": kind}, task, 0.3 * one + 0.7 * other, logits)
        assert mixed == pytest.approx(0.3 * parts[0] + 0.7 * parts[1], rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("clip", [0.0, 0.05])
@pytest.mark.parametrize("task", list(DEFAULT_LOSSES))
def test_no_logit_breaks_a_loss_or_its_gradient(task: str, gamma: float, clip: float) -> None:
    logits = tf.Variable([[-200.0, -20.0, 0.0, 20.0, 200.0]] * 5)
    for kind in LOSS_KINDS[task]:
        recipe = LossRecipe(
            kind=kind, gamma=gamma, gamma_positive=gamma, gamma_negative=gamma, clip=clip
        )  # type: ignore[arg-type]
        loss = build_loss(recipe, task)
        with tf.GradientTape() as tape:
            errors = loss(tf.eye(5), logits)
        assert np.isfinite(errors).all()
        assert np.isfinite(tape.gradient(errors, logits)).all()


def test_smoothing_by_hand() -> None:
    np.testing.assert_allclose(smooth_classes(tf.eye(4)[:1], 0.2), [[0.85, 0.05, 0.05, 0.05]])
    np.testing.assert_allclose(smooth_labels(tf.constant([[1.0, 0.0]]), 0.2), [[0.9, 0.1]])


@pytest.mark.parametrize(
    ("task", "kind", "allowed"),
    [
        ("multi_class", "asymmetric", "auto, cross_entropy, focal"),
        ("multi_label", "cross_entropy", "auto, binary_cross_entropy, focal, asymmetric"),
    ],
)
def test_a_loss_of_another_task_is_refused(task: str, kind: str, allowed: str) -> None:
    message = rf"loss.kind: '{kind}' does not go with task '{task}'; allowed: {allowed}"
    with pytest.raises(TrainingError, match=message):
        build_loss(LossRecipe.model_validate({"kind": kind}), task)


def test_a_loss_of_ones_own_sees_smoothed_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(names.OWN_FUNCTIONS, "losses", {})
    register_loss("dot", lambda targets, logits: tf.reduce_sum(targets * logits, axis=-1))
    own = {"custom": "dot", "label_smoothing": 0.4}
    hard, logits = np.array([[0.0, 1.0]], np.float32), np.array([[1.0, 10.0]], np.float32)
    # One label an image: (0, 1) becomes (0.2, 0.8). Two labels: each is drawn to one half.
    assert cost(own, "multi_class", hard, logits) == pytest.approx(8.2)
    both = np.ones((1, 2), np.float32)
    assert cost(own, "multi_label", both, logits) == pytest.approx(0.8 * 11)
    register_loss("dot", lambda targets, logits: targets * logits)
    with pytest.raises(TrainingError, match=r"'dot' must give one number an image, .* \(1, 2\)"):
        cost(own, "multi_class", hard, logits)


def test_a_loss_needs_a_name_that_recipes_can_write() -> None:
    with pytest.raises(TrainingError, match=r"register_loss: a name is .* got '2x'"):
        register_loss("2x", lambda targets, logits: targets)


def test_a_teacher_by_hand() -> None:
    distil = DistilRecipe(teacher="t", temperature=2.0, alpha=0.25)
    targets = tf.constant([[1.0, 0.0, 0.9, 0.1]])
    logits = tf.zeros((1, 2))
    # At temperature 2 odds of 9 are odds of 3: 0.75 ln 1.5 + 0.25 ln 0.5 = 0.1308120, times 4.
    loss = add_teacher(build_loss(LossRecipe(), "multi_class"), distil, "multi_class")
    expected = 0.25 * 4 * 0.1308120 + 0.75 * np.log(2)
    assert float(loss(targets, logits)[0]) == pytest.approx(expected, abs=1e-6)
    # The presence of each of two classes: 9 to 1 as above, 1 to 9 alike; the mean is the same.
    loss = add_teacher(build_loss(LossRecipe(), "multi_label"), distil, "multi_label")
    assert float(loss(targets, logits)[0]) == pytest.approx(expected, abs=1e-6)


def test_divergences_agree_with_keras() -> None:
    generator = np.random.default_rng(3)
    above, below = generator.normal(size=(2, 5, 4)).astype(np.float32) * 3
    softened = tf.nn.softmax(above / 2.5), tf.nn.softmax(below / 2.5)
    oracle = keras.losses.KLDivergence(reduction="none")(*softened)
    mine = diverge_classes(tf.nn.softmax(above), below, 2.5)
    np.testing.assert_allclose(mine, oracle, rtol=1e-4, atol=1e-6)
    # One class of a label set is two classes of which one is there.
    pair = np.stack([above[:, 0], np.zeros(5)], 1), np.stack([below[:, 0], np.zeros(5)], 1)
    oracle = keras.losses.KLDivergence(reduction="none")(
        tf.nn.softmax(pair[0] / 2.5), tf.nn.softmax(pair[1] / 2.5)
    )
    mine = diverge_labels(tf.sigmoid(above[:, :1]), below[:, :1], 2.5)
    np.testing.assert_allclose(mine, oracle, rtol=1e-4, atol=1e-6)


def test_a_sure_teacher_is_finite_and_a_student_like_it_costs_nothing() -> None:
    logits = tf.constant([[60.0, 0.0, -60.0]])
    for diverge, tell in ((diverge_classes, tf.nn.softmax), (diverge_labels, tf.sigmoid)):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            cost = diverge(tell(logits), logits, 4.0)
        assert float(cost[0]) == pytest.approx(0.0, abs=0.02)
        assert np.isfinite(tape.gradient(cost, logits).numpy()).all()
