"""The page of a data source, the tables and the figures of images."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET

import numpy as np

from tests.data.builders import make_set_index
from tests.pages.contents import (
    make_clean,
    make_data,
    make_inspect_report,
    make_integrity,
    make_run_report,
    read_text,
    read_texts,
)
from tfclassify.data.index import Index, make_frame
from tfclassify.data.integrity import Finding, IntegrityReport
from tfclassify.data.statistics import LabelSets, count_label_sets
from tfclassify.pages.charts import MOST_ROWS
from tfclassify.pages.data_page import (
    SHOWN_CLASSES,
    DataSummary,
    choose_shown,
    describe_integrity,
    describe_label_sets,
    draw_class_histogram,
    draw_co_occurrence,
    draw_image_sizes,
    draw_inspect_figures,
    draw_labels_per_image,
    render_inspect_page,
    summarise_data,
)
from tfclassify.pages.run_page import draw_run_figures, render_run_page

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
    assert drawing.alt == "7 images with 10 labels, 1.43 per image, from 0 to 3."
    texts = read_texts(drawing)
    assert texts.count("1") >= 2
    assert {"2", "3", "labels of an image"} <= set(texts)


def test_labels_an_image_of_no_image() -> None:
    drawing = draw_labels_per_image(LabelSets(("a",), (0,), ((0,),)))
    assert drawing.alt == "0 images with 0 labels, 0.00 per image, from 0 to 0."


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
    run = draw_run_figures(make_run_report(data=make_summary(), judged=None))
    assert {"labels_per_image", "co_occurrence"} <= set(run)


def test_a_page_shows_pairs_and_counts_images_once() -> None:
    page = render_inspect_page(make_inspect_report(data=make_summary()))
    assert "1.43 labels per image." in page
    assert "Most frequent pairs" in page
    assert "7 images of 3 classes" in page
    alone = dataclasses.replace(make_summary(), label_sets=make_lonely())
    assert "Most frequent pairs" not in render_inspect_page(make_inspect_report(data=alone))


def make_lonely() -> LabelSets:
    return LabelSets(("a", "b", "c"), (0, 2), ((2, 0, 0), (0, 0, 0), (0, 0, 0)))


def test_data_on_a_terminal() -> None:
    lines = make_data().table.to_text().split("\n")
    assert lines[0].split() == ["Class", "Train", "Validation", "Images"]
    assert lines[2].split() == ["ash", "10", "5", "15"]
    assert lines[-1].split() == ["All", "images", "33", "15", "48"]
    whole = DataSummary("x", ("a", "b"), {"all": (1000, 2)})
    assert whole.table.to_text().split("\n")[2:] == [
        "a            1,000",
        "b                2",
        "All images   1,002",
    ]


def test_images_of_an_index_are_counted() -> None:
    summary = summarise_data(make_set_index(["ab", "a", "", "b"]), "tags.csv")
    assert summary.counts == {"train": (2, 2)} or summary.counts == {"all": (2, 2)}
    assert summary.total() == 4
    assert summary.is_multi_label
    assert summary.class_totals == [("a", 2), ("b", 2)]


def test_integrity_on_a_terminal() -> None:
    text = describe_integrity(make_integrity())
    assert text.startswith("90 images checked, 1 quarantined\n\n")
    assert "truncated        quarantined       1" in text
    assert "exact duplicate (remark):\n  birch/twice.jpg: as once.jpg" in text
    assert describe_integrity(make_clean(1)) == "1 image checked: all readable, nothing unusual."


def test_integrity_names_the_first_few() -> None:
    rows = tuple(Finding(f"{n}\x1b.jpg", "duplicate", "") for n in range(5))
    text = describe_integrity(IntegrityReport("x", 9, 0, rows), listed=2)
    assert text.endswith("exact duplicate (remark):\n  0�.jpg\n  1�.jpg\n  and 3 more")
    about_class = (Finding("", "few_images", "class 'ash' has 2 images"),)
    text = describe_integrity(IntegrityReport("x", 9, 0, about_class))
    assert text.endswith("\n  class 'ash' has 2 images")


def test_long_lists_of_findings_are_cut() -> None:
    rows = tuple(Finding(f"{n}.jpg", "duplicate", "") for n in range(250))
    report = make_run_report(integrity=IntegrityReport("x", 300, 0, rows))
    text = read_text(render_run_page(report, {}))
    assert "199.jpg" in text
    assert "200.jpg" not in text
    assert "And 50 more." in text
    assert "Remarks (250)" in text


def test_what_somebody_corrected_is_counted_in_the_report() -> None:
    rows = (
        Finding("a.jpg", "relabelled", "from ash to oak"),
        Finding("b.jpg", "relabelled", "from oak to ash"),
        Finding("c.jpg", "dropped", "no tree"),
    )
    text = read_text(
        render_run_page(make_run_report(integrity=IntegrityReport("x", 9, 0, rows)), {})
    )
    assert re.search(r"relabelled by data\.corrections\D+2\b", text)
    assert re.search(r"left out by data\.corrections\D+1\b", text)


def test_labels_and_pairs_on_a_terminal() -> None:
    text = describe_label_sets(count_label_sets(make_set_index(["ab", "ab", "", "bc"])))
    assert text == (
        "6 labels on 4 images, 1.50 per image\n"
        "\n"
        "Labels  Images   Share\n"
        "------  ------  ------\n"
        "     0       1  25.0 %\n"
        "     1       0   0.0 %\n"
        "     2       3  75.0 %\n"
        "\n"
        "Class  With  Images\n"
        "-----  ----  ------\n"
        "a      b          2\n"
        "b      c          1"
    )
    apart = describe_label_sets(count_label_sets(make_set_index(["a", "b"])))
    assert "With" not in apart


def test_a_page_without_a_readable_image() -> None:
    report = make_inspect_report(sizes=(), mean=None, std=None, samples={}, commands=())
    assert set(draw_inspect_figures(report)) == {"class_histogram"}
    assert "No image could be read." in read_text(render_inspect_page(report))


def test_a_page_says_sizes_and_colours() -> None:
    report = make_inspect_report(sizes=((96, 64), (96, 64), (200, 100)))
    assert set(draw_inspect_figures(report)) == {"class_histogram", "image_sizes"}
    text = read_text(render_inspect_page(report))
    assert "Most frequent 96 × 64 pixels (2)" in text
    assert "Median 96 × 64 pixels" in text
    assert "Smallest 96 × 64 pixels Largest 200 × 100 pixels Different sizes 2" in text
    assert "0.500, 0.400, 0.300" in text


def test_histogram_writes_the_totals() -> None:
    drawing = draw_class_histogram(make_data())
    texts = read_texts(drawing)
    assert [text for text in texts if text in ("15", "16", "17")][-3:] == ["15", "16", "17"]
    assert {"train", "validation"} <= set(texts)
    assert drawing.alt == "48 images of 3 classes, from 15 (ash) to 17 (cedar)."
    assert "train" not in read_texts(draw_class_histogram(make_data(split=False)))


def test_of_very_many_classes_the_largest_and_the_smallest_are_drawn() -> None:
    counts = tuple(range(5_000, 15_000))
    data = DataSummary("x", tuple(f"kind {number}" for number in counts), {"all": counts})
    assert data.drawn_classes == [*range(50), *range(9_950, 10_000)]
    names = [text for text in read_texts(draw_class_histogram(data)) if text.startswith("kind")]
    assert (len(names), names[0], names[-1]) == (MOST_ROWS, "kind 5000", "kind 14999")


def test_histogram_of_nothing() -> None:
    empty = draw_class_histogram(DataSummary("x", (), {}))
    assert empty.alt == "Images of each class: there are no classes."
    none = draw_class_histogram(DataSummary("x", ("a",), {"all": (0,)}))
    assert none.alt == "0 images of 1 class, from 0 (a) to 0 (a)."
    assert {"a", "0"} <= set(read_texts(none))


def test_sizes_are_joined_where_there_are_many() -> None:
    assert draw_image_sizes([]) is None
    sizes = [(96, 96)] * 5 + [(100, 50)]
    alt = "6 images in 2 sizes; the most frequent is 96 × 96 pixels (5)."
    assert draw_image_sizes(sizes).alt == alt
    many = np.random.default_rng(0).integers(1, 4000, size=(20_000, 2)).tolist()
    assert len(draw_image_sizes([tuple(size) for size in many]).svg) < 500_000


def test_images_without_labels_are_counted() -> None:
    names = [f"{number}.png" for number in range(3)]
    summary = summarise_data(Index(make_frame(names, names), (), "made"), "x", is_split=False)
    assert summary.table.to_text().splitlines()[2:] == ["All images       3"]
    assert not summary.is_multi_label
