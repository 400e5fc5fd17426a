from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest

import tfclassify as tfc
from tests.builders import make_photo_folder
from tests.data.builders import Listener, zip_folder
from tests.tiny_run import CommandLine, TinyRun
from tfclassify.data.shards import open_shards
from tfclassify.errors import RecipeError, RequestError, SourceError
from tfclassify.files import hash_file
from tfclassify.recipe.loading import load_recipe
from tfclassify.workflows.evaluate import EvaluateRequest, evaluate_run
from tfclassify.workflows.inspect import InspectRequest, inspect_source
from tfclassify.workflows.pack import PackRequest, pack_source
from tfclassify.workflows.predict import PredictRequest, predict_paths_of_run
from tfclassify.workflows.train import TrainRequest, train_recipe


@pytest.fixture
def shards(tiny_run: TinyRun, tmp_path: Path) -> Path:
    result = pack_source(PackRequest(str(tiny_run.recipe), tmp_path / "shards"))
    assert (result.images, result.left_out, result.shards) == (45, 0, 1)
    return result.out


@pytest.fixture
def uploaded(shards: Path) -> Iterator[str]:
    system = fsspec.filesystem("memory")
    system.put(str(shards), "/pack/shards", recursive=True)
    yield "memory://pack/shards"
    system.rm("/pack", recursive=True)


def read_weights(run: Path) -> dict[str, np.ndarray]:
    network = tfc.load(run).keras_model
    return {weight.path: np.asarray(weight) for weight in network.weights}


def test_training_from_shards_gives_the_bits_of_the_source(
    tiny_run: TinyRun, uploaded: str, tmp_path: Path
) -> None:
    """Decoded again in every epoch, behind an address: each image by itself, in any order."""
    changes = (f"data.source={uploaded}", "data.cache=none")
    request = TrainRequest(tiny_run.recipe, overrides=changes, reports=tmp_path / "reports")
    run = train_recipe(request).run
    for name, weights in read_weights(tiny_run.run).items():
        np.testing.assert_array_equal(read_weights(run)[name], weights)
    assert hash_file(run / "predictions.csv") == hash_file(tiny_run.run / "predictions.csv")
    told = [json.loads((each / "metrics.json").read_text("utf-8")) for each in (tiny_run.run, run)]
    assert told[0]["splits"] == told[1]["splits"]
    # The run's own index leads to its images, which are judged again.
    again = evaluate_run(EvaluateRequest(run))
    assert again.verdicts[0].plain.n == told[1]["splits"]["validation"]["plain"]["n"]


def test_shards_are_predicted_like_their_photos(
    tiny_run: TinyRun, shards: Path, uploaded: str, tmp_path: Path
) -> None:
    names = [name for name, _ in open_shards(shards).list_paths()]
    expected = predict_paths_of_run(
        PredictRequest(tiny_run.run, tuple(tiny_run.photos / name for name in names))
    ).predictions
    for source in (shards, uploaded):
        got = predict_paths_of_run(
            PredictRequest(tiny_run.run, str(source), save_images=tmp_path / Path(source).parent)
        ).predictions
        assert [file.partition("/blue/")[2] for file in got.files if "/blue/" in file] == [
            name.removeprefix("blue/") for name in names if name.startswith("blue/")
        ]
        np.testing.assert_array_equal(got.probabilities, expected.probabilities)
    saved = sorted(path for path in (tmp_path / "memory:" / "pack").rglob("*.png"))
    assert len(saved) == 45
    page = tmp_path / "page.html"
    predict_paths_of_run(PredictRequest(tiny_run.run, uploaded, html=page))
    assert page.read_text("utf-8").count("<img") == 45


def test_shards_are_judged_like_their_photos(tiny_run: TinyRun, tmp_path: Path) -> None:
    photos = make_photo_folder(tmp_path / "others", images_per_class=3, seed=77)
    pack_source(PackRequest(str(photos), tmp_path / "shards"))
    judged = [
        evaluate_run(EvaluateRequest(tiny_run.run, str(source))).verdicts[0]
        for source in (photos, tmp_path / "shards")
    ]
    assert judged[0].plain.to_dict() == judged[1].plain.to_dict()


