"""Ensembles of untrained networks: joined, judged and used like any run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.fake_runs import add_bundle, make_index, make_recipe, make_run
from tests.reliability.faults import Disk, keep_copies
from tests.tiny_run import CommandLine
from tfclassify.data.index import Index, load_index
from tfclassify.errors import RecipeError, RequestError, TargetError
from tfclassify.judging.seen import load_thumbnails, save_thumbnails
from tfclassify.judging.weights import parse_weights
from tfclassify.recipe.schema import Recipe, TtaRecipe
from tfclassify.runs.directory import RunDirectory, is_run
from tfclassify.workflows.ensemble import EnsembleRequest, EnsembleResult, ensemble_runs
from tfclassify.workflows.train import resume_training

MakeMember = Callable[..., Path]


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return make_index(tmp_path / "photos", images=36)


@pytest.fixture
def make_member(tmp_path: Path, index: Index) -> MakeMember:
    def make(name: str, seed: int = 0, recipe: Recipe | None = None, **given: object) -> Path:
        recipe = recipe or make_recipe()
        run = make_run(tmp_path / "tiny" / name, recipe, given.pop("index", index), **given)
        add_bundle(run, recipe, seed=seed)
        return run

    return make


def join(*runs: Path, **named: object) -> EnsembleResult:
    out = named.pop("out", runs[0].parent.parent / "joined")
    return ensemble_runs(EnsembleRequest(runs, out=out, **named))


def resized(recipe: Recipe, size: tuple[int, int], **changes: object) -> Recipe:
    data = recipe.data.model_copy(update={"image_size": size, **changes})
    return recipe.model_copy(update={"data": data})


def answer(run: Path, images: np.ndarray) -> np.ndarray:
    from tfclassify.model.bundle import load_bundle

    return np.asarray(load_bundle(run / "bundle").model(images))


def test_the_bundle_is_the_weighted_mean_of_the_members(make_member: MakeMember) -> None:
    members = [make_member("001", 1), make_member("002", 2)]
    result = join(*members, weights="3,1")
    images = np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 3)).astype(np.float32)
    one, two = (answer(member, images) for member in members)
    assert answer(result.run, images) == pytest.approx(0.75 * one + 0.25 * two, abs=1e-6)
    assert result.weights == (0.75, 0.25)
    facts = json.loads((result.run / "ensemble.json").read_text("utf-8"))
    assert [row["run"] for row in facts["members"]] == [str(member) for member in members]
    assert [row["weight"] for row in facts["members"]] == [0.75, 0.25]


def test_what_near_duplicates_are_found_by_is_joined_too(
    make_member: MakeMember, index: Index, tmp_path: Path
) -> None:
    members = [make_member("001", 1), make_member("002", 2)]
    small = np.random.default_rng(0).integers(0, 256, (len(index), 9, 9, 3), dtype=np.uint8)
    save_thumbnails(RunDirectory(members[0]), small)
    blind = join(*members, out=tmp_path / "blind")
    assert not RunDirectory(blind.run).thumbnails_path.exists()
    # The second member knows other images, in another order.
    own = index.with_frame(index.frame.iloc[::-1].assign(
        image="more/" + index.frame["image"], sha256=[f"{n:064x}" for n in range(100, 136)],
        path="more/" + index.frame["path"], split="train",
    ))  # fmt: skip
    own = index.with_frame(pd.concat([index.frame, own.frame]))
    other = make_member("003", 3, index=own)
    more = np.random.default_rng(1).integers(0, 256, (len(own), 9, 9, 3), dtype=np.uint8)
    more[: len(index)] = small
    save_thumbnails(RunDirectory(other), more)
    run = RunDirectory(join(members[0], other, out=tmp_path / "both").run)
    joined = load_index(run.index_path)
    kept = load_thumbnails(run, joined)
    expected = dict(zip(own.paths(), more, strict=True))
    assert len(joined) == 2 * len(index)
    np.testing.assert_array_equal(kept, [expected[path] for path in joined.paths()])


def test_given_weights_are_judged_as_the_model_answers(
    make_member: MakeMember, tfclassify: CommandLine
) -> None:
    result = join(make_member("001", 1), make_member("002", 2), weights="equal")
    stored = json.loads((result.run / "metrics.json").read_text("utf-8"))["splits"]
    told = json.loads(tfclassify("evaluate", result.run, "--json", "-q").out)["scores"]
    for score in told:
        assert score["plain"] == stored[score["split"]]["plain"]


def test_searched_weights_are_the_likeliest_and_judged_without_themselves(
    make_member: MakeMember, index: Index
) -> None:
    from tfclassify.data.images import decode_image

    members = [make_member("001", 1), make_member("002", 2), make_member("003", 3)]
    result = join(*members)
    held_out = index.in_split("validation")
    images = np.stack([decode_image(path, (16, 16)) for path in held_out.paths()])
    said = np.stack([answer(member, images.astype(np.float32)) for member in members])
    own = (said * held_out.targets()).sum(axis=2)

    def likelihood(weights: np.ndarray) -> float:
        return float(np.log(weights @ own).mean())

    found = likelihood(np.array(result.weights))
    grid = np.linspace(0, 1, 41)
    best = max(
        likelihood(np.array([a, b, 1 - a - b])) for a in grid for b in grid if a + b <= 1 + 1e-9
    )
    assert found >= best - 1e-3
    # No image is averaged by weights that it chose, so the score cannot be better than that.
    judged = result.verdicts[0]
    assert judged.split == "validation"
    assert judged.plain.metrics["loss"].value >= -found - 1e-6
    assert "cross-fitted" in result.report.read_text("utf-8")


def test_what_adds_nothing_is_left_out(
    make_member: MakeMember, tfclassify: CommandLine, in_tmp: Path
) -> None:
    members = [make_member("001", 1), make_member("002", 2)]
    told = tfclassify("ensemble", *members, "--weights", "1,0", "--name", "pair")
    assert told.code == 0, told.err
    assert "002: adds nothing and is left out of the model" in told.err
    assert "left out" in told.out
    images = np.zeros((1, 16, 16, 3), np.float32)
    run = in_tmp / "reports" / "pair" / "001"
    assert answer(run, images) == pytest.approx(answer(members[0], images), abs=1e-6)


def test_an_ensemble_is_used_like_any_run(
    make_member: MakeMember, tfclassify: CommandLine, tmp_path: Path
) -> None:
    smaller = resized(make_recipe(), (12, 8))
    members = [make_member("001", 1), make_member("002", 2, smaller)]
    run = join(*members, weights="equal").run
    photos = tmp_path / "photos"
    answers = tfclassify("predict", run, photos, "--out", tmp_path / "p.csv", "-q")
    assert answers.code == 0, answers.err
    table, stored = pd.read_csv(tmp_path / "p.csv"), pd.read_csv(run / "predictions.csv")
    both = stored.merge(table.assign(file=[Path(file).name for file in table["file"]]), on="file")
    assert len(both) == len(stored)
    assert both["probability_x"].to_numpy() == pytest.approx(both["probability_y"], abs=1e-6)
    profile = tfclassify("profile", run, "--no-latency", "--format", "json", "-q")
    found = json.loads(profile.out)
    found = found[0] if isinstance(found, list) else found
    assert found["macs"] > 27 * 8 * 8 * 4 + 27 * 6 * 4 * 4
    assert "Resize" in found["elementwise"]
    again = tfclassify("train", "--resume", run)
    assert again.code == 2
    assert "is an ensemble, which was not trained itself" in again.err
    compared = tfclassify("compare", run, *members, "--no-cost", "-q", "--allow-different-images")
    assert compared.code == 0, compared.err


@pytest.mark.slow  # a fresh process loads TensorFlow
def test_an_ensemble_that_is_killed_never_becomes_another_model(
    tmp_path: Path, make_member: MakeMember, tfclassify: CommandLine
) -> None:
    members = [make_member("001", 1), make_member("002", 2)]
    out, copies = tmp_path / "joined", tmp_path / "copies"
    with Disk(keep_copies(out, copies)).installed() as disk:
        whole = join(*members, weights="3,1")
    left = [copies / str(operation.number) for operation in disk.operations]
    left = [path for path in left if path.exists()]
    assert len(left) > 20
    for path in left:
        if not is_run(path):
            continue
        with pytest.raises(TargetError, match=r"is an ensemble, .*`tfclassify ensemble \S*001"):
            resume_training(path, None, ())
        if not (path / "bundle").exists():
            with pytest.raises(TargetError, match=r"no model yet, .*`tfclassify ensemble "):
                RunDirectory.open(path, needs_bundle=True)
    for path in (left[0], left[len(left) // 2], left[-1]):
        again = join(*members, weights="3,1", out=path)
        assert (again.run / "report.html").exists()
        assert again.verdicts[0].headline.to_dict() == whole.verdicts[0].headline.to_dict()


def test_an_ensemble_can_be_submitted(make_member: MakeMember, tfclassify: CommandLine) -> None:
    smaller = resized(make_recipe(), (12, 8))
    run = join(make_member("001", 1), make_member("002", 2, smaller), weights="equal").run
    told = tfclassify("submit", run, "--format", "codalab", "-q")
    assert told.code == 0, told.err
    assert "a fresh process gave the same answers on 32 images" in told.out


def test_views_are_kept_where_all_members_have_them(make_member: MakeMember) -> None:
    flipped = make_recipe().model_copy(update={"tta": TtaRecipe(flips=("horizontal",))})
    same = join(make_member("001", 1, flipped), make_member("002", 2, flipped))
    assert len(same.verdicts[0].views) == 2
    assert same.verdicts[0].tta is not None
    mixed = join(
        make_member("003", 3, flipped), make_member("004", 4), out=same.run.parent / "mixed"
    )
    assert mixed.recipe.tta is None


def test_label_sets_are_averaged_with_their_thresholds(tmp_path: Path) -> None:
    from tfclassify.model.bundle import load_bundle

    index = make_index(tmp_path / "photos", images=36, task="multi_label")
    recipe = make_recipe("multi_label", thresholds="one")
    members = []
    for seed in (1, 2):
        run = make_run(tmp_path / "tiny" / f"00{seed}", recipe, index)
        add_bundle(run, recipe, seed=seed)
        members.append(run)
    result = join(*members)
    bundle = load_bundle(result.run / "bundle")
    assert set(bundle.thresholds or {}) == set(index.classes)
    assert "iou" in result.verdicts[0].plain.metrics
    rows = pd.read_csv(result.run / "predictions.csv", keep_default_na=False)
    assert {"true_labels", "labels"} <= set(rows)


def test_the_page_loads_nothing(make_member: MakeMember) -> None:
    result = join(make_member("001", 1), make_member("002", 2))
    page = result.report.read_text("utf-8")
    assert all(
        each.startswith(("data:", "#")) for each in re.findall(r'(?:src|href)="([^"]*)"', page)
    )
    assert "Ensemble and members" in page
    assert "tfclassify ensemble" in page


def test_members_must_fit_together(tmp_path: Path, make_member: MakeMember, index: Index) -> None:
    first = make_member("001", 1)
    with pytest.raises(RequestError, match="needs two different runs at least"):
        join(first, first)
    cropped = make_member("002", 2, resized(make_recipe(), (16, 16), resize="crop"))
    with pytest.raises(RequestError, match=r"has data\.resize 'stretch', .*002 'crop'"):
        join(first, cropped)
    narrow = make_member("003", 3, resized(make_recipe(), (16, 8), resize="crop"))
    with pytest.raises(
        RequestError, match=r"images of 16x16 and 16x8 pixels by data\.resize 'crop'"
    ):
        join(cropped, narrow)
    sets = make_index(tmp_path / "photos", images=36, task="multi_label")
    other = make_member("004", 4, make_recipe("multi_label"), index=sets)
    with pytest.raises(RequestError, match=r"has task 'multi_class', .*004 'multi_label'"):
        join(first, other)
    assert not (tmp_path / "joined").exists()


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (
            ("blue", "green", "yellow"),
            r"only the first has \['red'\], only the second \['yellow'\]",
        ),
        (("red", "green", "blue"), "the same ones in another order; set data.classes in both"),
    ],
)
def test_classes_must_agree(
    make_member: MakeMember, monkeypatch: pytest.MonkeyPatch, classes: tuple[str, ...], message: str
) -> None:
    first = make_member("001", 1)
    monkeypatch.setattr("tests.fake_runs.CLASSES", classes)
    with pytest.raises(RequestError, match=message):
        join(first, make_member("002", 2))


def test_held_out_images_must_agree_unless_told(
    tmp_path: Path, make_member: MakeMember, index: Index
) -> None:
    frame = index.frame.copy()
    held = frame.index[frame["split"] == "validation"]
    frame.loc[held[:4], "split"] = "train"
    other = index.with_frame(frame)
    members = [make_member("001", 1), make_member("002", 2, index=other)]
    message = "held out different validation images, 4 only the first and 0 only the second"
    with pytest.raises(RequestError, match=message):
        join(*members)
    result = join(*members, allow_different=True)
    # What one member trained on judges nothing.
    assert result.verdicts[0].plain.n == len(held) - 4
    assert result.verdicts[1].plain.n == len(index.in_split("test"))


def test_without_a_common_image_there_is_no_score_and_no_search(
    tmp_path: Path, make_member: MakeMember, index: Index
) -> None:
    turned = {"train": "validation", "validation": "train", "test": "train"}
    other = index.with_frame(index.frame.assign(split=index.frame["split"].map(turned)))
    members = [make_member("001", 1), make_member("002", 2, index=other)]
    with pytest.raises(RequestError, match="weights cannot be searched; give --weights equal"):
        join(*members, allow_different=True)
    assert not (tmp_path / "joined").exists()
    result = join(*members, allow_different=True, weights="equal")
    assert result.verdicts == ()
    assert result.comparison is None
    assert "there is no score" in result.report.read_text("utf-8")


def test_what_cannot_be_made_is_refused(
    tmp_path: Path, make_member: MakeMember, index: Index
) -> None:
    members = [make_member("001", 1), make_member("002", 2)]
    with pytest.raises(TargetError, match="there is a run already"):
        join(*members, out=members[0])
    with pytest.raises(RecipeError, match="name"):
        join(*members, name="a/b")
    unfinished = make_run(tmp_path / "tiny" / "009", make_recipe(), index)
    with pytest.raises(TargetError, match="the run has no model yet"):
        join(members[0], unfinished)
    assert RunDirectory.open(members[0], needs_bundle=True).path == members[0]


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "1,-1", "nan,1", "0,0", "best"])
def test_weights_are_read_strictly(text: str) -> None:
    with pytest.raises(RequestError, match="--weights: must be search, equal, or 2 numbers"):
        parse_weights(text, 2)


def test_weights_are_scaled_to_one() -> None:
    assert parse_weights("search", 2) is None
    assert parse_weights("equal", 4) == (0.25,) * 4
    assert parse_weights("2,1,1", 3) == (0.5, 0.25, 0.25)
