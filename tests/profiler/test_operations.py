"""Every kind of layer against a counter that multiplies one pair at a time."""

from __future__ import annotations

import itertools

import keras
import pytest

from tests.profiler import brute_force
from tests.profiler.networks import L, by_name, profile_function
from tfclassify.profiler.operations import parse_equation, split_equation


def conv(*a, **k):
    return brute_force.count_convolution(*a, **k)


LAYERS = {
    "conv1d": (L.Conv1D(4, 3), (9, 5), lambda: conv((9,), 5, 4, (3,), is_same=False)),
    "conv2d_valid": (
        L.Conv2D(4, (3, 2)),
        (7, 6, 3),
        lambda: conv((7, 6), 3, 4, (3, 2), is_same=False),
    ),
    "conv2d_same_stride": (
        L.Conv2D(5, 3, 2, padding="same"),
        (9, 8, 3),
        lambda: conv((9, 8), 3, 5, (3, 3), step=2),
    ),
    "conv2d_dilated": (
        L.Conv2D(2, 3, padding="same", dilation_rate=2),
        (8, 8, 3),
        lambda: conv((8, 8), 3, 2, (3, 3), dilation=2),
    ),
    "conv2d_grouped": (
        L.Conv2D(6, 3, padding="same", groups=3),
        (6, 6, 9),
        lambda: conv((6, 6), 9, 6, (3, 3), groups=3),
    ),
    "conv3d": (
        L.Conv3D(2, 2),
        (4, 5, 3, 2),
        lambda: conv((4, 5, 3), 2, 2, (2, 2, 2), is_same=False),
    ),
    "depthwise": (
        L.DepthwiseConv2D(3, 2, padding="same", depth_multiplier=2),
        (8, 8, 4),
        lambda: brute_force.count_depthwise((8, 8), 4, 2, (3, 3), step=2),
    ),
    "depthwise_dilated": (
        L.DepthwiseConv2D(3, padding="same", dilation_rate=2),
        (8, 8, 4),
        lambda: brute_force.count_depthwise((8, 8), 4, 1, (3, 3)),
    ),
    "separable": (
        L.SeparableConv2D(7, 3, padding="same"),
        (6, 6, 4),
        lambda: brute_force.count_depthwise((6, 6), 4, 1, (3, 3)) + conv((6, 6), 4, 7, (1, 1)),
    ),
    "transposed": (
        L.Conv2DTranspose(3, 4, 2, padding="same"),
        (5, 6, 2),
        lambda: brute_force.count_transposed((5, 6), 2, 3, (4, 4)),
    ),
    "transposed3d": (
        L.Conv3DTranspose(2, 2, 2),
        (3, 2, 2, 3),
        lambda: brute_force.count_transposed((3, 2, 2), 3, 2, (2, 2, 2)),
    ),
    "dense": (L.Dense(7), (5,), lambda: brute_force.count_product(1, 5, 7)),
    "dense_rank4": (L.Dense(7), (3, 4, 5), lambda: brute_force.count_product(12, 5, 7)),
    "einsum_dense": (
        L.EinsumDense("abc,cde->abde", (None, 2, 3)),
        (4, 5),
        lambda: brute_force.count_product(4, 5, 6),
    ),
    "lstm": (L.LSTM(6), (7, 5), lambda: brute_force.count_recurrent(7, 5, 6, gates=4)),
    "lstm_unrolled": (
        L.LSTM(6, unroll=True),
        (4, 5),
        lambda: brute_force.count_recurrent(4, 5, 6, gates=4),
    ),
    "gru": (L.GRU(4), (6, 3), lambda: brute_force.count_recurrent(6, 3, 4, gates=3)),
    "bidirectional": (
        L.Bidirectional(L.LSTM(3)),
        (5, 2),
        lambda: 2 * brute_force.count_recurrent(5, 2, 3, gates=4),
    ),
    "time_distributed": (
        L.TimeDistributed(L.Dense(4)),
        (6, 5),
        lambda: brute_force.count_product(6, 5, 4),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_macs_agree_with_nested_loops(name: str) -> None:
    layer, shape, count = LAYERS[name]
    profile = profile_function(layer, shape)
    assert profile.macs == count()
    assert not profile.cost.uncounted


def test_attention_counts_its_projections_and_both_products() -> None:
    profile = profile_function(lambda x: L.MultiHeadAttention(2, 3)(x, x), (5, 8))
    assert profile.macs == brute_force.count_attention(5, 8, 2, 3)
    assert not profile.cost.uncounted


def test_batched_products() -> None:
    profile = profile_function(lambda x, y: keras.ops.matmul(x, y), (3, 4, 5), (3, 5, 2))
    assert profile.macs == brute_force.count_product(4, 5, 2, batch=3)


def test_dot_layer() -> None:
    profile = profile_function(lambda x, y: L.Dot((2, 2))([x, y]), (4, 5), (3, 5))
    assert profile.macs == brute_force.count_product(4, 5, 3)


ELEMENTWISE = {
    # 4 x 4 x 2 = 32 values each, worked by hand.
    "relu": (L.ReLU(), {"Relu": 32}),
    "add": (lambda x: L.Add()([x, x]), {"Add": 32}),
    "average": (lambda x: L.AveragePooling2D(2)(x), {"AveragePool": 8 * 4}),
    "maximum": (lambda x: L.MaxPooling2D(2)(x), {"MaxPool": 8 * 3}),
    "global": (L.GlobalAveragePooling2D(), {"Sum": 30, "Divide": 2}),
    # 16 rows of two: 5 x 2 - 2 operations a row.
    "softmax": (L.Softmax(), {"Softmax": 16 * 8}),
    "sigmoid": (L.Activation("sigmoid"), {"Sigmoid": 32}),
    "rescale": (L.Rescaling(0.5, 1.0), {"Multiply": 32, "Add": 32}),
    "bilinear": (L.UpSampling2D(2, interpolation="bilinear"), {"Resize": 128 * 9}),
    "nothing": (L.Flatten(), {}),
    "padding": (L.ZeroPadding2D(1), {}),
    "dropout": (L.Dropout(0.5), {}),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_operations_are_named(name: str) -> None:
    build, expected = ELEMENTWISE[name]
    profile = profile_function(build, (4, 4, 2))
    assert profile.macs == 0
    assert dict(profile.cost.elementwise) == expected
    assert profile.flops == sum(expected.values())
    assert not profile.cost.uncounted


def test_batch_norm_is_two_operations_a_value_and_a_few_a_channel() -> None:
    cost = profile_function(L.BatchNormalization(), (4, 4, 2)).cost
    # A factor and an addend a value; both are worked out for each of two channels.
    assert cost.elementwise["Multiply"] == 32 + 2 * 2
    assert cost.elementwise["Add"] == 32 + 2
    assert cost.elementwise.total() == 64 + 2 * 5


def test_bias_and_activation_are_elementwise() -> None:
    layers = by_name(profile_function(L.Dense(3, "relu", name="dense"), (5,)))
    assert layers["dense"].macs == 15
    assert dict(layers["dense"].cost.elementwise) == {"Add": 3, "Relu": 3}
    assert layers["dense"].flops == 36


def test_what_is_not_counted_is_listed() -> None:
    def sort(x):
        return keras.ops.sort(keras.ops.fft2((x, x))[0])

    uncounted = profile_function(sort, (4, 4)).cost.uncounted
    assert uncounted["FFT2D"] == 1


def count_by_loops(equation: str, shapes) -> int:
    """Count the combinations of all labels, each of which is one product."""
    left, _ = equation.split("->")
    sizes = {}
    for text, shape in zip(left.split(","), shapes, strict=True):
        sizes.update(zip(text, shape, strict=True))
    return sum(1 for _ in itertools.product(*map(range, sizes.values())))


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("abc,cd->abd", [(2, 3, 4), (4, 5)]),
        ("aecd,abcd->acbe", [(1, 3, 2, 4), (1, 5, 2, 4)]),
        ("ij,jk->ik", [(3, 4), (4, 2)]),
        ("bi,bi->b", [(3, 4), (3, 4)]),
    ],
)
def test_products_by_loops(equation, shapes) -> None:
    assert parse_equation(equation, shapes).macs == count_by_loops(equation, shapes)


def test_an_ellipsis_stands_for_what_is_left() -> None:
    assert parse_equation("...i,ij->...j", [(2, 3, 4), (4, 5)]).macs == 2 * 3 * 4 * 5
    labels, output = split_equation("...i,...j->...ij", [2, 3])
    assert [len(text) for text in labels] == [2, 3]
    assert labels[0][0] == labels[1][1]
    assert len(output) == 4


def test_without_a_contraction_it_is_a_plain_product() -> None:
    plan = parse_equation("i,j->ij", [(3,), (4,)])
    assert (plan.macs, plan.elementwise["Multiply"]) == (0, 12)


def test_a_label_of_one_operand_is_summed_first() -> None:
    plan = parse_equation("ij,k->k", [(2, 3), (4,)])
    assert (plan.macs, plan.elementwise["Sum"]) == (0, 5)
    assert plan.elementwise["Multiply"] == 4
    assert parse_equation("ij->i", [(2, 3)]).elementwise == {"Sum": 4}


def test_three_operands_are_not_counted() -> None:
    assert parse_equation("i,i,i->i", [(2,)] * 3) is None
