"""The published check values, a bitwise count, and TensorFlow's own reader as oracles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tfclassify.data.tfrecord import AFTER, BEFORE, crc32c, encode_example, frame_record


@pytest.mark.parametrize(
    ("data", "check"),
    [
        (b"", 0x00000000),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),  # RFC 3720, B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_checksums_are_those_of_the_standard(data: bytes, check: int) -> None:
    assert crc32c(data) == check


@pytest.mark.parametrize("size", [1, 3, 63, 64, 65, 95, 96, 97, 128, 129, 1000, 4096, 70001])
def test_checksums_of_any_length_are_those_of_bit_by_bit(size: int) -> None:
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    assert crc32c(data) == state ^ 0xFFFFFFFF


def test_tensorflow_reads_what_was_written(tmp_path: Path) -> None:
    import tensorflow as tf

    picture = np.random.default_rng(0).integers(0, 256, 3000, np.uint8).tobytes()
    features = {
        "name": ["märz".encode()],
        "labels": [b"a", b"b"],
        "none": [],
        "weight": [0.25],
        "number": [0, 7, 1 << 40],
        "image": [picture],
    }
    content = encode_example(features)
    assert content.endswith(picture)
    framed = frame_record(content)
    assert framed[BEFORE:-AFTER] == content
    path = tmp_path / "x.tfrecord"
    path.write_bytes(framed * 2)
    (first, second) = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    assert first == second == content
    read = tf.train.Example.FromString(first).features.feature
    assert list(read["labels"].bytes_list.value) == [b"a", b"b"]
    assert list(read["name"].bytes_list.value) == ["märz".encode()]
    assert not read["none"].bytes_list.value
    assert list(read["weight"].float_list.value) == [0.25]
    assert list(read["number"].int64_list.value) == [0, 7, 1 << 40]
    assert read["image"].bytes_list.value[0] == picture


def test_a_turned_bit_is_noticed_by_tensorflow(tmp_path: Path) -> None:
    import tensorflow as tf

    framed = bytearray(frame_record(b"x" * 100))
    framed[50] ^= 1
    (tmp_path / "x.tfrecord").write_bytes(framed)
    with pytest.raises(tf.errors.DataLossError):
        list(tf.data.TFRecordDataset(str(tmp_path / "x.tfrecord")))
