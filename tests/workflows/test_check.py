from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny_run import TinyRun, make_labelled_photos, write_recipe
from tfclassify.errors import DataError, IntegrityError, RecipeError, RequestError
from tfclassify.workflows.check import CheckRequest, check_recipe


def test_a_plan_says_what_training_does(tiny_run: TinyRun) -> None:
    result = check_recipe(CheckRequest(tiny_run.recipe))
    head, whole = result.phases
    # By hand: conv 3*3*3*8 + 8, BatchNorm 4*8, dense 8*3 + 3.
    assert result.parameters == 224 + 32 + 27
    assert head.trainable_parameters == 27
    # BatchNorm's moving statistics are not trained.
    assert whole.trainable_parameters == 224 + 16 + 27
    trained = len(result.index.in_split("train"))
    assert head.steps == whole.steps == -(-trained // 8)
    assert (head.epochs, whole.epochs) == (1, 2)
    assert whole.seconds_at_most == pytest.approx(2 * whole.seconds_per_epoch)
    caching = pytest.approx(head.seconds_per_epoch + head.seconds_caching)
    assert (whole.seconds_caching, head.seconds_at_most) == (0.0, caching)
    assert head.seconds_caching > 0


def test_a_plan_of_phases_with_their_own_sizes(tiny_run: TinyRun) -> None:
    changes = ("phases[0].image_size=24", "phases[1].batch_size=5")
    result = check_recipe(CheckRequest(tiny_run.recipe, changes))
    head, whole = result.phases
    assert (head.image_size, head.batch_size) == ((24, 24), 8)
    assert (whole.image_size, whole.batch_size) == ((16, 16), 5)
    trained = len(result.index.in_split("train"))
    assert (head.steps, whole.steps) == (-(-trained // 8), -(-trained // 5))
    assert head.trainable_parameters == 27


def test_nothing_is_written(tiny_run: TinyRun, in_tmp: Path) -> None:
    before = set(tiny_run.home.rglob("*"))
    check_recipe(CheckRequest(tiny_run.recipe))
    assert set(tiny_run.home.rglob("*")) == before
    assert list(in_tmp.iterdir()) == []


def test_a_wrong_override_is_an_error(tiny_run: TinyRun) -> None:
    with pytest.raises(RecipeError, match="--set"):
        check_recipe(CheckRequest(tiny_run.recipe, ("phases[9].epochs=3",)))


def test_a_bad_image_is_an_error_under_strict(in_tmp: Path) -> None:
    photos = make_labelled_photos(in_tmp / "photos")
    (photos / "red" / "00.png").write_bytes(b"")
    recipe = write_recipe(in_tmp)
    with pytest.raises(IntegrityError, match=r"red/00\.png"):
        check_recipe(CheckRequest(recipe, ("data.strict=true",)))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("augment.custom.vignete=0.3", r"augment\.custom: no augmentation 'vignete' is registered"),
        ("augment={engine: keras, crop: [0.5, 1]}", r"augment\.crop: keras has no layer for it"),
    ],
)
def test_an_augmentation_that_cannot_run_is_an_error(
    tiny_run: TinyRun, override: str, message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        check_recipe(CheckRequest(tiny_run.recipe, (override,)))


def test_class_weights_of_no_class_are_found_before_training(in_tmp: Path) -> None:
    make_labelled_photos(in_tmp / "photos")
    recipe = write_recipe(in_tmp)
    with pytest.raises(DataError, match=r"class_weights\.zzz: photos has no class 'zzz'"):
        check_recipe(CheckRequest(recipe, ("class_weights={zzz: 2}",)))


def test_the_steps_that_are_timed_are_those_of_the_training(
    tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tfclassify.training import phases, steps

    built, updates = [], []
    build, step_on = phases.build_optimizer, steps.TrainingStep._apply_sums
    monkeypatch.setattr(
        phases, "build_optimizer", lambda *given: built.append(given) or build(*given)
    )
    monkeypatch.setattr(
        steps.TrainingStep, "_apply_sums", lambda self: updates.append(1) or step_on(self)
    )
    overrides = ("phases[1].accumulate=2", "phases[1].layer_decay=0.5")
    check_recipe(CheckRequest(tiny_run.recipe, overrides))
    (_, plain, _), (_, layered, _) = built
    assert plain is None
    assert set(layered.values()) == {1.0, 0.5}  # the head, and the one block before it
    assert updates  # traced: gradients of two batches are gathered before an update
