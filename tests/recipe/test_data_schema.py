from __future__ import annotations

from typing import Any

import pytest

from tests.recipe.builders import describe, make_recipe

URL = "https://example.org/photos.zip"

CASES: list[tuple[dict[str, Any], list[str]]] = [
    ({"data__source": " "}, ["data.source: must not be empty, got ' '"]),
    (
        {"data__source": "builtin:digit"},
        ["data.source: unknown built-in source 'builtin:digit'; there is builtin:digits"],
    ),
    (
        {"data__source": "http://example.org/a.zip"},
        [
            "data.source: must use https, got 'http://example.org/a.zip'; http can be changed on "
            "the way"
        ],
    ),
    (
        {"data__source": "s3://bucket/a.zip"},
        [
            "data.source: must be a local path, an https URL, builtin:digits or the address of "
            "packed shards, got 's3://bucket/a.zip'; fetch that file, or pack what is in it"
        ],
    ),
    ({"data__source": "s3://bucket/shards", "task": "multi_label"}, []),
    ({"data__source": "HF://datasets/a/b"}, []),
    (
        {"data__source": "sq3://bucket/shards"},
        [
            "data.source: got 'sq3://bucket/shards'; shards are not read from sq3://, allowed are "
            "s3://, s3a://, gs://, gcs://, az://, abfs://, abfss://, adl://, oci://, oss://, "
            "hf://, hdfs://, webhdfs://, sftp://, ssh://, smb://, file://, local://, memory:// "
            "and https:// with data.sha256 for one file; did you mean 's3'?"
        ],
    ),
    (
        {"data__cache": "memory", "data__cache_gb": 2.5},
        [
            "data.cache_gb: bounds what cache: auto keeps in memory, got 2.5 with cache: memory; "
            "remove one of the two"
        ],
    ),
    ({"data__cache_gb": 2.5}, []),
    (
        {"data__source": URL},
        [
            "data.sha256: missing; a URL needs the file's SHA-256, so that what arrives is what "
            "was meant"
        ],
    ),
    ({"data__source": URL, "data__sha256": "0" * 64}, []),
    (
        {"data__source": "builtin:digits", "data__table": "t.csv"},
        ["data.table: source 'builtin:digits' has no table, got 't.csv'"],
    ),
    (
        {"data__columns": {"label": "kind"}, "data__extension": ".jpg", "data__separator": ";"},
        [
            "data.columns: describes a table, got its own names without one; name the CSV in "
            "data.table",
            "data.extension: describes a table, got '.jpg' without one; name the CSV in data.table",
            "data.separator: describes a table, got ';' without one; name the CSV in data.table",
        ],
    ),
    ({"data__source": "photos/LABELS.CSV", "data__columns": {"label": "kind"}}, []),
    (
        {"data__validation": 0.5, "data__test": 0.5},
        [
            "data.test: validation and test together must stay below 1, got 0.5 + 0.5: nothing is "
            "left to train on"
        ],
    ),
    (
        {"augment__erasing": {"area": [0.5, 0.1]}},
        ["augment.erasing.area: must be [low, high], got [0.5, 0.1]"],
    ),
    (
        {"data__classes": ["a", "b", "a"], "data__drop_labels": ["b"]},
        [
            "data.classes[1]: 'b' is also in drop_labels; remove one",
            "data.classes: class 'a' is listed 2 times",
        ],
    ),
    ({"data__classes": ["a"]}, ["data.classes: must have at least 2 names, got ['a']"]),
    (
        {
            "data__merge_classes": {
                "top": ["shirt", "polo"],
                "warm": ["polo"],
                "x": [],
                "d": ["e"],
            },
            "data__drop_labels": ["shirt", "d"],
        },
        [
            "data.merge_classes.top[0]: 'shirt' is also in drop_labels; merge it or drop it",
            "data.merge_classes.warm[0]: 'polo' already goes into 'top'",
            "data.merge_classes.x: must name at least one label, got []",
            "data.merge_classes.d: the new class 'd' is also in drop_labels; remove one",
        ],
    ),
    (
        {
            "class_weights": {"a": 1.0, "tulp": 2.0, "zz": 1, "gone": 1, "part": 1, "whole": 1},
            "data__classes": ["a", "tulip", "whole"],
            "data__drop_labels": ["gone"],
            "data__merge_classes": {"whole": ["part"]},
        },
        [
            "class_weights.tulp: unknown class 'tulp'; did you mean 'tulip'?",
            "class_weights.zz: unknown class 'zz'; allowed are a, tulip and whole",
            "class_weights.gone: class 'gone' is in data.drop_labels, so a weight has no effect",
            "class_weights.part: class 'part' is merged into 'whole'; give that a weight",
        ],
    ),
    # Without declared classes a name can only be judged with the images at hand.
    ({"class_weights": {"anything": 2.0}}, []),
    # A class may keep its name while it takes in others.
    ({"class_weights": {"a": 2.0}, "data__merge_classes": {"a": ["a", "b"]}}, []),
]


@pytest.mark.parametrize(("changes", "messages"), CASES)
def test_data_that_cannot_be_as_described(changes: dict[str, Any], messages: list[str]) -> None:
    assert describe(make_recipe(**changes)) == messages


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

LABEL_CASES: list[tuple[dict[str, Any], list[str]]] = [
    (
        {
            "data__table": "t.csv",
            "data__columns": {"one_hot": ["a"]},
            "data__label_separator": ";",
            "data__coco": COCO,
        },
        [
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


@pytest.mark.parametrize(("changes", "messages"), LABEL_CASES)
def test_labels_and_marks_that_cannot_be_as_described(
    changes: dict[str, Any], messages: list[str]
) -> None:
    assert describe(make_recipe(**changes)) == messages
