"""``tune``: many trainings of one recipe, each with other values, and an honest choice.

Owns: the order of the search, one trial, what an interruption leaves. Does not own: what
is proposed and what the choice is worth (``tuning``), where trials run (``executors``).
"""

from __future__ import annotations

import functools
import gc
import shlex
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfclassify.data.index import Index
from tfclassify.data.preparation import PreparedData, prepare_data
from tfclassify.errors import JobError, RequestError, TfclassifyError, TrainingError
from tfclassify.events import SILENT, Observer
from tfclassify.executors.jobs import Executor, ExecutorOptions, FinishedJob, Job, open_executor
from tfclassify.files import open_replacing, sweep_unfinished, write_text
from tfclassify.pages.rendering import Command, format_now
from tfclassify.pages.tune_page import TrialRow, TuneReport, render_tune_page, show_value
from tfclassify.recipe.document import render_yaml
from tfclassify.recipe.loading import dump_recipe, load_recipe, parse_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.recipe.search_schema import DimensionRecipe, find_space, put_value
from tfclassify.recipe.wording import parse_path
from tfclassify.scoring.tasks import get_task
from tfclassify.tuning.folder import SearchFacts, SearchFolder
from tfclassify.tuning.proposals import (
    Goal,
    find_importance,
    import_optuna,
    propose,
    should_prune,
)
from tfclassify.tuning.selection import Selection, TrialAnswers, select
from tfclassify.tuning.trials import Asked, Ended, Trial, TrialJournal, find_front
from tfclassify.workflows.interruptions import explain_interruption
from tfclassify.workflows.material import (
    anchor_images,
    build_network,
    open_material,
)
from tfclassify.workflows.recipes import Given, open_recipe
from tfclassify.workflows.start import set_up_keras, verb

if TYPE_CHECKING:
    from tfclassify.model.assembly import Classifier
    from tfclassify.training.sources import Material
    from tfclassify.training.trainer import Trainer

_TRIALS = 50
_MANY_TRIALS = 10_000
_LEAST_BATCH = 1


@dataclass(frozen=True)
class TuneRequest:
    """What to search.

    Attributes:
        recipe: A recipe, or images that one is fitted to; see ``open_recipe``.
        overrides: ``key=value`` texts, as after ``--set``.
        trials: Trials at most, the start included; None: 50, or what the time allows.
        seconds: Time at most; None for no bound.
        sampler: tpe, random, grid or cma_es.
        pruner: none, median or hyperband.
        seed: Of the proposals.
        also: A second aim: macs, parameters or latency.
        max_macs: Multiply-accumulates an image at most.
        executor: Where the trials run.
        out: The folder; None makes ``reports/<name>/search-<number>``.
        reports: Where numbered folders are made.
    """

    recipe: Given
    overrides: tuple[str, ...] = ()
    trials: int | None = None
    seconds: float | None = None
    sampler: str = "tpe"
    pruner: str = "none"
    seed: int = 0
    also: str | None = None
    max_macs: float | None = None
    executor: ExecutorOptions = field(default_factory=ExecutorOptions)
    out: Path | None = None
    reports: Path = Path("reports")


@dataclass(frozen=True)
class TuneResult:
    """What a search found.

    Attributes:
        search: The folder.
        recipe: What was searched from.
        trials: All of them, by number.
        selection: The best trial and what choosing it is worth; None where only the start
            is complete.
        front: The trials that none beats in score and cost; empty without a second aim.
        best: The best trial's recipe, a file.
        seconds: Time over all sittings.
        is_exhausted: Whether all of a finite space was tried.
    """

    search: Path
    recipe: Recipe
    trials: tuple[Trial, ...]
    selection: Selection | None
    front: tuple[Trial, ...]
    best: Path
    seconds: float
    is_exhausted: bool


@verb
def tune_recipe(request: TuneRequest, observer: Observer = SILENT) -> TuneResult:
    """Search for better values of a recipe's keys in a new folder.

    Raises:
        MissingExtraError: If Optuna is not installed.
        RequestError: If a bound makes no sense, or no validation image would be held out.
        RecipeError: If the recipe or its search is wrong; nothing is made then.
        TfclassifyError: If the data fails, or the start cannot be trained.
    """
    import_optuna()
    recipe = open_recipe(request.recipe, request.overrides, observer)
    facts = _make_facts(request)
    folder = SearchFolder.create(
        request.reports, recipe.name, request.out, dump_recipe(recipe), facts
    )
    observer.on_note(f"search {folder.path}")
    return _search(folder, recipe, request.executor, observer)


