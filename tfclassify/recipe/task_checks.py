"""Checks of what a task asks for: its loss and its thresholds.

Owns: which losses and thresholds go with which task. Does not own: names of metrics
(``checks``), how labels are read (``data_checks``).
"""

from __future__ import annotations

from collections.abc import Iterator

from tfclassify.recipe.schema import LossRecipe, Recipe
from tfclassify.recipe.wording import KeyPath, join_names, show

MULTI_LABEL = "multi_label"

#: What each task can be trained with.
LOSS_KINDS = {
    "multi_class": ("auto", "cross_entropy", "focal"),
    MULTI_LABEL: ("auto", "binary_cross_entropy", "focal", "asymmetric"),
}
#: Keys that only some kinds read.
_LOSS_KEYS = {
    "gamma": ("focal",),
    "gamma_positive": ("asymmetric",),
    "gamma_negative": ("asymmetric",),
    "clip": ("asymmetric",),
}
_SEARCHED = ("one", "per_class")
#: The threshold where there are no validation images to search it on.
HALF = 0.5


def settle_thresholds(recipe: Recipe, lacks_images: bool) -> dict[str, object]:
    """Return what replaces thresholds that were not written: 0.5 without validation images."""
    is_default = "thresholds" not in recipe.model_fields_set
    return {"thresholds": HALF} if is_default and needs_search(recipe) and lacks_images else {}


def needs_search(recipe: Recipe) -> bool:
    """Say whether validation images decide the thresholds."""
    return recipe.task == MULTI_LABEL and recipe.thresholds in _SEARCHED


def check_task(recipe: Recipe, lacks_images: bool) -> Iterator[tuple[KeyPath, str]]:
    """Check loss and thresholds against the task.

    Args:
        recipe: The recipe.
        lacks_images: Whether there will be no validation images.
    """
    loss, kinds = recipe.loss, LOSS_KINDS[recipe.task]
    if loss.kind not in kinds:
        yield (
            ("loss", "kind"),
            f"{loss.kind!r} does not go with task {recipe.task!r}; allowed are "
            f"{join_names(kinds, 'and')}",
        )
    yield from _check_loss_keys(loss)
    if recipe.task != MULTI_LABEL and recipe.thresholds != "one":
        yield (
            ("thresholds",),
            f"belong to task {MULTI_LABEL!r}, got {show(recipe.thresholds)} with "
            f"{recipe.task!r}, which takes the likeliest class; remove them",
        )
    if needs_search(recipe) and lacks_images:
        yield (
            ("thresholds",),
            f"{recipe.thresholds!r} needs validation images to search on, but data.validation "
            f"is 0; write a number such as {HALF}, or hold some out",
        )


def _check_loss_keys(loss: LossRecipe) -> Iterator[tuple[KeyPath, str]]:
    default = LossRecipe()
    for key, kinds in _LOSS_KEYS.items():
        value = getattr(loss, key)
        if loss.kind not in kinds and value != getattr(default, key):
            yield (
                ("loss", key),
                f"belongs to {join_names(kinds)}, got {show(value)} with kind {loss.kind!r}",
            )
