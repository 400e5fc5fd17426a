"""``train --time``: a recipe that fits into a time, and for images without one the network.

Owns: measuring what networks and trainings take here, the order of the looks, what is said.
Does not own: what fits and what is chosen (``tuning.budget``), probes (``tuning.probes``),
the training.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfclassify.backbones.catalog import BACKBONES
from tfclassify.data.index import Index
from tfclassify.data.preparation import prepare_data
from tfclassify.errors import RequestError
from tfclassify.events import Observer
from tfclassify.recipe.loading import build_recipe
from tfclassify.recipe.schema import PhaseRecipe, Recipe, count_views
from tfclassify.recipe.wording import format_seconds
from tfclassify.runs.documents import Choice
from tfclassify.tuning.budget import (
    PLANNED,
    Pace,
    PhaseCost,
    TrainingCost,
    fit_phases,
    foresee_cost,
)
from tfclassify.tuning.probes import Probed, probe_features, rank_probes
from tfclassify.workflows.check import plan_phase, time_work
from tfclassify.workflows.material import build_network, open_teacher, open_training_set
from tfclassify.workflows.start import set_up_keras

#: Sides of images that are looked at, in pixels.
_SIDES = (64, 96, 128, 160, 192, 224, 256)
#: Part of the time that probes may take.
_PROBING = 0.15
#: Images that they look at, in the first round and at most.
_FIRST_IMAGES, _MOST_IMAGES = 200, 1000
#: Epochs of the whole network that are wanted.
_LEAST_EPOCHS = 2
#: Networks whose training is timed.
_LOOKS = 4
#: Seconds of writing a run's report.
_REPORT = 10.0


@dataclass(frozen=True)
class Fitting:
    """What is fitted.

    Attributes:
        recipe: As written, or as drafted for images.
        seconds: The time of the whole command.
        elapsed: Tells the seconds since it began.
        chooses: Whether backbone and size of the images are open.
        overrides: What the user has set; it stays.
        observer: Told of progress and of the choice.
    """

    recipe: Recipe
    seconds: float
    elapsed: Callable[[], float]
    chooses: bool
    overrides: tuple[str, ...]
    observer: Observer

    @property
    def left(self) -> float:
        """Seconds that can be planned with."""
        return PLANNED * self.seconds - self.elapsed()

    def has_set(self, key: str) -> bool:
        """Say whether the user has set a key, or one within it."""
        names = [text.partition("=")[0] for text in self.overrides]
        return any(name == key or name.startswith((f"{key}.", f"{key}[")) for name in names)


def fit_recipe(fitting: Fitting) -> tuple[Recipe, Choice, Pace]:
    """Fit a recipe to a time, and choose backbone and size where they are open.

    Returns:
        The recipe, what is said of it, and what keeps its training within the time.

    Raises:
        RequestError: If not even one epoch of each phase fits.
        TfclassifyError: If the data or the network cannot be used.
    """
    set_up_keras(fitting.recipe)
    index = prepare_data(fitting.recipe, observer=fitting.observer).index
    recipe, lines = fitting.recipe, list[str]()
    if fitting.chooses:
        recipe, cost, lines = _choose(fitting, index)
    else:
        cost = measure_cost(recipe, index, fitting.observer)
    phases = fit_phases(recipe.phases, cost, fitting.left)
    lines.append(_say_fit(fitting, recipe.phases, phases, cost))
    for line in lines:
        fitting.observer.on_note(line)
    pace = Pace(phases, cost, fitting.seconds, fitting.elapsed)
    choice = Choice(seconds=fitting.seconds, lines=tuple(lines))
    return _with_phases(recipe, phases), choice, pace


def _with_phases(recipe: Recipe, phases: Sequence[PhaseRecipe]) -> Recipe:
    """Put phases into a recipe, through all checks."""
    content = recipe.model_dump(mode="json")
    content["phases"] = [phase.model_dump(mode="json") for phase in phases]
    return build_recipe(content, "the recipe, fitted to --time")


def _say_fit(
    fitting: Fitting,
    asked: Sequence[PhaseRecipe],
    phases: Sequence[PhaseRecipe],
    cost: TrainingCost,
) -> str:
    parts = [
        f"{phase.name} {phase.epochs}" + (f" of {old.epochs}" if phase.epochs < old.epochs else "")
        for phase, old in zip(phases, asked, strict=True)
    ]
    total = fitting.elapsed() + cost.total(phases)
    return (
        f"{format_seconds(fitting.seconds)} given: epochs {', '.join(parts)}; about "
        f"{format_seconds(total)} in all, as timed on a few steps"
    )


def _choose(fitting: Fitting, index: Index) -> tuple[Recipe, TrainingCost, list[str]]:
    """Choose backbone and size by probes and by what the time allows."""
    candidates = {
        (each.model.backbone, each.data.image_size[0]): each
        for each in _list_candidates(fitting, index)
    }
    started = fitting.elapsed()
    probes, images, tried = _probe(fitting, index, candidates)
    ranked = rank_probes(probes)
    metric = fitting.recipe.metric
    shown = ", ".join(f"{probe.name} {probe.score:.3f}" for probe in ranked[:3])
    line = (
        f"tried {tried} of {len(candidates)} networks by linear probes on {images:,} training "
        f"images in {format_seconds(fitting.elapsed() - started)}; {metric}: {shown}"
    )
    chosen, cost, reason = _look_closer(fitting, index, ranked, candidates)
    return chosen, cost, [line, reason]


def _probe(
    fitting: Fitting, index: Index, candidates: Mapping[tuple[str, int], Recipe]
) -> tuple[list[Probed], int, int]:
    """Probe the drafted backbone at every size, then the others at its better half of them.

    While there is time, the better half of all is probed again, on twice the images.

    Returns:
        What the last round found, its images, and the networks of the first.
    """
    train = index.in_split("train")
    order = np.random.default_rng(fitting.recipe.seed).permutation(len(train))
    most, images = min(_MOST_IMAGES, len(train)), min(_FIRST_IMAGES, len(train))
    drafted, began = fitting.recipe.model.backbone, fitting.elapsed()
    deadline = began + _PROBING * fitting.seconds

    def look(keys: Iterable[tuple[str, int]], until: float) -> list[Probed]:
        sample = train.with_frame(train.frame.iloc[np.sort(order[:images])].reset_index(drop=True))
        left = [candidates[key] for key in keys]
        return list(_probe_each(fitting, index, sample, left, until))

    probes = look([key for key in candidates if key[0] == drafted], deadline)
    sizes = {probe.size for probe in _take_half(probes)}
    others = [key for key in candidates if key[0] != drafted]
    probes += look([key for key in others if key[1] in sizes or not probes], deadline)
    tried = len(probes)
    while True:
        took = fitting.elapsed() - began  # half as many, on twice the images, take no longer
        if len(probes) < 2 or images == most or fitting.elapsed() + took > deadline:
            return probes, images, tried
        images, began = min(2 * images, most), fitting.elapsed()
        probes = look([probe.key for probe in _take_half(probes)], np.inf)


def _take_half(probes: Sequence[Probed]) -> list[Probed]:
    return rank_probes(probes)[: (len(probes) + 1) // 2]


def _probe_each(
    fitting: Fitting, index: Index, sample: Index, left: Sequence[Recipe], deadline: float
) -> Iterator[Probed]:
    """Probe one after another, until the deadline, but for sizes that cannot be trained enough.

    A backbone's larger size is foreseen from its last smaller one, by the pixels.
    """
    last: dict[str, Probed] = {}
    fitting.observer.on_task_start("probes", len(left))
    for place, recipe in enumerate(left):
        name, size = recipe.model.backbone, recipe.data.image_size[0]
        if last and fitting.elapsed() > deadline:
            break
        if name in last:
            image_ms = last[name].image_ms * (size / last[name].size) ** 2
            if _foresee_epochs(fitting, recipe, index, image_ms) < _count_wanted(recipe):
                continue
        last[name] = probe_network(recipe, sample, fitting.observer)
        yield last[name]
        fitting.observer.on_task_step("probes", place + 1)
    fitting.observer.on_task_end("probes")


def _count_wanted(recipe: Recipe) -> int:
    """Return the epochs of the whole network below which another network is looked at."""
    return min(_LEAST_EPOCHS, recipe.phases[-1].epochs)


def _foresee_epochs(fitting: Fitting, recipe: Recipe, index: Index, image_ms: float) -> int:
    """Foresee the epochs that the last phase gets, from the time of one image's features."""
    train = len(index.in_split("train"))
    cost = foresee_cost(
        recipe.phases,
        image_ms / 1000,
        train=train,
        held_out=len(index) - train,
        views=_count_looks(recipe),
    )
    return _fit_epochs(fitting, recipe, cost)


