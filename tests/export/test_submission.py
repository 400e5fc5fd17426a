from __future__ import annotations

import csv
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.builders import make_photo
from tests.builders_models import make_classifier
from tfclassify.errors import DataError, ExportError, ImageError, RequestError, TargetError
from tfclassify.events import Observer
from tfclassify.export import codalab_model, proof, submission
from tfclassify.export.codalab_model import FOLDER
from tfclassify.export.submission import (
    choose_content,
    find_joint,
    read_choices,
    write_codalab,
    write_csv_submission,
    write_rows,
)
from tfclassify.export.template import Template
from tfclassify.inference.prediction import Predictions, expand_paths, predict_paths
from tfclassify.recipe.schema import TtaRecipe

SIZE = (16, 16)
CLASSES = ("blue", "green", "red")
TTA = TtaRecipe(flips=["horizontal"], shift=0.1, average="sum")


@pytest.fixture(scope="module")
def bundle() -> SimpleNamespace:
    return SimpleNamespace(
        model=make_classifier(SIZE, classes=3),
        classes=CLASSES,
        image_size=SIZE,
        resize="stretch",
        max_pixels=4_000_000,
        folder=Path("unused"),
        label_thresholds=None,
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of six files 0.png .. 5.png of one size."""
    folder = tmp_path / "test"
    folder.mkdir()
    for number in range(6):
        make_photo(number).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def no_check(monkeypatch, bundle):
    """Take predictions of this process for those of a fresh one, to save seconds."""

    def predict_here(bundle, sample, tta, batch_size, where):
        return predict_paths(bundle, sample, tta, batch_size=batch_size).probabilities

    monkeypatch.setattr(submission, "predict_afresh", predict_here)


class Recorder(Observer):
    """Keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def on_warning(self, message: str) -> None:
        self.warnings.append(message)


def read_rows(path: Path, separator: str = ",") -> list[list[str]]:
    return list(csv.reader(path.read_text(encoding="utf-8").splitlines(), delimiter=separator))


def test_codalab_zip_runs_in_a_fresh_process(bundle, photos, tmp_path):
    make_photo(7, (40, 30)).save(photos / "of_another_size.png")
    out = tmp_path / "new" / "submission.zip"
    written = write_codalab(bundle, TTA, out, sorted(photos.iterdir()))
    assert written.path == out
    assert written.size_bytes == out.stat().st_size
    assert written.views == (
        "identity",
        "flip_horizontal",
        "shift_up",
        "shift_down",
        "shift_left",
        "shift_right",
    )
    assert written.proof.images == 7
    assert 0 <= written.proof.largest_difference < 1e-6
    with zipfile.ZipFile(out) as opened:
        names = opened.namelist()
        assert opened.read("metadata") == b""
        assert b"class model:" in opened.read("model.py")
    assert {name.partition("/")[0] for name in names} == {"metadata", "model.py", FOLDER}
    assert f"{FOLDER}/saved_model.pb" in names
    assert sorted(path.name for path in out.parent.iterdir()) == ["submission.zip"]


def test_a_zip_that_disagrees_is_not_written(bundle, photos, tmp_path, monkeypatch):
    def pack_other(archive, folder, bundle, views, batch_size):
        other = SimpleNamespace(**{**vars(bundle), "resize": "letterbox"})
        pack(archive, folder, other, views, batch_size)

    def serve_here(arguments, folder, *, what):
        """Call the submission in this process, which saves seconds."""
        served = codalab_model.model(str(folder))
        with np.load(arguments[1]) as sent:
            answers = {f"scores_{name}": served.predict_scores(sent[name]) for name in sent}
            answers |= {f"ids_{name}": served.predict(sent[name]) for name in sent}
        np.savez(arguments[2], **answers)

    monkeypatch.setattr(proof, "run_afresh", serve_here)
    out = tmp_path / "submission.zip"
    write_codalab(bundle, None, out, sorted(photos.iterdir()))
    out.write_bytes(b"the last one")
    pack = submission._pack_codalab
    monkeypatch.setattr(submission, "_pack_codalab", pack_other)
    with pytest.raises(ExportError, match=r"submission.zip: probabilities .* differ by 0\.\d+"):
        write_codalab(bundle, None, out, sorted(photos.iterdir()))
    assert out.read_bytes() == b"the last one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["submission.zip", "test"]


@pytest.mark.slow
def test_a_zip_that_needs_the_project_is_not_written(bundle, photos, tmp_path, monkeypatch):
    def pack_needy(archive, folder, *others):
        pack(archive, folder, *others)
        with zipfile.ZipFile(archive) as opened:
            parts = {name: opened.read(name) for name in opened.namelist()}
        parts["model.py"] += b"\nimport tfclassify\n"
        with zipfile.ZipFile(archive, "w") as opened:
            for name, data in parts.items():
                opened.writestr(name, data)

    pack = submission._pack_codalab
    monkeypatch.setattr(submission, "_pack_codalab", pack_needy)
    with pytest.raises(ExportError, match="must run without tfclassify installed"):
        write_codalab(bundle, None, tmp_path / "submission.zip", sorted(photos.iterdir()))
    assert not (tmp_path / "submission.zip").exists()


def test_only_large_images_are_compared_at_the_models_size(bundle, tmp_path):
    for name, size in (("large.png", (1001, 1000)), ("small.png", (20, 24))):
        make_photo(0, size).save(tmp_path / name)
    groups = proof._read_groups(bundle, [tmp_path / "large.png", tmp_path / "small.png"])
    assert [group.raw.shape for group in groups] == [(1, 16, 16, 3), (1, 20, 24, 3)]
    assert [group.fitted.shape for group in groups] == [(1, 16, 16, 3)] * 2


def test_a_submission_needs_a_sample(bundle, tmp_path):
    with pytest.raises(RequestError, match="needs an image to check the submission on"):
        write_codalab(bundle, None, tmp_path / "submission.zip", [])


def test_the_target_is_a_file(bundle, photos, tmp_path):
    with pytest.raises(RequestError, match="is a folder; name the file to write"):
        write_codalab(bundle, None, tmp_path, sorted(photos.iterdir()))
    with pytest.raises(RequestError, match="is a folder; name the file to write"):
        write_csv_submission(bundle, photos, tmp_path)


def test_a_sample_that_cannot_be_read(bundle, tmp_path):
    (tmp_path / "empty.png").touch()
    with pytest.raises(ImageError, match=r"empty.png: the file is empty"):
        write_codalab(bundle, None, tmp_path / "submission.zip", [tmp_path / "empty.png"])


def test_csv_without_a_template(bundle, photos, tmp_path, no_check):
    (photos / "deep").mkdir()
    (photos / "5.png").rename(photos / "deep" / "=5.png")
    written = write_csv_submission(bundle, photos, tmp_path / "out.csv", tta=TTA)
    answers = predict_paths(bundle, [photos], TTA)
    rows = read_rows(tmp_path / "out.csv")
    names = ["0.png", "1.png", "2.png", "3.png", "4.png", "deep/=5.png"]
    assert rows[0] == ["file", "label"]
    assert [row[0] for row in rows[1:]] == names  # as they are: a scorer compares them
    assert [row[1] for row in rows[1:]] == answers.to_frame()["label"].tolist()
    assert (written.rows, written.proof.images, len(written.views)) == (6, 6, 6)
    write_csv_submission(bundle, photos, tmp_path / "p.csv", tta=TTA, mode="probabilities")
    rows = read_rows(tmp_path / "p.csv")
    assert rows[0] == ["file", *CLASSES]
    found = np.array([row[1:] for row in rows[1:]], np.float32)
    np.testing.assert_allclose(found, answers.probabilities, atol=1e-7)


def test_csv_follows_its_template(bundle, photos, tmp_path, no_check):
    template = tmp_path / "sample.csv"
    template.write_text("Image Id;red;blue;green\n4;0;0;0\n0.png;0;0;0\n2;0;0;0\n")
    seen = Recorder()
    write_csv_submission(
        bundle,
        photos,
        tmp_path / "out.csv",
        template=template,
        mode="probabilities",
        observer=seen,
    )
    rows = read_rows(tmp_path / "out.csv", ";")
    assert rows[0] == ["Image Id", "red", "blue", "green"]
    assert [row[0] for row in rows[1:]] == ["4", "0.png", "2"]
    files = [str(photos / name) for name in ("4.png", "0.png", "2.png")]
    expected = predict_paths(bundle, files).probabilities[:, [2, 0, 1]]
    found = np.array([row[1:] for row in rows[1:]], np.float32)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert seen.warnings == [f"{template}: does not ask for 3 of 6 images"]


def test_a_label_column_of_something_else_is_remarked(bundle, photos, tmp_path, no_check):
    template = tmp_path / "sample.csv"
    template.write_text("id,species\n" + "".join(f"{n},0\n" for n in range(5)) + "5,red\n")
    seen = Recorder()
    write_csv_submission(bundle, photos, tmp_path / "out.csv", template=template, observer=seen)
    assert seen.warnings == [
        f"{template}: its own column 'species' holds '0', which is no class; "
        "written are class names such as 'blue'"
    ]
    assert read_rows(tmp_path / "out.csv")[0] == ["id", "species"]
    assert {row[1] for row in read_rows(tmp_path / "out.csv")[1:]} <= set(CLASSES)


def test_a_csv_that_disagrees_is_not_written(bundle, photos, tmp_path, monkeypatch):
    def answer_otherwise(bundle, sample, tta, batch_size, where):
        return np.tile(np.float32([0.98, 0.01, 0.01]), (len(sample), 1))

    monkeypatch.setattr(submission, "predict_afresh", answer_otherwise)
    out = tmp_path / "out.csv"
    with pytest.raises(ExportError, match=r"out.csv: probabilities .* differ"):
        write_csv_submission(bundle, photos, out)
    assert not out.exists()


def test_the_finished_text_is_what_is_compared(bundle, photos, tmp_path, no_check, monkeypatch):
    def write_reversed(form, answers, content):
        header, *rows = write(form, answers, content).splitlines()
        labels = [row.split(",")[1] for row in rows][::-1]
        names = [row.split(",")[0] for row in rows]
        return "\n".join([header, *map(",".join, zip(names, labels, strict=True))]) + "\n"

    write = submission.write_rows
    files = expand_paths([photos])
    labels = predict_paths(bundle, files).to_frame()["label"].tolist()
    assert labels != labels[::-1]
    monkeypatch.setattr(submission, "write_rows", write_reversed)
    with pytest.raises(ExportError, match="chose other classes"):
        write_csv_submission(bundle, photos, tmp_path / "out.csv")


def test_unreadable_images_are_listed(bundle, photos, tmp_path):
    (photos / "6.png").touch()
    (photos / "7.png").write_bytes(b"not an image at all")
    with pytest.raises(DataError, match=r"2 of 8 images cannot be read(.|\n)*6.png.*\n.*7.png"):
        write_csv_submission(bundle, photos, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_no_folder_of_images(bundle, tmp_path):
    with pytest.raises(TargetError, match="there is no such folder"):
        write_csv_submission(bundle, tmp_path / "nowhere", tmp_path / "out.csv")


def test_an_unknown_mode(bundle, photos, tmp_path):
    with pytest.raises(RequestError, match="must be 'labels' or 'probabilities', got 'ranks'"):
        write_csv_submission(bundle, photos, tmp_path / "out.csv", mode="ranks")


def test_missing_images_are_listed(bundle, photos, tmp_path):
    template = tmp_path / "sample.csv"
    template.write_text("id,label\n0,red\n17,red\n")
    with pytest.raises(RequestError, match=r"1 of 2 ids .*'17'"):
        write_csv_submission(bundle, photos, tmp_path / "out.csv", template=template)


def test_a_zip_of_label_sets_gives_zeros_and_ones(bundle, photos, tmp_path, monkeypatch):
    sets = SimpleNamespace(**{**vars(bundle), "label_thresholds": np.array([0.3, 0.4, 0.3])})
    seen = []

    def serve_here(arguments, folder, *, what):
        served = codalab_model.model(str(folder))
        with np.load(arguments[1]) as sent:
            answers = {f"scores_{name}": served.predict_scores(sent[name]) for name in sent}
            answers |= {f"ids_{name}": served.predict(sent[name]).numpy() for name in sent}
        seen.append(answers)
        np.savez(arguments[2], **answers)

    monkeypatch.setattr(proof, "run_afresh", serve_here)
    write_codalab(sets, TTA, tmp_path / "submission.zip", sorted(photos.iterdir()))
    means = predict_paths(sets, [photos], TTA)
    (answers,) = seen
    assert answers["ids_0"].dtype == np.int64
    assert 0 < answers["ids_0"].sum() < 18
    expected = [[int(name in labels) for name in CLASSES] for labels in means.label_sets]
    assert answers["ids_0"].tolist() == expected


def test_csv_of_label_sets(bundle, photos, tmp_path, no_check):
    sets = SimpleNamespace(**{**vars(bundle), "label_thresholds": np.array([0.3, 0.4, 0.3])})
    written = write_csv_submission(sets, photos, tmp_path / "out.csv")
    rows = read_rows(tmp_path / "out.csv")
    expected = predict_paths(sets, [photos]).label_sets
    assert rows[0] == ["file", "label"]
    assert [row[1] for row in rows[1:]] == ["|".join(labels) for labels in expected]
    assert written.proof.images == 6
    template = tmp_path / "sample.csv"
    template.write_text("id,red,green,blue\n" + "".join(f"{n},0,0,0\n" for n in range(6)))
    write_csv_submission(sets, photos, tmp_path / "marks.csv", template=template)
    marks = [[int(cell) for cell in row[1:]] for row in read_rows(tmp_path / "marks.csv")[1:]]
    assert marks == [[int(n in labels) for n in ("red", "green", "blue")] for labels in expected]


def test_a_joint_within_class_names_is_remarked(bundle, photos, tmp_path, no_check):
    changes = {"classes": ("dark red", "green", "blue"), "label_thresholds": np.full(3, 0.3)}
    sets = SimpleNamespace(**{**vars(bundle), **changes})
    template = tmp_path / "sample.csv"
    template.write_text("id,tags\n" + "".join(f"{n},green blue\n" for n in range(6)))
    seen = Recorder()
    write_csv_submission(sets, photos, tmp_path / "o.csv", template=template, observer=seen)
    assert seen.warnings == [
        f"{template}: labels are joined with ' ', which is in the class names 'dark red' as well"
    ]


TREES = ("ash", "birch", "red oak")
ANSWERS = Predictions(
    files=("1.png", "2.png", "3.png"),
    classes=TREES,
    probabilities=np.array([[0.9, 0.2, 0.6], [0.1, 0.4, 0.3], [0.1, 0.2, 0.1]], np.float32),
    errors=("", "", ""),
    top_k=1,
    views=("identity",),
    thresholds=np.array([0.5, 0.4, 0.5]),
)


def make_form(columns: tuple[str, ...], samples: tuple[str, ...] = ("", "", "")) -> Template:
    return Template("sample.csv", "id", columns, ("1", "2", "3"), samples, ",")


@pytest.mark.parametrize(
    ("columns", "samples", "mode", "content"),
    [
        (("labels",), ("ash", "", "birch"), "labels", "label_set"),
        (TREES, ("0", "1", "0"), "labels", "marks"),
        (TREES, ("0.5", "0.5", "0"), "labels", "probabilities"),
        (TREES, ("1e-3", "0", "0"), "labels", "probabilities"),
        (TREES, ("ash", "", ""), "labels", "marks"),
        (TREES, ("0", "0", "0"), "probabilities", "probabilities"),
    ],
)
def test_the_template_says_what_its_cells_hold(columns, samples, mode, content) -> None:
    form = make_form(columns, samples)
    assert choose_content(form, TREES, mode, is_multi_label=True) == content


def test_one_label_an_image_is_as_ever() -> None:
    assert choose_content(make_form(("x",)), TREES, "labels", is_multi_label=False) == "label"
    with pytest.raises(RequestError, match="labels fill one column, the template has 3"):
        choose_content(make_form(TREES), TREES, "labels", is_multi_label=False)


@pytest.mark.parametrize("mode", ["labels", "probabilities"])
def test_other_columns_than_the_classes_are_refused(mode) -> None:
    with pytest.raises(RequestError, match="columns that are no class: 'oak'"):
        choose_content(make_form(("ash", "birch", "oak")), TREES, mode, is_multi_label=True)


@pytest.mark.parametrize(
    ("samples", "joint"),
    [
        (("ash birch", "", ""), " "),
        (("ash|red oak", "", ""), "|"),
        (("ash; birch", "", ""), ";"),
        (("ash", "birch", ""), " "),
        (("x;y", "", ""), ";"),
    ],
)
def test_the_template_says_what_joins_labels(samples, joint: str) -> None:
    assert find_joint(make_form(("labels",), samples), TREES) == joint


def test_without_a_template_labels_are_joined_as_everywhere() -> None:
    assert find_joint(Template("", "file", ("label",), (), (), ","), TREES) == "|"


def test_labels_joined() -> None:
    form = make_form(("labels",), ("ash|birch", "", ""))
    text = write_rows(form, ANSWERS, "label_set")
    assert text == "id,labels\n1,ash|red oak\n2,birch\n3,\n"
    probabilities, chosen = read_choices(text, form, ANSWERS, "label_set", [0, 1, 2])
    assert chosen.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert np.array_equal(probabilities, ANSWERS.probabilities)
    changed = text.replace("2,birch", "2,beech")
    assert read_choices(changed, form, ANSWERS, "label_set", [1])[1].tolist() == [[-1, -1, -1]]


def test_a_class_name_with_the_joint_in_it_survives() -> None:
    form = make_form(("labels",), ("ash birch", "", ""))
    text = write_rows(form, ANSWERS, "label_set")
    assert text == "id,labels\n1,ash red oak\n2,birch\n3,\n"
    assert read_choices(text, form, ANSWERS, "label_set", [0])[1].tolist() == [[1, 0, 1]]


def test_a_column_for_each_class() -> None:
    form = make_form(("birch", "red oak", "ash"))
    text = write_rows(form, ANSWERS, "marks")
    assert text == "id,birch,red oak,ash\n1,0,1,1\n2,1,0,0\n3,0,0,0\n"
    chosen = read_choices(text, form, ANSWERS, "marks", [0, 2])[1]
    assert chosen.tolist() == [[1, 0, 1], [0, 0, 0]]


def test_probabilities_of_label_sets() -> None:
    form = make_form(("birch", "red oak", "ash"))
    text = write_rows(form, ANSWERS, "probabilities")
    assert text.splitlines()[1] == "1,0.2,0.60000002,0.89999998"
    probabilities, chosen = read_choices(text, form, ANSWERS, "probabilities", [0, 1, 2])
    assert np.array_equal(probabilities, ANSWERS.probabilities)
    assert chosen.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
