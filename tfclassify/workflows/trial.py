"""One trial of a search: a training without bundle and report, in a folder of its own.

Owns: what a trial trains by, what it leaves, when it is stopped, what its network costs.
Does not own: which values it has (``tuning``), the search (``tune``).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tfclassify.errors import TfclassifyError, TrainingError
from tfclassify.events import SILENT, Observer
from tfclassify.files import open_replacing, write_text
from tfclassify.pages.wording import format_large
from tfclassify.recipe.document import render_yaml
from tfclassify.recipe.loading import dump_recipe, load_recipe, parse_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.recipe.search_schema import put_value
from tfclassify.recipe.wording import parse_path
from tfclassify.scoring.tasks import get_task
from tfclassify.tuning.folder import SearchFolder
from tfclassify.tuning.pruners import should_prune
from tfclassify.tuning.trials import Ended, Trial
from tfclassify.workflows.shared_parts import SharedParts, open_shared
from tfclassify.workflows.start import set_up_keras

if TYPE_CHECKING:
    from tfclassify.model.assembly import Classifier
    from tfclassify.training.sources import Material
    from tfclassify.training.trainer import Trainer


def make_trial_recipe(recipe: Recipe, trial: Trial) -> Recipe:
    """Return a search's recipe as a trial trains by it, and no search.

    Its values are in it, and the batch size with which it came to its end, where memory ran
    out with the recipe's own.
    """
    content = recipe.model_dump(mode="json") | {"search": None}
    for key, value in trial.asked.values.items():
        content = put_value(content, parse_path(key), value)
    own = parse_recipe(render_yaml(content), "trial")
    fitted = trial.ended.batch_size if trial.ended is not None else None
    return own if fitted is None else _halve_down_to(own, fitted)


def run_trial(search: str, number: int, observer: Observer = SILENT) -> str:
    """Train one trial, or what is left of it.

    Args:
        search: The search's folder.
        number: The trial's.
        observer: Told of progress.

    Returns:
        An ``Ended``, as JSON.
    """
    folder = SearchFolder.open(Path(search))
    journal = folder.journal()
    trial = journal.trials[number]
    known = [journal.trials[other] for other in trial.asked.known]
    shared = open_shared(search)
    asked = make_trial_recipe(shared.recipe, trial)
    recipe = _take_up_batch(folder, number, asked)
    while True:
        try:
            ended = _train_trial(folder, number, shared, recipe, known, observer)
            break
        except _out_of_memory() as error:
            smaller = _halve_batches(recipe)
            if smaller == recipe:
                raise TrainingError(
                    f"trial {number}: the memory does not suffice for one image: {error}"
                ) from error
            recipe = smaller
            observer.on_warning(
                f"trial {number}: out of memory; continuing with batch_size {recipe.step_images}"
            )
            shutil.rmtree(folder.trial(number).path, ignore_errors=True)
        finally:
            shared.forget_trial()
    if recipe.step_images != asked.step_images:
        reason = f"batch_size {recipe.step_images}, since memory ran out with more"
        ended = ended.model_copy(update={"reason": reason, "batch_size": recipe.step_images})
    return ended.model_dump_json()


def _halve_batches(recipe: Recipe) -> Recipe:
    """Halve the images a step, those of phases with their own too; one is the least."""
    phases = tuple(
        phase.model_copy(update={"batch_size": max(1, phase.batch_size // 2)})
        if isinstance(phase.batch_size, int)
        else phase
        for phase in recipe.phases
    )
    half = max(1, recipe.step_images // 2)
    return recipe.model_copy(update={"batch_size": half, "phases": phases})


def _halve_down_to(recipe: Recipe, step_images: int) -> Recipe:
    """Halve the images a step until they are so many."""
    while recipe.step_images > step_images:
        recipe = _halve_batches(recipe)
    return recipe


def _take_up_batch(folder: SearchFolder, number: int, recipe: Recipe) -> Recipe:
    """Return a trial's recipe with the batches that what is left of it was trained with."""
    path = folder.trial(number).recipe_path
    return _halve_down_to(recipe, load_recipe(path).step_images) if path.exists() else recipe


def _out_of_memory() -> tuple[type[BaseException], ...]:
    import tensorflow as tf

    return MemoryError, tf.errors.ResourceExhaustedError


