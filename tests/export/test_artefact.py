"""Artefacts: written if they agree, refused if not, read again as bundles are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.builders import make_photo_folder
from tests.export.networks import CLASSES, make_bundle
from tests.export.parity import CASES, SMALL, export_case
from tfclassify.errors import (
    BundleError,
    ExportError,
    MissingExtraError,
    RequestError,
    TargetError,
)
from tfclassify.export import reading
from tfclassify.export.artefact import (
    Artefact,
    load_artefact,
    write_artefact,
)
from tfclassify.export.formats import ARTEFACT_FORMATS, ArtefactFormat
from tfclassify.export.operators import profile_artefact
from tfclassify.export.proof import Exam
from tfclassify.export.reading import OpenNetwork, read_facts, sum_facts
from tfclassify.export.shipped import predict
from tfclassify.files import hash_file
from tfclassify.inference.prediction import predict_paths
from tfclassify.model.bundle import Bundle, load_bundle
from tfclassify.recipe.schema import TtaRecipe

TTA = TtaRecipe(flips=["horizontal"], shift=0.2, zoom=[0.1], average="sum")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("export") / "bundle"
    return load_bundle(make_bundle(folder, SMALL, 32))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photo_folder(tmp_path_factory.mktemp("photos"), 4)


@pytest.fixture(scope="module")
def exam(bundle: Bundle, photos: Path) -> Exam:
    targets = np.eye(5)[np.arange(12) % 3]
    return Exam(predict_paths(bundle, [photos]), "validation", targets)


def make_format(folder: Path, program: str) -> ArtefactFormat:
    """Make the onnx form with another program to run it by; it may use the right one."""
    file = folder / "other_network.py"
    source = ARTEFACT_FORMATS["onnx"].network.read_text("utf-8")
    file.write_text(source + program, "utf-8")
    return replace(ARTEFACT_FORMATS["onnx"], network=file)


@pytest.fixture(scope="module")
def onnx(bundle: Bundle, exam: Exam, tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    folder = tmp_path_factory.mktemp("artefacts") / "onnx"
    scores = {"split": "test", "metric": "accuracy", "value": 0.5, "low": 0.4, "high": 0.6}
    return write_artefact(
        folder,
        ARTEFACT_FORMATS["onnx"],
        bundle,
        exam,
        scores=scores | {"n": 9, "views": 2},
    )


@pytest.mark.parametrize("name", ["litert", "savedmodel", "keras"])
def test_an_artefact_says_what_the_model_says(name, bundle, exam, photos, tmp_path) -> None:
    written = write_artefact(tmp_path / name, ARTEFACT_FORMATS[name], bundle, exam)
    assert written.agreement.images == 12
    assert written.agreement.labels_changed == 0
    assert written.agreement.largest_difference < 1e-5
    again = predict_paths(load_artefact(written.folder), [photos])
    np.testing.assert_allclose(again.probabilities, exam.answers.probabilities, atol=1e-5)
    assert again.label_sets == exam.answers.label_sets
    if name == "savedmodel":
        (written.folder / "model" / "more").touch()
        with pytest.raises(BundleError, match="model/more is missing, or is not one of its parts"):
            load_artefact(written.folder)


def test_views_lie_inside_and_are_averaged(bundle, photos, tmp_path) -> None:
    seen = predict_paths(bundle, [photos], TTA)
    written = write_artefact(
        tmp_path / "onnx", ARTEFACT_FORMATS["onnx"], bundle, Exam(seen, "x"), tta=TTA, batch=5
    )
    assert written.agreement.largest_difference < 1e-5
    loaded = load_artefact(written.folder)
    assert loaded.model.names == seen.views
    assert read_facts(written.folder)["batch"] == 5
    again = predict_paths(loaded, [photos])
    np.testing.assert_allclose(again.probabilities, seen.probabilities, atol=1e-5)
    assert again.views == seen.views


@pytest.mark.parametrize("name", ["onnx", "litert"])
@pytest.mark.parametrize(
    ("precision", "most"), [("float16", 5e-3), ("int8", 0.2), ("int8-dynamic", 0.2)]
)
def test_lower_precision_tells_what_it_costs(
    name, precision, most, bundle, exam, photos, tmp_path
) -> None:
    from tfclassify.data.images import decode_image

    calibration = np.stack([decode_image(path, (32, 32)) for path in photos.rglob("*.png")])
    written = write_artefact(
        tmp_path / "x",
        ARTEFACT_FORMATS[name],
        bundle,
        exam,
        precision=precision,
        calibration=calibration,
    )
    found = written.agreement
    assert 1e-7 < found.largest_difference < most
    again = predict_paths(load_artefact(written.folder), [photos])
    gap = np.abs(again.probabilities - exam.answers.probabilities).max()
    assert gap == pytest.approx(found.largest_difference, abs=1e-3)
    changed = sum(a != b for a, b in zip(again.label_sets, exam.answers.label_sets, strict=True))
    assert found.labels_changed == changed
    # The paired difference, counted by hand.
    hits = [
        np.mean([names[0] == CLASSES[i % 3] for i, names in enumerate(each.label_sets)])
        for each in (exam.answers, again)
    ]
    assert found.metric == "accuracy"
    assert found.difference.value == pytest.approx(hits[1] - hits[0])
    assert f"{found.labels_changed} labels differ" in (written.folder / "README.md").read_text()


def test_an_artefact_is_run_by_its_own_program_alone(onnx: Artefact, photos, exam) -> None:
    files = [str(path) for path in sorted(photos.rglob("*.png"))]
    program = [sys.executable, "-E", str(onnx.folder / "predict.py"), *files]
    done = subprocess.run(program, cwd=photos, capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == files
    assert [(row[1],) for row in rows] == exam.answers.label_sets
    best = exam.answers.probabilities.max(axis=1)
    np.testing.assert_allclose([float(row[2]) for row in rows], best, atol=1e-4)


def check_triton_config(folder: Path) -> None:
    """Compare what Triton is told with what onnxruntime finds in the file itself."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    config = (folder / "config.pbtxt").read_text("utf-8")
    assert "max_batch_size: 32" in config  # so that the first dimension is left out
    found = re.findall(r'name: "(\w+)" data_type: TYPE_FP32 dims: \[([0-9, ]+)\]', config)
    ends = (*session.get_inputs(), *session.get_outputs())
    assert [each.type for each in ends] == ["tensor(float)"] * 2
    assert found == [(each.name, ", ".join(map(str, each.shape[1:]))) for each in ends]


