from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from tests.data.builders import encode, make_index, make_scene
from tfclassify.data import leaks
from tfclassify.data.images import decode_image
from tfclassify.data.leaks import (
    find_near_duplicates,
    find_near_matches,
    find_near_pairs,
    find_shared_groups,
    make_fingerprints,
)


def thumbnails_of(*images: Image.Image) -> np.ndarray:
    return np.stack([decode_image(encode(image), (9, 9)) for image in images])


def find(
    images: list[Image.Image], splits: list[str], labels: list[str] | None = None
) -> list[str]:
    index = make_index(labels or ["a"] * len(images), splits=splits)
    found = find_near_duplicates(index, thumbnails_of(*images))
    return [f"{finding.image} {finding.detail}" for finding in found]


def test_fingerprint_bits_worked_by_hand() -> None:
    # Brightness rises along each row and not along columns: 9 * 8 ones, then 72 zeros.
    rising = np.broadcast_to(np.arange(9, dtype=np.uint8)[None, :, None], (9, 9, 3))
    prints = make_fingerprints(np.stack([rising, rising[::-1, ::-1], np.zeros_like(rising)]))
    assert np.bitwise_count(prints).sum(axis=1).tolist() == [72, 0, 0]
    assert np.unpackbits(prints[0].view(np.uint8)).tolist() == [1] * 72 + [0] * 120


@settings(deadline=None)
@given(
    st.integers(0, 2**32), st.integers(0, 40), st.integers(0, 40), st.sampled_from([1, 7, 64, 1000])
)
def test_pairs_agree_with_brute_force(seed: int, left: int, right: int, block: int) -> None:
    generator = np.random.default_rng(seed)
    base = generator.integers(0, 2, (3, 192))

    def draw(count: int) -> np.ndarray:
        noise = generator.random((count, 192)) < 0.04
        bits = base[generator.integers(0, 3, count)] ^ noise
        return np.packbits(bits.astype(np.uint8), axis=1).view(np.uint64)

    ones, others = draw(left), draw(right)
    expected = []
    for i, one in enumerate(ones):
        for j, other in enumerate(others):
            distance = sum(bin(int(a) ^ int(b)).count("1") for a, b in zip(one, other, strict=True))
            if distance <= 12:
                expected.append([i, j, distance])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leaks, "_BLOCK", block)
        found = [row for pairs in find_near_pairs(ones, others, 12) for row in pairs.tolist()]
    assert found == expected


def test_a_changed_copy_is_found_across_splits() -> None:
    scene = make_scene(1, (240, 320))
    with Image.open(BytesIO(encode(scene, "JPEG", quality=40))) as opened:
        recompressed = opened.convert("RGB")
    changed = [
        scene.resize((200, 170)),
        recompressed,
        ImageEnhance.Brightness(scene).enhance(1.02),
        scene.crop((3, 2, 318, 239)),
    ]
    others = [make_scene(seed) for seed in range(10, 14)]
    found = find([scene, *changed, *others], ["train"] + ["validation"] * 4 + ["test"] * 4)
    assert [line.split()[0] for line in found] == [f"0000{n}.png" for n in range(1, 5)]
    assert all("in validation; 00000.png in training differs in" in line for line in found)


def test_within_one_split_nothing_is_reported() -> None:
    scene = make_scene(1)
    assert find([scene, scene.resize((50, 40)), make_scene(2)], ["train", "train", "test"]) == []


def test_the_nearest_is_named_with_other_labels() -> None:
    scene = make_scene(1, (96, 128))
    near = scene.crop((1, 1, 128, 96))
    nearest = scene.resize((120, 90))
    found = find([near, scene, nearest], ["train", "test", "train"], ["a", "b", "c"])
    assert len(found) == 1
    assert "00002.png in training differs in" in found[0]
    assert found[0].endswith("labels 'b' and 'c'")


def test_exact_copies_are_not_reported_again() -> None:
    scene = make_scene(1)
    index = make_index(["a", "a"], splits=["train", "test"], digests=["same", "same"])
    assert find_near_duplicates(index, thumbnails_of(scene, scene)) == []


def test_flat_images_are_not_taken_for_copies() -> None:
    flat = [Image.new("RGB", (20, 20), (shade, shade, shade)) for shade in (250, 251, 252)]
    assert find(flat, ["train", "test", "validation"]) == []


def test_the_same_shape_in_other_colours_is_another_image() -> None:
    scene = make_scene(1)
    swapped = Image.merge("RGB", scene.split()[::-1])
    grey = scene.convert("L")
    # Same brightness to a level, so the same bits; the colours differ.
    assert find([scene, grey.convert("RGB")], ["train", "test"]) == []
    assert find([scene, swapped], ["train", "test"]) == []


def test_quarantined_images_are_left_out() -> None:
    scene = make_scene(1)
    index = make_index(["a", "a"], splits=["train", "test"])
    index = index.with_frame(index.frame.assign(status=["ok", "quarantined"]))
    assert find_near_duplicates(index, thumbnails_of(scene, scene)) == []


def test_thousands_of_like_images_stay_quick() -> None:
    count = 1000
    generator = np.random.default_rng(0)
    base = np.asarray(make_scene(1).resize((9, 9))).astype(int)
    noisy = base + generator.integers(-2, 3, (count, 9, 9, 3))
    index = make_index(["a"] * count, splits=["train", "validation"] * (count // 2))
    found = find_near_duplicates(index, np.clip(noisy, 0, 255).astype(np.uint8))
    assert len(found) == count // 2


def test_shared_groups_are_told() -> None:
    index = make_index(
        ["a"] * 5,
        groups=["ann", "ann", "bob", "", ""],
        splits=["train", "test", "validation", "train", "test"],
    )
    found = find_shared_groups(index)
    assert [(f.image, f.kind, f.detail) for f in found] == [
        ("00001.png", "shared_group", "in test; group 'ann' is also trained on")
    ]


def test_matches_are_those_of_the_findings() -> None:
    generator = np.random.default_rng(3)
    known = generator.integers(0, 256, (40, 9, 9, 3), dtype=np.uint8)
    plain = np.full((1, 9, 9, 3), 128, np.uint8)  # nothing in it to know it by
    moved = known[7].copy()
    moved[0, :4] = generator.integers(0, 256, (4, 3))
    images = np.concatenate([known[3:4], moved[None], plain, 255 - known[5:6]])
    found = find_near_matches(images, np.concatenate([known, plain]))
    assert found.tolist() == [True, True, False, False]
    assert find_near_matches(images[:0], known).tolist() == []
