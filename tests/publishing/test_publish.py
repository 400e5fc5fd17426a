"""Publishing into a folder: what lies in it, what must not, and its verification."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.tiny_run import CommandLine, TinyRun
from tfclassify.errors import PublishError, RequestError, TargetError
from tfclassify.publishing.card import escape_markdown
from tfclassify.publishing.folder import FACTS, hide_paths, list_files, read_published
from tfclassify.recipe.schema import Recipe
from tfclassify.workflows.predict import PredictRequest, predict_paths_of_run
from tfclassify.workflows.publish import PublishRequest, publish_run
from tfclassify.workflows.verify import VerifyRequest, VerifyResult, verify_published


def verify(folder: Path) -> VerifyResult:
    return verify_published(VerifyRequest(folder))


def read_metadata(card: str) -> Mapping[str, Any]:
    """Return the block of metadata of a card; empty where there is none."""
    found = re.match(r"---\n(.*?\n)---\n", card, re.DOTALL)
    content = yaml.safe_load(found[1]) if found else None
    return content if isinstance(content, dict) else {}


def find_fault(folder: Path) -> tuple[str, str]:
    """Return the name and the words of the one thing that does not hold."""
    (fault,) = (check for check in verify(folder).checks if not check.is_right)
    return fault.name, fault.found


@pytest.fixture
def copy(published: Path, tmp_path: Path) -> Path:
    """A copy of the published model at another place, to be changed."""
    return Path(shutil.copytree(published, tmp_path / "elsewhere"))


def reseal(folder: Path, name: str) -> None:
    """Make a changed file the one that was published, as whoever tampers would."""
    from tfclassify.files import hash_file

    path = folder / FACTS
    facts = json.loads(path.read_text("utf-8"))
    facts["files"][name] = hash_file(folder / name)
    path.write_text(json.dumps(facts), "utf-8")


def test_a_published_folder_holds_at_another_place(copy: Path) -> None:
    found = verify(copy)
    assert [check.name for check in found.checks] == ["files", "scores", "card", "samples"]
    assert found.is_right, found.checks
    assert "bit for bit" in found.checks[1].found
    assert "2 images are answered the same" in found.checks[3].found


def test_the_scores_are_those_of_the_run(published: Path, tiny_run: TinyRun) -> None:
    stored = json.loads((published / "metrics.json").read_text("utf-8"))
    own = json.loads((tiny_run.run / "metrics.json").read_text("utf-8"))
    assert stored["headline"] == own["headline"]
    assert stored["splits"] == own["splits"]
    card = (published / "README.md").read_text("utf-8")
    # The headline is that of images that chose nothing; validation is warned of beside its own.
    assert card.index("**Accuracy") < card.index("test images that were not trained on")
    assert card.count("The validation images") == 1
    (entry,) = read_metadata(card)["model-index"]
    shown = {each["dataset"]["split"]: each["metrics"][0] for each in entry["results"]}
    assert set(shown) == {"validation", "test"}
    assert shown["test"]["type"] == "accuracy"
    assert shown["test"]["value"] == pytest.approx(own["headline"]["value"], abs=1e-6)
    assert f"{own['headline']['n']} images" in shown["test"]["name"]


def test_the_hub_reads_the_card(published: Path, tiny_run: TinyRun) -> None:
    from huggingface_hub import ModelCard

    data = ModelCard((published / "README.md").read_text("utf-8")).data
    own = json.loads((tiny_run.run / "metrics.json").read_text("utf-8"))["headline"]
    assert (data.license, data.library_name, data.model_name) == ("mit", "keras", "tiny")
    (found,) = (
        each
        for each in data.eval_results
        if each.dataset_split == "test" and each.metric_type == "accuracy"
    )
    assert found.metric_value == pytest.approx(own["value"], abs=1e-6)


def test_the_folder_is_a_bundle_that_predicts_as_the_run_does(
    published: Path, tiny_run: TinyRun
) -> None:
    photos = sorted(str(path) for path in tiny_run.photos.rglob("*.png"))[:3]
    answers = [
        predict_paths_of_run(PredictRequest(place, photos)).predictions.probabilities
        for place in (published, tiny_run.run)
    ]
    assert np.array_equal(*answers)


def test_samples_have_no_metadata_and_no_names(published: Path, tiny_run: TinyRun) -> None:
    names = {path.name for path in tiny_run.photos.rglob("*.png")}
    assert not names & {Path(file).name for file in list_files(published)}
    with Image.open(published / "samples" / "sample-1.png") as image:
        assert not image.info
        assert image.size == (24, 20)


def test_nothing_of_this_machine_is_in_it(published: Path, tiny_run: TinyRun) -> None:
    home = str(tiny_run.home).encode()
    assert not [file for file in list_files(published) if home in (published / file).read_bytes()]


@pytest.mark.parametrize(
    ("file", "change", "name", "words"),
    [
        ("metrics.json", ('"value": 0.', '"value": 1.'), "scores", "metrics.json says otherwise"),
        ("metrics.json", ('"support": ', '"support": 1'), "scores", "class_scores.0.support"),
        ("README.md", ("By class", "By Class"), "card", "not what follows from the scores"),
        ("samples/samples.json", ("0.", "0.0"), "samples", "images differ by"),
    ],
)
def test_a_claim_that_does_not_follow_is_found(
    copy: Path, file: str, change: tuple[str, str], name: str, words: str
) -> None:
    text = (copy / file).read_text("utf-8")
    assert change[0] in text
    (copy / file).write_text(text.replace(*change), "utf-8")
    assert not verify(copy).checks[0].is_right
    reseal(copy, file)
    fault, told = find_fault(copy)
    assert fault == name
    assert words in told


def test_a_changed_or_added_file_is_found(copy: Path) -> None:
    (copy / "extra.txt").write_text("x", "utf-8")
    assert find_fault(copy) == ("files", "changed, missing or added: extra.txt")


def test_answers_of_other_images_are_found(copy: Path) -> None:
    facts = json.loads((copy / FACTS).read_text("utf-8"))
    facts["images"][0] += 1
    (copy / FACTS).write_text(json.dumps(facts), "utf-8")
    faults = [check for check in verify(copy).checks if not check.is_right]
    assert [fault.name for fault in faults] == ["scores", "card"]


def test_a_sample_cannot_name_a_file_elsewhere(copy: Path) -> None:
    path = copy / "samples" / "samples.json"
    path.write_text(
        path.read_text("utf-8").replace('"sample-1.png"', '"../../sample-1.png"'), "utf-8"
    )
    reseal(copy, "samples/samples.json")
    assert find_fault(copy)[0] == "samples"


def test_a_card_that_is_no_text_is_found(copy: Path) -> None:
    (copy / "README.md").write_bytes(b"\xff\xfe")
    reseal(copy, "README.md")
    name, told = find_fault(copy)
    assert name == "card"
    assert "README.md cannot be read" in told


def change_samples(folder: Path, images: Callable[[list[Any]], list[Any]]) -> None:
    path = folder / "samples" / "samples.json"
    samples = json.loads(path.read_text("utf-8"))
    samples["images"] = images(samples["images"])
    path.write_text(json.dumps(samples), "utf-8")
    reseal(folder, "samples/samples.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda images: [], "nothing to predict"),
        (lambda images: images * 51, "at most 100 items"),
        (lambda images: [each | {"probabilities": [1e308, 0.0, 0.0]} for each in images], "differ"),
    ],
)
def test_samples_that_prove_nothing_are_found(
    copy: Path, change: Callable[[list[Any]], list[Any]], words: str
) -> None:
    change_samples(copy, change)
    name, told = find_fault(copy)
    assert name == "samples"
    assert words in told


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("test/plain", lambda values: values * np.float32(np.nan)),
        ("test/plain", lambda values: values + 1),
        ("test/plain", lambda values: -values),
        ("test/targets", lambda values: values * 0),
        ("test/targets", lambda values: values * 7),
    ],
)
def test_answers_that_are_none_are_found(
    copy: Path, name: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    with np.load(copy / "answers.npz") as stored:
        arrays = dict(stored)
    arrays[name] = change(arrays[name])
    np.savez_compressed(copy / "answers.npz", **arrays)
    reseal(copy, "answers.npz")
    faults = {check.name: check.found for check in verify(copy).checks if not check.is_right}
    assert "'test' holds labels or probabilities that are none" in faults["scores"]


@pytest.mark.parametrize("count", [0, -1, 10**15])
def test_numbers_of_images_that_cannot_be_are_found(copy: Path, count: int) -> None:
    facts = json.loads((copy / FACTS).read_text("utf-8"))
    facts["images"][-1] = count
    (copy / FACTS).write_text(json.dumps(facts), "utf-8")
    faults = {check.name: check.found for check in verify(copy).checks if not check.is_right}
    assert "there are none, or more than this machine's memory holds" in faults["scores"]


def test_a_link_in_the_folder_is_refused(copy: Path) -> None:
    (copy / "link").symlink_to("/etc/hostname")
    with pytest.raises(PublishError, match="made of files and folders alone"):
        verify(copy)


def test_what_is_no_published_model_is_said(tmp_path: Path, copy: Path) -> None:
    with pytest.raises(TargetError, match=r"has no published\.json"):
        verify(tmp_path)
    (copy / FACTS).write_text('{"format": 1}', "utf-8")
    with pytest.raises(PublishError, match="damaged"):
        verify(copy)


def test_another_format_names_the_version(copy: Path) -> None:
    facts = json.loads((copy / FACTS).read_text("utf-8"))
    (copy / FACTS).write_text(json.dumps(facts | {"format": 2}), "utf-8")
    with pytest.raises(PublishError, match="format 2, this version reads 1; use tfclassify 0"):
        read_published(copy)


def test_a_card_of_another_version_is_said_to_be(copy: Path) -> None:
    facts = json.loads((copy / FACTS).read_text("utf-8"))
    facts["facts"]["version"] = "9.9"
    (copy / FACTS).write_text(json.dumps(facts), "utf-8")
    assert "was written by tfclassify 9.9" in find_fault(copy)[1]


def test_names_of_files_stop_a_publication(tiny_run: TinyRun, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run.run, tmp_path / "run"))
    recipe = (run / "recipe.yaml").read_text("utf-8")
    bundle = json.loads((run / "bundle" / "recipe.json").read_text("utf-8"))
    bundle["description"] = "as in red/00.png"
    (run / "bundle" / "recipe.json").write_text(json.dumps(bundle), "utf-8")
    _sum_again(run / "bundle")
    assert "red/00.png" not in recipe
    target = tmp_path / "out"
    with pytest.raises(PublishError, match=r"a file of the data, '00\.png'"):
        publish_run(PublishRequest(run, str(target)))
    assert not target.exists()
    publish_run(PublishRequest(run, str(target), file_names=True))
    assert verify(target).is_right


def _sum_again(bundle: Path) -> None:
    """Write the facts of a bundle whose recipe was changed on purpose."""
    from tfclassify.files import hash_file
    from tfclassify.model.bundle import _read_facts, _write_facts

    facts = _read_facts(bundle)
    sums = {**facts.sha256, "recipe.json": hash_file(bundle / "recipe.json")}
    _write_facts(bundle, facts.model_copy(update={"sha256": sums}))


def test_scores_that_do_not_follow_from_the_answers_are_not_published(
    tiny_run: TinyRun, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(tiny_run.run, tmp_path / "run"))
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    metrics["splits"]["test"]["tta"]["metrics"]["accuracy"]["value"] = 1.0
    (run / "metrics.json").write_text(json.dumps(metrics), "utf-8")
    with pytest.raises(PublishError, match=r"its test accuracy is 1\.0, but 0\."):
        publish_run(PublishRequest(run, str(tmp_path / "out")))


def test_a_folder_with_other_things_is_not_replaced(tiny_run: TinyRun, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    (target / "thesis.txt").write_text("years", "utf-8")
    with pytest.raises(PublishError, match="is no published model; choose a new folder"):
        publish_run(PublishRequest(tiny_run.run, str(target)))
    assert (target / "thesis.txt").read_text("utf-8") == "years"


def test_too_many_samples(tiny_run: TinyRun, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"--samples: at most \d+ .*, got 99"):
        publish_run(PublishRequest(tiny_run.run, str(tmp_path / "out"), samples=99))


def test_paths_in_a_recipe_lose_their_folders() -> None:
    recipe = Recipe.from_dict(
        {
            "name": "x",
            "data": {"source": "/home/ada/secret/photos.zip"},
            "model": {
                "backbone": "hub:/home/ada/modules/features",
                "weights": "imagenet",
                "input_range": [0, 1],
            },
            "phases": [{"name": "head", "train": "head", "epochs": 1}],
        }
    )
    hidden = hide_paths(recipe)
    assert hidden.data.source == "photos.zip"
    assert hidden.model.backbone == "hub:features"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a|b", "a\\|b"), ("<script>", "\\<script\\>"), ("two\nlines", "two lines"), ("ok", "ok")],
)
def test_names_cannot_become_markup(text: str, shown: str) -> None:
    assert escape_markdown(text) == shown


def test_the_tfclassify(tiny_run: TinyRun, tmp_path: Path, tfclassify: CommandLine) -> None:
    target = tmp_path / "model"
    dry = tfclassify("publish", tiny_run.run, target, "--dry-run", "--quiet")
    assert dry.code == 0
    assert "would be published" in dry.out
    assert "# tiny" in dry.out
    assert not target.exists()
    done = tfclassify("publish", tiny_run.run, target, "--format", "onnx", "--quiet")
    assert done.code == 0, done.err
    assert (target / "onnx" / "predict.py").is_file()
    assert str(tiny_run.home) not in (target / "onnx" / "recipe.json").read_text("utf-8")
    verified = tfclassify("verify", target, "--quiet")
    assert verified.code == 0, verified.out
    assert verified.out.count("ok ") == 4
    (target / "README.md").write_text("Trust me.", "utf-8")
    refused = tfclassify("verify", target, "--json", "--quiet")
    assert refused.code == 1
    assert not json.loads(refused.out)["is_right"]


def test_several_labels_an_image(tiny_sets: TinyRun, tmp_path: Path) -> None:
    target = tmp_path / "model"
    publish_run(PublishRequest(tiny_sets.run, str(target)))
    assert verify(target).is_right
    card = (target / "README.md").read_text("utf-8")
    assert "multi-label" in read_metadata(card)["tags"]
    assert "![Average precision of each class](pictures/class_ap.svg)" in card


def test_a_headline_of_images_that_chose_the_model_says_so(published: Path) -> None:
    from tfclassify.model.bundle import load_bundle
    from tfclassify.publishing.card import write_card
    from tfclassify.workflows.verify import judge_published

    stored, bundle = read_published(published), load_bundle(published)
    first = judge_published(published, bundle, stored)[:1]
    assert first[0].split == "validation"
    card = write_card(stored.facts, first, bundle.recipe, bundle.classes)
    top = card[: card.index("## Use it")]
    assert "validation images that were not trained on" in top
    assert "The validation images" in top
