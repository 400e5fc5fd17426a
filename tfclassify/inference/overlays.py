"""How explanations are shown: colour over a photo, and a sheet of many.

Owns: the colours and the layout. Does not own: the maps (``explanation``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from tfclassify.inference.evidence import Explanation

#: Longest side of a picture on a sheet, its distance from the next, and the sheet's edge.
CELL, GAP, MARGIN = 240, 16, 24
#: Rows of a sheet; more would make a picture that few programs open.
MOST_ROWS = 200


#: Colours of 0, 1/8, … 1: ever brighter, so told apart in grey and by the colour-blind. The
#: demo page's script has the same.
PALETTE = (
    *((0, 0, 8), (30, 12, 66), (82, 14, 109), (128, 31, 108), (176, 50, 90)),
    *((221, 81, 58), (246, 125, 21), (250, 189, 40), (252, 255, 164)),
)


@lru_cache
def _colours() -> np.ndarray:
    """Return 256 colours, ``(256, 3)`` float32."""
    places = np.linspace(0, len(PALETTE) - 1, 256)
    channels = np.array(PALETTE, np.float32).T
    return np.stack([np.interp(places, range(len(PALETTE)), each) for each in channels], axis=1)


def lay_over(photo: Image.Image, heat: np.ndarray, opacity: float = 0.6) -> Image.Image:
    """Lay a map over a photo; the stronger the evidence, the less of the photo shows through.

    Args:
        photo: RGB.
        heat: ``(height, width)`` of the photo, from 0 to 1.
        opacity: How much of the photo the strongest evidence covers, from 0 to 1.
    """
    pixels = np.asarray(photo.convert("RGB"), np.float32)
    colours = _colours()[(heat * 255).round().astype(np.uint8)]
    share = opacity * _cover(heat)[..., None]
    return Image.fromarray((pixels * (1 - share) + colours * share).round().astype(np.uint8))


def colour_heat(heat: np.ndarray) -> Image.Image:
    """Colour a map ``(h, w)`` of 0 to 1 as RGBA, to be laid over a photo by whoever shows it."""
    colours = _colours()[(heat * 255).round().astype(np.uint8)]
    cover = 255 * _cover(heat)[..., None]
    return Image.fromarray(np.concatenate([colours, cover], axis=2).round().astype(np.uint8))


def _cover(heat: np.ndarray) -> np.ndarray:
    """Return how much of the photo a map covers, from 0 to 1.

    Where there is no evidence the photo is a little darker, so that the rest stands out.
    """
    return np.asarray(0.35 + 0.65 * np.sqrt(heat))


def draw_sheet(rows: Sequence[Explanation], *, title: str, opacity: float = 0.6) -> Image.Image:
    """Draw a row for each photo: the photo, then its map for each class.

    Args:
        rows: The explanations, those of a photo in a row.
        title: Headline.
        opacity: As ``lay_over``.
    """
    from tfclassify.pipeline.preview import FAINT, INK, LINE, PAPER, line_height, shorten

    groups = [list(group) for _, group in groupby(rows, key=lambda row: id(row.source))]
    groups = groups[:MOST_ROWS]
    font, large = ImageFont.load_default(14), ImageFont.load_default(22)
    line, head = line_height(font), line_height(large) + GAP
    drawn = [_draw_row(group, opacity) for group in groups]
    heights = [max(picture.height for picture, _ in cells) + 2 * line + GAP for cells in drawn]
    columns = max((len(cells) for cells in drawn), default=1)
    width = 2 * MARGIN + columns * (CELL + GAP) - GAP
    sheet = Image.new("RGB", (width, 2 * MARGIN + head + sum(heights)), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), shorten(title, large, width - 2 * MARGIN), INK, large)
    y = MARGIN + head
    for cells, height in zip(drawn, heights, strict=True):
        for column, (picture, lines) in enumerate(cells):
            x = MARGIN + column * (CELL + GAP)
            draw.rectangle((x - 1, y - 1, x + picture.width, y + picture.height), outline=LINE)
            sheet.paste(picture, (x, y))
            for number, text in enumerate(lines):
                place = (x, y + picture.height + GAP // 4 + number * line)
                colour = INK if number == 0 else FAINT
                draw.text(place, shorten(text, font, CELL), colour, font)
        y += height
    return sheet


def _draw_row(group: Sequence[Explanation], opacity: float) -> list[tuple[Image.Image, list[str]]]:
    """Return the pictures of a photo and the lines below each."""
    first = group[0]
    photo = first.photo()
    photo = photo.resize(_fit(photo.size), Image.Resampling.LANCZOS)
    size = (photo.height, photo.width)
    cells = [(photo, [first.file, f"{first.size[1]} x {first.size[0]}"])]
    for row in group:
        picture = lay_over(photo, row.heat(size), opacity)
        views = f", {len(row.views)} views" if len(row.views) > 1 else ""
        cells.append((picture, [f"{row.label} {row.probability:.1%}", row.method + views]))
    return cells


def _fit(size: tuple[int, int]) -> tuple[int, int]:
    scale = CELL / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
