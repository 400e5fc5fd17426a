"""HTML, with everything escaped that was not made here.

Owns: elements and escaping. Does not own: what a page holds (``sections``, ``page``).

There is one rule: text is escaped unless it is ``Markup``, and ``Markup`` is only made by
this module's functions. A class called ``<script>`` is therefore only a name.
"""

from __future__ import annotations

import html
from collections.abc import Iterable

from tfclassify.pages.drawing import Drawing
from tfclassify.pages.pictures import Thumbnail
from tfclassify.pages.wording import clean_text


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


#: Elements without content or end tag.
_VOID = frozenset({"br", "hr", "img", "input", "meta", "link", "line", "rect", "circle"})

Child = str | int | None


def escape(value: Child) -> Markup:
    """Return HTML for a text; None is nothing, and HTML stays as it is."""
    if value is None:
        return Markup("")
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(clean_text(str(value))))


def join(children: Iterable[Child], separator: str = "") -> Markup:
    """Put pieces behind one another, escaping those that are not HTML."""
    return Markup(str(escape(separator)).join(escape(child) for child in children))


def tag(name_: str, /, *children: Child, **attributes: str | float | None) -> Markup:
    """Make an element.

    Args:
        name_: Such as ``td``.
        children: Content; text is escaped.
        attributes: A trailing underscore is dropped (``class_``), inner ones become
            hyphens (``aria_label``); None leaves an attribute out.
    """
    parts = [name_]
    for key, value in attributes.items():
        if value is not None:
            word = key.rstrip("_").replace("_", "-")
            parts.append(f'{word}="{html.escape(clean_text(str(value)))}"')
    start = " ".join(parts)
    if name_ in _VOID:
        # HTML ignores the slash; within an SVG it is what closes the element.
        return Markup(f"<{start}/>")
    return Markup(f"<{start}>{join(children)}</{name_}>")


def embed_drawing(drawing: Drawing | None, name: str, caption: Child = None) -> Markup:
    """Put a figure on the page, with an optional caption; nothing for None."""
    if drawing is None:
        return Markup("")
    # A figure scrolls on a narrow screen rather than shrink beyond reading.
    frame = tag("div", Markup(drawing.inline(name)), class_="scroll")
    words = tag("figcaption", caption) if caption else None
    return tag("figure", frame, words, class_="wide" if drawing.width > 700 else None)


def embed_picture(picture: Thumbnail, alt: str, **attributes: str) -> Markup:
    """Put a photo on the page."""
    return tag(
        "img",
        src=picture.data_uri,
        alt=alt,
        width=picture.width,
        height=picture.height,
        loading="lazy",
        class_="pixels" if picture.is_tiny else None,
        **attributes,
    )


def make_table(
    head: Iterable[Child], rows: Iterable[Iterable[Child]], *, numeric: int, caption: str
) -> Markup:
    """Make a table whose first columns are text and whose last ``numeric`` are numbers.

    Args:
        head: Titles of the columns.
        rows: Cells of each row; the first one names the row.
        numeric: How many of the last columns are set flush right.
        caption: What the table holds, for screen readers.
    """
    titles = list(head)
    first_number = len(titles) - numeric

    def make_cell(kind: str, column: int, value: Child, scope: str | None = None) -> Markup:
        return tag(kind, value, class_="n" if column >= first_number else None, scope=scope)

    top = tag("tr", *(make_cell("th", c, title, "col") for c, title in enumerate(titles)))
    body = [
        tag(
            "tr",
            *(
                make_cell("td" if column else "th", column, cell, None if column else "row")
                for column, cell in enumerate(row)
            ),
        )
        for row in rows
    ]
    table = tag(
        "table",
        tag("caption", caption, class_="unseen"),
        tag("thead", top),
        tag("tbody", *body),
        class_="narrow" if len(titles) <= 3 and numeric else None,
    )
    return tag("div", table, class_="scroll")
