"""The same image gets the same answer wherever it is asked for, for each kind of backbone.

A tiny run of each kind is trained as a user would, and its validation images are then
answered by everything that answers. Nothing is downloaded: networks that are usually
pretrained have random weights, except those whose weights a package holds.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests.builders import make_photo_folder
from tests.tiny_sets import make_tagged_photos

#: What the answers may differ by, in probability.
ALLOWED = 1e-6
_ONE_LABEL = "data: {source: photos, image_size: %d, validation: 0.3, min_images: 1}"
_LABEL_SETS = """\
task: multi_label
data:
  source: photos
  table: tags.csv
  columns: {file: file, label: tags, group: walk}
  label_separator: "|"
  image_size: %d
  validation: 0.3"""
_RECIPE = """\
name: contract
seed: 3
{data}
model: {model}
batch_size: 8
phases:
  - {{name: all, train: all, epochs: 1, learning_rate: 1.0e-3}}
"""


@dataclass(frozen=True)
class Kind:
    """One kind of network.

    Attributes:
        model: The recipe's section ``model``, as flow YAML.
        size: Height and width in pixels.
        has_sets: Whether images may have several labels.
    """

    model: str
    size: int = 24
    has_sets: bool = False


_CUSTOM = "{backbone: custom_cnn, weights: none, layers: [{conv: 6, stride: 2, batch_norm: true}]}"
_HUB = "backbone: 'hub:module', input_range: [0, 1]"
KINDS = {
    "custom_cnn": Kind(_CUSTOM),
    "custom_cnn, label sets": Kind(_CUSTOM, has_sets=True),
    "hub": Kind(f"{{{_HUB}}}"),
    "efficientnet_lite0": Kind("{backbone: efficientnet_lite0}", 64),
    "efficientnet_lite0, label sets": Kind("{backbone: efficientnet_lite0}", 64, True),
    "mobilenet_025": Kind("{backbone: mobilenet_025, weights: none}", 64),
    "resnet18": Kind("{backbone: resnet18, weights: none}", 48),
    "stack": Kind(f"{{stack: [{{{_HUB}}}, {{backbone: mobilenet_025, weights: none}}]}}", 48),
}


def compare_answers(name: str, home: Path) -> dict[str, float]:
    """Train a kind, and return what each way of asking differs by from the training's own.

    Args:
        name: One of ``KINDS``.
        home: An empty folder.

    Returns:
        The largest absolute difference in probability over images and classes, by way.
    """
    run, trained = _train(KINDS[name], home)
    return {
        way: float(np.abs(answers - trained).max())
        for way, answers in _ask_all(run, home, trained.shape).items()
    }


def _train(kind: Kind, home: Path) -> tuple[Path, np.ndarray]:
    """Train a run; return it with the probabilities that the training itself saw at its end."""
    from tests.hub_modules import make_hub_module
    from tfclassify.workflows import train

    if kind.has_sets:
        make_tagged_photos(home / "photos")
    else:
        make_photo_folder(home / "photos", 6, (28, 36))
    make_hub_module(home / "module", size=(kind.size, kind.size))
    data = (_LABEL_SETS if kind.has_sets else _ONE_LABEL) % kind.size
    recipe = home / "contract.yaml"
    recipe.write_text(_RECIPE.format(data=data, model=kind.model), "utf-8")
    seen: list[np.ndarray] = []

    def watch(run: Any, before: np.ndarray, after: np.ndarray) -> None:
        seen.append(before)

    with mock.patch.object(train, "_check_agreement", watch):
        run = train.train_recipe(train.TrainRequest(recipe, out=home / "run")).run
    return run, seen[-1]


def _ask_all(run: Path, home: Path, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    from tfclassify.data.index import load_index
    from tfclassify.inference.prediction import predict_paths
    from tfclassify.inference.views import build_view_model
    from tfclassify.model.bundle import load_bundle
    from tfclassify.model.prediction import predict_store
    from tfclassify.pipeline.cache import open_images
    from tfclassify.recipe.schema import TtaRecipe
    from tfclassify.workflows.evaluate import EvaluateRequest, evaluate_run

    bundle = load_bundle(run / "bundle")
    held = load_index(run / "index.csv").in_split("validation")
    assert len(held) == shape[0] > 0
    store = open_images(held.paths(), bundle.recipe.data)
    views = build_view_model(bundle.model, TtaRecipe())
    evaluated = evaluate_run(EvaluateRequest(run)).verdicts[0].answers.probabilities
    return {
        "reloaded bundle": predict_store(bundle.model, store, 3),
        "evaluate": evaluated,
        "predict": predict_paths(bundle, held.paths()).probabilities,
        "one view": predict_store(views.probabilities, store, 4),
        "submission": _submit(bundle, held.paths(), home),
    }


def _submit(bundle: Any, paths: list[str], home: Path) -> np.ndarray:
    """Answer as a competition's server does, from a checked submission."""
    import tensorflow as tf

    from tfclassify.export.codalab_model import model as SubmittedModel
    from tfclassify.export.submission import write_codalab

    write_codalab(bundle, None, home / "out.zip", [Path(path) for path in paths])
    with zipfile.ZipFile(home / "out.zip") as opened:
        opened.extractall(home / "server")
    raw = [tf.io.decode_png(tf.io.read_file(path), channels=3) for path in paths]
    return np.asarray(SubmittedModel(str(home / "server")).predict_scores(tf.stack(raw)))


def show_contracts(home: Path) -> int:
    """Print a row for each kind; return 1 if any answer differs by more than allowed."""
    worst = 0.0
    print("largest difference in probability from what the training saw")
    for number, name in enumerate(KINDS):
        folder = home / str(number)
        folder.mkdir()
        differences = compare_answers(name, folder)
        if number == 0:
            print(f"{'':31}" + "".join(f"{way:>17}" for way in differences))
        print(f"{name:31}" + "".join(f"{each:>17.1e}" for each in differences.values()), flush=True)
        worst = max(worst, *differences.values())
    return int(worst > ALLOWED)
