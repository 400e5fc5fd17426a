from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.builders import Listener, make_index, make_set_index, write_images
from tfclassify.data.index import Index, make_frame
from tfclassify.data.readers import read_source
from tfclassify.data.scan import scan
from tfclassify.data.statistics import (
    ClassCount,
    count_classes,
    count_flags,
    count_label_sets,
    count_labels,
    describe_index,
    measure_colours,
    measure_lean,
    pick_per_class,
    pick_sample,
)
from tfclassify.recipe.schema import DataRecipe


def test_labels_and_pairs_are_counted() -> None:
    index = make_set_index(["ab", "a", "", "abc", "bc", ""])
    status = ["ok"] * 5 + ["quarantined"]
    found = count_label_sets(index.with_frame(index.frame.assign(status=status)))
    # One image of nothing, one of a, two of two, one of three labels.
    assert found.per_image == (1, 1, 2, 1)
    assert found.together == ((3, 2, 1), (2, 3, 2), (1, 2, 2))
    assert (found.images, found.labels) == (5, 8)
    assert found.mean == pytest.approx(1.6)
    assert found.find_pairs(2) == [("a", "b", 2), ("b", "c", 2)]
    assert found.find_pairs(9)[-1] == ("a", "c", 1)
    assert json.loads(json.dumps(asdict(found)))["per_image"] == [1, 1, 2, 1]


def test_no_images() -> None:
    index = make_set_index(["ab"])
    found = count_label_sets(index.with_frame(make_frame([], [])))
    assert found.per_image == (0,)
    assert found.mean == 0.0
    assert found.together == ((0, 0), (0, 0))
    assert found.find_pairs(3) == []


def write_sized(root: Path, sizes: list[tuple[int, int]]) -> Index:
    """Write images of ``(width, height)`` and scan them."""
    for number, size in enumerate(sizes):
        folder = root / "ab"[number % 2]
        folder.mkdir(exist_ok=True)
        Image.new("RGB", size, (number, 0, 0)).save(folder / f"{number}.png")
    return scan(read_source(DataRecipe(source=str(root))).index).index


def test_classes_are_counted_by_side() -> None:
    index = make_index(
        ["a"] * 5 + ["b"] * 2, splits=["train", "train", "test", "", "validation", "", ""]
    )
    status = ["ok"] * 4 + ["quarantined", "ok", "ok"]
    index = index.with_frame(index.frame.assign(status=status))
    index = Index(index.frame, ("b", "a", "absent"), "x")
    assert count_classes(index) == (
        ClassCount("b", 0, 0, 0, 2, 0),
        ClassCount("a", 2, 0, 1, 1, 1),
        ClassCount("absent", 0, 0, 0, 0, 0),
    )
    assert count_labels(index) == {"b": 2, "a": 4, "absent": 0}


def test_unlabelled_images_are_one_unnamed_class() -> None:
    assert count_classes(make_index(["", ""])) == (ClassCount("", 0, 0, 0, 2, 0),)


def test_sizes_and_shapes(tmp_path: Path) -> None:
    index = write_sized(tmp_path, [(10, 10), (10, 10), (40, 10), (20, 10), (10, 50), (12, 10)])
    found = describe_index(index, extremes=2)
    assert (found.width.low, found.width.median, found.width.high) == (10, 11, 40)
    assert (found.height.low, found.height.median, found.height.high) == (10, 10, 50)
    assert found.sizes[0] == (10, 10, 2)
    assert [(shape.image, shape.width) for shape in found.widest] == [
        ("a/2.png", 40),
        ("b/3.png", 20),
    ]
    assert found.tallest[0].image == "a/4.png"
    assert found.groups == 0
    assert json.loads(json.dumps(found.to_dict()))["classes"][0]["name"] == "a"


