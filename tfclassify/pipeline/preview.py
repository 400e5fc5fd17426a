"""A sheet of what the network will see.

Owns: the picture. Does not own: what happens to an image (``augmentation``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from tfclassify.augmentations.catalogue import describe_chosen
from tfclassify.errors import DataError
from tfclassify.pipeline.stream import TrainingSet, view_batches
from tfclassify.recipe.schema import AugmentRecipe

PAPER = (255, 255, 255)
INK = (28, 32, 38)
FAINT = (110, 118, 128)
LINE = (222, 226, 231)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

MARGIN = 32
GAP = 12
#: Space that sets the column of originals apart.
GUTTER = 28
HEADER = 84
#: Classes that one caption names; the rest of a soft label is small.
CAPTION_CLASSES = 2
#: The same where images may have several labels.
CAPTION_LABELS = 4
#: Shares below this are left out of captions.
CAPTION_SHARE = 0.005


@dataclass(frozen=True)
class Sheet:
    """Pixels and labels of a sheet, before it is drawn.

    Attributes:
        originals: ``(rows, height, width, 3)`` uint8.
        targets: ``(rows, classes)`` float32, their labels.
        views: ``(rows, columns, height, width, 3)`` uint8, what the network sees.
        labels: ``(rows, columns, classes)`` float32, with what target.
        classes: Class names.
    """

    originals: npt.NDArray[np.uint8]
    targets: npt.NDArray[np.float32]
    views: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.float32]
    classes: tuple[str, ...]

    @property
    def caption_limit(self) -> int:
        """Classes that a caption names: more where an image has several labels, or none."""
        is_single = bool(np.allclose(self.targets.sum(axis=1), 1.0))
        return CAPTION_CLASSES if is_single else CAPTION_LABELS


def draw_preview(
    training_set: TrainingSet,
    augment: AugmentRecipe,
    classes: Sequence[str],
    *,
    versions: int = 6,
    seed: int = 0,
    batch_size: int = 32,
    augmented: bool = True,
    mix: bool = True,
    title: str = "What the network sees in training",
) -> Image.Image:
    """Draw images beside what the first epochs of training make of them.

    Args:
        training_set: The images of the sheet, a few; one is mixed with another of these.
        augment: The recipe's augmentation.
        classes: Class names.
        versions: Epochs shown, one a column.
        seed: The recipe's seed.
        batch_size: Images a batch.
        augmented: Whether any phase of the training changes images one by one.
        mix: Whether any mixes them.
        title: Headline.

    Returns:
        An RGB image: originals in the first column, then one column an epoch, each image
        with its (soft) label.

    Raises:
        DataError: If there are no images or no versions to show.
    """
    sheet = make_sheet(
        training_set,
        augment,
        classes,
        versions=versions,
        seed=seed,
        batch_size=batch_size,
        augmented=augmented,
        mix=mix,
    )
    note = describe_augmentation(augment, augmented=augmented, mix=mix)
    return draw_sheet(sheet, title=title, note=note)


def make_sheet(
    training_set: TrainingSet,
    augment: AugmentRecipe,
    classes: Sequence[str],
    *,
    versions: int,
    seed: int,
    batch_size: int,
    augmented: bool = True,
    mix: bool = True,
) -> Sheet:
    """Run images through the pipeline as ``versions`` epochs of training would.

    Raises:
        DataError: If there are no images or no versions to show.
    """
    count = len(training_set.images)
    if count == 0 or versions < 1:
        raise DataError(
            f"preview: needs at least 1 image and 1 version, got {count} and {versions}"
        )
    views, labels = [], []
    for epoch in range(versions):
        batches = list(
            view_batches(
                training_set,
                augment,
                view=epoch,
                batch_size=batch_size,
                seed=seed,
                augmented=augmented,
                mix=mix,
            )
        )
        pixels = np.concatenate([images.numpy() for images, _, _ in batches])
        views.append(np.rint(pixels).astype(np.uint8))
        labels.append(np.concatenate([targets.numpy() for _, targets, _ in batches]))
    return Sheet(
        originals=training_set.images.read(np.arange(count)),
        targets=training_set.targets,
        views=np.stack(views, axis=1),
        labels=np.stack(labels, axis=1),
        classes=tuple(classes),
    )


def describe_augmentation(
    augment: AugmentRecipe, *, augmented: bool = True, mix: bool = True
) -> str:
    """Name what is switched on, in the words of a report.

    >>> describe_augmentation(AugmentRecipe(flip=("horizontal",), zoom=(0.0, 0.15)))
    'horizontal flip · zoom 0 to 15 %'
    """
    said = describe_chosen(augment) if augmented else []
    for name, chance in (("CutMix", augment.mix.cutmix), ("MixUp", augment.mix.mixup)):
        if mix and chance:
            said.append(f"{name} for {100 * chance:g} % of images")
    return " · ".join(said) or "no augmentation"


def name_shares(
    label: npt.NDArray[np.floating], classes: Sequence[str], limit: int = CAPTION_CLASSES
) -> list[tuple[str, float]]:
    """List the ``limit`` first classes of a soft label with their shares, largest first.

    >>> name_shares(np.array([0.25, 0.0, 0.75]), ["rose", "oak", "tulip"])
    [('tulip', 0.75), ('rose', 0.25)]
    """
    order = np.argsort(-label, kind="stable")[:limit]
    shares = [(classes[number], float(label[number])) for number in order]
    return [(name, share) for name, share in shares if share >= CAPTION_SHARE]


def make_caption(
    label: npt.NDArray[np.floating], classes: Sequence[str], limit: int
) -> list[tuple[str, float]]:
    """List what a caption says, a line each: classes and shares, and what is left out.

    >>> make_caption(np.ones(5), ["oak", "rose", "tulip", "elm", "ash"], 4)
    [('oak', 1.0), ('rose', 1.0), ('tulip', 1.0), ('and 2 more', 1.0)]
    """
    shares = name_shares(label, classes, limit)
    if not shares:
        return [("no label", 1.0)]
    count = int((label >= CAPTION_SHARE).sum())
    if limit == CAPTION_LABELS and count > limit:
        return [*shares[:-1], (f"and {count - limit + 1} more", 1.0)]
    return shares


def draw_sheet(content: Sheet, *, title: str, note: str = "", cell: int = 0) -> Image.Image:
    """Draw a sheet: an original in the first column, what becomes of it to its right.

    Args:
        content: What to draw.
        title: Headline, such as the recipe's name.
        note: Line under the headline.
        cell: Width of an image on the sheet in pixels; 0 chooses one that can be seen well.

    Returns:
        An RGB image.
    """
    rows, columns = content.views.shape[:2]
    height, width = content.originals.shape[1:3]
    cell = cell or max(width, 160)
    size = (cell, max(1, round(cell * height / width)))
    font = ImageFont.load_default(max(11, min(15, cell // 12)))
    line = line_height(font)
    limit = content.caption_limit
    lines = min(limit, max(1, int((content.labels >= CAPTION_SHARE).sum(axis=2).max())))
    pitch = (size[0] + GAP, size[1] + 2 * GAP + lines * line)
    sheet = Image.new(
        "RGB",
        (2 * MARGIN + GUTTER + (columns + 1) * pitch[0] - GAP, MARGIN + HEADER + rows * pitch[1]),
        PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    first = MARGIN + pitch[0] + GUTTER
    _draw_header(draw, sheet.width, first, columns, pitch[0], (title, note))
    for row in range(rows):
        y = MARGIN + HEADER + row * pitch[1]
        cells = [(MARGIN, content.originals[row], content.targets[row])]
        for column in range(columns):
            x = first + column * pitch[0]
            cells.append((x, content.views[row, column], content.labels[row, column]))
        for x, pixels, label in cells:
            # Around the image, not over its border.
            draw.rectangle((x - 1, y - 1, x + size[0], y + size[1]), outline=LINE)
            sheet.paste(_fit(pixels, size), (x, y))
            below = (x, y + size[1] + GAP // 2)
            _draw_caption(draw, below, size[0], font, make_caption(label, content.classes, limit))
    return sheet


def _draw_caption(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    room: int,
    font: Font,
    shares: list[tuple[str, float]],
) -> None:
    """Write a class a line, with its share to the right unless it is all."""
    x, y = place
    for number, (name, share) in enumerate(shares):
        percent = f"{share:.0%}" if share < 1.0 - CAPTION_SHARE else ""
        taken = font.getlength(percent)
        text = shorten(name, font, room - taken - GAP / 2)
        draw.text((x, y), text, INK if number == 0 else FAINT, font)
        draw.text((x + room - taken, y), percent, FAINT, font)
        y += line_height(font)


def _draw_header(
    draw: ImageDraw.ImageDraw,
    sheet_width: int,
    first: int,
    columns: int,
    pitch: int,
    texts: tuple[str, str],
) -> None:
    large, small = ImageFont.load_default(24), ImageFont.load_default(14)
    room = sheet_width - 2 * MARGIN
    draw.text((MARGIN, MARGIN - 10), shorten(texts[0], large, room), INK, large)
    draw.text((MARGIN, MARGIN + 20), shorten(texts[1], small, room), FAINT, small)
    y = MARGIN + HEADER - 26
    draw.text((MARGIN, y), "original", FAINT, small)
    for column in range(columns):
        draw.text((first + column * pitch, y), f"epoch {column + 1}", FAINT, small)
    draw.line((MARGIN, y - 8, sheet_width - MARGIN - 1, y - 8), LINE)


def _fit(pixels: npt.NDArray[np.uint8], size: tuple[int, int]) -> Image.Image:
    image = Image.fromarray(pixels)
    # Small images are shown with their pixels, as the network gets them.
    enlarged = size[0] >= 2 * image.width
    method = Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS
    return image if image.size == size else image.resize(size, method)


def shorten(text: str, font: Font, room: float) -> str:
    """Cut a text so that it fits into so many pixels."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text.rstrip() + "…"


def line_height(font: Font) -> int:
    """Return the distance of two lines in pixels."""
    top, bottom = font.getbbox("Ag")[1], font.getbbox("Ag")[3]
    return round(1.35 * (bottom - top))
