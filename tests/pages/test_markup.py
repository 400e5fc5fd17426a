"""HTML elements and escaping."""

from __future__ import annotations

from tests.builders import make_photo
from tfclassify.pages.drawing import Drawing
from tfclassify.pages.markup import (
    Markup,
    embed_drawing,
    embed_picture,
    escape,
    join,
    make_table,
    tag,
)
from tfclassify.pages.pictures import make_thumbnail


def test_text_is_escaped_once_and_markup_never() -> None:
    assert escape("<b> & 'x' \"y\"") == "&lt;b&gt; &amp; &#x27;x&#x27; &quot;y&quot;"
    assert escape(escape("a & b")) == "a &amp; b"
    assert escape(Markup("<b>")) == "<b>"
    assert escape(None) == ""
    assert escape(7) == "7"


def test_elements() -> None:
    assert tag("p", "a<b", None, tag("b", "c")) == "<p>a&lt;b<b>c</b></p>"
    assert tag("img", src="x", alt='"') == '<img src="x" alt="&quot;"/>'
    assert tag("td", class_="n", aria_label="l", scope=None) == '<td class="n" aria-label="l"></td>'
    assert tag("meta", name="viewport") == '<meta name="viewport"/>'


def test_joining_escapes_the_separator_too() -> None:
    assert join(["a", tag("br"), "<"], " & ") == "a &amp; <br/> &amp; &lt;"


def test_what_is_made_is_markup() -> None:
    assert isinstance(tag("p"), Markup)
    assert isinstance(join([]), Markup)
    assert isinstance(Markup("a") + "<b>", str)
    # Plain string work loses the mark, so its result is escaped again.
    assert escape(Markup("<a>") + "<b>") == "&lt;a&gt;&lt;b&gt;"


def test_tables_mark_their_numbers_and_row_heads() -> None:
    table = make_table(["Class", "Images"], [["<a>", "7"]], numeric=1, caption="Counts")
    assert '<caption class="unseen">Counts</caption>' in table
    assert '<th scope="col">Class</th><th class="n" scope="col">Images</th>' in table
    assert '<th scope="row">&lt;a&gt;</th><td class="n">7</td>' in table


def test_figures_and_pictures() -> None:
    assert embed_drawing(None, "x") == ""
    drawing = Drawing("<svg viewBox='0 0 1 1'></svg>", 'say "a"', 900, 100)
    figure = embed_drawing(drawing, "x", "<i>")
    assert 'aria-label="say &quot;a&quot;"' in figure
    assert '<figure class="wide">' in figure
    assert "<figcaption>&lt;i&gt;</figcaption>" in figure
    picture = embed_picture(make_thumbnail(make_photo(0)), "a < b")
    assert 'alt="a &lt; b"' in picture
    assert 'class="pixels"' in picture