def test_shards_are_inspected_checked_and_trained_without_a_recipe(
    tiny_run: TinyRun, shards: Path, tmp_path: Path, tfclassify: CommandLine
) -> None:
    result = inspect_source(InspectRequest(str(shards), html=tmp_path / "page.html"))
    assert result.data.total() == 45
    assert result.remarks == ("shards, packed from " + tiny_run.photos.name,)  # not where they lay
    answer = tfclassify("check", tiny_run.recipe, "--set", f"data.source={shards}")
    assert answer.code == 0, answer.err
    assert "45" in answer.out
    recipe = tfc.new("packed", data=shards, out=tmp_path / "packed.yaml", progress=False)
    assert load_recipe(recipe).data.is_packed


def test_the_command_says_what_it_packed(tmp_path: Path, tfclassify: CommandLine) -> None:
    photos = make_photo_folder(tmp_path / "photos", images_per_class=2)
    answer = tfclassify("pack", photos, "--out", tmp_path / "shards", "--quiet")
    assert answer.code == 0
    assert f"{tmp_path}/shards: 6 images in 1 shard" in answer.out
    assert "data.source" in answer.out
    answer = tfclassify("pack", photos, "--out", tmp_path / "more", "--json", "--shard-mb", "1")
    assert json.loads(answer.out)["images"] == 6


def test_images_that_are_not_there_are_counted(tmp_path: Path) -> None:
    photos = make_photo_folder(tmp_path / "photos", images_per_class=2)
    (photos / "t.csv").write_text("file,label\nred/000.png,a\nblue/000.png,b\nno.png,a\n")
    listener = Listener()
    request = PackRequest(str(photos / "t.csv"), tmp_path / "shards")
    result = pack_source(request, listener)
    assert (result.images, result.left_out) == (2, 1)
    assert "1 of 3 images could not be read and are in no shard" in listener.warnings[-1]


def test_the_archive_that_was_packed_is_remembered(tmp_path: Path) -> None:
    photos = make_photo_folder(tmp_path / "photos", images_per_class=2)
    archive = zip_folder(photos, tmp_path / "photos.zip")
    pack_source(PackRequest(str(archive), tmp_path / "shards"))
    assert open_shards(tmp_path / "shards").facts.sha256 == hash_file(archive)


def test_large_sources_make_several_shards(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 400, 500, 3), np.uint8)
    from PIL import Image

    for number, pixels in enumerate(noise):
        place = tmp_path / "photos" / "ab"[number % 2] / f"{number}.bmp"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place)
    result = pack_source(PackRequest(str(tmp_path / "photos"), tmp_path / "shards", shard_mb=1))
    assert (result.images, result.shards) == (4, 2)
    frame = pd.read_csv(result.out / "index.csv")
    assert sorted(frame["shard"]) == [0, 0, 1, 1]


def test_what_cannot_be_packed_is_refused(tmp_path: Path) -> None:
    photos = make_photo_folder(tmp_path / "photos", images_per_class=2)
    with pytest.raises(RequestError, match=r"photos: is there already and is not overwritten"):
        pack_source(PackRequest(str(photos), photos))
    with pytest.raises(RequestError, match="--shard-mb: must be at least 1, got 0"):
        pack_source(PackRequest(str(photos), tmp_path / "shards", shard_mb=0))
    with pytest.raises(RequestError, match=r"pack --set: .* is no recipe"):
        pack_source(PackRequest(str(photos), tmp_path / "shards", overrides=("seed=1",)))
    pack_source(PackRequest(str(photos), tmp_path / "shards"))
    with pytest.raises(RequestError, match="is packed already; pack what it was made from"):
        pack_source(PackRequest(str(tmp_path / "shards"), tmp_path / "again"))
    assert not (tmp_path / "again").exists()


def test_shards_of_another_recipe_are_not_trained_on(tiny_run: TinyRun, tmp_path: Path) -> None:
    photos = make_photo_folder(tmp_path / "photos", images_per_class=2)
    pack_source(PackRequest(str(photos), tmp_path / "shards"))
    request = TrainRequest(
        tiny_run.recipe, overrides=(f"data.source={tmp_path}/shards",), reports=tmp_path
    )
    with pytest.raises(SourceError, match=r"packed by another recipe.*data\.table"):
        train_recipe(request)
    with pytest.raises(RecipeError, match=r"address of packed shards, got 's3://bucket/a\.zip'"):
        train_recipe(TrainRequest(tiny_run.recipe, overrides=("data.source=s3://bucket/a.zip",)))