@verb
def resume_tune(
    given: Path,
    *,
    trials: int | None = None,
    seconds: float | None = None,
    executor: ExecutorOptions | None = None,
    observer: Observer = SILENT,
) -> TuneResult:
    """Go on with a search: the trials that were begun are ended, then come the next ones.

    Args:
        given: The search's folder.
        trials: Another bound, to go on with a search that has ended.
        seconds: Likewise.
        executor: Where the trials run; None: one after the other in this process.
        observer: Told of progress.

    Raises:
        TargetError: If the folder is no search.
        RunError: If its journal is damaged.
    """
    import_optuna()
    folder = SearchFolder.open(given)
    changes = {"trials": trials, "seconds": seconds}
    wanted = {name: value for name, value in changes.items() if value is not None}
    if wanted:
        facts = folder.facts.model_copy(update=wanted)
        folder = SearchFolder(folder.path, facts)
    recipe = load_recipe(folder.recipe_path)
    return _search(folder, recipe, executor or ExecutorOptions(), observer)


def _make_facts(request: TuneRequest) -> SearchFacts:
    """Check what was asked for beside the recipe."""
    bounded = request.trials or (_MANY_TRIALS if request.seconds else _TRIALS)
    allowed = {
        "--sampler": (request.sampler, ("tpe", "random", "grid", "cma_es")),
        "--pruner": (request.pruner, ("none", "median", "hyperband")),
        "--also": (request.also, (None, "macs", "parameters", "latency")),
    }
    for option, (value, names) in allowed.items():
        if value not in names:
            known = ", ".join(str(name) for name in names if name)
            raise RequestError(f"{option}: must be one of {known}, got {value!r}")
    for option, number in (
        ("--trials", bounded),
        ("--time", request.seconds),
        ("--max-macs", request.max_macs),
    ):
        if number is not None and not number > 0:
            raise RequestError(f"{option}: must be above 0, got {number}")
    return SearchFacts.model_validate(
        {
            "trials": bounded,
            "seconds": request.seconds,
            "sampler": request.sampler,
            "pruner": request.pruner,
            "seed": request.seed,
            "also": request.also,
            "max_macs": request.max_macs,
        }
    )


def _search(
    folder: SearchFolder, recipe: Recipe, executor: ExecutorOptions, observer: Observer
) -> TuneResult:
    with folder.lock(), explain_interruption(folder.path, folder.describe_kept, folder.command):
        sweep_unfinished(folder.path)
        data = _prepare(folder, recipe, observer)
        with open_executor(executor, observer) as place:
            search = _Search(folder, recipe, place, observer)
            search.run()
        shutil.rmtree(folder.features_dir, ignore_errors=True)
        return _gather(search, data.index)


def _prepare(folder: SearchFolder, recipe: Recipe, observer: Observer) -> PreparedData:
    """Read and split the images, once for all trials."""
    if folder.index_path.exists() and folder.integrity_path.exists():
        return PreparedData.load(folder.index_path, folder.integrity_path)
    data = anchor_images(prepare_data(recipe, observer=observer))
    if not len(data.index.in_split("validation")):
        raise RequestError(
            "tune: needs validation images to compare trials on, but the recipe holds none out; "
            "set data.validation, such as --set data.validation=0.2"
        )
    data.save(folder.index_path, folder.integrity_path)
    return data


