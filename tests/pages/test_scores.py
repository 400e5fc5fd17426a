"""How good a model is, in words and tables."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.pages.contents import (
    CLASSES,
    make_answers,
    make_judged,
    make_judged_labels,
    make_run_report,
    parse,
    read_tag,
    read_text,
)
from tests.scoring.builders import judge_classes, judge_labels
from tfclassify.pages.run_page import render_run_page
from tfclassify.pages.scores import (
    describe_judgement,
    describe_metrics,
    explain_calibration,
    explain_mistakes,
    explain_thresholds,
    list_mistakes,
    make_hero,
    make_tiles,
    tabulate_classes,
    tabulate_mistakes,
)
from tfclassify.scoring.judgement import Judgement, LabelJudgement

TARGETS = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]])
GIVEN = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1]])


@pytest.fixture(scope="module")
def judgement() -> Judgement:
    targets, predicted = [0] * 10 + [1] * 10, [0] * 8 + [1] * 12
    return judge_classes(targets, np.eye(2)[predicted], ["ash", "birch"], seed=0)


def judge_sets(given: np.ndarray, targets: np.ndarray, **options: object) -> LabelJudgement:
    probabilities = np.where(given, 0.9, 0.1)
    return judge_labels(targets, probabilities, CLASSES, seed=0, resamples=20, **options)


def test_metrics(judgement: Judgement) -> None:
    lines = describe_metrics(judgement).split("\n")
    assert lines[0].split() == ["Metric", "Value", "(n", "=", "20)"]
    accuracy = next(line for line in lines if line.startswith("Accuracy"))
    interval = judgement.metrics["accuracy"]
    assert accuracy.split()[1:3] == ["90.0", "%"]
    assert f"({100 * interval.low:.1f}–{100 * interval.high:.1f} %)" in accuracy
    assert lines[-1] == "20 images; 95 % intervals in brackets"
    # With two classes, top-2 can only be 1.
    assert not any(line.startswith("Top") for line in lines)


def test_metrics_with_views_and_groups() -> None:
    targets = [0, 1, 0, 1]
    verdict = judge_classes(targets, np.eye(2)[targets], ["a", "b"], seed=0, groups=list("xxyz"))
    lines = describe_metrics(verdict, verdict).split("\n")
    assert "With views" in lines[0]
    accuracy = next(line for line in lines if line.startswith("Accuracy"))
    # 0.025 ** (1 / 3): three groups, all right.
    assert accuracy.count("29.2–100.0 %") == 2
    assert lines[-1].startswith("4 images in 3 groups")


def test_averages_over_classes_say_over_how_many() -> None:
    # Of cedar there is no image, but one is taken for it; of dogwood there is nothing.
    names = [*CLASSES, "dogwood"]
    partial = judge_classes([0, 0, 1], np.eye(4)[[0, 2, 1]], names, seed=0, resamples=5)
    judged = make_judged(plain=partial)
    # (2/3 + 1 + 0) / 3 and (1/2 + 1) / 2
    hero = make_hero(judged, "f1_macro")
    assert hero.value == "0.556"
    assert hero.lines[-1] == "Averaged over 3 of 4 classes."
    tiles = {tile.title: tile for tile in make_tiles(judged, "loss")}
    assert tiles["Balanced accuracy"].value == "75.0 %"
    assert tiles["Balanced accuracy"].lines[-1] == "2 of 4 classes"
    assert len(tiles["Accuracy"].lines) == 1
    line = next(x for x in describe_metrics(partial).split("\n") if x.startswith("F1, macro"))
    assert line.endswith("3 of 4 classes)")


def test_classes(judgement: Judgement) -> None:
    table = tabulate_classes(judgement, (30, 40))
    assert table.head[:4] == ["Class", "Often confused with", "Trained on", "Judged on"]
    ash, birch = ([str(getattr(cell, "text", cell)) for cell in row] for row in table.rows)
    # 8 of 10 ash found, all 8 right; 10 of 10 birch found among 12.
    assert ash == ["ash", "birch (2)", "30", "10", "100.0 %", "80.0 %", "0.889"]
    assert birch == ["birch", "–", "40", "10", "83.3 %", "100.0 %", "0.909"]


def test_confusions(judgement: Judgement) -> None:
    assert tabulate_mistakes(judgement, 5).rows == [["ash", "birch", "2"]]
    perfect = judge_classes([0, 1], np.eye(2), ["a", "b"], seed=0, resamples=2)
    assert describe_judgement(perfect)[1] == "No image was misclassified."
    assert explain_mistakes(perfect, 0) == ""
    assert explain_mistakes(judgement, 1).startswith(
        "2 of 20 images were misclassified. The most confident mistakes come first (1 of 2 shown)"
    )


def test_confidence_is_explained(judgement: Judgement) -> None:
    assert len(explain_calibration(judgement)) == 1
    warm = make_judged().headline
    assert "1.40: the model is overconfident. Applied" in explain_calibration(warm)[1]
    cool = dataclasses.replace(warm.calibration, temperature=0.5)
    text = explain_calibration(dataclasses.replace(warm, calibration=cool))[1]
    assert "the model is underconfident. Applied, the gap is" in text
    crossed = dataclasses.replace(warm.calibration, is_crossed=True)
    text = explain_calibration(dataclasses.replace(warm, calibration=crossed))[1]
    assert "Applied (to each image one that was fitted on others), the gap is" in text


def test_the_page_has_the_parts_of_label_sets() -> None:
    page = render_run_page(make_run_report(metric="map", judged=make_judged_labels()))
    sections = [e.get("id") for e in parse(page).iter() if read_tag(e) == "section"]
    assert sections == [
        *("setup", "images", "training", "scores", "classes", "labels", "additions", "mistakes"),
        *("integrity", "repeat"),
    ]
    text = read_text(page)
    judgement = make_judged_labels().headline
    assert f"{judgement.metrics['map'].value:.3f}" in text
    assert "Lower is better for: Binary cross-entropy, Hamming loss." in text
    assert "Mean average precision on 60 validation images" in text


def test_where_the_thresholds_came_from() -> None:
    targets = np.eye(3)
    assert "at least 0.5" in explain_thresholds(judge_sets(targets, targets))
    stored = explain_thresholds(judge_sets(targets, targets, thresholds=0.25))
    assert stored.endswith("Stored: 0.250 for every class.")
    crossed = judge_sets(targets, targets, thresholds=[0.2, 0.3, 0.4], crossed=np.full((3, 3), 0.5))
    text = explain_thresholds(crossed)
    assert "searched on the other parts of 5." in text
    assert text.endswith("Stored: one for each class, 0.200 to 0.400.")


def test_each_class_of_label_sets_has_its_row() -> None:
    table = tabulate_classes(judge_sets(GIVEN, TARGETS, thresholds=0.25))
    assert table.head[:3] == ["Class", "Judged on", "Given to"]
    ash, birch, cedar = ([getattr(cell, "text", cell) for cell in row] for row in table.rows)
    assert ash[:3] == ["ash", "3", "2"]
    assert birch[:3] == ["birch", "1", "3"]
    assert birch[-3:] == ["33.3 %", "100.0 %", "0.500"]
    # No image has cedar: it has no average precision and no recall.
    assert cedar[1:4] == ["0", "2", "–"]


def test_thresholds_that_differ_have_a_column() -> None:
    targets = np.eye(3)
    assert "Threshold" not in tabulate_classes(judge_sets(targets, targets, thresholds=0.25)).head
    other = tabulate_classes(judge_sets(targets, targets, thresholds=[0.2, 0.3, 0.4]), (7, 8, 9))
    assert other.head[:5] == ["Class", "Trained on", "Judged on", "Given to", "Threshold"]
    assert [row[4] for row in other.rows] == ["0.200", "0.300", "0.400"]


def test_labels_too_many() -> None:
    rows = tabulate_mistakes(judge_sets(GIVEN, TARGETS, thresholds=0.25), 10).rows
    assert rows[:2] == [["birch", "ash", "2", "100 % of 2"], ["cedar", "ash", "1", "33 % of 3"]]
    perfect = judge_sets(TARGETS, TARGETS)
    assert describe_judgement(perfect)[2].startswith("No image with labels of its own was given")
    assert explain_mistakes(perfect, 0) == ""
    wrong = judge_sets(np.ones((2, 3)), np.eye(3)[:2])
    assert explain_mistakes(wrong, 2).startswith(
        "2 of 2 images were not given exactly the labels that they have. Those of the greatest "
    )


def test_mistakes_are_the_most_confident_first_with_their_pictures() -> None:
    probabilities = np.array([[0.3, 0.6, 0.1], [0.8, 0.1, 0.1], [0.0, 0.1, 0.9], [0.0, 0.3, 0.7]])
    answers = make_answers(CLASSES, np.eye(3)[[0, 0, 1, 2]], probabilities)
    found = list_mistakes(answers, limit=5)
    assert [(each.position, each.shown_class, each.titles, each.lines) for each in found] == [
        (2, 2, ("cedar 90 %",), ("is birch (10 %)",)),
        (0, 1, ("birch 60 %",), ("is ash (30 %)",)),
    ]
    assert found[0].picture(answers, None).alt == "2.png; cedar 90 %; is birch (10 %)"


def test_wrong_label_sets_name_what_is_missed_and_too_many() -> None:
    probabilities = np.array([[0.9] + [0.1] * 5, [0.9] + [0.1] * 4 + [0.7]])
    targets = np.array([[1] * 6, [1] + [0] * 5])
    answers = make_answers("abcdef", targets, probabilities, thresholds=np.full((2, 6), 0.5))
    first, second = list_mistakes(answers)
    assert (first.shown_class, second.shown_class) == (1, 5)
    assert first.titles == ("Missed: b 10 %, c 10 %, d 10 %, e 10 % and 1 more",)
    assert first.lines == ("right: a",)
    assert second.titles == ("Too many: f 70 %",)
