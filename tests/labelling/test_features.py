"""Features and answers of a run's network, made once and kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.data.builders import Listener
from tests.tiny_run import TinyRun
from tfclassify.data.index import load_index
from tfclassify.labelling import features as module
from tfclassify.labelling.features import FILE, read_features
from tfclassify.labelling.suggestions import make_adviser
from tfclassify.labelling.vocabulary import make_vocabulary


def list_photos(run: TinyRun) -> list[str]:
    return load_index(run.run / "index.csv").paths()[:11]


def test_what_the_network_sees_and_says(tiny_run: TinyRun) -> None:
    from tfclassify.inference.prediction import predict_paths
    from tfclassify.model.bundle import load_bundle

    paths = list_photos(tiny_run)
    found = read_features(tiny_run.run / "bundle", paths)
    bundle = load_bundle(tiny_run.run / "bundle")
    expected = predict_paths(bundle, paths)
    assert found.classes == tuple(bundle.classes)
    assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
    network = bundle.model.get_layer("classifier")
    pooled = network.get_layer("backbone")(_read_pixels(paths, bundle.image_size))
    assert found.values == pytest.approx(np.mean(pooled, axis=(1, 2)), abs=1e-4)
    assert found.is_there.all()


def _read_pixels(paths: list[str], size: tuple[int, int]) -> np.ndarray:
    from tfclassify.data.images import decode_image

    return np.stack([decode_image(Path(path), size) for path in paths]).astype(np.float32)


def test_they_are_kept_while_files_and_network_are_the_same(
    tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [tmp_path / f"{number}.png" for number in range(3)]
    for photo, path in zip(photos, list_photos(tiny_run), strict=False):
        shutil.copy(path, photo)
    paths, bundle, times = [*map(str, photos)], tiny_run.run / "bundle", []
    real = module.extract_features
    monkeypatch.setattr(module, "extract_features", lambda *given: times.append(1) or real(*given))
    first = read_features(bundle, paths, tmp_path)
    again = read_features(bundle, paths, tmp_path)
    assert len(times) == 1
    assert np.array_equal(first.values, again.values)
    assert np.array_equal(first.probabilities, again.probabilities)
    read_features(bundle, paths[:2], tmp_path)
    assert len(times) == 2
    (tmp_path / FILE).write_bytes(b"damaged")
    read_features(bundle, paths[:2], tmp_path)
    assert len(times) == 3
    shutil.copy(photos[2], photos[0])
    photos[0].touch()
    read_features(bundle, paths[:2], tmp_path)
    assert len(times) == 4


def test_an_image_that_cannot_be_read_has_none(tiny_run: TinyRun, tmp_path: Path) -> None:
    paths = [list_photos(tiny_run)[0], str(tmp_path / "not-there.png")]
    listener = Listener()
    found = read_features(tiny_run.run / "bundle", paths, observer=listener)
    assert found.is_there.tolist() == [True, False]
    assert not found.values[1].any()
    assert "1 of 2 images have no features" in listener.warnings[0]


def test_an_adviser_of_a_run(tiny_run: TinyRun, tmp_path: Path) -> None:
    paths, listener = list_photos(tiny_run), Listener()
    words = make_vocabulary(("red", "green", "blue"))
    bundle = tiny_run.run / "bundle"
    adviser = make_adviser(bundle, paths, [()] * 11, words, tmp_path, listener)
    suggested = adviser.suggest(0)
    assert suggested is not None
    assert suggested.labels[0] in words.names
    assert not listener.warnings
    make_adviser(bundle, paths, [()] * 11, make_vocabulary(("a", "b")), tmp_path, listener)
    assert "the model knows none of the labels" in listener.warnings[0]
