"""The networks that a compression compares: pruned, narrowed, taught, trained for 8 bits.

Owns: their recipes, made from the run's own, and training each as a run of its own.
Does not own: pruning itself (``training.pruning``), which channels go
(``compress.narrowing``), measuring (``compress``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfclassify.backbones.catalog import BACKBONES
from tfclassify.data.images import decode_image
from tfclassify.data.preparation import PreparedData
from tfclassify.errors import ModelError, RequestError
from tfclassify.events import Observer
from tfclassify.recipe.loading import build_recipe, dump_recipe, load_recipe
from tfclassify.recipe.names import OUTSIDE_SOURCES
from tfclassify.recipe.schema import ModelRecipe, Recipe
from tfclassify.runs.directory import RunDirectory, is_run
from tfclassify.scoring.tasks import get_task
from tfclassify.workflows.material import build_network
from tfclassify.workflows.train import train_prepared

if TYPE_CHECKING:
    from tfclassify.data.index import Index
    from tfclassify.model.assembly import Classifier

#: Training images that the importance of channels is measured on, and those of a batch.
_IMAGES, _BATCH = 512, 32


@dataclass(frozen=True)
class Source:
    """A trained network that artefacts are made of: the original, or one made from it.

    Attributes:
        name: What the table calls it.
        run: Its run.
        zeros: Weights that were pruned.
        seconds: What its training took.
        is_sparse: Whether runtimes with sparse kernels can skip its zeros.
    """

    name: str
    run: Path
    zeros: int = 0
    seconds: float = 0.0
    is_sparse: bool = False


def derive_recipe(
    run: RunDirectory, name: str, epochs: int | None, phase: Mapping[str, Any], **model: Any
) -> Recipe:
    """Make the recipe of a network that is made from a run's: its own, with one phase.

    The phase is the run's last one, for the whole network.

    Args:
        run: The run, whose weights training starts from.
        name: Of the phase.
        epochs: Of it; None for those of the run's last phase.
        phase: Other keys of it.
        model: Keys of the model that are other than the run's.

    Raises:
        RecipeError: If the keys do not make a recipe.
    """
    content = load_recipe(run.recipe_path).model_dump(mode="json")
    derived = content["phases"][-1] | {"name": name, "train": "all", "features": None} | dict(phase)
    if epochs is not None:
        derived["epochs"] = epochs
    if derived["schedule"]["kind"] in ("plateau", "multi_step"):
        derived["schedule"] = {"kind": "cosine"}
    content["phases"] = [derived]
    content["keep_phase"] = "last"
    content["model"] |= {"start_from": str(run.path.absolute())} | model
    return build_recipe(content, f"{run.recipe_path}, {name}")


def prune_run(
    run: RunDirectory,
    out: Path,
    prune: Mapping[str, Any],
    epochs: int | None,
    observer: Observer,
    *,
    is_sparse: bool = False,
) -> Source:
    """Train a pruned network, or take the one that is there.

    Args:
        run: The run whose weights it starts from.
        out: Folder that its run lies in.
        prune: Keys of ``phases[].prune``.
        epochs: Epochs of pruning; None for those of the run's last phase.
        observer: Told of progress.
        is_sparse: Prune 1x1 convolutions alone, all alike, in a network whose padding is
            alike on every side, as sparse kernels need.

    Raises:
        RequestError: If another recipe made what is there.
        TrainingError: If the sparsity leaves a kernel empty.
    """
    sparsity, method = f"{100 * prune['sparsity']:g}", prune["method"]
    phase = dict.fromkeys(("ema", "swa", "early_stopping", "keep_best")) | {"prune": dict(prune)}
    model = {}
    if is_sparse:
        phase["prune"] |= {"distribution": "uniform", "pointwise": True}
        model["padding"] = "symmetric"
    recipe = derive_recipe(run, "prune", epochs, phase, **model)
    folder = out / f"{'sparse' if is_sparse else 'pruned'}-{sparsity}-{method}"
    _train(run, folder, recipe, observer)
    zeros = sum(weights - kept for _, weights, kept in list_kernels(folder))
    name = f"pruned {sparsity} %" + {"magnitude": "", "rigl": " by RigL"}[method]
    name += ", for sparse kernels" if is_sparse else ""
    return Source(name, folder, zeros, _read_seconds(folder), is_sparse)


def narrow_run(
    run: RunDirectory, out: Path, share: float, epochs: int | None, observer: Observer
) -> Source:
    """Train a network with fewer channels, or take the one that is there.

    Args:
        run: The run whose weights it starts from.
        out: Folder that its run, and the bundle that this starts from, lie in.
        share: Part of the multiply-accumulates that is left.
        epochs: Epochs of fine-tuning; None for those of the run's last phase.
        observer: Told of progress.

    Raises:
        RequestError: If another recipe made what is there.
        ModelError: If the network cannot be made so narrow.
    """
    from tfclassify.model.bundle import load_bundle

    percent = f"{100 * share:g}"
    folder = out / f"narrowed-{percent}"
    start = out / f"narrowed-{percent}-start"
    if not (start / "bundle.json").is_file():
        observer.on_note(f"choosing channels for {percent} % of the multiply-accumulates")
        _write_narrow(run, share, start)
    narrow = load_bundle(start).recipe.model
    recipe = derive_recipe(
        run,
        "fine-tune",
        epochs,
        {},
        start_from=str(start.absolute()),
        channels=narrow.channels,
        head=narrow.head.model_dump(mode="json"),
    )
    _train(run, folder, recipe, observer)
    return Source(f"{percent} % of the MACs", folder, 0, _read_seconds(folder))


def _write_narrow(run: RunDirectory, share: float, start: Path) -> None:
    """Write a bundle of the run's network with fewer channels, before any fine-tuning."""
    from tfclassify.model.bundle import save_bundle

    recipe = load_recipe(run.recipe_path)
    _refuse_unnarrowable(run, recipe)
    index = PreparedData.load(run.index_path, run.integrity_path).index
    model, narrow = _narrow(run, recipe, index, share)
    # Its weights are inside: nothing that the recipe names is needed to read it.
    save_bundle(
        start,
        narrow,
        classes=index.classes,
        recipe=recipe.model_copy(
            update={"model": model.model_copy(update={"start_from": str(run.path.absolute())})}
        ),
    )


