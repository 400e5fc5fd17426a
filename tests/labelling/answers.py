"""Answers of made-up labellers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfclassify.data.journals import Answer

CLASSES = ("pen", "pencil", "ruler", "rubber")


def answers_of(table: Mapping[str, Sequence[str]]) -> list[Answer]:
    """Make answers of columns: a labeller's word for images 0, 1, …; "" is no answer.

    Several labels are joined by ``|``, ``-`` is none of them, ``pen/blue`` has a sub-label.
    """
    answers = []
    for labeller, words in table.items():
        for number, word in enumerate(words):
            if not word:
                continue
            label, _, sublabel = word.partition("/")
            labels = () if label == "-" else tuple(label.split("|"))
            answers.append(Answer(f"{number:04d}.jpg", labeller, labels, sublabel))
    return answers


def draw_answers(
    images: int, labellers: int, *, seed: int, error: float = 0.3, missing: float = 0.0
) -> dict[str, list[str]]:
    """Draw a table of ``answers_of``: labellers who err on their own."""
    generator = np.random.default_rng(seed)
    true = generator.integers(4, size=images)
    table = {}
    for number in range(labellers):
        said = np.where(generator.random(images) < error, generator.integers(4, size=images), true)
        is_there = generator.random(images) >= missing
        table[f"labeller {number}"] = [
            CLASSES[code] if there else "" for code, there in zip(said, is_there, strict=True)
        ]
    return table
