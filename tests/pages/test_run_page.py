"""What the page of a run and of an evaluation says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.builders import make_photo
from tests.pages.contents import (
    CLASSES,
    make_clean,
    make_evaluation_report,
    make_judged,
    make_judged_labels,
    make_phases,
    make_run_report,
    parse,
    read_tag,
    read_text,
)
from tests.scoring.builders import judge_classes
from tfclassify.pages.pictures import Photo, make_thumbnail
from tfclassify.pages.run_page import (
    RunReport,
    draw_run_figures,
    render_evaluation_page,
    render_run_page,
)


def render_bare(report: RunReport) -> str:
    """Render a page without its figures, which take most of the time."""
    return render_run_page(report, {})


def read_bare(**changes: object) -> str:
    return read_text(render_bare(make_run_report(**changes)))


def test_every_kind_of_run_has_its_figures() -> None:
    judged = {"class_recall", "confusion_matrix", "reliability"}
    run = draw_run_figures(make_run_report())
    assert set(run) == {"class_histogram", "learning_curves"} | judged
    assert set(draw_run_figures(make_run_report(judged=None, phases=()))) == {"class_histogram"}
    labels = draw_run_figures(make_run_report(metric="map", judged=make_judged_labels()))
    assert set(labels) == {
        *("class_histogram", "learning_curves", "class_ap", "label_counts", "additions"),
    }


def test_the_headline_says_score_interval_and_images() -> None:
    report = make_run_report()
    interval = report.judged.headline.metrics["accuracy"]
    text = read_text(render_bare(report))
    assert "Accuracy on 60 validation images" in text
    assert f"{100 * interval.value:.1f} %" in text
    assert f"95 % interval {100 * interval.low:.1f}–{100 * interval.high:.1f} %" in text
    assert "Judge with care." in text


def test_both_times_are_named() -> None:
    assert "Run 003 · 14 November 2026 · trained for 12 min 5 s, 1 h 7 min in all" in read_bare()
    assert "trained for 12 min 5 s Three kinds" in read_bare(total_seconds=None)


def test_views_are_told_beside_the_plain_scores() -> None:
    better = make_judged(images=80)
    answers = dataclasses.replace(better.verdict.answers, views=("identity",) * 6)
    judged = make_judged(tta=better.headline, answers=answers)
    text = read_bare(judged=judged, others=(make_judged(split="test"),))
    assert "Accuracy on 80 validation images, 6 views of each" in text
    assert "Test (n = 60) Validation, one view (n = 60) Validation, 6 views (n = 80)" in text


def test_what_was_trained_and_how_to_repeat_it_is_told() -> None:
    text = read_bare()
    assert "48 images of 3 classes from photos.zip: 33 train, 15 validation." in text
    assert "tfclassify train recipe.yaml" in text
    assert "name: trees" in text
    assert "no gain in 1 epoch" in text
    assert "4 of 10" in text
    # Epoch 3 of the first phase was kept: 0.9 - 0.5 / 3.
    assert "73.3 %" in text
    assert "90 images were checked: 1 quarantined, which took no part, and 1 remark." in text


def test_a_phase_that_scored_higher_than_the_kept_one_is_named() -> None:
    head, whole = make_phases()
    worse = dataclasses.replace(whole, best_epoch=1)  # 0.9 - 0.5
    text = read_bare(phases=(head, worse), kept_phase="whole")
    assert (
        "The run has the weights of phase whole (validation accuracy 40.0 %); phase head reached "
        "73.3 %. keep_phase: best would keep that one."
    ) in text
    assert "whole (kept)" in text
    assert "keep_phase" not in read_bare(phases=(head, worse), kept_phase="head")
    # Of a loss, less is better: 1 / 3 + 0.1 of the head, 0.4 + 0.1 of the other.
    text = read_bare(phases=(head, worse), kept_phase="whole", metric="loss")
    assert "phase head reached 0.433" in text
    # No epoch recorded this one.
    unknown = make_run_report(phases=(head, worse), kept_phase="whole", metric="roc_auc")
    assert unknown.phase_caution == ""


def test_training_images_are_shown_as_augmented() -> None:
    root = parse(render_bare(make_run_report()))
    alts = [e.get("alt") for e in root.iter() if read_tag(e) == "img"]
    assert [alt for alt in alts if alt.startswith("version")] == [
        *("version 0; ash", "version 1; ash", "version 2; ash"),
    ]
    assert "as augmented" not in read_bare(preview=())


def test_a_run_without_held_out_images_says_so() -> None:
    text = read_bare(judged=None)
    assert "No score" in text
    assert "All images were trained on" in text
    assert "Confusion" not in text


def test_a_run_without_epochs_or_findings() -> None:
    text = read_bare(phases=(), integrity=make_clean(7), commands=())
    assert "No epoch was finished." in text
    assert "7 images were checked: all readable, nothing unusual." in text


def test_a_perfect_model_has_no_mistakes_and_an_exact_bound() -> None:
    targets = np.arange(30) % 3
    judged = make_judged(plain=judge_classes(targets, np.eye(3)[targets], CLASSES, seed=0))
    text = read_bare(judged=judged)
    assert "No image was misclassified." in text
    # 0.025 ** (1 / 30)
    assert "95 % interval 88.4–100.0 % (exact binomial bound" in text


def test_a_single_image_a_loss_headline_and_groups() -> None:
    judgement = judge_classes([0], [[0.6, 0.3, 0.1]], CLASSES, seed=0)
    page = render_bare(make_run_report(metric="loss", judged=make_judged(plain=judgement)))
    assert "Too few images, or too alike, for an interval." in read_text(page)
    assert "gauge" not in page.partition("</style>")[2]
    assert "This metric has no value on these images." in read_bare(
        metric="roc_auc", judged=make_judged(plain=judgement)
    )
    grouped = judge_classes(
        [0, 1, 0, 2], np.eye(3)[[0, 1, 1, 2]], CLASSES, seed=0, groups=list("aabc")
    )
    assert "resamples of the 3 groups of images" in read_bare(judged=make_judged(plain=grouped))


def test_a_mistake_whose_file_is_gone_is_still_listed() -> None:
    judged = make_judged()
    gone = dataclasses.replace(judged.mistakes[0], thumbnail=None, map=None, name="gone.png")
    judged = dataclasses.replace(judged, mistakes=(gone,))
    page = render_bare(make_run_report(judged=judged, preview=()))
    assert "gone.png" in read_text(page)
    assert not [e for e in parse(page).iter() if read_tag(e) == "img"]


def test_top_k_is_left_out_where_it_must_be_one() -> None:
    text = read_bare()
    assert "Top-2 accuracy" in text
    assert "Top-3 accuracy" not in text


@pytest.mark.parametrize("count", [2, 90])
def test_any_number_of_classes(count: int) -> None:
    classes = tuple(f"class {number}" for number in range(count))
    page = render_run_page(make_run_report(classes))
    parse(page)
    assert len(page) < 1_500_000


def test_hard_images_are_shown_where_there_are_some() -> None:
    hard = Photo("a/<b>.png", make_thumbnail(make_photo(1)), ("ash",), ("misclassified 3 times",))
    text = read_bare(hard=(hard,))
    assert "Hardest training images" in text
    assert "misclassified 3 times" in text
    assert "a/<b>.png" in text
    assert "Hardest" not in read_bare()


def test_ready_figures_are_used() -> None:
    report = make_run_report()
    assert render_run_page(report) == render_run_page(report, draw_run_figures(report))


def test_an_evaluation_names_model_images_and_scores() -> None:
    text = read_text(render_evaluation_page(make_evaluation_report()))
    assert "Evaluation of reports/trees/003" in text
    assert "Judged on 60 images from photos.zip." in text
    assert "F1, macro on 60 images of photos.zip" in text
