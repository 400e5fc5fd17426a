"""Photos inside a report: thumbnails as data URIs, and sheets of them.

Owns: shrinking, encoding, and laying photos out on one picture.
Does not own: reading image files (``data``), what training does to them (``pipeline``).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Photo = NDArray[np.uint8]

#: Below this many pixels a picture is drawn with hard pixel edges and without loss.
TINY_SIDE = 48

_PAPER, _INK, _MUTED = (255, 255, 255), (27, 36, 48), (98, 112, 128)


@dataclass(frozen=True)
class Thumbnail:
    """A small picture, ready for a page.

    Attributes:
        data_uri: ``data:image/…;base64,…``.
        width: In pixels.
        height: In pixels.
    """

    data_uri: str
    width: int
    height: int

    @property
    def is_tiny(self) -> bool:
        """Whether its pixels should stay visible when it is enlarged."""
        return max(self.width, self.height) < TINY_SIDE


def make_thumbnail(photo: Photo | Image.Image, *, longest: int = 160) -> Thumbnail:
    """Shrink a photo to at most ``longest`` pixels a side and encode it.

    Args:
        photo: uint8 RGB ``(height, width, 3)``, or a Pillow image.
        longest: Longest side of the result, in pixels; a smaller photo keeps its size.
    """
    image = _to_image(photo)
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    is_tiny = max(image.size) < TINY_SIDE
    return encode_picture(image, "png" if is_tiny else "jpeg")


def encode_picture(image: Image.Image, kind: str = "png") -> Thumbnail:
    """Encode a picture as it is, as ``png`` or ``jpeg``."""
    buffer = io.BytesIO()
    options = {"quality": 82} if kind == "jpeg" else {}
    image.save(buffer, kind, optimize=True, **options)
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Thumbnail(f"data:image/{kind};base64,{text}", image.width, image.height)


def draw_sheet(
    rows: Mapping[str, Sequence[Photo | Image.Image]],
    *,
    side: int = 96,
    notes: Mapping[str, str] | None = None,
) -> Image.Image:
    """Draw a sheet of photos, one titled row a class.

    Args:
        rows: Title: the photos of its row. A row without photos shows its title alone.
        side: Longest side of each photo on the sheet, in pixels.
        notes: Title: a word in grey beneath it, such as the number of images.
    """
    gap, margin = max(4, side // 16), max(12, side // 6)
    title_width = _measure_titles(rows, notes or {}, side)
    columns = max((len(photos) for photos in rows.values()), default=0)
    width = 2 * margin + title_width + columns * (side + gap)
    height = 2 * margin + max(1, len(rows)) * (side + gap) - gap
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, (title, photos) in enumerate(rows.items()):
        top = margin + number * (side + gap)
        middle, note = top + side / 2, (notes or {}).get(title, "")
        lift = _font_size(side) * 0.65 if note else 0
        pen.text((margin, middle - lift), _clip(title), _INK, _font(_font_size(side)), "lm")
        pen.text((margin, middle + lift), note, _MUTED, _font(_font_size(side) - 2), "lm")
        for column, photo in enumerate(photos):
            left = margin + title_width + column * (side + gap)
            _paste(sheet, photo, (left, top), side)
    return sheet


def _paste(
    sheet: Image.Image, photo: Photo | Image.Image, corner: tuple[int, int], side: int
) -> None:
    """Put a photo, as large as fits, into the middle of a square."""
    image = _to_image(photo)
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    is_tiny = max(image.size) < TINY_SIDE
    image = image.resize(size, Image.Resampling.NEAREST if is_tiny else Image.Resampling.LANCZOS)
    sheet.paste(image, (corner[0] + (side - size[0]) // 2, corner[1] + (side - size[1]) // 2))


def _to_image(photo: Photo | Image.Image) -> Image.Image:
    """Return an RGB copy, which may be changed."""
    if isinstance(photo, Image.Image):
        return photo.convert("RGB") if photo.mode != "RGB" else photo.copy()
    return Image.fromarray(np.ascontiguousarray(photo))


def _measure_titles(titles: Mapping[str, object], notes: Mapping[str, str], side: int) -> int:
    font = _font(_font_size(side))
    texts = [_clip(title) for title in titles] + list(notes.values())
    return round(max((font.getlength(text) for text in texts), default=0)) + side // 6


def _font_size(side: int) -> int:
    return max(11, min(18, side // 6))


def _clip(title: str, longest: int = 28) -> str:
    return title if len(title) <= longest else title[: longest - 1] + "…"


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    import matplotlib

    # The font that matplotlib carries: the same glyphs on every machine.
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / "DejaVuSans.ttf"), size)