def _train_trial(
    folder: SearchFolder,
    number: int,
    shared: SharedParts,
    recipe: Recipe,
    known: Sequence[Trial],
    observer: Observer,
) -> Ended:
    started = time.perf_counter()
    set_up_keras(recipe)
    from tfclassify.training.trainer import Trainer

    classifier = shared.build_network(recipe)
    cost, refusal = _find_cost(folder, recipe, classifier)
    if refusal:
        return Ended(number=number, state="refused", cost=cost, reason=refusal)
    run = folder.trial(number)
    write_text(run.recipe_path, dump_recipe(recipe))
    watch = _Watch(folder, number, recipe, known)
    material = shared.open_material(recipe)
    trainer = Trainer(
        recipe, classifier, material, run.state_dir, on_record=watch.note, observer=observer
    )
    state: Literal["complete", "pruned", "failed"] = "complete"
    reason, score = "", None
    try:
        trainer.run(resume=True)
        score = _keep_answers(folder, number, trainer, recipe, material)
    except _Pruned as stop:
        state, reason = "pruned", str(stop)
    except TfclassifyError as error:
        if number == 0:
            raise
        state, reason, cost = "failed", str(error), None
    if state != "failed":  # whose state may be looked into
        shutil.rmtree(run.state_dir, ignore_errors=True)
    return Ended(
        number=number,
        state=state,
        score=score,
        cost=cost,
        seconds=time.perf_counter() - started,
        curve=watch.curve,
        reason=reason,
    )


def _find_cost(
    folder: SearchFolder, recipe: Recipe, classifier: Classifier
) -> tuple[float | None, str]:
    """Return what a network costs where that is an aim, and why it is refused, if it is."""
    facts = folder.facts
    cost = measure_cost(classifier, recipe, facts.also) if facts.also else None
    if facts.max_macs is None:
        return cost, ""
    macs = cost if facts.also == "macs" and cost else measure_cost(classifier, recipe, "macs")
    if macs <= facts.max_macs:
        return cost, ""
    return cost, f"{format_large(macs)} MACs, over --max-macs {format_large(facts.max_macs)}"


class _Pruned(Exception):
    """A trial is stopped since others were better at this epoch."""


class _Watch:
    """Follows a trial's epochs, and stops it where the pruner says so."""

    def __init__(
        self, folder: SearchFolder, number: int, recipe: Recipe, known: Sequence[Trial]
    ) -> None:
        self.curve: tuple[float, ...] = ()
        self._run, self._number, self._recipe, self._known = (
            folder.trial(number),
            number,
            recipe,
            known,
        )
        self._pruner = folder.facts.pruner
        self._higher = get_task(recipe.task).metrics[recipe.metric].higher_is_better

    def note(self, records: Sequence[Any]) -> None:
        """Take in the records of all epochs so far."""
        self._run.write_journal([record.to_dict() for record in records])
        metric = self._recipe.metric
        self.curve = tuple(float(record.validation[metric]) for record in records)
        epochs = sum(phase.epochs for phase in self._recipe.phases)
        if self._number and should_prune(
            self._pruner,
            self._number,
            self.curve,
            self._known,
            epochs=epochs,
            higher_is_better=self._higher,
        ):
            raise _Pruned(f"after epoch {len(self.curve)} of {epochs}")


def _keep_answers(
    folder: SearchFolder, number: int, trainer: Trainer, recipe: Recipe, material: Material
) -> float:
    """Store what the trained network says of the validation images; return its score."""
    answers = trainer.validation_probabilities().astype(np.float32)
    with open_replacing(folder.answers_path(number)) as stream:
        np.save(stream, answers, allow_pickle=False)
    task = get_task(recipe.task)
    fixed = recipe.thresholds if isinstance(recipe.thresholds, float) else None
    scores = task.compute([recipe.metric], material.validation_targets, answers, fixed)
    return float(scores[recipe.metric])


def measure_cost(classifier: Classifier, recipe: Recipe, kind: str) -> float:
    """Measure what a network costs.

    Args:
        classifier: The network.
        recipe: For its image size.
        kind: macs: multiply-accumulates an image; size: bytes of the weights; parameters;
            latency: milliseconds of one image, the median of 20 runs.
    """
    network = classifier.network
    if kind == "parameters":
        return float(network.count_params())
    shape = (*recipe.data.image_size, 3)
    if kind in ("macs", "size"):
        from tfclassify.profiler.keras_profile import profile_model

        profile = profile_model(network, [shape], title="trial", target="trial")
        return float(profile.macs if kind == "macs" else profile.weight_bytes)
    import tensorflow as tf

    run = tf.function(lambda images: network(images, training=False))
    images = tf.zeros((1, *shape), tf.uint8)
    run(images)
    times = []
    for _ in range(20):
        begun = time.perf_counter()
        run(images)
        times.append(time.perf_counter() - begun)
    return float(np.median(times) * 1e3)
