"""The catalog of operations: which type is counted how, and which is known to be free.

Owns: two tables. Does not own: the formulas (``counters``). An operation in neither
table is reported by its type, never taken for zero.
"""

from __future__ import annotations

from tfclassify.profiler import counters
from tfclassify.profiler.counters import Counting, per_input, per_output, reduction

#: Products and convolutions: counted whatever the type of their numbers is.
PRODUCTS: dict[str, Counting] = {
    **dict.fromkeys(("Conv", "Conv2D", "Conv3D"), counters.count_convolution),
    "DepthwiseConv2dNative": counters.count_depthwise,
    **dict.fromkeys(
        ("Conv2DBackpropInput", "Conv3DBackpropInput", "Conv3DBackpropInputV2"),
        counters.count_transposed,
    ),
    "DepthwiseConv2dNativeBackpropInput": counters.count_transposed_depthwise,
    **dict.fromkeys(
        ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), counters.count_product
    ),
    "Einsum": counters.count_einsum,
}

#: Type -> the name under which its single operation a value is counted.
_ONE_EACH = {
    **dict.fromkeys(("Add", "AddV2", "BiasAdd", "BiasAddV1"), "Add"),
    "Sub": "Subtract",
    **dict.fromkeys(("Mul", "MulNoNan"), "Multiply"),
    **dict.fromkeys(("RealDiv", "Div", "DivNoNan", "Xdivy", "Reciprocal", "Inv"), "Divide"),
    **dict.fromkeys(("Pow", "Square", "Sqrt", "Rsqrt"), "Power"),
    **dict.fromkeys(("Maximum", "Minimum"), "Maximum"),
    **dict.fromkeys(("Exp", "Expm1"), "Exponential"),
    **dict.fromkeys(("Log", "Log1p"), "Logarithm"),
    **dict.fromkeys(("Erf", "Erfc"), "Error function"),
    **dict.fromkeys(("Floor", "Ceil", "Round", "Rint"), "Round"),
    **dict.fromkeys(("Abs", "Neg", "Sign"), "Sign"),
    **dict.fromkeys(("FloorMod", "Mod", "FloorDiv", "TruncateMod"), "Remainder"),
    **dict.fromkeys(("Sin", "Cos", "Tan", "Atan", "Asin", "Acos", "Atan2"), "Trigonometry"),
    **dict.fromkeys(
        (
            *("Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual"),
            *("IsNan", "IsInf", "IsFinite", "Select", "SelectV2"),
        ),
        "Compare",
    ),
    **{
        name: name
        for name in (
            *("Relu", "Relu6", "Elu", "Selu", "LeakyRelu", "Sigmoid", "Tanh"),
            *("Softplus", "Softsign"),
        )
    },
}

#: Element-wise operations: counted where they work on floating-point numbers.
ELEMENTWISE: dict[str, Counting] = {
    **{kind: per_output(name) for kind, name in _ONE_EACH.items()},
    "SquaredDifference": per_output("Squared difference", 2),
    "ClipByValue": counters.count_clip,
    "AddN": counters.count_sum_of_many,
    **{kind: reduction(kind) for kind in ("Sum", "Prod")},
    **{kind: reduction("Maximum") for kind in ("Max", "Min", "ArgMax", "ArgMin")},
    "Mean": counters.count_mean,
    "EuclideanNorm": per_input("Norm", 2),
    "L2Loss": per_input("Norm", 2),
    "Cumsum": per_output("Sum"),
    "Softmax": counters.count_softmax,
    "LogSoftmax": counters.count_softmax,
    **dict.fromkeys(
        ("MaxPool", "MaxPoolV2", "MaxPool3D", "AvgPool", "AvgPool3D"), counters.count_pool
    ),
    **dict.fromkeys(
        ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), counters.count_batch_norm
    ),
    # Three interpolations between two values, each a subtraction, a product and a sum.
    "ResizeBilinear": per_output("Resize", 9),
    # Sixteen taps: as many products, one addition fewer.
    "ResizeBicubic": per_output("Resize", 31),
    "ScaleAndTranslate": counters.count_resampling,
}

#: Operations without arithmetic: they move, name, read or shape numbers.
FREE: frozenset[str] = frozenset(
    (
        *("Assert", "BatchToSpace", "BatchToSpaceND", "Bitcast", "BroadcastArgs"),
        *("BroadcastGradientArgs", "BroadcastTo", "Cast", "CheckNumerics", "Concat", "ConcatV2"),
        *("Const", "DepthToSpace", "Diag", "DynamicStitch", "EnsureShape", "ExpandDims", "Fill"),
        *("Gather", "GatherNd", "GatherV2", "Identity", "IdentityN", "InvertPermutation"),
        *("LogicalAnd", "LogicalNot", "LogicalOr", "MatrixBandPart", "MatrixDiagV3", "MirrorPad"),
        *("NoOp", "OneHot", "OnesLike", "Pack", "Pad", "PadV2", "Placeholder"),
        *("PlaceholderWithDefault", "PreventGradient", "Range", "Rank", "ReadVariableOp"),
        *("Reshape", "ResizeNearestNeighbor", "ResourceGather", "Reverse", "ReverseSequence"),
        *("ReverseV2", "Roll", "ScatterNd", "Shape", "ShapeN", "Size", "Slice", "Snapshot"),
        *("SpaceToBatch", "SpaceToBatchND", "SpaceToDepth", "Split", "SplitV", "Squeeze"),
        *("StopGradient", "StridedSlice", "TensorArrayCloseV3", "TensorArrayGatherV3"),
        *("TensorArrayReadV3", "TensorArrayScatterV3", "TensorArraySizeV3", "TensorArrayV3"),
        *("TensorArrayWriteV3", "TensorListElementShape", "TensorListFromTensor"),
        *("TensorListGetItem", "TensorListLength", "TensorListReserve", "TensorListSetItem"),
        *("TensorListStack", "TensorScatterUpdate", "Tile", "TopK", "TopKV2", "Transpose"),
        *("Unpack", "VarHandleOp", "VarIsInitializedOp", "VariableV2", "Where", "ZerosLike"),
    )
)