def _fit_epochs(fitting: Fitting, recipe: Recipe, cost: TrainingCost) -> int:
    """Return the epochs of the last phase that fit into what is left; 0 where none do."""
    try:
        return fit_phases(recipe.phases, cost, fitting.left)[-1].epochs
    except RequestError:
        return 0


def _look_closer(
    fitting: Fitting,
    index: Index,
    ranked: Sequence[Probed],
    candidates: Mapping[tuple[str, int], Recipe],
) -> tuple[Recipe, TrainingCost, str]:
    """Take the first network of the ranking whose training fits well enough into the time.

    Those that are foreseen to fit are timed first. One that then does not fit is followed by
    those that are faster by as much as is lacking, or by the fastest where none is.
    """

    def get(probe: Probed) -> Recipe:
        return candidates[probe.key]

    def foresee(probe: Probed) -> int:
        epochs = _foresee_epochs(fitting, get(probe), index, probe.image_ms)
        return min(epochs, _count_wanted(get(probe)))

    waiting = sorted(ranked, key=foresee, reverse=True)
    tried: list[tuple[int, Probed, TrainingCost]] = []
    while waiting and len(tried) < _LOOKS:
        probe, wanted = waiting[0], _count_wanted(get(waiting[0]))
        cost = measure_cost(get(probe), index, fitting.observer)
        epochs = _fit_epochs(fitting, get(probe), cost)
        tried.append((epochs, probe, cost))
        if epochs >= wanted:
            break
        needed = probe.image_ms * max(epochs, 0.5) / wanted
        faster = [each for each in waiting if each.image_ms < probe.image_ms]
        fastest = sorted(faster, key=lambda each: each.image_ms)[:1]
        waiting = [each for each in faster if each.image_ms <= needed] or fastest
    epochs, probe, cost = max(
        tried, key=lambda each: (min(each[0], _count_wanted(get(each[1]))), -each[1].loss)
    )
    best = min(ranked, key=lambda each: each.loss)
    timed = [count for count, other, _ in tried if other is best]
    fewer = timed[0] if timed else _foresee_epochs(fitting, get(best), index, best.image_ms)
    return get(probe), cost, f"chosen {probe.name}: {_say_why(probe, epochs, best, fewer)}"


