"""``batch_size: auto`` becomes a number before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny_run import TinyRun, make_labelled_photos, write_recipe
from tfclassify.errors import TrainingError
from tfclassify.events import Observer
from tfclassify.recipe.loading import load_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.directory import RunDirectory
from tfclassify.workflows import batch_fitting, start
from tfclassify.workflows.batch_fitting import keep_batches, resolve_batches
from tfclassify.workflows.train import TrainRequest, resume_training, train_recipe

Settle = Callable[..., Recipe]


class Notes(Observer):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def on_note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture
def settle(tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch) -> Settle:
    """Settle the tiny recipe where a step takes 100 bytes an image, of those that are free."""

    def settle(
        free: int, *, estimate: int = 0, refuses: int = 1 << 30, **changes: object
    ) -> Recipe:
        tried = [0]

        def try_size(size: int) -> None:
            if size >= refuses:
                raise MemoryError
            tried.append(size)

        monkeypatch.setattr(batch_fitting, "LEAST_UPDATES", 1)
        monkeypatch.setattr(batch_fitting, "available_memory", lambda: 2 * free)
        monkeypatch.setattr(batch_fitting, "_make_trial", lambda *_: try_size)
        monkeypatch.setattr(batch_fitting, "_make_estimate", lambda *_: lambda n: n * estimate)
        monkeypatch.setattr(batch_fitting, "read_peak", lambda: 5000 + 100 * tried[-1])
        recipe = load_recipe(tiny_run.recipe)
        wanted = recipe.model_copy(update={"batch_size": "auto", **changes})
        return start.verb(lambda: resolve_batches(wanted, Notes()))()  # no switch stays on

    return settle


def test_the_largest_power_of_two_that_fits(settle: Settle) -> None:
    assert settle(free=1000).batch_size == 8  # 800 bytes; 16 images would take 1600
    assert settle(free=1600).batch_size == 16
    assert settle(free=1599).batch_size == 8


def test_what_the_shapes_say_is_not_tried(settle: Settle) -> None:
    assert settle(free=1000, estimate=300).batch_size == 2


def test_a_device_that_refuses_ends_the_trial(settle: Settle) -> None:
    assert settle(free=1 << 40, refuses=8).batch_size == 4


def test_not_one_image_fits(settle: Settle) -> None:
    told = "batch_size: auto: phase 'head': not even one image of 16x16 fits into"
    with pytest.raises(TrainingError, match=told):
        settle(free=1000, estimate=1001)
    with pytest.raises(TrainingError, match="not even one image"):
        settle(free=1000, refuses=1)


def test_phases_share_what_fits_in_each_and_keep_their_own(
    settle: Settle, tiny_run: TinyRun
) -> None:
    head, whole = load_recipe(tiny_run.recipe).phases
    own = head.model_copy(update={"batch_size": 6}), whole
    recipe = settle(free=1000, phases=own)
    assert [recipe.as_in(phase).step_images for phase in recipe.phases] == [6, 8]
    open_ = head, whole.model_copy(update={"batch_size": "auto"})
    recipe = settle(free=1000, phases=open_, batch_size=5)
    assert [recipe.as_in(phase).step_images for phase in recipe.phases] == [5, 8]
    settled = head.model_copy(update={"batch_size": 6}), whole.model_copy(update={"batch_size": 7})
    assert settle(free=1000, phases=settled).batch_size == 32  # nobody needs it


def test_a_run_trains_and_resumes_by_the_number_that_was_found(tmp_path: Path) -> None:
    make_labelled_photos(tmp_path / "photos")
    recipe = write_recipe(tmp_path, ("batch_size: 8", "batch_size: auto"))
    notes = Notes()
    result = train_recipe(TrainRequest(recipe, out=tmp_path / "run", keep_state=True), notes)
    kept = load_recipe(RunDirectory.open(result.run).recipe_path)
    # Some 24 training images, at least 8 updates an epoch.
    assert kept.batch_size == result.recipe.batch_size == 2
    assert "batch_size: auto takes images a step: head 2, whole 2" in notes.notes
    resume_training(recipe, tmp_path / "run", (), keep_state=True)  # not another recipe
    assert keep_batches(load_recipe(recipe), kept) == kept