class _Search:
    """One sitting of a search: proposals out, results in."""

    def __init__(
        self, folder: SearchFolder, recipe: Recipe, executor: Executor, observer: Observer
    ) -> None:
        self.folder, self.recipe, self.facts = folder, recipe, folder.facts
        self.journal: TrialJournal = folder.journal()
        self.space = find_space(recipe)
        self.is_exhausted = False
        higher = get_task(recipe.task).metrics[recipe.metric].higher_is_better
        self.goal = Goal(higher, has_cost=folder.facts.also is not None)
        self._executor, self._observer = executor, observer
        self._started = time.perf_counter()
        self._before = max(
            (trial.ended.at_seconds for trial in self.journal.list_ended() if trial.ended),
            default=0.0,
        )

    @property
    def seconds(self) -> float:
        """Time of the search over all sittings."""
        return self._before + time.perf_counter() - self._started

    def run(self) -> None:
        """Search until a bound is reached."""
        self._observer.on_task_start("trials", self.facts.trials)
        running = 0
        for trial in self.journal.list_running():  # a kill broke them off
            self._submit(trial.number)
            running += 1
        while True:
            while running < self._executor.slots and self._has_room():
                asked = self._ask()
                if asked is None:
                    self.is_exhausted = True
                    break
                self.journal.note(asked)
                self._submit(asked.number)
                running += 1
            if not running:
                break
            self._take(self._executor.wait())
            running -= 1
        self._observer.on_task_end("trials")

    def _has_room(self) -> bool:
        """Say whether another trial may begin; the start is trained first, alone."""
        trials = self.journal.trials
        if not trials:
            return True
        if len(trials) == 1 and trials[0].ended is None:
            return False
        if self.is_exhausted or len(trials) >= self.facts.trials:
            return False
        if self.facts.seconds is None:
            return True
        ended = [trial.ended.seconds for trial in self.journal.list_ended() if trial.ended]
        usual = float(np.median(ended)) if ended else 0.0
        return self.seconds + usual <= self.facts.seconds

    def _ask(self) -> Asked | None:
        number, ended = len(self.journal.trials), self.journal.list_ended()
        known = tuple(trial.number for trial in ended)
        if number == 0:
            return Asked(number=0, values={}, known=())
        values = propose(
            self.space,
            number,
            ended,
            self.journal.list_running(),
            goal=self.goal,
            sampler=self.facts.sampler,
            seed=self.facts.seed,
        )
        return None if values is None else Asked(number=number, values=values, known=known)

    def _submit(self, number: int) -> None:
        arguments = {"search": str(self.folder.path), "number": number}
        call = f"{run_trial.__module__}:{run_trial.__name__}"
        self._executor.submit(Job(f"trial-{number:04d}", call, arguments))

    def _take(self, finished: FinishedJob) -> None:
        """Remember how a trial ended; nothing is searched from a start that fails."""
        number = int(finished.job.arguments["number"])
        if finished.error is not None:
            if number == 0:
                raise JobError(1, {"the recipe as it is": finished.error})
            result = Ended(number=number, state="failed", reason=finished.error)
        else:
            result = Ended.model_validate_json(finished.value)
        result = result.model_copy(update={"at_seconds": self.seconds})
        self.journal.note(result)
        self._observer.on_task_step("trials", len(self.journal.order))
        self._tell(result)

    def _tell(self, ended: Ended) -> None:
        values = self.journal.trials[ended.number].asked.values
        shown = ", ".join(
            f"{key.rpartition('.')[2]} {show_value(value)}" for key, value in values.items()
        )
        outcome = (
            f"{ended.score:.4f}" if ended.score is not None else f"{ended.state}: {ended.reason}"
        )
        self._observer.on_note(
            f"trial {ended.number}: {self.recipe.metric} {outcome}  {shown or 'as written'}"
        )


