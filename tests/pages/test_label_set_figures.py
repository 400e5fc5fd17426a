from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET

import numpy as np

from tests.data.builders import make_set_index
from tests.pages.contents import make_inspect_report, make_run_report
from tests.pages.test_figures import read_texts
from tfclassify.data.statistics import LabelSets, count_label_sets
from tfclassify.pages.content import DataSummary
from tfclassify.pages.figures import draw_inspect_figures, draw_run_figures
from tfclassify.pages.label_set_figures import (
    SHOWN_CLASSES,
    choose_shown,
    draw_co_occurrence,
    draw_labels_per_image,
)
from tfclassify.pages.page import render_inspect_page

SETS = count_label_sets(make_set_index(["ab", "a", "", "abc", "bc", "a", "a"]))


def make_many(count: int) -> LabelSets:
    """Make classes of which the first has the fewest images; all are together somewhere."""
    together = np.full((count, count), 2) + np.diag(np.arange(count))
    names = tuple(f"class number {number}" for number in range(count))
    return LabelSets(names, (0, 50), tuple(map(tuple, together.tolist())))


def make_summary() -> DataSummary:
    return DataSummary("tags.csv", SETS.classes, {"all": (5, 3, 2)}, {"all": 7}, SETS)


def test_labels_an_image_are_written() -> None:
    drawing = draw_labels_per_image(SETS)
    # One without, three with one, two with two, one with three.
    assert drawing.alt == "7 images with 10 labels, 1.43 an image, from 0 to 3."
    texts = read_texts(drawing)
    assert texts.count("1") >= 2
    assert {"2", "3", "labels on an image"} <= set(texts)


def test_labels_an_image_of_no_image() -> None:
    drawing = draw_labels_per_image(LabelSets(("a",), (0,), ((0,),)))
    assert drawing.alt == "0 images with 0 labels, 0.00 an image, from 0 to 0."


def test_shares_of_a_row_are_written() -> None:
    drawing = draw_co_occurrence(SETS)
    assert drawing is not None
    texts = read_texts(drawing)
    # Of 5 with a, 2 have b and 1 has c; of 3 with b, 2 and 2; of 2 with c, 1 and 2.
    for share in ("40", "20", "67", "50", "100"):
        assert share in texts
    assert drawing.alt == (
        "Which of 3 classes are together: most often a with b in 2 images, b with c in 2 "
        "images, a with c in 1 image."
    )


def test_classes_that_never_meet() -> None:
    drawing = draw_co_occurrence(count_label_sets(make_set_index(["a", "b", ""])))
    assert drawing is not None
    assert drawing.alt == "Which of 2 classes are together: no two are in one image."


def test_one_class_has_no_matrix() -> None:
    assert draw_co_occurrence(count_label_sets(make_set_index(["a", ""]))) is None


def test_of_many_classes_the_most_frequent_are_shown_in_their_order() -> None:
    many = make_many(80)
    assert choose_shown(many) == list(range(80 - SHOWN_CLASSES, 80))
    drawing = draw_co_occurrence(many)
    assert drawing is not None
    assert drawing.alt.startswith("Which of the 40 most frequent of 80 classes are together")
    assert len(drawing.svg) < 300_000
    ET.fromstring(drawing.svg)


def test_reports_have_the_figures_where_there_are_several_labels() -> None:
    figures = draw_inspect_figures(make_inspect_report(data=make_summary()))
    assert set(figures) == {"class_histogram", "labels_per_image", "co_occurrence", "image_sizes"}
    run = draw_run_figures(make_run_report(data=make_summary(), verdict=None))
    assert {"labels_per_image", "co_occurrence"} <= set(run)


def test_a_page_shows_pairs_and_counts_images_once() -> None:
    page = render_inspect_page(make_inspect_report(data=make_summary()))
    assert "1.43 labels an image." in page
    assert "Most frequent pairs" in page
    assert "7 images of 3 classes" in page
    alone = dataclasses.replace(make_summary(), label_sets=make_lonely())
    assert "Most frequent pairs" not in render_inspect_page(make_inspect_report(data=alone))


def make_lonely() -> LabelSets:
    return LabelSets(("a", "b", "c"), (0, 2), ((2, 0, 0), (0, 0, 0), (0, 0, 0)))