def _say_why(probe: Probed, epochs: int, best: Probed, fewer: int) -> str:
    """Say why a network was chosen, against the best probe and the epochs that it would get."""
    if probe is best:
        return "the best probe"
    if probe.ties_with(best):
        times = best.image_ms / probe.image_ms
        return f"as good as {best.name} within its error, and {times:.1f} times as fast"
    return (
        f"{epochs} epochs of the whole network fit; {best.name}, the best probe, would get "
        f"about {fewer}"
    )


def _list_candidates(fitting: Fitting, index: Index) -> Iterator[Recipe]:
    """List the recipe with every backbone whose weights are here, at sizes that suit the images.

    That is from half to twice the size that the draft has, the small ones first.
    """
    recipe = fitting.recipe
    names = [spec.name for spec in BACKBONES.values() if spec.weights_here()]
    if fitting.has_set("model") or not names:
        names = [recipe.model.backbone]
    side = recipe.data.image_size[0]
    sides = [each for each in _SIDES if side / 2 <= each <= 2 * side]
    if fitting.has_set("data.image_size"):
        sides = []
    phases = recipe.phases
    if not fitting.has_set("phases"):
        last = phases[-1].model_copy(update={"epochs": 2 * phases[-1].epochs})
        phases = (*phases[:-1], last)
    for each in sides or [side]:
        size = (each, each) if sides else recipe.data.image_size
        for name in names:
            if BACKBONES[name].min_size <= min(size):
                yield recipe.model_copy(
                    update={
                        "data": recipe.data.model_copy(update={"image_size": size}),
                        "model": recipe.model.model_copy(update={"backbone": name}),
                        "phases": phases,
                    }
                )