def make_trial_recipe(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """Return a search's recipe with a trial's values in it, and no search."""
    content = recipe.model_dump(mode="json") | {"search": None}
    for key, value in values.items():
        content = put_value(content, parse_path(key), value)
    return parse_recipe(render_yaml(content), "trial")


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
    recipe = make_trial_recipe(load_recipe(folder.recipe_path), trial.asked.values)
    halved = 0
    while True:
        try:
            ended = _train_trial(folder, number, recipe, known, observer)
            break
        except _out_of_memory() as error:
            if recipe.batch_size <= _LEAST_BATCH:
                raise TrainingError(
                    f"trial {number}: the memory does not suffice for one image: {error}"
                ) from error
            halved += 1
            recipe = recipe.model_copy(update={"batch_size": recipe.batch_size // 2})
            observer.on_warning(
                f"trial {number}: out of memory; going on with batch_size {recipe.batch_size}"
            )
            shutil.rmtree(folder.trial(number).path, ignore_errors=True)
        finally:
            _forget_network()
    if halved:
        reason = f"batch_size {recipe.batch_size}, since memory ran out with more"
        ended = ended.model_copy(update={"reason": reason})
    return ended.model_dump_json()


def _out_of_memory() -> tuple[type[BaseException], ...]:
    import tensorflow as tf

    return MemoryError, tf.errors.ResourceExhaustedError


def _train_trial(
    folder: SearchFolder, number: int, recipe: Recipe, known: Sequence[Trial], observer: Observer
) -> Ended:
    started = time.perf_counter()
    set_up_keras(recipe)
    from tfclassify.training.trainer import Trainer

    facts = folder.facts
    index = PreparedData.load(folder.index_path, folder.integrity_path).index
    classifier = build_network(recipe, index)
    cost = measure_cost(classifier, recipe, facts.also) if facts.also else None
    if facts.max_macs is not None:
        macs = cost if facts.also == "macs" and cost else measure_cost(classifier, recipe, "macs")
        if macs > facts.max_macs:
            reason = f"{macs / 1e6:,.1f} M MACs, over --max-macs {facts.max_macs / 1e6:,.1f} M"
            return Ended(number=number, state="refused", cost=cost, reason=reason)
    run = folder.trial(number)
    write_text(run.recipe_path, dump_recipe(recipe))
    watch = _Watch(folder, number, recipe, known)
    material = _open_material(folder, recipe, index, observer)
    trainer = Trainer(
        recipe, classifier, material, run.state_dir, on_record=watch.note, observer=observer
    )
    pruned = ""
    try:
        trainer.run(resume=True)
    except _Pruned as stop:
        pruned = str(stop)
    except TfclassifyError as error:
        if number == 0:
            raise
        return Ended(
            number=number,
            state="failed",
            reason=str(error),
            curve=watch.curve,
            seconds=time.perf_counter() - started,
        )
    score = None if pruned else _keep_answers(folder, number, trainer, recipe, material)
    shutil.rmtree(run.state_dir, ignore_errors=True)
    return Ended(
        number=number,
        state="pruned" if pruned else "complete",
        score=score,
        cost=cost,
        seconds=time.perf_counter() - started,
        curve=watch.curve,
        reason=pruned,
    )


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


@functools.lru_cache(maxsize=1)
def _open_images(search: str, data: str) -> Any:
    """Decode a search's images once a process, and again only under other settings."""
    folder = SearchFolder.open(Path(search))
    recipe = parse_recipe(data, "trial")
    index = PreparedData.load(folder.index_path, folder.integrity_path).index
    return open_material(recipe, index, SILENT)


def _open_material(
    folder: SearchFolder, recipe: Recipe, index: Index, observer: Observer
) -> Material:
    """Pair the images with a trial's class weights, and share the features of frozen nets."""
    from dataclasses import replace

    from tfclassify.training.class_weights import resolve_class_weights
    from tfclassify.training.feature_store import FeatureStore

    neutral = recipe.model_dump(mode="json", include={"name", "task", "data", "seed"})
    text = render_yaml(
        neutral
        | {"model": {"backbone": "efficientnet_lite0"}, "phases": [{"name": "a", "epochs": 1}]}
    )
    shared = _open_images(str(folder.path), text)
    weights = resolve_class_weights(
        recipe.class_weights, shared.train.targets, index.classes, recipe.task
    )
    return replace(shared, class_weights=weights, features=FeatureStore(folder.features_dir))


def measure_cost(classifier: Classifier, recipe: Recipe, kind: str) -> float:
    """Measure what a network costs.

    Args:
        classifier: The network.
        recipe: For its image size.
        kind: macs: multiply-accumulates an image; parameters; latency: milliseconds of one
            image, the median of 20 runs.
    """
    network = classifier.network
    if kind == "parameters":
        return float(network.count_params())
    shape = (1, *recipe.data.image_size, 3)
    if kind == "macs":
        from tfclassify.profiler.keras_profile import profile_model

        return float(profile_model(network, [shape], title="trial", target="trial").macs)
    import tensorflow as tf

    run = tf.function(lambda images: network(images, training=False))
    images = tf.zeros(shape, tf.uint8)
    run(images)
    times = []
    for _ in range(20):
        begun = time.perf_counter()
        run(images)
        times.append(time.perf_counter() - begun)
    return float(np.median(times) * 1e3)


def _forget_network() -> None:
    """Give back what a network holds, before the next one is built."""
    import keras

    keras.backend.clear_session()
    gc.collect()


def _gather(search: _Search, index: Index) -> TuneResult:
    """Choose the best trial, and write what the search leaves."""
    folder, recipe, journal = search.folder, search.recipe, search.journal
    selection = _select(search, index)
    best = selection.best if selection is not None else 0
    values = journal.trials[best].asked.values
    write_text(folder.best_path, dump_recipe(make_trial_recipe(recipe, values)))
    front = find_front(journal.list_complete(), higher_is_better=search.goal.higher_is_better)
    result = TuneResult(
        folder.path,
        recipe,
        tuple(journal.trials.values()),
        selection,
        tuple(front) if search.goal.has_cost else (),
        folder.best_path,
        search.seconds,
        search.is_exhausted,
    )
    _write_table(folder, result)
    write_text(folder.report_path, render_tune_page(describe_search(result, folder.facts)))
    return result


def describe_search(result: TuneResult, facts: SearchFacts) -> TuneReport:
    """Return what the page of a search says."""
    space, chosen = find_space(result.recipe), result.selection
    metric = get_task(result.recipe.task).metrics[result.recipe.metric]
    complete = [trial for trial in result.trials if trial.state == "complete"]
    higher = metric.higher_is_better
    remarks = []
    if result.recipe.data.test:
        remarks.append(
            "The test images were not looked at; train the best recipe to see its score on them."
        )
    if result.is_exhausted:
        remarks.append("Every combination of the search was tried.")
    return TuneReport(
        name=result.recipe.name,
        task=result.recipe.task,
        metric=result.recipe.metric,
        is_higher_better=higher,
        cost_name=facts.also or "",
        trials=tuple(_describe_trial(trial) for trial in result.trials),
        best=chosen.best if chosen else 0,
        keys={key: _say_dimension(dimension) for key, dimension in space.items()},
        logarithmic=frozenset(key for key, each in space.items() if each.log is not None),
        naive=chosen.naive if chosen else None,
        honest=chosen.honest if chosen else None,
        start=chosen.start if chosen else None,
        gain=chosen.gain if chosen else None,
        chosen=chosen.chosen if chosen else {},
        importance=find_importance(space, complete, higher_is_better=higher),
        front=tuple(trial.number for trial in result.front),
        seconds=result.seconds,
        remarks=tuple(remarks),
        created=format_now(),
        commands=(
            Command("Train the best recipe", f"tfclassify train {shlex.quote(str(result.best))}"),
            Command(
                "Search on",
                shlex.join(
                    ["tfclassify", "tune", "--resume", str(result.search), "--trials", "100"]
                ),
            ),
        ),
        recipe_text=dump_recipe(result.recipe),
    )


def _describe_trial(trial: Trial) -> TrialRow:
    ended = trial.ended or Ended(number=trial.number, state="failed", reason="was broken off")
    return TrialRow(
        trial.number,
        trial.state,
        trial.asked.values,
        ended.score,
        ended.cost,
        ended.seconds,
        ended.curve,
        ended.reason,
    )


def _say_dimension(dimension: DimensionRecipe) -> str:
    """Say in words what a key may be."""
    if dimension.choices is not None:
        words = f"one of {', '.join(show_value(choice) for choice in dimension.choices)}"
    else:
        assert dimension.bounds is not None
        low, high = (show_value(bound) for bound in dimension.bounds)
        words = f"from {low} to {high}{', logarithmic' if dimension.log else ''}"
    if dimension.step is not None:
        words += f", in steps of {show_value(dimension.step)}"
    if dimension.when:
        told = " and ".join(f"{key} is {show_value(v)}" for key, v in dimension.when.items())
        words += f", where {told}"
    return words


def _select(search: _Search, index: Index) -> Selection | None:
    folder, recipe, complete = search.folder, search.recipe, search.journal.list_complete()
    if len(complete) < 2:
        return None
    held_out = index.in_split("validation")
    groups = held_out.frame["group"].tolist()
    answers = [np.load(folder.answers_path(trial.number), allow_pickle=False) for trial in complete]
    fixed = recipe.thresholds if isinstance(recipe.thresholds, float) else None
    return select(
        TrialAnswers(
            recipe.task,
            recipe.metric,
            held_out.targets(),
            [trial.number for trial in complete],
            np.stack(answers),
            groups if any(groups) else None,
            fixed,
        ),
        seed=search.facts.seed,
    )


def _write_table(folder: SearchFolder, result: TuneResult) -> None:
    """Write ``trials.csv``: one row a trial, one column a searched key."""
    import pandas as pd

    from tfclassify.files import render_csv

    rows = []
    for trial in result.trials:
        ended = trial.ended
        rows.append(
            {
                "trial": trial.number,
                "state": trial.state,
                result.recipe.metric: ended.score if ended else None,
                folder.facts.also or "cost": ended.cost if ended else None,
                "epochs": len(ended.curve) if ended else 0,
                "seconds": round(ended.seconds, 2) if ended else None,
                "reason": ended.reason if ended else "",
                **{key: _to_cell(value) for key, value in trial.asked.values.items()},
            }
        )
    table = pd.DataFrame(rows)
    if folder.facts.also is None:
        table = table.drop(columns="cost")
    write_text(folder.table_path, render_csv(table, "%.8g"))


def _to_cell(value: Any) -> Any:
    return value if isinstance(value, (int, float, str)) or value is None else str(value)