def test_tensorflow_serving_finds_what_its_requests_name(
    bundle: Bundle, exam: Exam, photos: Path, tmp_path: Path
) -> None:
    """TensorFlow Serving loads NAME/NUMBER/saved_model.pb and asks ``serving_default``.

    A row request names no tensor, which takes a signature of one input; its answer names none,
    which takes one output. A request by columns names both.
    """
    import tensorflow as tf

    write_artefact(tmp_path / "savedmodel", ARTEFACT_FORMATS["savedmodel"], bundle, exam)
    mounted = tmp_path / "savedmodel" / "model"  # as /models/NAME/1
    assert (mounted / "saved_model.pb").is_file()
    assert (mounted / "variables" / "variables.index").is_file()
    serve = tf.saved_model.load(str(mounted)).signatures["serving_default"]
    (given,) = serve.structured_input_signature[1].values()
    assert (given.name, given.dtype, given.shape.as_list()) == (
        "images",
        tf.float32,
        [None, 32, 32, 3],
    )
    (name,) = serve.structured_outputs
    assert name == "probabilities"
    files = sorted(photos.rglob("*.png"))
    pixels = np.stack([predict.read_photo(file, (32, 32), bundle.resize) for file in files])
    body = json.loads(json.dumps({"instances": pixels.tolist()}))
    answer = serve(images=tf.constant(body["instances"], tf.float32))["probabilities"]
    np.testing.assert_allclose(answer, exam.answers.probabilities, atol=1e-5)


def test_what_lies_beside_and_inside(onnx: Artefact, bundle, exam, tmp_path) -> None:
    import onnx as onnx_package

    assert (onnx.folder / "labels.txt").read_text().split() == list(CLASSES)
    readme = (onnx.folder / "README.md").read_text()
    assert "accuracy on 9 test images, with 2 views: 0.5000 (0.4000 to 0.6000" in readme
    assert "(n, 32, 32, 3)" in readme
    assert "12 images (validation)" in readme
    proto = onnx_package.load(onnx.folder / "model.onnx")
    held = {entry.key: entry.value for entry in proto.metadata_props}
    assert held["labels.txt"].split() == list(CLASSES)
    assert json.loads(held["artefact.json"])["image_size"] == [32, 32]
    assert {node.domain for node in proto.graph.node} <= {"", "ai.onnx"}
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    check_triton_config(onnx.folder)
    written = write_artefact(tmp_path / "lite", ARTEFACT_FORMATS["litert"], bundle, exam)
    with zipfile.ZipFile(written.folder / "model.tflite") as archive:
        assert archive.read("labels.txt").decode().split() == list(CLASSES)


