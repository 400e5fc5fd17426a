from __future__ import annotations

from typing import Any

import pytest

from tests.recipe.test_problems import describe, make_recipe

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
            "data.source: must be a local path, an https URL or builtin:digits, got "
            "'s3://bucket/a.zip'"
        ],
    ),
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
