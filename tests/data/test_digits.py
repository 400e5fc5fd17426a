from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.data.builders import Listener
from tfclassify.data import digits
from tfclassify.data.digits import COUNT, write_digits
from tfclassify.data.images import open_image
from tfclassify.files import hash_file


def test_digits_are_written_once_and_are_scikit_learns() -> None:
    listener = Listener()
    folder = write_digits(listener)
    paths = sorted(folder.glob("*/*.png"), key=lambda path: path.name)
    truth = load_digits()
    assert [int(path.parent.name) for path in paths] == truth.target.tolist()
    for row in (0, 1, 500, COUNT - 1):
        facts, image = open_image(paths[row])
        assert facts.remarks == ()
        assert (facts.width, facts.height) == (8, 8)
        # 16 grey levels above black: 255 / 16 = 15.9375 each.
        expected = [[int(level * 15.9375 + 0.5) for level in line] for line in truth.images[row]]
        assert np.array_equal(np.asarray(image)[:, :, 1], expected)
    before = hash_file(paths[0])
    assert write_digits(listener) == folder
    assert len(listener.notes) == 1
    paths[0].unlink()
    write_digits(listener)
    assert len(listener.notes) == 2
    assert hash_file(paths[0]) == before


def test_once_written_scikit_learn_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    write_digits()
    monkeypatch.setattr(digits, "build_folder", None)
    write_digits()
