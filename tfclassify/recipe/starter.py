"""A first recipe for someone's own photos: short, commented, fitted to what was found.

Owns: the choice of values from the facts of a data source, and the recipe's text.
Does not own: looking at the source (``data``), writing the file (``workflows``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal

from tfclassify.recipe.document import read_document, render_inline
from tfclassify.recipe.loading import build_recipe

#: The pretrained network needs some pixels, and was trained on 224.
_SMALLEST, _LARGEST, _STEP = 64, 224, 32
_IMBALANCE = 1.5
#: Lean to one side above which a mirrored image is another thing: photos have about 0.01,
#: handwritten digits 0.35.
_LEAN = 0.1
#: Images in all and of the smallest class from which a test part can be spared.
_TEST_IMAGES, _TEST_SMALLEST = 500, 20
#: What the epochs of fine-tuning may take, where the machine's speed is known.
_SECONDS = 3600


@dataclass(frozen=True)
class SourceFacts:
    """What is known of a data source before its first recipe.

    Attributes:
        source: What ``data.source`` will be.
        counts: Class name to number of images.
        size: Median ``(height, width)`` of the images, in pixels.
        has_groups: Whether images are known to belong to persons, sites or series.
        has_split: Whether the source says what is training and what is validation.
        data: Further keys of the ``data`` section that reading the source needs, such as
            ``table`` and ``columns``.
        task: ``multi_class`` or ``multi_label``.
        remarks: What the source was taken for, one line each.
        lean: How far images of a class lean to one side, 0 to 1
            (``data.statistics.measure_lean``).
        images_per_second: About how many images of 224 x 224 a second the machine
            fine-tunes on; None if that is no concern.
    """

    source: str
    counts: Mapping[str, int]
    size: tuple[int, int]
    has_groups: bool = False
    has_split: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)
    task: Literal["multi_class", "multi_label"] = "multi_class"
    remarks: Sequence[str] = ()
    lean: float = 0.0
    images_per_second: float | None = None

    @property
    def images(self) -> int:
        """Number of labelled images."""
        return sum(self.counts.values())

    @property
    def imbalance(self) -> float:
        """Images of the largest class over those of the smallest; 1 if there is none."""
        filled = [count for count in self.counts.values() if count > 0]
        return max(filled) / min(filled) if filled else 1.0


def write_starter(name: str, facts: SourceFacts) -> str:
    """Write the text of a recipe that trains on a source at once.

    Args:
        name: The recipe's name: letters, digits, dot, dash and underscore.
        facts: What was found in the source.

    Returns:
        YAML with comments.

    Raises:
        RecipeError: If the name, or a fact, cannot stand in a recipe.
    """
    is_multi_label = facts.task == "multi_label"
    is_balanced = facts.imbalance <= _IMBALANCE or is_multi_label
    can_flip = facts.lean <= _LEAN
    lines = [
        *_write_header(name, facts),
        f"name: {render_inline(name)}",
        *(["task: multi_label  # any number of labels an image"] if is_multi_label else []),
        *_write_data(facts),
        *_write_augment(can_flip),
        "model:",
        "  # Its ImageNet weights come with tfclassify; `tfclassify backbones` lists the others.",
        "  backbone: efficientnet_lite0",
        "  head: {dropout: 0.3}",
        *([] if is_balanced else _write_imbalance(facts)),
        *_write_phases(facts),
        "keep_phase: best  # whichever phase does better on the validation images",
        "# Predictions average these views of an image.",
        "tta: {flips: [horizontal]}" if can_flip else "tta: {shift: 0.05}",
    ]
    text = "\n".join(lines) + "\n"
    # Without its lines: nobody has written or seen the text that a problem is in.
    build_recipe(read_document(text).content, f"a recipe {name!r} for {facts.source}")
    return text


def _write_header(name: str, facts: SourceFacts) -> list[str]:
    classes = f"{len(facts.counts)} classes"
    if facts.counts:
        few, many = min(facts.counts.values()), max(facts.counts.values())
        each = f"{few:,}" if few == many else f"{few:,} to {many:,}"
        classes += f" of {each} images"
    height, width = facts.size
    counted = "labels" if facts.task == "multi_label" else "images"
    return [
        f"# {facts.images:,} {counted} in {classes}, typically {height} pixels high and {width} "
        "wide.",
        *(f"#   {_to_comment(remark)}" for remark in facts.remarks),
        "#",
        f"#   tfclassify check {name}.yaml      what will be trained, and how long it takes",
        f"#   tfclassify preview {name}.yaml    what the model will see",
        f"#   tfclassify train {name}.yaml",
        "#",
        "# Every key and its default: `tfclassify schema`.",
    ]


def choose_image_size(size: tuple[int, int]) -> int:
    """Return the side that photos of a median ``(height, width)`` are brought to.

    It is the shorter side, up to the next multiple of 32, from 64 to 224 pixels.

    Example:
        >>> choose_image_size((96, 120)), choose_image_size((3000, 4000))
        (96, 224)
    """
    shorter = -(-min(size) // _STEP) * _STEP
    return max(_SMALLEST, min(_LARGEST, shorter))


def _write_data(facts: SourceFacts) -> list[str]:
    lines = ["data:", f"  source: {render_inline(_word_source(facts.source))}"]
    lines += [f"  {key}: {render_inline(_to_plain(value))}" for key, value in facts.data.items()]
    lines.append(f"  image_size: {choose_image_size(facts.size)}")
    height, width = facts.size
    if max(height, width) > 1.25 * min(height, width):
        lines.append("  resize: letterbox  # keeps the shape of things; also: crop, stretch")
    if facts.has_split:
        lines.append("  # The source says itself what is for training and what for validation.")
        return lines
    share = 0.1 if facts.images > 20_000 else 0.2
    kept = "; images of one group stay on one side" if facts.has_groups else ""
    smallest = min(facts.counts.values(), default=0)
    if facts.images < _TEST_IMAGES or smallest < _TEST_SMALLEST:
        return [*lines, f"  validation: {share}  # share held out to judge by{kept}"]
    share = 0.1 if facts.images > 20_000 else 0.15
    return [
        *lines,
        f"  validation: {share}  # share that chooses the epoch and the phase{kept}",
        f"  test: {share}  # share that nothing looks at before the end: the score to quote",
    ]


def _word_source(source: str) -> str:
    """Write a local path the way it reads on every system."""
    return (
        source if "://" in source or source.startswith("builtin:") else PurePath(source).as_posix()
    )


def _to_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _to_plain(item) for key, item in value.items()}
    return [_to_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _to_comment(text: str) -> str:
    """Write text on one line that no YAML reader takes for anything else."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _write_augment(can_flip: bool) -> list[str]:
    flip = "  flip: [horizontal]"
    if not can_flip:
        flip = "  flip: []  # the images lean to one side, as digits do: mirrored they are others"
    return [
        "augment:",
        "  # Only changes after which a person would still give the same label.",
        flip,
        "  rotate: 0.05  # up to 18 degrees to either side",
        "  zoom: 0.1",
        "  shift: 0.05",
        "  brightness: 0.1",
        "  contrast: 0.1",
    ]


