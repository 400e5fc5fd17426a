"""How much each member of an ensemble counts, from what they say of held-out images.

Owns: reading ``--weights``, asking the members, the search and its fair judging. Does not
own: the mathematics (``scoring.mixture``), packing (``ensemble``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tfclassify.data.index import Index
from tfclassify.errors import RequestError
from tfclassify.events import Observer
from tfclassify.judging.answers import make_answers
from tfclassify.judging.members import Member
from tfclassify.recipe.schema import Recipe
from tfclassify.scoring.mixture import cross_fit, find_likelihoods, mix, search_weights
from tfclassify.scoring.tasks import get_task
from tfclassify.scoring.verdicts import Answers

#: Members of less weight are left out: they cost as much as any other.
LEAST_WEIGHT = 0.01


@dataclass(frozen=True)
class MemberAnswers:
    """What each member says of the validation images.

    Attributes:
        images: The images, with the first member's answers.
        plain: Probabilities of one plain view, ``(members, n, classes)`` float32.
        averaged: Those averaged over the views, or None.
    """

    images: Answers
    plain: np.ndarray
    averaged: np.ndarray | None

    @property
    def used(self) -> np.ndarray:
        """The probabilities that the ensemble will answer by."""
        return self.plain if self.averaged is None else self.averaged

    def find_likelihoods(self, recipe: Recipe) -> np.ndarray:
        """Return what each member gave to what is true; see ``scoring.mixture``."""
        return find_likelihoods(self.used, self.images.targets, get_task(recipe.task))

    def mix(self, weights: np.ndarray) -> Answers:
        """Return the answers of the ensemble under weights, ``(members,)``."""
        averaged = None if self.averaged is None else mix(self.averaged, weights)
        return replace(self.images, plain=mix(self.plain, weights), averaged=averaged)


def parse_weights(text: str, members: int) -> tuple[float, ...] | None:
    """Read ``search`` (None), ``equal``, or numbers such as ``2,1,1``, which are scaled to 1.

    Raises:
        RequestError: If it is none of these, or not one number a member.
    """
    if text == "search":
        return None
    if text == "equal":
        return (1.0 / members,) * members
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    is_usable = all(math.isfinite(number) and number >= 0.0 for number in numbers)
    if len(numbers) != members or not is_usable or not sum(numbers) > 0.0:
        raise RequestError(
            f"--weights: must be search, equal, or {members} numbers of 0 or more with commas "
            f"between, got {text!r}"
        )
    return tuple(number / sum(numbers) for number in numbers)


def ask_members(
    members: Sequence[Member], recipe: Recipe, index: Index, observer: Observer
) -> MemberAnswers | None:
    """Ask every member about the validation images, as the packed model will.

    Args:
        members: The members.
        recipe: What the ensemble is used by: its size and views.
        index: The images, of which the validation split is asked about.
        observer: Told of progress.

    Returns:
        The answers, or None where there is no validation image.
    """
    from tfclassify.inference.views import build_view_model
    from tfclassify.model.ensemble import lay_side_by_side
    from tfclassify.model.prediction import BATCH_SIZE, predict_store
    from tfclassify.pipeline.cache import open_images

    held_out = index.in_split("validation")
    if not len(held_out):
        return None
    models = [member.bundle.model for member in members]
    joined = lay_side_by_side(models, recipe.data.image_size)
    pixels = open_images(held_out.paths(), recipe.data, observer=observer)
    views = build_view_model(joined, recipe.tta)
    size = views.images_per_batch(BATCH_SIZE)
    both = predict_store(views.plain_and_mean, pixels, size, observer)
    # (n, 2, members * classes) to (2, members, n, classes)
    shaped = both.reshape(len(both), 2, len(models), len(index.classes)).transpose(1, 2, 0, 3)
    averaged = None if recipe.tta is None else shaped[1]
    first = None if averaged is None else averaged[0]
    images = make_answers(held_out, shaped[0, 0], first, None, views.names)
    return MemberAnswers(images, shaped[0], averaged)


def find_weights(
    given: Sequence[float] | None, answers: MemberAnswers | None, recipe: Recipe
) -> np.ndarray:
    """Return the members' weights, ``(members,)``, those that hardly count set to 0.

    Args:
        given: From ``parse_weights``; None to search.
        answers: From ``ask_members``; needed for a search.
        recipe: For the task.

    Raises:
        RequestError: If weights are to be searched without a validation image.
    """
    if given is not None:
        weights = np.array(given)
    elif answers is not None:
        weights = search_weights(answers.find_likelihoods(recipe))
    else:
        raise RequestError(
            "ensemble: there is no image that every member held out for validation, so weights "
            "cannot be searched; give --weights equal"
        )
    weights = np.where(weights < LEAST_WEIGHT, 0.0, weights)
    return np.asarray(weights / weights.sum())


def cross_fit_answers(answers: MemberAnswers, recipe: Recipe) -> Answers:
    """Average each validation image by weights that it had no part in."""
    likelihoods, groups = answers.find_likelihoods(recipe), answers.images.units

    def fit(members: np.ndarray) -> np.ndarray:
        mixed = cross_fit(members, likelihoods, seed=recipe.seed, groups=groups)
        return mixed.astype(np.float32)

    averaged = None if answers.averaged is None else fit(answers.averaged)
    return replace(answers.images, plain=fit(answers.plain), averaged=averaged)
