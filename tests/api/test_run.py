from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import tfclassify as tfc
from tests.builders import make_photo_folder
from tests.tiny_run import TinyRun
from tfclassify.data.images import decode_image
from tfclassify.errors import RequestError, RunError, TargetError


@pytest.fixture
def run(tiny_run: TinyRun) -> tfc.Run:
    return tfc.load(tiny_run.run)


def test_a_run_is_found_by_its_folder_or_its_name(tiny_run: TinyRun) -> None:
    by_name = tfc.load(tiny_run.run.parent)
    assert by_name.path == tiny_run.run
    assert Path(by_name) == tiny_run.run
    assert repr(by_name) == f"Run({str(tiny_run.run)!r})"
    with pytest.raises(TargetError, match="no such run"):
        tfc.load(tiny_run.home / "reports" / "tinny")


def test_its_scores_are_those_of_its_files(run: tfc.Run) -> None:
    stored = json.loads((run.path / "metrics.json").read_text("utf-8"))
    assert list(run.scores) == ["validation", "test"]
    accuracy, headline = run.metrics["accuracy"], stored["headline"]
    assert headline["split"] == "test"
    assert (accuracy.value, accuracy.low, accuracy.high, accuracy.n) == (
        headline["value"],
        headline["low"],
        headline["high"],
        headline["n"],
    )
    assert run.recipe.name == "tiny"
    assert run.classes == ("blue", "green", "red")
    history = run.history
    assert history["phase"].tolist() == ["head", "whole", "whole"]
    assert history["validation_loss"].notna().all()
    assert run.report.read_text("utf-8").startswith("<!doctype html>")


def test_a_misspelt_score_is_told_the_nearest(run: tfc.Run) -> None:
    with pytest.raises(
        RequestError, match=r"^'acuracy': is none of the scores, which are .*mean 'accuracy'\?$"
    ):
        run.metrics["acuracy"]
    with pytest.raises(KeyError):
        run.scores["test"]["f1"]
    with pytest.raises(RequestError, match="did you mean 'f1_macro'"):
        run.evaluate(progress=False).metrics["f1_makro"]
    assert run.metrics.get("acuracy") is None
    assert "acuracy" not in run.metrics


def test_a_copied_bundle_stands_for_its_run(
    run: tfc.Run, tiny_run: TinyRun, tmp_path: Path
) -> None:
    shutil.copytree(run.path / "bundle", tmp_path / "copied")
    alone = tfc.load(tmp_path / "copied")
    assert alone.classes == run.classes
    assert alone.recipe.name == "tiny"
    file = tiny_run.photos / "red" / "03.png"
    one, other = (each.predict(file, progress=False) for each in (alone, run))
    np.testing.assert_array_equal(one.probabilities, other.probabilities)
    with pytest.raises(RunError, match=r"metrics\.json: cannot be read: .* run\.evaluate\(data="):
        alone.metrics  # noqa: B018


def test_its_model_is_what_predict_uses(run: tfc.Run, tiny_run: TinyRun) -> None:
    file = tiny_run.photos / "red" / "03.png"
    row = run.predict(file, tta=False, progress=False)[0]
    pixels = decode_image(file, (16, 16))[None].astype(np.float32)
    probabilities = run.keras_model(pixels, training=False).numpy()[0]
    assert row.label == run.classes[int(probabilities.argmax())]
    assert row.probability == pytest.approx(float(probabilities.max()), abs=1e-6)


def test_plain_keras_reads_its_model(run: tfc.Run, tiny_run: TinyRun) -> None:
    import keras

    pixels = decode_image(tiny_run.photos / "red" / "03.png", (16, 16))[None]
    model = keras.models.load_model(run.path / "bundle" / "model.keras")
    np.testing.assert_allclose(
        model(pixels.astype(np.float32)), run.keras_model(pixels.astype(np.float32)), atol=1e-6
    )


def test_a_notebook_shows_it_as_a_table(run: tfc.Run) -> None:
    shown = run._repr_html_()
    assert str(run.path) in shown
    assert "Accuracy" in shown
    assert "9 test images" in shown
    hostile = tfc.Run(Path("<b>x</b>"))
    assert "&lt;b&gt;x&lt;/b&gt;" in hostile._repr_html_()


def test_a_run_without_scores_says_so(run: tfc.Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"metrics\.json: cannot be read"):
        tfc.Run(tmp_path).metrics  # noqa: B018
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(run.path / "recipe.yaml", copy)
    with pytest.raises(TargetError, match=r"is not a run, it has no environment\.json"):
        tfc.load(copy)
    shutil.copy(run.path / "environment.json", copy)
    (copy / "metrics.json").write_text('{"headline": null, "splits": {}}')
    with pytest.raises(RunError, match="held none out, so it has no score"):
        tfc.load(copy).metrics  # noqa: B018


def test_a_call_leaves_keras_as_it_was(tiny_run: TinyRun, in_tmp: Path) -> None:
    import keras
    from tensorflow.python.framework import config

    policy = keras.config.dtype_policy().name
    run = tfc.train(
        tiny_run.recipe,
        epochs=1,
        set={"runtime.precision": "bfloat16", "tta": None},
        progress=False,
    )
    assert run.path == Path("reports/tiny/001")
    assert keras.config.dtype_policy().name == policy
    assert not config.is_op_determinism_enabled()


def test_a_data_set_shows_as_a_table(in_tmp: Path) -> None:
    make_photo_folder(in_tmp / "photos", images_per_class=6)
    (in_tmp / "photos" / "red" / "zero.png").write_bytes(b"")
    shown = tfc.inspect("photos", progress=False)._repr_html_()
    for word in ("red", "green", "blue", "<td>6</td>", "19 images checked, 1 of them bad"):
        assert word in shown
