"""Published figures, as literals.

Sources: keras.io/api/applications and the models' own summaries for parameters; for
multiply-accumulates the tables of fvcore and timm for the same architectures at the same
size, where ResNet50 is the variant with its stride on the first 1x1 convolution that
Keras has (3.858 G; 4.09 G is v1.5), and He et al. 2016, table 1, which says 3.8 G.
"""

from __future__ import annotations

import keras
import pytest

from tests.profiler.networks import PUBLISHED, build_vit, profile_published
from tfclassify.profiler.keras_profile import profile_model

QUICK = ("MobileNetV2", "ResNet50")


def check(name: str) -> None:
    _, gmacs, tolerance, params = PUBLISHED[name]
    profile = profile_published(name)
    assert profile.macs / 1e9 == pytest.approx(gmacs, abs=tolerance)
    assert params is None or profile.params == params
    assert not profile.cost.uncounted
    assert sum(layer.macs for layer in profile.layers) == profile.macs
    assert sum(layer.flops for layer in profile.layers) == profile.flops
    assert sum(layer.params for layer in profile.layers) == profile.params
    assert sum(layer.weight_bytes for layer in profile.layers) == profile.weight_bytes


@pytest.mark.parametrize("name", QUICK)
def test_published_figures(name: str) -> None:
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PUBLISHED if name not in QUICK])
def test_published_figures_of_large_networks(name: str) -> None:
    check(name)


@pytest.mark.slow
def test_the_vision_transformer() -> None:
    """Dosovitskiy et al. 2021, ViT-B/16: 16.849 G linear and 0.715 G of attention."""
    model = build_vit()
    profile = profile_model(model, [(224, 224, 3)], title="vit", target="vit")
    assert profile.macs / 1e9 == pytest.approx(17.564, abs=0.0005)
    attention = 12 * 2 * 197 * 197 * 768
    assert attention / 1e9 == pytest.approx(0.715, abs=0.0005)
    assert (profile.macs - attention) / 1e9 == pytest.approx(16.849, abs=0.0005)
    assert not profile.cost.uncounted


def test_resnet50_of_the_clothing_system() -> None:
    """It printed 7,735.46 MFLOPs and 3,867.73 MMACs, the one half of the other.

    Its total holds more than products: biases, skip connections, pooling and the head
    that it put on top, as docs/profiler.md works out.
    """
    profile = profile_published("ResNet50")
    assert profile.macs / 1e6 == pytest.approx(3867.73, rel=0.003)
    # What the total is without the head: products, biases, skips, pooling and mean.
    convolutions = 2 * sum(layer.macs for layer in profile.layers if layer.kind == "Conv2D")
    biases, skips, pooling, mean = 10_587_136, 5_519_360, 1_806_336, 100_352
    rest = 7_735_460_000 - (convolutions + biases + skips + pooling + mean)
    assert 5.5e6 < rest < 5.7e6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ResNet50", "MobileNetV2", "EfficientNetB0"])
def test_the_other_profiler_counts_the_same_products(name: str) -> None:
    """``tf.compat.v1.profiler`` counts 2 x MACs and some additions, on a frozen graph."""
    from tests.profiler.other_profiler import count_by_type

    size = PUBLISHED[name][0]
    shape = (size, size, 3)
    model = getattr(keras.applications, name)(weights=None, input_shape=shape)
    profile = profile_model(model, [shape], title=name, target=name)
    counts = count_by_type(model, shape)
    products = sum(counts.get(kind, 0) for kind in ("Conv2D", "DepthwiseConv2dNative", "MatMul"))
    assert products == 2 * profile.macs
    # Freezing folds constants, and of what is left only some types have a count there.
    assert 2 * profile.macs < sum(counts.values()) <= profile.flops


APPLICATIONS = [
    name
    for name in dir(keras.applications)
    if callable(getattr(keras.applications, name)) and name[0].isupper()
]


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_every_application_is_counted_whole(name: str) -> None:
    profile = profile_published(name, 331 if name == "NASNetLarge" else 224)
    assert dict(profile.cost.uncounted) == {}
    assert profile.macs > 0
