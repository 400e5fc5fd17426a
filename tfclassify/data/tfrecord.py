"""TFRecord files of ``tf.train.Example``, written without TensorFlow.

Owns: the checksum CRC-32C, the frame around a record, the wire format of an ``Example``.
Does not own: what a record says of an image (``shards``).

A record is its length (8 bytes, little endian), the masked checksum of these bytes, the
content, and the masked checksum of the content:
https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

_Words = npt.NDArray[np.uint32]

#: CRC-32C's polynomial, bits reversed.
_POLYNOMIAL = 0x82F63B78
#: Bytes that one lane of ``crc32c`` goes through; all lanes go through theirs at once.
_LANE = 32
#: Fewer bytes than this are gone through one by one.
_FEW = 64


def _make_table() -> _Words:
    table: _Words = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> np.uint32(1)) ^ ((table & np.uint32(1)) * np.uint32(_POLYNOMIAL))
    return table


_TABLE = _make_table()


def _advance(state: _Words, zeros: _Words) -> _Words:
    """Return what states become after the zero bytes that four tables stand for."""
    first, second = zeros[0][state & 0xFF], zeros[1][(state >> 8) & 0xFF]
    return first ^ second ^ zeros[2][(state >> 16) & 0xFF] ^ zeros[3][state >> 24]


def _make_lane_tables(doublings: int) -> list[_Words]:
    """Make tables ``(4, 256)`` for the zero bytes of 1, 2, 4, … lanes.

    A checksum is linear: that of two parts in a row is the first part's, taken past as many
    zeros as the second part has bytes, combined with the second part's by exclusive or.
    """
    tables = np.arange(256, dtype=np.uint32) << np.array([[0], [8], [16], [24]], np.uint32)
    for _ in range(_LANE):
        tables = _TABLE[tables & 0xFF] ^ (tables >> 8)
    made = [tables]
    for _ in range(doublings - 1):
        made.append(_advance(made[-1], made[-1]))
    return made


_LANES = _make_lane_tables(32)
_BY_BYTE: list[int] = _TABLE.tolist()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of bytes.

    Example:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'

    Reference:
        RFC 3720, appendix B.4.
    """
    if len(data) < _FEW:
        state = 0xFFFFFFFF
        for byte in data:
            state = _BY_BYTE[(state ^ byte) & 0xFF] ^ (state >> 8)
        return state ^ 0xFFFFFFFF
    lanes = 1 << (-(-len(data) // _LANE) - 1).bit_length()
    # Zeros in front change nothing where the state is 0, and the state that a checksum
    # begins with is the same as turned first four bytes.
    padded = np.zeros(lanes * _LANE, np.uint8)
    padded[-len(data) :] = np.frombuffer(data, np.uint8)
    padded[len(padded) - len(data) :][:4] ^= 0xFF
    states = np.zeros(lanes, np.uint32)
    for column in np.ascontiguousarray(padded.reshape(lanes, _LANE).T):
        states = _TABLE[(states ^ column) & 0xFF] ^ (states >> 8)
    for tables in _LANES:
        if len(states) == 1:
            break
        states = _advance(states[0::2], tables) ^ states[1::2]
    return int(states[0]) ^ 0xFFFFFFFF


def frame_record(content: bytes) -> bytes:
    """Put a record's length and checksums around its content."""
    length = struct.pack("<Q", len(content))
    return b"".join((length, _mask(length), content, _mask(content)))


#: Bytes of a frame before and after its content.
BEFORE, AFTER = 12, 4


def _mask(data: bytes) -> bytes:
    """Return a checksum turned so that one over data with checksums in it is no weaker."""
    check = crc32c(data)
    return struct.pack("<I", (((check >> 15) | (check << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


Values = Sequence[bytes] | Sequence[int] | Sequence[float]


def encode_example(features: Mapping[str, Values]) -> bytes:
    """Write a ``tf.train.Example``: texts and files as bytes, whole numbers, or fractions.

    The last feature's last value stands at the very end where it is bytes.

    Args:
        features: By name; bytes, int or float in each, and all of one kind.
    """
    entries = [_field(1, _field(1, name.encode()) + _feature(features[name])) for name in features]
    return _field(1, b"".join(entries))


def _feature(values: Values) -> bytes:
    if all(isinstance(value, bytes) for value in values):
        kind, content = 1, b"".join(_field(1, value) for value in values)  # type: ignore[arg-type]
    elif all(isinstance(value, int) for value in values):
        kind, content = 3, _field(1, b"".join(_varint(int(value)) for value in values))
    else:
        kind, content = 2, _field(1, struct.pack(f"<{len(values)}f", *values))
    return _field(2, _field(kind, content))


def _field(number: int, content: bytes) -> bytes:
    """Write a field of protocol buffers that has a length, such as a text or a message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
