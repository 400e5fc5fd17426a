"""How much each member of an ensemble counts, from what they say of held-out images.

Owns: reading ``--weights``, asking the members, the search and its fair judging. Does not
own: packing (``ensemble``).

The averaged probability of a label is a mixture, ``sum of w_m p_m``. Its log likelihood on
held-out images is concave in the weights, so there is one best answer. Expectation
maximisation climbs to it, and every step knows how far the top can still be:

    w_m <- w_m g_m,   g_m = mean over labels of p_m / (sum of w_k p_k),   gap <= max g_m - 1
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tfclassify.data.index import Index
from tfclassify.errors import RequestError, ScoringError
from tfclassify.events import Observer
from tfclassify.judging.answers import make_answers
from tfclassify.judging.members import Member
from tfclassify.recipe.schema import Recipe
from tfclassify.scoring.intervals import deal_parts
from tfclassify.scoring.metrics import SMALLEST_PROBABILITY
from tfclassify.scoring.outcome import FloatArray
from tfclassify.scoring.tasks import Task, get_task
from tfclassify.scoring.verdicts import Answers

#: How far, in nats a label, the likelihood found may lie below the best.
TOLERANCE = 1e-6
_MOST_STEPS = 5000


def find_likelihoods(
    members: NDArray[np.floating], targets: NDArray[np.floating], task: Task
) -> FloatArray:
    """Return what each member gave to what is true.

    Args:
        members: Probabilities, ``(members, n, classes)``.
        targets: One-hot or multi-hot, ``(n, classes)``.
        task: What is true of an image: one class, or each class by itself.

    Returns:
        ``(n, members, labels)``: one label an image, the probability of its class; or one
        a class, the probability that it is there or that it is not.

    Raises:
        ScoringError: If the shapes do not fit, or there is no image.
    """
    if members.ndim != 3 or members.shape[1:] != targets.shape or not targets.size:
        raise ScoringError(
            f"ensemble: the members' probabilities must have the shape (members, images, "
            f"classes) over the targets {targets.shape}, got {members.shape}"
        )
    images_first = np.swapaxes(members.astype(np.float64), 0, 1)
    there = targets[:, None, :].astype(np.float64)
    return np.maximum(task.find_likelihoods(there, images_first), SMALLEST_PROBABILITY)


def search_weights(likelihoods: FloatArray) -> FloatArray:
    """Find the weights under which the averaged probabilities are most likely.

    Args:
        likelihoods: From ``find_likelihoods``, ``(n, members, labels)``.

    Returns:
        ``(members,)``, 0 or more, summing to 1; within ``TOLERANCE`` of the best.
    """
    members = likelihoods.shape[1]
    rows = np.swapaxes(likelihoods, 1, 2).reshape(-1, members)
    weights = np.full(members, 1.0 / members)
    for _ in range(_MOST_STEPS):
        gains = (rows / (rows @ weights)[:, None]).mean(axis=0)
        if gains.max() - 1.0 <= TOLERANCE:
            break
        weights = weights * gains
    return np.asarray(weights / weights.sum())


def mix(members: NDArray[np.floating], weights: FloatArray) -> FloatArray:
    """Return the weighted mean of ``(members, n, classes)`` as ``(n, classes)``."""
    return np.tensordot(weights, members.astype(np.float64), axes=1)


def cross_fit(
    members: NDArray[np.floating],
    likelihoods: FloatArray,
    *,
    seed: int,
    groups: Sequence[object] | None = None,
) -> FloatArray:
    """Average each image's probabilities by weights that were found without it.

    Weights that were searched on an image flatter the score on it; see ``deal_parts``.

    Args:
        members: Probabilities, ``(members, n, classes)``.
        likelihoods: From ``find_likelihoods``.
        seed: Deals the parts.
        groups: Group of each image; an empty string stands for an image on its own.

    Returns:
        ``(n, classes)``.

    Raises:
        ScoringError: If there are not two images, or groups, to deal.
    """
    parts = deal_parts(len(likelihoods), seed=seed, groups=groups)
    if not parts.any():
        raise ScoringError(
            "ensemble: weights that are searched need 2 images or groups at least, got 1; "
            "give the weights, or --weights equal"
        )
    mixed = np.zeros(members.shape[1:])
    for part in np.unique(parts):
        is_in = parts == part
        mixed[is_in] = mix(members[:, is_in], search_weights(likelihoods[~is_in]))
    return mixed


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
        """Return what each member gave to what is true; see ``judging.weights``."""
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


#: From the paths of images to what members say of them, ``(n, 2, members * classes)``.
AskAll = Callable[[Sequence[str]], np.ndarray]


def ask_members(
    members: Sequence[Member],
    recipe: Recipe,
    index: Index,
    observer: Observer,
    ask: AskAll | None = None,
) -> MemberAnswers | None:
    """Ask every member about the validation images, as the packed model will.

    Args:
        members: The members.
        recipe: What the ensemble is used by: its size and views.
        index: The images, of which the validation split is asked about.
        observer: Told of progress.
        ask: Asks them in place of this process.

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
    views = build_view_model(joined, recipe.tta)
    if ask is None:
        pixels = open_images(held_out.paths(), recipe.data, observer=observer)
        size = views.images_per_batch(BATCH_SIZE)
        both = predict_store(views.plain_and_mean, pixels, size, observer)
    else:
        both = ask(held_out.paths())
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