WRONG = """
class Network(Network):
    def __call__(self, images):
        return super().__call__(images) {change}
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("+ 2e-4", "probabilities of a fresh process differ by 0.0002"),
        ("* np.nan", "no numbers"),
        ("[:, :3]", r"gave \(12, 3\) probabilities"),
        ("[:, ::-1]", "differ by"),
    ],
)
def test_one_that_disagrees_is_not_written(change, message, bundle, exam, tmp_path) -> None:
    folder = tmp_path / "onnx"
    folder.mkdir()
    (folder / "kept").touch()
    form = make_format(tmp_path, WRONG.format(change=change))
    with pytest.raises(ExportError, match=message):
        write_artefact(folder, form, bundle, exam)
    assert [path.name for path in folder.iterdir()] == ["kept"]
    assert not list(tmp_path.glob(".*"))


def test_other_labels_are_refused_though_probabilities_are_near(bundle, exam, tmp_path) -> None:
    # The model is said to be torn between two classes; the artefact tips over.
    rows = np.tile(np.float32([0.30002, 0.3, 0.2, 0.1, 0.1]), (12, 1))
    answers = replace(exam.answers, probabilities=rows)
    torn = "\nclass Network:\n    def __init__(self, file): pass\n    def __call__(self, images):\n"
    torn += "        return np.float32([[0.3, 0.30002, 0.2, 0.1, 0.1]])\n"
    with pytest.raises(ExportError, match="chose other classes for 12 of 12"):
        write_artefact(
            tmp_path / "x", make_format(tmp_path, torn), bundle, replace(exam, answers=answers)
        )


def test_one_that_needs_tensorflow_or_the_toolkit_is_refused(bundle, exam, tmp_path) -> None:
    for package in ("tensorflow", "tfclassify"):
        form = make_format(tmp_path, f"\nimport {package}\n")
        with pytest.raises(ExportError, match=f"must run without {package} installed"):
            write_artefact(tmp_path / "x", form, bundle, exam)


def test_a_hub_module_is_no_keras_file(tmp_path) -> None:
    case = next(case for case in CASES if case.name == "hub")
    found = export_case(case, tmp_path, ("keras", "litert"))
    assert "Keras' own layers only; use --format savedmodel" in found["keras"]
    assert float(found["litert"]) < 1e-5
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["litert"]


@pytest.mark.parametrize("name", ["ensemble", "multi_label"])
def test_models_of_several_parts_go_through(name, tmp_path) -> None:
    case = next(case for case in CASES if case.name == name)
    found = export_case(case, tmp_path, ("onnx",))
    assert float(found["onnx"]) < 1e-4, found


def test_a_grey_network_takes_photos_in_colour(tmp_path) -> None:
    case = next(case for case in CASES if case.name == "grey")
    found = export_case(case, tmp_path)
    assert all(float(difference) < 1e-5 for difference in found.values()), found


@pytest.mark.slow
@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_every_kind_of_network_goes_through(name, tmp_path) -> None:
    case = next(case for case in CASES if case.name == name)
    found = export_case(case, tmp_path)
    if name == "hub":
        assert found.pop("keras").startswith("refused")
    assert all(float(difference) < 1e-4 for difference in found.values()), found


def copy_of(artefact: Artefact, folder: Path) -> Path:
    import shutil

    return Path(shutil.copytree(artefact.folder, folder / "copy"))


def test_a_damaged_artefact_is_not_loaded(onnx: Artefact, tmp_path) -> None:
    with pytest.raises(TargetError, match="no artefact, which has"):
        load_artefact(tmp_path)
    copy = copy_of(onnx, tmp_path)
    (copy / "model.onnx").write_bytes((copy / "model.onnx").read_bytes() + b" ")
    with pytest.raises(BundleError, match=r"model.onnx: is missing or was changed"):
        load_artefact(copy)
    (copy / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model.onnx is missing"):
        load_artefact(copy)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"blue"', '"red"', "was changed after it was written: its checksum is"),
        ('"format": 1', '"format": 7', "format 7, this version reads 1"),
        ("{", "[", "damaged"),
        ('"checksum"', '"sum"', "damaged"),
    ],
)
def test_changed_facts_are_noticed(old, new, message, onnx: Artefact, tmp_path) -> None:
    copy = copy_of(onnx, tmp_path)
    text = (copy / "artefact.json").read_text()
    (copy / "artefact.json").write_text(text.replace(old, new, 1))
    with pytest.raises(BundleError, match=message):
        load_artefact(copy)


@pytest.mark.parametrize(
    "changes",
    [
        {"file": "../model.onnx"},
        {"file": 5},
        {"file": "/etc/hostname"},
        {"classes": []},
        {"classes": "blue"},
        {"image_size": [16]},
        {"image_size": [16, 1 << 40]},
        {"batch": -1},
        {"batch": "2"},
        {"resize": "melt"},
        {"max_pixels": 0},
        {"temperature": float("nan")},
        {"temperature": 0},
        {"thresholds": {"blue": 0.5}},
        {"task": "multi_label"},
        {"views": []},
        {"sha256": {"model.onnx": 1}},
        {"sha256": ["model.onnx"]},
    ],
)
def test_facts_that_a_stranger_wrote_are_typed(changes, onnx: Artefact, tmp_path) -> None:
    copy = copy_of(onnx, tmp_path)
    facts = json.loads((copy / "artefact.json").read_text()) | changes
    (copy / "artefact.json").write_text(json.dumps({**facts, "checksum": sum_facts(facts)}))
    with pytest.raises(BundleError, match=r"artefact\.json: damaged \(.*; export the run anew"):
        load_artefact(copy)


def test_nothing_of_an_artefact_is_opened_through_a_link(onnx: Artefact, tmp_path) -> None:
    copy = copy_of(onnx, tmp_path)
    (copy / "labels.txt").unlink()
    (copy / "labels.txt").symlink_to("/etc/hostname")
    with pytest.raises(BundleError, match=r"labels\.txt: is a link; an artefact is made of files"):
        load_artefact(copy)
    recipe = copy_of(onnx, tmp_path / "other")
    (recipe / "recipe.json").write_text("{}")
    facts = json.loads((recipe / "artefact.json").read_text())
    facts["sha256"]["recipe.json"] = hash_file(recipe / "recipe.json")
    (recipe / "artefact.json").write_text(json.dumps({**facts, "checksum": sum_facts(facts)}))
    with pytest.raises(BundleError, match=r"recipe\.json: not a recipe of this version"):
        load_artefact(recipe)


def test_a_program_that_lies_beside_is_never_run_here(onnx: Artefact, tmp_path, photos) -> None:
    copy = copy_of(onnx, tmp_path)
    for name in ("network.py", "predict.py"):
        (copy / name).write_text("raise SystemExit('a stranger ran')")
    assert predict_paths(load_artefact(copy), [photos]).failed == 0


def test_an_unknown_form_is_told(onnx: Artefact) -> None:
    with pytest.raises(RequestError, match="unknown format 'zip'; allowed are savedmodel, litert"):
        OpenNetwork(read_facts(onnx.folder) | {"artefact": "zip"}, onnx.folder)


def test_an_artefact_whose_runtime_is_missing(onnx: Artefact, monkeypatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "onnxruntime"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    told = (
        r"running a model in the form onnx needs onnxruntime; install it: pip install onnxruntime"
    )
    with pytest.raises(MissingExtraError, match=told):
        OpenNetwork(read_facts(onnx.folder), onnx.folder)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("os.kill(os.getpid(), 11)", r"exit status -11"),
        ("while True: pass", r"exit status -24"),  # SIGXCPU
        ("bytearray(1 << 50)", "MemoryError"),
        ("raise KeyError('no such node')", "no such node"),
    ],
)
def test_a_network_that_a_runtime_does_not_survive_is_refused(
    program: str, reason: str, onnx: Artefact, tmp_path, monkeypatch
) -> None:
    """Nothing of it happens here: it is tried in a process of its own first."""
    start = "\nimport os\nclass Network:\n    def __init__(self, file, threads=0):\n        "
    code = f"{start}{program}\n"
    monkeypatch.setitem(ARTEFACT_FORMATS, "onnx", make_format(tmp_path, code))
    monkeypatch.setattr(reading, "MOST_SECONDS", 1)
    copy = copy_of(onnx, tmp_path)
    with pytest.raises(BundleError, match=rf"its network cannot be run \(.*{reason}.*export the"):
        load_artefact(copy)
    with pytest.raises(BundleError, match=r"its network cannot be run"):
        profile_artefact(copy, "copy")


@pytest.mark.parametrize(
    "answer", ["np.zeros((len(images), 3))", "np.full((len(images), 5), np.nan)"]
)
def test_answers_that_are_none_are_refused(
    answer: str, onnx: Artefact, tmp_path, monkeypatch
) -> None:
    code = (
        "\nclass Network:\n    def __init__(self, file, threads=0): pass\n"
        f"    def __call__(self, images): return {answer}\n"
    )
    monkeypatch.setitem(ARTEFACT_FORMATS, "onnx", make_format(tmp_path, code))
    bundle = load_artefact(copy_of(onnx, tmp_path))
    with pytest.raises(
        BundleError, match=r"model\.onnx: cannot be run \(answers \(2, 5\) of finite"
    ):
        bundle.model.probabilities(np.zeros((2, *bundle.image_size, 3)))
