"""Hypothesis strategies: names, indexes and wishes about labels, of any text."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tfclassify.data.index import Index, make_frame

#: What the file system and the readers can bring: any text but half characters and zeros.
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
#: Texts that tables, spreadsheets and number readers take for something else.
odd_texts = st.sampled_from(
    (
        *("=cmd()", "'=x", "'", "''", "-1", "+a", "@b", "NA", "nan", "None", "null", "007", "1e5"),
        *(
            "a,b",
            'a"b',
            "a\nb",
            "a\rb",
            "a\r\nb",
            "\ta",
            " a ",
            "true",
            "\u202e",
            "\\",
            "|",
            "a\r=b",
        ),
    )
)
names = odd_texts | texts
labels = st.sampled_from("abcd") | odd_texts


@st.composite
def indexes(draw: st.DrawFn, is_multi_label: bool = False) -> Index:
    """Draw an index of up to eight images, scanned or not, split or not."""
    images = draw(st.lists(names, unique=True, max_size=8))
    count = len(images)

    def column(strategy: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(strategy, min_size=count, max_size=count))

    classes = draw(st.lists(names.filter(lambda name: name and "|" not in name), unique=True))
    sets = st.lists(st.sampled_from(classes), unique=True) if classes else st.just([])
    joined = sets.map(lambda chosen: "|".join(name for name in classes if name in chosen))
    single = st.sampled_from(["", *classes])
    frame = make_frame(
        images,
        column(names),
        label=column(joined if is_multi_label else single),
        group=column(names),
        split=column(st.sampled_from(["", "train", "validation", "test"])),
        weight=column(st.floats(1e-9, 1e9)),
        flags=column(names),
        status=column(st.sampled_from(["ok", "quarantined"])),
        reason=column(names),
        sha256=column(st.sampled_from(["", "0" * 64, "a1" * 32])),
        width=column(st.integers(0, 10**6)),
        height=column(st.integers(0, 10**6)),
    )
    return Index(frame, tuple(classes), draw(names), is_multi_label)


#: ``drop_labels``, ``merge_classes``, ``top_classes`` and ``classes`` of a recipe.
wishes = st.fixed_dictionaries(
    {},
    optional={
        "drop_labels": st.lists(labels, unique=True, max_size=2).map(tuple),
        "merge_classes": st.dictionaries(
            labels, st.lists(labels, min_size=1, max_size=2).map(tuple), max_size=2
        ),
        "top_classes": st.integers(2, 5),
        "classes": st.lists(labels, unique=True, min_size=2, max_size=6).map(tuple),
    },
)