def _refuse_unnarrowable(run: RunDirectory, recipe: Recipe) -> None:
    """Refuse networks whose channels cannot be followed from layer to layer."""
    if run.ensemble_path.exists() or recipe.model.stack:
        raise RequestError(
            f"--macs: {run.path} joins several networks, and one is made narrower at a time; name "
            "a run of a single backbone"
        )
    if recipe.model.backbone.startswith(OUTSIDE_SOURCES):
        raise RequestError(
            f"--macs: {recipe.model.backbone!r} is not built here, so its channels cannot be "
            "followed; use a backbone that `tfclassify backbones` lists, or --prune"
        )


def _narrow(
    run: RunDirectory, recipe: Recipe, index: Index, share: float
) -> tuple[ModelRecipe, Classifier]:
    """Take the channels that matter least out of the run's network, and say what is left."""
    from tfclassify.compress.channels import follow_channels
    from tfclassify.compress.narrowing import (
        choose_channels,
        fit_statistics,
        measure_importance,
        name_channels,
        slice_weights,
    )
    from tfclassify.model.assembly import build_classifier

    own = recipe.model.model_copy(update={"start_from": str(run.path)})
    whole = build_network(recipe.model_copy(update={"model": own}), index)
    total = _count_macs(whole, recipe)
    found = follow_channels(whole.network)
    images, targets = _read_images(index, recipe)
    places = [slice(at, at + _BATCH) for at in range(0, len(images), _BATCH)]
    batches = [(images[place], targets[place]) for place in places]
    importance = measure_importance(
        whole.network,
        found,
        batches,
        is_multi_label=get_task(recipe.task).is_multi_label,
    )
    gone = choose_channels(found, importance, share, total, recipe.model.backbone)
    model = _put_counts(recipe.model, name_channels(found, gone))
    narrow = build_classifier(model, len(index.classes), recipe.data.image_size, seed=recipe.seed)
    slice_weights(found, gone, whole.network, narrow.network)
    left = _count_macs(narrow, recipe)
    if left > share * total * 1.02:
        raise ModelError(
            f"--macs {share:g}: the narrower network takes {left:,} of {total:,} "
            "multiply-accumulates; please report this"
        )
    fit_statistics(narrow.network, [pixels for pixels, _ in batches])
    return model, narrow


def _put_counts(model: ModelRecipe, counts: dict[str, int]) -> ModelRecipe:
    """Write channels by layer into a recipe's network; those of the head go to ``head.dense``."""
    rest, head = dict(counts), model.head
    dense = (rest.pop(f"dense{place}", units) for place, units in enumerate(head.dense, start=1))
    head = head.model_copy(update={"dense": tuple(dense)})
    return model.model_copy(update={"channels": dict(model.channels) | rest, "head": head})


def _count_macs(classifier: Classifier, recipe: Recipe) -> int:
    from tfclassify.profiler.keras_profile import profile_model

    shape = (*recipe.data.image_size, 3)
    return profile_model(classifier.network, [shape], title="", target="").macs


