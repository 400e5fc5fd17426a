"""Hypothesis strategies: recipes that are right, and documents that may be anything."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from tfclassify.recipe.names import (
    ACTIVATION_NAMES,
    BACKBONE_NAMES,
    INITIALIZER_NAMES,
    METRIC_NAMES,
)

#: Other work on the machine must not fail a test.
quick = settings(deadline=None, max_examples=60)

shares = st.floats(0.0, 0.99)
fractions = st.floats(0.0, 1.0)
rates = st.floats(1e-12, 100.0)
metrics = st.sampled_from(METRIC_NAMES)
texts = st.text(max_size=20)
numbers = st.floats(-1.0, 1.0)
pairs = st.one_of(numbers, st.tuples(numbers, numbers).map(sorted))


def some(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw a mapping with any subset of the keys."""
    return st.fixed_dictionaries({}, optional=keys)


labels = st.lists(texts, unique=True, max_size=3)
data = some(
    download_from=texts | st.none(),
    classes=st.none() | st.lists(texts.map("k".__add__), unique=True, min_size=2, max_size=4),
    drop_labels=labels.map(lambda names: [f"dropped {name}" for name in names]),
    merge_classes=st.dictionaries(texts.map("new".__add__), st.just(["merged"]), max_size=1),
    top_classes=st.none() | st.integers(2, 99),
    image_size=st.integers(8, 4096) | st.tuples(st.integers(8, 4096), st.integers(8, 99)).map(list),
    resize=st.sampled_from(["stretch", "crop", "letterbox"]),
    validation=st.sampled_from([0.0, 0, 0.125, 0.5]),
    test=st.floats(0.0, 0.49),
    strict=st.booleans(),
)
table = some(
    columns=some(file=texts, label=texts | st.none(), group=texts | st.none()),
    separator=st.characters(codec="utf-8"),
    extension=texts | st.none(),
    images=texts | st.none(),
)
axes = st.lists(st.sampled_from(["horizontal", "vertical"]), max_size=2)
augment = some(
    flip=axes,
    rotate=pairs,
    hue=pairs,
    zoom=st.floats(0.0, 0.9) | st.just([0.0, 0.15]),
    crop=st.none() | st.tuples(fractions, fractions).map(sorted),
    noise=fractions,
    erasing=st.none() | some(chance=fractions),
    custom=st.dictionaries(st.sampled_from(["sparkle", "a b"]), fractions | st.just([0.1, 0.2])),
    mix=some(cutmix=st.floats(0.0, 0.5), mixup=st.floats(0.0, 0.5), mixup_alpha=rates),
)
head = some(
    pool=st.sampled_from(["average", "max", "flatten"]),
    dropout=shares,
    dense=st.lists(st.integers(1, 65536), max_size=3),
    activation=st.sampled_from(ACTIVATION_NAMES),
    initializer=st.sampled_from(INITIALIZER_NAMES),
    l1=st.floats(0.0, 1e9),
)
layer = st.fixed_dictionaries(
    {"conv": st.integers(1, 512)},
    optional={"activation": st.none() | st.sampled_from(ACTIVATION_NAMES), "dropout": shares},
)
plain_backbones = st.sampled_from([name for name in BACKBONE_NAMES if name != "custom_cnn"])
model = st.one_of(
    st.fixed_dictionaries({"backbone": plain_backbones}, optional={"head": head, "weights": texts}),
    st.fixed_dictionaries(
        {"backbone": st.just("custom_cnn"), "layers": st.lists(layer, min_size=1, max_size=3)},
        optional={"head": head, "weights": st.just("none")},
    ),
)
schedule = st.one_of(
    st.sampled_from(["constant", "cosine", "one_cycle", "exponential"]),
    st.builds(lambda final: {"kind": "cosine", "final": final}, fractions),
)
phase = st.fixed_dictionaries(
    {"epochs": st.integers(1, 10**6)},
    optional={
        "train": st.sampled_from(["head", "all"]) | st.just({"last_blocks": 2}),
        "optimizer": st.sampled_from(["adam", "adamw", "sgd", "rmsprop", "adagrad"]),
        "learning_rate": rates,
        "weight_decay": st.none() | st.floats(0.0, 1.0),
        "schedule": schedule,
        "accumulate": st.integers(1, 1024),
        "ema": st.none() | st.floats(0.001, 0.999),
        "mix": st.booleans(),
    },
)
watching = some(
    early_stopping=st.none() | some(metric=metrics, patience=st.integers(1, 99)),
    keep_best=st.none() | metrics,
)


@st.composite
def recipes(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the content of a recipe file that has no fault."""
    content = draw(
        some(
            description=texts,
            seed=st.integers(0, 2**31 - 1),
            augment=augment,
            loss=some(label_smoothing=shares),
            batch_size=st.integers(1, 65536),
            metric=metrics,
            class_weights=st.sampled_from(["none", "balanced"]),
            tta=st.none() | some(shift=st.floats(0.07, 0.9), flips=axes, zoom=st.just([0.1])),
            runtime=some(deterministic=st.booleans(), jit=st.booleans()),
        )
    )
    content["name"] = draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}", fullmatch=True))
    content["model"] = draw(model)
    content["data"] = draw(data)
    if draw(st.booleans()):
        content["data"] |= {"source": "photos", "table": "t.csv", **draw(table)}
    else:
        content["data"]["source"] = draw(texts.map("photos/".__add__))
    if isinstance(content["data"].get("image_size", 224), int) and content.get("tta"):
        content["tta"] |= draw(some(rotations=st.just([90, 270])))
    has_validation = content["data"].get("validation", 0.2) > 0
    content["phases"] = [
        {
            "name": f"{number} {draw(texts)}",
            **draw(phase),
            **(draw(watching) if has_validation else {}),
        }
        for number in range(draw(st.integers(1, 3)))
    ]
    return content


scalars = (
    st.none() | st.booleans() | st.integers(-(10**29), 10**29) | st.floats() | st.text(max_size=8)
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def damaged_recipes(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a recipe in which one to three values, at any depth, are something else."""
    content = copy.deepcopy(draw(recipes()))  # parts are shared between draws
    for _ in range(draw(st.integers(1, 3))):
        target: Any = content
        while True:
            keys = list(target) if isinstance(target, dict) else list(range(len(target)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inner = target[key]
            if isinstance(inner, (dict, list)) and inner and draw(st.integers(0, 3)):
                target = inner
                continue
            target[key] = draw(anything)
            break
    return content
