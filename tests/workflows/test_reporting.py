from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np

from tests.fake_runs import add_bundle
from tests.scoring.builders import judge_classes
from tests.tiny_run import TinyRun
from tfclassify.data.preparation import PreparedData
from tfclassify.judging.answers import make_answers
from tfclassify.judging.verdicts import summarise_headline, warn_of_choice
from tfclassify.model.bundle import load_bundle
from tfclassify.pages.data_page import summarise_data
from tfclassify.pages.rendering import Fact
from tfclassify.recipe.loading import load_recipe
from tfclassify.recipe.schema import EarlyStoppingRecipe, MiningRecipe
from tfclassify.runs.directory import RunDirectory
from tfclassify.runs.documents import Environment
from tfclassify.scoring.epochs import EpochRecord
from tfclassify.scoring.verdicts import Verdict
from tfclassify.workflows.reporting import (
    describe_machine,
    describe_parts,
    describe_phases,
    describe_verdict,
    list_commands,
    picture_hard_images,
)


def make_record(phase: int, epoch: int, loss: float) -> EpochRecord:
    return EpochRecord("p", phase, epoch, 0.1, 1.0, 9.0, {"loss": loss}, {"loss": loss})


def load_run(tiny_run: TinyRun) -> PreparedData:
    run = RunDirectory.open(tiny_run.run)
    return PreparedData.load(run.index_path, run.integrity_path)


def make_verdict(tiny_run: TinyRun, split: str = "test") -> Verdict:
    """Make a verdict that is wrong on images 0, 2 and 4, more and more surely."""
    index = load_run(tiny_run).index.in_split("test")
    targets = index.targets().argmax(axis=1)
    probabilities = np.full((len(index), 3), 0.1, np.float32)
    probabilities[np.arange(len(index)), targets] = 0.8
    for row, sure in ((0, 0.5), (2, 0.7), (4, 0.9)):
        probabilities[row] = (1 - sure) / 2
        probabilities[row, (targets[row] + 1) % 3] = sure
    judgement = judge_classes(targets, probabilities, index.classes, seed=0, resamples=20)
    return Verdict(split, make_answers(index, probabilities), judgement, caution="Beware.")


def test_phases_tell_their_best_epoch_and_why_they_ended(tiny_run: TinyRun) -> None:
    recipe = load_recipe(tiny_run.recipe)
    head, whole = recipe.phases
    stopping = EarlyStoppingRecipe(metric="loss", patience=2)
    phases = (head.model_copy(update={"early_stopping": stopping, "epochs": 9}), whole)
    losses = (0.9, 0.5, 0.6, 0.7)
    records = [make_record(0, number + 1, loss) for number, loss in enumerate(losses)]
    changed = recipe.model_copy(update={"phases": phases})
    first, second = describe_phases(changed, records, [27, 267])
    assert (first.trainable_parameters, second.trainable_parameters) == (27, 267)
    assert first.best_epoch == 2
    assert first.reason == "no gain in 2 epochs"
    assert (len(first.epochs), first.planned_epochs) == (4, 9)
    assert second.epochs == ()
    assert second.best_epoch is None


def test_mistakes_are_the_most_confident_first_with_their_pictures(tiny_run: TinyRun) -> None:
    verdict, recipe = make_verdict(tiny_run), load_recipe(tiny_run.recipe)
    mistakes = describe_verdict(verdict, recipe).mistakes
    names = verdict.answers.images
    assert [mistake.name for mistake in mistakes] == [names[4], names[2], names[0]]
    sure = [mistake.titles[0].rsplit(" ", 2)[1] for mistake in mistakes]
    assert sure == ["90", "70", "50"]
    assert all(mistake.thumbnail is not None for mistake in mistakes)
    assert all(mistake.map is None for mistake in mistakes)
    paths = ("gone.png",) * (len(names) - 1) + verdict.answers.paths[-1:]
    lost = dataclasses.replace(verdict, answers=dataclasses.replace(verdict.answers, paths=paths))
    bundle = load_bundle(tiny_run.run / "bundle")
    assert describe_verdict(lost, recipe, bundle).mistakes[0].thumbnail is None
    mapped = describe_verdict(verdict, recipe, bundle).mistakes
    assert all(mistake.map and mistake.map != mistake.thumbnail for mistake in mapped)
    page = (tiny_run.run / "report.html").read_text("utf-8")
    assert "evidence for " in page