def probe_network(recipe: Recipe, sample: Index, observer: Observer) -> Probed:
    """Look at a network by a linear probe on its features of some training images."""
    from tfclassify.model.folding import fold_all
    from tfclassify.model.prediction import predict_store
    from tfclassify.training.sources import split_at_pooling
    from tfclassify.training.steps import ForwardPass

    images = open_training_set(recipe, sample, observer).images
    extractor, _ = split_at_pooling(build_network(recipe, sample))
    extract = ForwardPass(extractor, fold_all(extractor))
    extract(images.read(np.arange(min(len(sample), recipe.step_images))))  # compiles
    started = time.perf_counter()
    features = predict_store(extract, images, recipe.step_images)
    image_ms = 1000 * (time.perf_counter() - started) / len(sample)
    score, losses = probe_features(
        features.astype(np.float64),
        sample.targets(),
        sample.frame["group"].tolist(),
        task=recipe.task,
        metric=recipe.metric,
        seed=recipe.seed,
    )
    return Probed(recipe.model.backbone, recipe.data.image_size[0], score, losses, image_ms)


def measure_cost(recipe: Recipe, index: Index, observer: Observer) -> TrainingCost:
    """Time what a training takes here: images, steps, validation; a few of each.

    What the measuring itself takes, building and compiling, the training takes once more.
    """
    from tfclassify.training.sources import Material, open_stream
    from tfclassify.training.steps import ForwardPass

    began = time.perf_counter()
    train = index.in_split("train")
    held_out = {split: len(index.in_split(split)) for split in ("validation", "test")}
    batch = min(recipe.step_images, len(train))
    most = max(recipe.as_in(phase).step_images for phase in recipe.phases)
    few = train.with_frame(train.frame.iloc[: 2 * max(batch, most)].reset_index(drop=True))
    started = time.perf_counter()
    training_set = open_training_set(recipe, few, observer)
    decode = (time.perf_counter() - started) / len(few)
    classifier = build_network(recipe, index)
    teacher = open_teacher(recipe, index, observer)
    material = Material(training_set, None, few.targets(), None)
    network = ForwardPass(classifier.network)
    pixels = training_set.images.read(np.arange(batch))
    forward = time_work(lambda: np.asarray(network(pixels))) / batch
    phases, sizes = [], {recipe.data.image_size}
    for phase in recipe.phases:
        plan = plan_phase(recipe, phase, classifier, train, teacher)
        seen = recipe.as_in(phase)
        material = material.decoded_as(seen.data, observer)
        sizes.add(seen.data.image_size)
        stream = iter(open_stream(material, seen, phase, first_epoch=0))
        made = time_work(lambda: next(stream)) * plan.steps  # noqa: B023 - called at once
        checked = forward * held_out["validation"]
        if phase.features is None:
            phases.append(PhaseCost(0.0, plan.seconds_per_epoch + made + checked))
        else:
            views = min(phase.features.views, phase.epochs)
            phases.append(PhaseCost(plan.seconds_caching / views + made, plan.seconds_per_epoch))
    images = len(train) + sum(held_out.values())
    end = forward * _count_looks(recipe) * sum(held_out.values()) + _REPORT
    start = decode * (images + (len(sizes) - 1) * len(train)) + time.perf_counter() - began
    return TrainingCost(start, tuple(phases), end)


def _count_looks(recipe: Recipe) -> int:
    """Return how often a held-out image is looked at in the end."""
    return 1 + (count_views(recipe.tta) if recipe.tta else 1)
