from __future__ import annotations

from typing import Any

import pytest

from tests.recipe.test_problems import describe, make_recipe

COCO = {
    "annotations": {"train": "a/train.json", "validation": "a/val.json"},
    "images": {"train": "train", "validation": "val"},
}
TABLE = {"task": "multi_label", "data__table": "labels.csv"}
FLAGS = {"blurred": 2, "dark": 4}
FLAGGED = {
    "data__table": "labels.csv",
    "data__columns": {"flags": "Extra"},
    "data__flags": FLAGS,
}
NO_SETS = "says several labels an image, but the task is multi_class; set task: multi_label, or "

CASES: list[tuple[dict[str, Any], list[str]]] = [
    (
        {
            "data__table": "t.csv",
            "data__columns": {"one_hot": ["a"]},
            "data__label_separator": ";",
            "data__coco": COCO,
        },
        [
            f"data.columns.one_hot: {NO_SETS}remove it",
            f"data.label_separator: {NO_SETS}remove it",
            f"data.coco: {NO_SETS}remove it",
        ],
    ),
    (
        {"task": "multi_label"},
        [
            "task: multi_label needs a source that says several labels an image; name it in "
            "data.columns.one_hot, data.label_separator or data.coco"
        ],
    ),
    ({**TABLE, "data__columns": {"one_hot": "rest"}}, []),
    ({**TABLE, "data__columns": {"one_hot": ["a", "b"], "label": None}}, []),
    ({**TABLE, "data__label_separator": "; "}, []),
    ({"task": "multi_label", "data__coco": COCO}, []),
    ({**TABLE, "data__coco": COCO, "data__columns": {"one_hot": "rest"}}, []),
    (
        {"task": "multi_label", "data__label_separator": ";"},
        [
            "data.label_separator: describes a table, got ';' without one; name the CSV in "
            "data.table"
        ],
    ),
    (
        {**TABLE, "data__columns": {"one_hot": "rest"}, "data__label_separator": ";"},
        ["data.label_separator: got ';' and data.columns.one_hot as well; remove one of the two"],
    ),
    (
        {**TABLE, "data__columns": {"label": None}, "data__label_separator": ";"},
        [
            "data.columns.label: is null, but data.label_separator says that it holds the labels; "
            "name the column"
        ],
    ),
    (
        {**TABLE, "data__columns": {"one_hot": ["a", "part", "a"], "split": "part"}},
        [
            "data.columns.one_hot[1]: column 'part' is already data.columns.split",
            "data.columns.one_hot: column 'a' is listed 2 times",
        ],
    ),
    (
        {**TABLE, "data__columns": {"one_hot": []}, "data__label_separator": ";"},
        ["data.columns.one_hot: must name at least one column, or be rest, got []"],
    ),
    (
        {"task": "multi_label", "data__coco": {"annotations": {"test": "t"}, "images": {}}},
        [
            "data.coco.annotations: must name the split train, got ['test']",
            "data.coco.images: lacks 'test', which has annotations; name its folder",
        ],
    ),
    (
        {
            "task": "multi_label",
            "data__coco": {"annotations": {"train": "t"}, "images": {"train": "t", "test": "u"}},
        },
        ["data.coco.images.test: has no annotations; name them, or remove the folder"],
    ),
    (
        {**TABLE, "data__coco": COCO},
        [
            "data.table: 'labels.csv' is read where there are no annotations; name its labels in "
            "data.columns.one_hot or data.label_separator"
        ],
    ),
    (
        {
            **TABLE,
            "data__label_separator": ";",
            "data__classes": ["a", "b|c"],
            "data__merge_classes": {"d|e": ["a"]},
        },
        [
            "data.classes[1]: class 'b|c' holds '|', which joins names; rename it",
            "data.merge_classes.d|e: class 'd|e' holds '|', which joins names; rename it",
        ],
    ),
    # With one label an image nothing is joined.
    ({"data__classes": ["a", "b|c"]}, []),
    (FLAGGED, []),
    (
        {**FLAGGED, "data__drop_flags": ["dark"], "data__flag_weights": {"blurred": 0.5}},
        [],
    ),
    (
        {"data__table": "t.csv", "data__columns": {"flags": "Extra"}},
        ["data.columns.flags: column 'Extra' needs names for its bits in data.flags"],
    ),
    (
        {"data__flags": FLAGS},
        ["data.flags: name bits of a column; name that column in data.columns.flags"],
    ),
    (
        {**FLAGGED, "data__flags": {"a": 3, "b": 4, "c": 4, "d|e": 8}},
        [
            "data.flags.a: must be a single bit (1, 2, 4, 8, ...), got 3",
            "data.flags.c: bit 4 is already 'b'",
            "data.flags.d|e: must be a name without '|', got 'd|e'",
        ],
    ),
    (
        {
            **FLAGGED,
            "data__drop_flags": ["drak"],
            "data__keep_flags": ["lamp"],
            "data__flag_weights": {"hard": 2.0},
        },
        [
            "data.drop_flags[0]: unknown flag 'drak'; did you mean 'dark'?",
            "data.keep_flags[0]: unknown flag 'lamp'; known are blurred and dark; name its bit in "
            "data.flags",
            "data.flag_weights.hard: unknown flag 'hard'; known are blurred and dark; name its "
            "bit in data.flags",
        ],
    ),
    (
        {"data__drop_flags": ["dark"]},
        ["data.drop_flags[0]: unknown flag 'dark'; name its bit in data.flags"],
    ),
    (
        {
            **FLAGGED,
            "data__drop_flags": ["dark"],
            "data__keep_flags": ["dark"],
            "data__flag_weights": {"dark": 2.0},
        },
        [
            "data.keep_flags[0]: 'dark' is also in drop_flags; remove one",
            "data.flag_weights.dark: 'dark' is also in drop_flags; remove one",
        ],
    ),
]


@pytest.mark.parametrize(("changes", "messages"), CASES)
def test_labels_and_marks_that_cannot_be_as_described(
    changes: dict[str, Any], messages: list[str]
) -> None:
    assert describe(make_recipe(**changes)) == messages
