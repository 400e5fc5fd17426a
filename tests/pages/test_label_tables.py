from __future__ import annotations

from tests.data.builders import make_set_index
from tfclassify.data.statistics import count_label_sets
from tfclassify.pages.label_tables import tabulate_label_sets


def test_labels_and_pairs_are_listed() -> None:
    text = tabulate_label_sets(count_label_sets(make_set_index(["ab", "ab", "", "bc"])))
    assert text == (
        "6 labels on 4 images, 1.50 an image\n"
        "\n"
        "labels  images   share\n"
        "------  ------  ------\n"
        "     0       1  25.0 %\n"
        "     1       0   0.0 %\n"
        "     2       3  75.0 %\n"
        "\n"
        "together  with  images\n"
        "--------  ----  ------\n"
        "a         b          2\n"
        "b         c          1"
    )


def test_classes_that_never_meet() -> None:
    text = tabulate_label_sets(count_label_sets(make_set_index(["a", "b"])))
    assert "together" not in text
