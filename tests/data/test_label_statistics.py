from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from tests.data.builders import make_set_index
from tfclassify.data.index import make_frame
from tfclassify.data.label_statistics import count_label_sets


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
