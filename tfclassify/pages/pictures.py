"""Photos on a page: shrunk, and held in the page itself.

Owns: thumbnails as data URIs and what stands below one. Does not own: decoding image files
(``data``), what training does to them (``pipeline``), figures (``drawing``).
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tfclassify.data.images import open_image
from tfclassify.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

#: Below this many pixels a picture is drawn with hard pixel edges and without loss.
TINY_SIDE = 48


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


@dataclass(frozen=True)
class Photo:
    """A picture with what is said of it.

    Attributes:
        name: Stable name of the image.
        thumbnail: The image; None where it can no longer be read.
        titles: Lines that are set off, such as what was predicted.
        lines: Lines below them.
        map: The image with what a model looked at laid over it; None where there is none.
        map_of: The class whose evidence it shows.
    """

    name: str
    thumbnail: Thumbnail | None
    titles: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    map: Thumbnail | None = None
    map_of: str = ""

    @property
    def alt(self) -> str:
        """What the picture shows, for those who cannot see it."""
        return "; ".join([self.name, *self.titles, *self.lines])


def make_thumbnail(photo: NDArray[np.uint8] | Image.Image, *, longest: int = 160) -> Thumbnail:
    """Shrink a photo to at most ``longest`` pixels a side and encode it.

    Args:
        photo: uint8 RGB ``(height, width, 3)``, or a Pillow image; it is left as it is.
        longest: Longest side of the result, in pixels; a smaller photo keeps its size.
    """
    from PIL import Image

    if isinstance(photo, Image.Image):
        image = photo.convert("RGB") if photo.mode != "RGB" else photo.copy()
    else:
        image = Image.fromarray(np.ascontiguousarray(photo))
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    kind = "png" if max(image.size) < TINY_SIDE else "jpeg"
    buffer = io.BytesIO()
    options = {"quality": 82} if kind == "jpeg" else {}
    image.save(buffer, kind, optimize=True, **options)
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Thumbnail(f"data:image/{kind};base64,{text}", image.width, image.height)


def read_thumbnail(path: str | None) -> Thumbnail | None:
    """Shrink the photo in a file; None where there is none, or none that can be read any more."""
    if path is None:
        return None
    try:
        return make_thumbnail(open_image(Path(path))[1])
    except DataError:
        return None
