"""Checks that concern several keys, or names that another package gives meaning to.

Owns: combinations that cannot work, and the names of backbones, metrics, activations
and initialisers. Does not own: single values (``schema``), anything that needs the
images or TensorFlow.

A check looks at values only, never at whether they were written or are defaults, so
that a recipe that was written out in full means the same; ``settle`` is where a default
gives way to another key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from tfclassify.recipe.backbone_names import BACKBONE_NAMES
from tfclassify.recipe.data_checks import check_data, check_labels
from tfclassify.recipe.layer_names import ACTIVATION_NAMES, INITIALIZER_NAMES
from tfclassify.recipe.metric_names import list_metric_names
from tfclassify.recipe.problems import Fault
from tfclassify.recipe.schema import ModelRecipe, PhaseRecipe, Recipe, ScheduleRecipe
from tfclassify.recipe.wording import KeyPath, find_nearest, join_names, show

CUSTOM = "custom_cnn"
#: Beginnings of ``model.backbone`` that lead out of the catalog.
OUTSIDE_SOURCES = ("hub:", "keras_hub:")
_SCHEDULE_KEYS = {
    "constant": ("warmup_epochs",),
    "cosine": ("warmup_epochs", "final"),
    "one_cycle": ("peak_at", "start_divisor", "final_divisor"),
    "multi_step": ("warmup_epochs", "factor", "milestones"),
    "exponential": ("warmup_epochs", "factor"),
    "plateau": ("warmup_epochs", "metric", "factor", "patience", "min_rate"),
}


def check_recipe(recipe: Recipe) -> list[Fault]:
    """Return every fault of a recipe whose single values are all allowed."""
    checks = (check_names, check_model, check_data, check_labels, check_phases, check_validation)
    return [Fault(path, "check", message) for check in checks for path, message in check(recipe)]


def settle(recipe: Recipe) -> Recipe:
    """Replace the defaults that other keys rule out.

    A ``keep_best`` that was not written follows ``early_stopping.metric``, so that a phase
    ends with the epoch it waited for; without validation images it becomes null. Weights
    that were not written for ``custom_cnn`` become none, since it has none to load.
    """
    changes: dict[str, object] = {
        "phases": tuple(_settle_phase(phase, lacks_validation(recipe)) for phase in recipe.phases)
    }
    if recipe.task == "multi_label" and "metric" not in recipe.model_fields_set:
        changes["metric"] = "map"
    model = recipe.model
    if model.backbone == CUSTOM and "weights" not in model.model_fields_set:
        changes["model"] = model.model_copy(update={"weights": "none"})
    return recipe.model_copy(update=changes)


def _settle_phase(phase: PhaseRecipe, lacks_images: bool) -> PhaseRecipe:
    if "keep_best" in phase.model_fields_set:
        return phase
    if lacks_images:
        return phase.model_copy(update={"keep_best": None})
    if phase.early_stopping is not None:
        return phase.model_copy(update={"keep_best": phase.early_stopping.metric})
    return phase


def lacks_validation(recipe: Recipe) -> bool:
    """Say whether there will be no validation images, as far as the recipe tells."""
    return recipe.data.validation == 0.0 and recipe.data.columns.split is None


def check_names(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Check every name that is defined outside of the schema."""
    metrics = list_metric_names(recipe.task)
    yield from _check_name(("metric",), "metric", recipe.metric, metrics)
    yield from _check_backbone(recipe.model)
    head = recipe.model.head
    path: KeyPath = ("model", "head")
    yield from _check_name((*path, "activation"), "activation", head.activation, ACTIVATION_NAMES)
    yield from _check_name(
        (*path, "initializer"), "initializer", head.initializer, INITIALIZER_NAMES
    )
    for number, layer in enumerate(recipe.model.layers):
        path = ("model", "layers", number, "activation")
        yield from _check_name(path, "activation", layer.activation, ACTIVATION_NAMES)
    for number, phase in enumerate(recipe.phases):
        path = ("phases", number)
        yield from _check_name((*path, "keep_best"), "metric", phase.keep_best, metrics)
        schedule = phase.schedule
        yield from _check_name((*path, "schedule", "metric"), "metric", schedule.metric, metrics)
        if phase.early_stopping is not None:
            metric = phase.early_stopping.metric
            yield from _check_name((*path, "early_stopping", "metric"), "metric", metric, metrics)


