"""Checks that concern several keys, or names that another package gives meaning to.

Owns: the list of all checks, and the names of metrics, activations and initialisers.
Does not own: the checks of one section (``model_checks`` and its like), single values
(``schema``), anything that needs the images or TensorFlow.

A check looks at values only, never at whether they were written or are defaults, so
that a recipe that was written out in full means the same; ``settle`` is where a default
gives way to another key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from tfclassify.recipe.data_checks import check_data, check_labels
from tfclassify.recipe.data_label_checks import check_flags, check_label_sets
from tfclassify.recipe.layer_names import ACTIVATION_NAMES, INITIALIZER_NAMES
from tfclassify.recipe.metric_names import list_metric_names
from tfclassify.recipe.model_checks import CUSTOM, check_model
from tfclassify.recipe.phase_checks import check_phases, settle_keep_best
from tfclassify.recipe.problems import MAX_FAULTS, Fault
from tfclassify.recipe.schema import Recipe
from tfclassify.recipe.task_checks import check_task, settle_thresholds
from tfclassify.recipe.wording import KeyPath, find_nearest, join_names, show


def check_recipe(recipe: Recipe) -> list[Fault]:
    """Return every fault of a recipe whose single values are all allowed."""
    checks = (
        check_names,
        check_model,
        check_data,
        check_labels,
        check_label_sets,
        check_flags,
        check_phases,
        check_validation,
        _check_task,
    )
    faults = (Fault(path, "check", message) for check in checks for path, message in check(recipe))
    return list(islice(faults, MAX_FAULTS))


def settle(recipe: Recipe) -> Recipe:
    """Replace the defaults that other keys rule out.

    A ``keep_best`` that was not written follows ``early_stopping.metric``, so that a phase
    ends with the epoch it waited for; without validation images, or where ``swa`` averages
    the last epochs, it becomes null. Weights
    that were not written for ``custom_cnn`` become none, since it has none to load; so do
    thresholds that were not written become 0.5 where there are no images to search them on.
    """
    changes: dict[str, object] = {
        "phases": tuple(
            settle_keep_best(phase, lacks_validation(recipe)) for phase in recipe.phases
        )
    }
    if recipe.task == "multi_label" and "metric" not in recipe.model_fields_set:
        changes["metric"] = "map"
    changes |= settle_thresholds(recipe, lacks_validation(recipe))
    model = recipe.model
    if model.backbone == CUSTOM and "weights" not in model.model_fields_set:
        changes["model"] = model.model_copy(update={"weights": "none"})
    return recipe.model_copy(update=changes)


def lacks_validation(recipe: Recipe) -> bool:
    """Say whether there will be no validation images, as far as the recipe tells."""
    return recipe.data.validation == 0.0 and recipe.data.columns.split is None


def _check_task(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    yield from check_task(recipe, lacks_validation(recipe))


def check_names(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Check every name that is defined outside of the schema."""
    metrics = list_metric_names(recipe.task)
    yield from _check_name(("metric",), "metric", recipe.metric, metrics)
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


def _check_name(
    path: KeyPath, kind: str, name: str | None, names: Iterable[str]
) -> Iterator[tuple[KeyPath, str]]:
    known = tuple(names)
    if name is None or name in known:
        return
    nearest = find_nearest(name, known)
    if nearest is not None:
        yield path, f"unknown {kind} {name!r}; did you mean {nearest!r}?"
    else:
        yield path, f"unknown {kind} {show(name)}; allowed are {join_names(known, 'and')}"


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
    if recipe.keep_phase == "best":
        yield ("keep_phase",), f"'best' {advice} (last keeps the last phase)"