def test_colours_worked_by_hand(tmp_path: Path) -> None:
    # Red is 0 in one image and 200 in the other, green half and half 50 and 150 in both.
    for number, red in enumerate((0, 200)):
        pixels = np.zeros((4, 4 + 4 * number, 3), dtype=np.uint8)
        pixels[..., 0] = red
        pixels[:2, :, 1], pixels[2:, :, 1] = 50, 150
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    index = scan(read_source(DataRecipe(source=str(tmp_path))).index).index
    listener = Listener()
    colours = measure_colours(index.frame, observer=listener)
    assert colours.mean == pytest.approx((100, 100, 0))
    assert colours.std == pytest.approx((100, 50, 0))
    assert colours.images == 2
    assert listener.steps[-1] == ("measuring colours", 2)


def test_no_images_are_zeros() -> None:
    found = describe_index(Index(make_frame([], []), (), "x"))
    assert found.colours.images == found.width.high == 0
    assert found.widest == ()


def test_a_sample_depends_on_names_and_seed_alone() -> None:
    names = [f"{number}.png" for number in range(100)]
    picked = pick_sample(names, 10, seed=1)
    assert len(set(picked)) == 10
    assert picked == sorted(picked)
    turned = pick_sample(names[::-1], 10, seed=1)
    assert {names[row] for row in picked} == {names[::-1][row] for row in turned}
    assert picked != pick_sample(names, 10, seed=2)
    assert pick_sample(names[:3], 10, seed=1) == [0, 1, 2]


def test_every_class_has_its_sample(tmp_path: Path) -> None:
    write_images(tmp_path, {"a": 5, "b": 2})
    index = read_source(DataRecipe(source=str(tmp_path))).index
    picked = pick_per_class(index, 3, seed=0)
    assert {name: len(paths) for name, paths in picked.items()} == {"a": 3, "b": 2}
    assert all(f"/{name}/" in path for name, paths in picked.items() for path in paths)


def test_an_image_counts_for_each_of_its_labels() -> None:
    index = make_set_index(["ab", "a", "", "b"], splits=["train", "train", "train", "test"])
    index = index.with_frame(index.frame.assign(status=["ok", "quarantined", "ok", "ok"]))
    assert count_classes(index) == (
        ClassCount("a", 1, 0, 0, 0, 1),
        ClassCount("b", 1, 0, 1, 0, 0),
    )
    assert count_labels(index) == {"a": 1, "b": 2}
    assert pick_per_class(index, 5, seed=0) == {
        "a": ["/nowhere/00000.png"],
        "b": ["/nowhere/00000.png", "/nowhere/00003.png"],
    }


def test_sets_of_labels_are_described(tmp_path: Path) -> None:
    index = write_sized(tmp_path, [(8, 8), (8, 9), (9, 8)])
    assert describe_index(index).label_sets is None
    frame = index.frame.assign(label=["a|b", "", "b"])
    found = describe_index(Index(frame, ("a", "b"), "x", is_multi_label=True))
    assert found.label_sets is not None
    assert found.label_sets.per_image == (1, 1, 1)
    assert json.loads(json.dumps(found.to_dict()))["label_sets"]["together"] == [[1, 1], [1, 2]]


def test_marks_are_counted_where_they_occur() -> None:
    frame = make_index(["a"] * 4).frame.assign(flags=["dark|hard", "", "dark", "blurred"])
    assert count_flags(frame) == {"blurred": 1, "dark": 2, "hard": 1}


def test_lean_is_one_for_equal_images_and_none_for_mirrored_pairs(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 16, dtype=np.uint8)[None, :, None], (16, 16, 3))
    sides = {"left": [ramp] * 8, "both": [ramp, ramp[:, ::-1]] * 4}
    for name, pictures in sides.items():
        (tmp_path / name).mkdir()
        for number, pixels in enumerate(pictures):
            Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / name / f"{number}.png")
    paths = {name: sorted((tmp_path / name).iterdir()) for name in sides}
    for name, lean in (("left", 1.0), ("both", -1 / 7)):  # (0 - 1/8) / (1 - 1/8)
        files = [str(path) for path in paths[name]]
        index = Index(make_frame(files, files, label=[name] * 8), (name,), "x")
        assert measure_lean(index) == pytest.approx(lean)
    assert measure_lean(Index(make_frame([], []), ("a",), "x")) == 0.0
