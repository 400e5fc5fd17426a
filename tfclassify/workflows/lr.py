"""``lr``: a learning-rate range test of one phase of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tfclassify.data.preparation import prepare_data
from tfclassify.errors import RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.files import write_text
from tfclassify.pages.rate_page import RateReport, render_rate_page
from tfclassify.pages.rendering import format_now
from tfclassify.recipe.loading import dump_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.recipe.wording import suggest
from tfclassify.workflows.batch_fitting import resolve_batches
from tfclassify.workflows.material import build_network, open_material
from tfclassify.workflows.recipes import Given, open_recipe
from tfclassify.workflows.start import set_up_keras, verb

if TYPE_CHECKING:
    from tfclassify.training.rate_test import RateTest

#: Fewer updates than this show nothing.
_LEAST_STEPS = 10


@dataclass(frozen=True)
class LrRequest:
    """What to test.

    Attributes:
        recipe: A recipe, or images that one is fitted to; see ``open_recipe``.
        phase: Name of the phase; None tests the first.
        lowest: The first learning rate.
        highest: The last one.
        steps: Updates.
        overrides: ``key=value`` texts.
        out: The page to write.
        columns: Which column of a table holds what, for images without a recipe.
    """

    recipe: Given
    phase: str | None = None
    lowest: float = 1e-7
    highest: float = 1.0
    steps: int = 100
    overrides: tuple[str, ...] = ()
    out: Path = Path("lr.html")
    columns: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class LrResult:
    """What a test showed.

    Attributes:
        recipe: The recipe.
        phase: The phase's name.
        key: Its learning rate in the recipe.
        test: Rates, losses and what is suggested.
        caution: What stands against the suggestion; empty if nothing does.
        report: The page.
    """

    recipe: Recipe
    phase: str
    key: str
    test: RateTest
    caution: str
    report: Path


@verb
def find_rate(request: LrRequest, observer: Observer = SILENT) -> LrResult:
    """Raise the learning rate of a phase from update to update, and read off a good one.

    The phase starts from the network as the recipe builds it; what it learns is thrown away.

    Raises:
        RequestError: If rates, steps or the phase make no sense.
        TfclassifyError: If the recipe, the data or the model cannot be used.
    """
    _check(request)
    recipe = open_recipe(request.recipe, request.overrides, observer, request.columns)
    recipe = resolve_batches(recipe, observer)
    number = _find_phase(recipe, request.phase)
    data = prepare_data(recipe, observer=observer)
    set_up_keras(recipe)
    from tfclassify.training.phases import start_phase
    from tfclassify.training.rate_test import list_rates, sweep_rates
    from tfclassify.training.steps import ForwardPass

    classifier = build_network(recipe, data.index)
    material = open_material(recipe, data.index, observer)
    network = ForwardPass(classifier.network)
    work = start_phase(recipe, number, classifier, material, network, observer)
    observer.on_task_start("rising learning rates", None)
    test = sweep_rates(work, list_rates(request.lowest, request.highest, request.steps))
    observer.on_task_end("rising learning rates")
    caution = _find_caution(recipe, number, test)
    result = LrResult(
        recipe,
        recipe.phases[number].name,
        f"phases[{number}].learning_rate",
        test,
        caution,
        request.out,
    )
    write_text(request.out, render_rate_page(_describe(result)))
    return result


def _check(request: LrRequest) -> None:
    if not 0 < request.lowest < request.highest <= 100:
        raise RequestError(
            f"--lowest, --highest: must rise between 0 and 100, got {request.lowest:g} and "
            f"{request.highest:g}; such as 1e-7 and 1"
        )
    if request.steps < _LEAST_STEPS:
        raise RequestError(f"--steps: must be at least {_LEAST_STEPS}, got {request.steps}")


def _find_phase(recipe: Recipe, name: str | None) -> int:
    names = [phase.name for phase in recipe.phases]
    if name is None:
        return 0
    if name not in names:
        raise RequestError(
            f"--phase: the recipe has no phase {name!r}{suggest(name, names)}; it has "
            f"{', '.join(names)}"
        )
    return names.index(name)


def _find_caution(recipe: Recipe, number: int, test: RateTest) -> str:
    if test.suggestion is None:
        return (
            "The loss did not fall at any rate, so nothing can be suggested; take more --steps, "
            "or a higher --highest."
        )
    if number:
        return (
            f"The phase was tested on the network as the recipe builds it; in training it starts "
            f"from what {recipe.phases[number - 1].name} learnt, where a lower rate may suit."
        )
    if not test.is_diverged:
        return "The loss had not diverged at the highest rate; a higher --highest shows more."
    return ""


def _describe(result: LrResult) -> RateReport:
    test = result.test
    phase = next(each for each in result.recipe.phases if each.name == result.phase)
    return RateReport(
        name=result.recipe.name,
        phase=result.phase,
        key=result.key,
        present=phase.learning_rate,
        rates=test.rates,
        losses=test.losses,
        smoothed=test.smoothed,
        suggestion=test.suggestion,
        caution=result.caution,
        created=format_now(),
        recipe_text=dump_recipe(result.recipe),
    )