def test_a_mistake_is_mapped_by_the_model_that_made_it(tiny_run: TinyRun, tmp_path: Path) -> None:
    verdict, recipe = make_verdict(tiny_run), load_recipe(tiny_run.recipe)
    add_bundle(tmp_path, recipe, seed=9)
    one, other = load_bundle(tiny_run.run / "bundle"), load_bundle(tmp_path / "bundle")

    def refuse() -> None:
        raise AssertionError("a model without a mistake need not be opened")

    rest = len(verdict.answers) - 5
    models = [(1, lambda: one), (1, refuse), (2, lambda: None), (1, lambda: other), (rest, refuse)]
    last, middle, first = describe_parts(verdict, recipe, models).mistakes  # images 4, 2 and 0
    by_one = describe_verdict(verdict, recipe, one).mistakes
    by_other = describe_verdict(verdict, recipe, other).mistakes
    assert first.map == by_one[2].map != by_other[2].map
    assert middle.map is None
    assert last.map == by_other[0].map != by_one[0].map


def test_validation_scores_come_with_a_caution(tiny_run: TinyRun) -> None:
    recipe = load_recipe(tiny_run.recipe)
    assert "chose the best epoch" in warn_of_choice("validation", recipe)
    assert warn_of_choice("test", recipe) == ""
    free = [phase.model_copy(update={"keep_best": None}) for phase in recipe.phases]
    unwatched = recipe.model_copy(update={"phases": tuple(free)})
    assert warn_of_choice("validation", unwatched) == ""
    best = unwatched.model_copy(update={"keep_phase": "best"})
    assert "also chose the best phase, so" in warn_of_choice("validation", best)
    assert "best phase and epoch, so" in warn_of_choice(
        "validation", recipe.model_copy(update={"keep_phase": "best"})
    )
    # Only the first phase's epoch was chosen; what is judged are the last one's weights.
    first = recipe.model_copy(update={"phases": (recipe.phases[0], free[1])})
    assert warn_of_choice("validation", first) == (
        "The validation images chose the epoch of head that whole began with, and not the "
        "weights that are judged."
    )
    alone = recipe.model_copy(update={"phases": (free[0],), "keep_phase": "best"})
    assert warn_of_choice("validation", alone) == ""
    assert describe_verdict(make_verdict(tiny_run), recipe).verdict.caution == "Beware."


def test_the_headline_is_of_the_last_verdict(tiny_run: TinyRun) -> None:
    verdict = make_verdict(tiny_run)
    headline = summarise_headline([verdict], "accuracy")
    assert headline is not None
    n = len(verdict.answers)
    assert headline["value"] == (n - 3) / n
    assert summarise_headline([], "accuracy") is None


def test_images_are_counted_by_class_and_split(tiny_run: TinyRun) -> None:
    index = load_run(tiny_run).index
    by_split = summarise_data(index, "photos")
    assert by_split.total() == 45
    assert set(by_split.counts) == {"train", "validation", "test"}
    assert summarise_data(index, "photos", is_split=False).counts == {"all": (15, 15, 15)}


def test_the_machine_is_told_line_by_line() -> None:
    environment = Environment(
        python="3.11",
        system="Linux",
        processor="a",
        cores=2,
        memory_gib=8.0,
        packages={"keras": "3.15"},
    )
    facts = [(fact.name, fact.value) for fact in describe_machine(environment)]
    assert facts[0] == ("python", "3.11")
    assert facts[-2:] == [("memory gib", "8.0"), ("keras", "3.15")]
    again = environment.model_copy(update={"resumed_despite": ("seed: 3 -> 4",)})
    assert describe_machine(again)[-1] == Fact("resumed despite", "seed: 3 -> 4")


def test_commands_are_quoted_for_the_shell() -> None:
    lines = [command.line for command in list_commands(RunDirectory(Path("my runs/001")))]
    assert lines[0] == "tfclassify train 'my runs/001/recipe.yaml'"
    assert all("'my runs/001" in line for line in lines)


def test_hard_images_are_pictured_where_they_were_mined(tiny_run: TinyRun, tmp_path: Path) -> None:
    shutil.copytree(tiny_run.run, tmp_path / "run")
    run, recipe = RunDirectory.open(tmp_path / "run"), load_recipe(tiny_run.recipe)
    index = load_run(tiny_run).index
    assert picture_hard_images(run, index, recipe) == ()
    mined = recipe.model_copy(update={"mining": MiningRecipe()})
    assert picture_hard_images(run, index, mined) == ()  # of before it was written
    name = index.in_split("train").frame["image"][0]
    run.mining_path.write_text(f"image,label,start,weight,misses\n{name},x,1,2.5,3\n", "utf-8")
    (hard,) = picture_hard_images(run, index, mined)
    assert (hard.name, hard.lines) == (name, ("misclassified 3 times, weight 2.5",))
    assert hard.titles[0] in index.classes
    assert hard.thumbnail is not None
