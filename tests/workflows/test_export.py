from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.builders import make_photo
from tests.export.networks import make_bundle
from tests.export.parity import SMALL
from tests.tiny_run import CommandLine, TinyRun
from tfclassify.errors import RequestError, TargetError
from tfclassify.workflows.evaluate import EvaluateRequest, evaluate_run
from tfclassify.workflows.export import ExportRequest, export_run
from tfclassify.workflows.predict import PredictRequest, predict_paths_of_run


@pytest.fixture(scope="module")
def exported(tiny_run: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an onnx artefact of the run."""
    out = tmp_path_factory.mktemp("exported")
    result = export_run(ExportRequest(tiny_run.run, ("onnx",), out=out))
    assert [artefact.folder for artefact in result.artefacts] == [out / "onnx"]
    return out / "onnx"


def test_a_run_is_compared_on_all_of_its_validation_images(exported, tiny_run: TinyRun) -> None:
    facts = json.loads((exported / "artefact.json").read_text())
    rows = (tiny_run.run / "index.csv").read_text().splitlines()
    assert facts["proof"]["images"] == sum(",validation," in row for row in rows)
    assert facts["proof"]["source"] == "validation"
    assert facts["proof"]["labels_changed"] == 0
    assert facts["proof"]["difference"]["value"] == 0.0
    readme = (exported / "README.md").read_text()
    assert "No pretrained weights went in" in readme


def test_predict_takes_an_artefact_as_it_takes_a_run(exported, tiny_run: TinyRun, tmp_path) -> None:
    photos = (tiny_run.photos / "red",)
    run = predict_paths_of_run(PredictRequest(tiny_run.run, photos, use_tta=False))
    artefact = predict_paths_of_run(
        PredictRequest(exported, photos, out=tmp_path / "p.csv", is_calibrated=True)
    )
    calibrated = predict_paths_of_run(
        PredictRequest(tiny_run.run, photos, use_tta=False, is_calibrated=True)
    )
    np.testing.assert_allclose(
        artefact.predictions.probabilities, calibrated.predictions.probabilities, atol=1e-5
    )
    assert artefact.predictions.label_sets == run.predictions.label_sets
    with pytest.raises(RequestError, match="--tta: an artefact shows the views that lie inside"):
        predict_paths_of_run(PredictRequest(exported, photos, use_tta=True))


def test_evaluate_takes_an_artefact_as_it_takes_a_run(tiny_run: TinyRun, tmp_path) -> None:
    (artefact,) = export_run(ExportRequest(tiny_run.run, ("onnx",))).artefacts
    assert artefact.folder == tiny_run.run / "export" / "onnx"
    run = evaluate_run(EvaluateRequest(tiny_run.run, use_tta=False))
    found = evaluate_run(EvaluateRequest(artefact.folder, out=tmp_path / "page"))
    assert [each.split for each in found.verdicts] == ["validation", "test"]
    for one, other in zip(found.verdicts, run.verdicts, strict=True):
        assert one.plain.metrics["accuracy"] == other.plain.metrics["accuracy"]
        loss = other.plain.metrics["loss"].value
        assert one.plain.metrics["loss"].value == pytest.approx(loss, abs=1e-5)
    assert str(artefact.folder) in (tmp_path / "page" / "report.html").read_text()
    # A copy that lies in no run needs labelled images.
    copy = shutil.copytree(artefact.folder, tmp_path / "copy")
    with pytest.raises(RequestError, match=r"copy: lies in no run, .*name labelled images"):
        evaluate_run(EvaluateRequest(copy))
    judged = evaluate_run(EvaluateRequest(copy, data=str(tiny_run.photos)))
    assert judged.verdicts[0].plain.n == 45
    shutil.rmtree(tiny_run.run / "export")


@pytest.mark.parametrize(("form", "batch"), [("litert", None), ("keras", 4)])
def test_the_recipes_views_go_inside(tiny_run: TinyRun, tmp_path, form, batch) -> None:
    request = ExportRequest(tiny_run.run, (form,), batch=batch, has_views=True, out=tmp_path)
    result = export_run(request)
    assert result.views == ("identity", "flip_horizontal")
    photos = (tiny_run.photos / "blue",)
    run = predict_paths_of_run(PredictRequest(tiny_run.run, photos))
    artefact = predict_paths_of_run(PredictRequest(tmp_path / form, photos))
    np.testing.assert_allclose(
        artefact.predictions.probabilities, run.predictions.probabilities, atol=1e-5
    )


def test_a_bare_bundle_is_compared_on_drawn_or_named_images(tmp_path) -> None:
    bundle = make_bundle(tmp_path / "bundle", SMALL, 32)
    (drawn,) = export_run(ExportRequest(bundle, ("onnx",))).artefacts
    assert drawn.folder == bundle / "export" / "onnx"
    assert (drawn.agreement.images, drawn.agreement.source) == (32, "drawn at random")
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        make_photo(number).save(photos / f"{number}.png")
    (named,) = export_run(ExportRequest(bundle, ("onnx",), images=photos)).artefacts
    assert (named.agreement.images, named.agreement.difference) == (3, None)
    with pytest.raises(RequestError, match=r"int8: needs at least 16 images .*, got 3; export the"):
        export_run(ExportRequest(bundle, ("onnx",), precision="int8", images=photos))
    (photos / "bad.png").write_bytes(b"no image")
    with pytest.raises(RequestError, match=r"1 of 4 images cannot be read, .*bad.png"):
        export_run(ExportRequest(bundle, ("onnx",), images=photos))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"formats": ()}, "--format: name at least one"),
        ({"formats": ("tflite",)}, "unknown format 'tflite'"),
        ({"precision": "int8", "formats": ("onnx", "keras")}, "keras cannot be 'int8'"),
    ],
)
def test_a_wrong_request_is_refused_at_once(change, message, tiny_run, tmp_path) -> None:
    request = {"run": tiny_run.run, "formats": ("onnx",), "out": tmp_path / "out"} | change
    with pytest.raises(RequestError, match=message):
        export_run(ExportRequest(**request))
    assert not (tmp_path / "out").exists()


def test_no_such_run(tmp_path) -> None:
    with pytest.raises(TargetError):
        export_run(ExportRequest(tmp_path / "nothing", ("onnx",)))


def test_the_command_prints_what_was_proved(tiny_run, tfclassify: CommandLine, tmp_path) -> None:
    words = ("export", tiny_run.run, "--format", "litert", "--out", tmp_path)
    answer = tfclassify(*words, "--precision", "int8", "--keep-float", "pool")
    assert answer.code == 0, answer.err
    assert "litert-int8: litert, int8" in answer.out
    assert "12 images (validation)" in answer.out
    assert "accuracy" in answer.out
    answer = tfclassify(*words, "--json")
    found = json.loads(answer.out)["artefacts"][0]
    assert (found["format"], found["agreement"]["labels_changed"]) == ("litert", 0)
    answer = tfclassify(*words, "--precision", "float16", "--batch", "-2")
    assert answer.code == 2
    assert "--batch: must be 0" in answer.err