def _read_images(index: Index, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """Decode training images, spread over all of them: uint8 and their targets."""
    train = index.in_split("train")
    paths = train.paths()
    chosen = np.unique(np.linspace(0, len(paths) - 1, _IMAGES).astype(int))
    # Neighbours in an index are often of one class, and every batch is to hold several.
    chosen = np.random.default_rng(0).permutation(chosen)
    data = recipe.data
    images = [
        decode_image(Path(paths[at]), data.image_size, data.resize, max_pixels=data.max_pixels)
        for at in chosen
    ]
    return np.stack(images), train.targets()[chosen]


def derive_student(run: RunDirectory, student: str, epochs: int | None) -> Recipe:
    """Make the recipe of a network that the run teaches: the run's own, with another network.

    Its one phase trains all of it on the run's last phase's terms; a network without
    pretrained weights is given a rate to start from nothing with.

    Args:
        run: The teacher.
        student: A backbone, or a recipe whose network is taken.
        epochs: Of the phase; None for as many as all of the run's phases have.

    Raises:
        RecipeError: If the network does not fit the run's images.
    """
    recipe = load_recipe(run.recipe_path)
    content = recipe.model_dump(mode="json")
    if student.endswith((".yaml", ".yml")):
        content["model"] = load_recipe(student).model.model_dump(mode="json")
    else:
        has_weights = student in BACKBONES and BACKBONES[student].weights_here()
        weights = "imagenet" if has_weights else "none"
        content["model"] = {
            "backbone": student,
            "weights": weights,
            "head": content["model"]["head"],
        }
    last = content["phases"][-1]
    every = sum(phase.epochs for phase in recipe.phases)
    phase = last | {
        "name": "distil",
        "train": "all",
        "epochs": epochs or every,
        "features": None,
        "layer_decay": None,
        "early_stopping": None,
        "swa": None,
        "prune": None,
        "schedule": {"kind": "cosine", "warmup_epochs": 1},
    }
    if content["model"].get("weights") == "none":
        phase |= {"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 0.01}
    content["phases"] = [phase]
    content["keep_phase"] = "last"
    content["distil"] = {"teacher": str(run.path.absolute())}
    return build_recipe(content, f"{run.recipe_path}, taught to {student}")


def teach(
    run: RunDirectory, out: Path, student: str, epochs: int | None, observer: Observer
) -> Source:
    """Train a network that the run teaches, or take the one that is there.

    Args:
        run: The teacher.
        out: Folder that the student's run lies in.
        student: A backbone, or a recipe whose network is taken.
        epochs: As for ``derive_student``.
        observer: Told of progress.

    Raises:
        RecipeError: If the network does not fit the run's images.
        RequestError: If another recipe made what is there.
    """
    name = Path(student).stem
    folder = out / f"distilled-{name}"
    _train(run, folder, derive_student(run, student, epochs), observer)
    return Source(f"distilled into {name}", folder, seconds=_read_seconds(folder))


def quantise_run(source: Source, out: Path, epochs: int | None, observer: Observer) -> Source:
    """Fine-tune a network for 8 bits, or take the one that is there; its zeros stay.

    It is a fifth of the epochs of its last phase, at a tenth of the rate.

    Args:
        source: The network.
        out: Folder that the new run lies in.
        epochs: Of it; None for a fifth.
        observer: Told of progress.

    Raises:
        RequestError: If another recipe made what is there.
        TrainingError: If a part of the network cannot be rounded.
    """
    run = RunDirectory.open(source.run)
    last = load_recipe(run.recipe_path).phases[-1]
    phase = dict.fromkeys(("ema", "swa", "early_stopping", "prune")) | {
        "quantise": True,
        "learning_rate": last.learning_rate / 10,
        "schedule": {"kind": "cosine"},
    }
    if last.prune is not None:  # at its full sparsity from the first update
        phase |= {"prune": last.prune.model_dump() | {"until": 1e-6}, "keep_best": None}
    recipe = derive_recipe(run, "8 bits", epochs or max(1, last.epochs // 5), phase)
    folder = out / f"rounded-{source.run.name}"
    _train(run, folder, recipe, observer)
    kept = [weights - left for _, weights, left in list_kernels(folder)]
    zeros = sum(kept) if source.zeros else 0
    return Source(f"{source.name}, int8 after training", folder, zeros, _read_seconds(folder))


def _train(run: RunDirectory, folder: Path, recipe: Recipe, observer: Observer) -> None:
    """Train a network in a run of its own on the run's images, or take the one that is there."""
    is_there = is_run(folder)
    made = RunDirectory.open(folder) if is_there else None
    if made is not None and load_recipe(made.recipe_path) != recipe:
        raise RequestError(
            f"{folder}: was made by another recipe; remove it, or name another folder with --out"
        )
    if made is None:
        made = RunDirectory.create_at(folder, dump_recipe(recipe))
    if made.metrics_path.exists() and made.report_path.exists():
        return
    observer.on_note(f"training {folder}")
    data = PreparedData.load(run.index_path, run.integrity_path)
    data.save(made.index_path, made.integrity_path)
    with made.lock():
        train_prepared(made, recipe, data, observer, resume=is_there)


def _read_seconds(folder: Path) -> float:
    content = json.loads(RunDirectory.open(folder).metrics_path.read_text("utf-8"))
    return float(content.get("training_seconds", 0.0))


def list_kernels(folder: Path) -> list[tuple[str, int, int]]:
    """Return path, weights and non-zeros of each kernel of a run's bundle."""
    from tfclassify.model.bundle import load_bundle
    from tfclassify.training.pruning import measure_sparsity

    found = measure_sparsity(load_bundle(folder / "bundle").model)
    return [(name, *counts) for name, counts in found.items()]