def _write_imbalance(facts: SourceFacts) -> list[str]:
    ratio = f"{facts.imbalance:.1f}".removesuffix(".0")
    return [
        f"# The largest class has {ratio} times the images of the smallest.",
        "class_weights: balanced",
        "metric: balanced_accuracy",
    ]


def _write_phases(facts: SourceFacts) -> list[str]:
    """Choose lengths so that small and large sources take a like number of steps."""
    views = 8 if facts.images < 500 else 4 if facts.images < 5_000 else 1
    epochs = 20 if facts.images < 5_000 else 10 if facts.images < 50_000 else 4
    told = ""
    if facts.images_per_second is not None:
        area = (choose_image_size(facts.size) / _LARGEST) ** 2
        epoch = max(1.0, facts.images * area / facts.images_per_second)
        if epochs * epoch > _SECONDS:
            epochs = max(2, int(_SECONDS / epoch))
            told = "  # as many as fit into about an hour on this machine; more is better"
    return [
        "phases:",
        "  # First the new head alone, on stored features of the frozen network: quick.",
        "  - name: head",
        "    train: head",
        "    epochs: 30",
        "    learning_rate: 2.0e-3",
        f"    features: {{views: {views}}}",
        "    early_stopping: {patience: 5}",
        "  # Then everything, gently.",
        "  - name: whole",
        "    train: all",
        f"    epochs: {epochs}{told}",
        "    learning_rate: 3.0e-4",
        "    schedule: cosine",
    ]
