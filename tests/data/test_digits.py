from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from tests.data.builders import Listener
from tfclassify.data.digits import COUNT, write_digits
from tfclassify.data.images import open_image
from tfclassify.data.readers import read_source
from tfclassify.files import hash_file
from tfclassify.recipe.schema import DataRecipe


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
    index = read_source(DataRecipe(source="builtin:digits"), observer=listener).index
    assert len(listener.notes) == 2
    assert len(index) == COUNT
    assert index.classes == tuple("0123456789")
    assert index.frame["image"][0] == "0/0000.png"
