from __future__ import annotations

import keras
import numpy as np
from keras import layers as kl

from tfclassify.compress.channels import follow_channels


def test_additions_and_concatenations_tie_channels() -> None:
    images = keras.Input((8, 8, 3))
    a = kl.Conv2D(4, 3, padding="same", name="a")(images)
    b = kl.Conv2D(4, 3, padding="same", name="b")(a)
    c = kl.Conv2D(2, 3, padding="same", name="c")(kl.Add()([a, b]))
    both = kl.Concatenate()([c, a])
    pooled = kl.Flatten()(kl.AveragePooling2D(4)(both))
    network = keras.Model(images, kl.Dense(3, name="last")(pooled))
    found = follow_channels(network)
    by_name = {each.layer.name: each for each in found.layers}

    def find(name: str, way: str = "gives") -> list[int]:
        return found.find(getattr(by_name[name], way)).tolist()

    assert find("a") == find("b")
    assert set(find("c")).isdisjoint(find("a"))
    # Four positions of six channels, one position after another.
    assert find("last", "reads") == (find("c") + find("a")) * 4
    images_and_classes = {*find("a", "reads"), *find("last")}
    assert found.list_kept() == images_and_classes
    assert by_name["a"].macs == 8 * 8 * 3 * 3 * 3 * 4
    assert by_name["last"].macs == 24 * 3


def test_a_layer_used_twice_reads_the_same_channels_twice() -> None:
    images = keras.Input((8, 8, 3))
    a, b = kl.Conv2D(4, 1, name="a")(images), kl.Conv2D(4, 1, name="b")(images)
    shared = kl.Conv2D(2, 1, name="shared")
    joined = kl.Concatenate()([shared(a), shared(b)])
    network = keras.Model(images, kl.Dense(3)(kl.GlobalAveragePooling2D()(joined)))
    found = follow_channels(network)
    gives = {each.layer.name: found.find(each.gives) for each in found.layers}
    np.testing.assert_array_equal(gives["a"], gives["b"])
    assert [each.layer.name for each in found.layers].count("shared") == 1


def test_two_layers_of_one_name_keep_their_channels() -> None:
    images = keras.Input((8, 8, 3))
    inner = keras.Model(images, kl.Conv2D(4, 1, name="twin")(images))
    x = kl.Conv2D(3, 1, name="twin")(inner(images))
    network = keras.Model(images, kl.Dense(2)(kl.GlobalAveragePooling2D()(x)))
    found = follow_channels(network)
    kept = found.list_kept()
    twins = [each for each in found.layers if each.layer.name == "twin"]
    assert len(twins) == 2
    assert all(int(root) in kept for each in twins for root in found.find(each.gives))