def _check_backbone(model: ModelRecipe) -> Iterator[tuple[KeyPath, str]]:
    """Check that there is a backbone or a stack, and that each is known."""
    path: KeyPath = ("model", "backbone")
    if model.stack and model.backbone:
        yield path, f"got {model.backbone!r} and a stack as well; remove one of the two"
    elif not model.stack and not model.backbone:
        yield path, "is missing; name a backbone that `tfclassify backbones` lists"
    named = {path: model.backbone} if model.backbone else {}
    for number, member in enumerate(model.stack):
        named[("model", "stack", number, "backbone")] = member.backbone
    for place, name in named.items():
        if not name.startswith(OUTSIDE_SOURCES):
            yield from _check_name(place, "backbone", name, BACKBONE_NAMES)


def _check_name(
    path: KeyPath, kind: str, name: str | None, names: Iterable[str]
) -> Iterator[tuple[KeyPath, str]]:
    known = tuple(names)
    if name is None or name in known:
        return
    nearest = find_nearest(name, known)
    if nearest is not None:
        yield path, f"unknown {kind} {name!r}; did you mean {nearest!r}?"
    elif kind == "backbone":
        yield (
            path,
            f"unknown backbone {name!r}; `tfclassify backbones` lists the {len(known)} known",
        )
    else:
        yield path, f"unknown {kind} {show(name)}; allowed are {join_names(known, 'and')}"


def check_model(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Check that layers go with custom_cnn and weights with a backbone that has some."""
    model = recipe.model
    if model.backbone == CUSTOM and not model.layers:
        yield ("model", "layers"), f"backbone {CUSTOM!r} needs layers, got none; list its blocks"
    if model.layers and model.backbone != CUSTOM and model.backbone in BACKBONE_NAMES:
        yield (
            ("model", "layers"),
            f"layers belong to backbone {CUSTOM!r}, got {model.backbone!r}; remove one of the two",
        )
    if model.backbone == CUSTOM and model.weights == "imagenet":
        yield (
            ("model", "weights"),
            f"backbone {CUSTOM!r} has no 'imagenet' weights; write none, or a path to a file",
        )


def check_phases(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Check the names of the phases and the keys that go with each schedule."""
    counts = Counter(phase.name for phase in recipe.phases)
    for number, phase in enumerate(recipe.phases):
        path: KeyPath = ("phases", number)
        if counts[phase.name] > 1:
            first = next(i for i, other in enumerate(recipe.phases) if other.name == phase.name)
            if number > first:
                yield (*path, "name"), f"{phase.name!r} is already the name of phases[{first}]"
        schedule = phase.schedule
        yield from ((path + tail, text) for tail, text in _check_schedule(schedule, phase.epochs))


def _check_schedule(schedule: ScheduleRecipe, epochs: int) -> Iterator[tuple[KeyPath, str]]:
    default = ScheduleRecipe()
    for key in ScheduleRecipe.model_fields:
        if key == "kind" or key in _SCHEDULE_KEYS[schedule.kind]:
            continue
        value = getattr(schedule, key)
        if value != getattr(default, key):
            kinds = [kind for kind, keys in _SCHEDULE_KEYS.items() if key in keys]
            yield (
                ("schedule", key),
                f"belongs to {join_names(kinds)}, got {show(value)} with kind {schedule.kind!r}",
            )
    if schedule.warmup_epochs > epochs:
        yield (
            ("schedule", "warmup_epochs"),
            f"must be at most the phase's {epochs} epochs, got {show(schedule.warmup_epochs)}",
        )


def check_validation(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Check that nothing watches validation images where there are none."""
    if not lacks_validation(recipe):
        return
    advice = "needs validation images, but data.validation is 0; remove it or hold some out"
    for number, phase in enumerate(recipe.phases):
        path: KeyPath = ("phases", number)
        if phase.early_stopping is not None:
            yield (*path, "early_stopping"), advice
        if phase.keep_best is not None:
            yield (*path, "keep_best"), f"{advice} (null keeps the last epoch)"
        if phase.schedule.kind == "plateau":
            yield (*path, "schedule"), f"plateau {advice}"
