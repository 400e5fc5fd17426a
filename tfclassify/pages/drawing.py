"""One look for every figure, and the way from matplotlib to a page.

Owns: colours, fonts and sizes; turning a figure into SVG text that is the same on
every run, follows a page's light or dark theme and keeps its words as text.
Does not own: what is drawn (``charts``, ``training_figures``, ``score_figures``).
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfclassify.files import write_text
from tfclassify.pages.wording import clean_text, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, FAINT, GRID = "#1b2430", "#5b6878", "#b4bec9", "#e4e8ed"
ACCENT, SECOND, THIRD, ALERT = "#1f6f8b", "#c98a2b", "#7b6ca8", "#b4472f"
SOFT = "#c3d8e0"

#: Figure colour: the page's variable that replaces it, so that a dark page can differ.
THEME = {
    INK: "--ink",
    MUTED: "--muted",
    FAINT: "--faint",
    GRID: "--grid",
    ACCENT: "--accent",
    SOFT: "--soft",
    SECOND: "--second",
    THIRD: "--third",
    ALERT: "--alert",
}

SPLIT_COLOURS = {"train": ACCENT, "validation": SECOND, "test": THIRD, "all": ACCENT}

#: Width of a figure in inches. A page shrinks it to a narrow screen, where its words must
#: still be read, and enlarges it a little on a wide one.
WIDTH = 5.5

#: Characters of a class name that fit beside an axis.
LABEL_LENGTH = 22

_SETTINGS: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    # A class called "$x$" is no formula.
    "text.parse_math": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9.5,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "svg.hashsalt": "tfclassify",
}


@dataclass(frozen=True)
class Drawing:
    """A figure, ready to be saved or put on a page.

    Attributes:
        svg: A whole SVG document in the light theme.
        alt: What it shows, for those who cannot see it.
        width: Natural width, in CSS pixels.
        height: Natural height, in CSS pixels.
    """

    svg: str
    alt: str
    width: int
    height: int

    def inline(self, name: str) -> str:
        """Return the ``<svg>`` element for a page.

        Args:
            name: Made part of every id in it, so that two figures do not clash.
        """
        from html import escape

        body = self.svg[self.svg.index(">", self.svg.index("<svg")) + 1 :]
        body = re.sub(r'\bid="', f'id="{name}-', body)
        body = body.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
        for colour, variable in THEME.items():
            body = body.replace(f": {colour}", f": var({variable})")
        # The page's own font: narrower than the one that the layout was made with.
        body = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--font)", body)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{self._view_box()}" '
            f'width="{self.width}" height="{self.height}" role="img" '
            f'style="--natural: {self.width}px" '
            f'aria-label="{escape(self.alt)}">{body}'
        )

    def _view_box(self) -> str:
        found = re.search(r'viewBox="([^"]+)"', self.svg)
        return found[1] if found else f"0 0 {self.width} {self.height}"


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """Give an empty figure in the house style, of a size in inches.

    The style holds within the ``with`` block only: nothing global is changed.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        # The page's font draws the words; ours need not hold every script of a class name.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def finish_drawing(figure: Figure, alt: str) -> Drawing:
    """Turn a figure into a drawing; call it within ``new_figure``'s block."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    # Matplotlib writes points; there are 96 CSS pixels to its 72 points.
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return Drawing(_compact(buffer.getvalue()), clean_text(alt), width, height)


def _compact(svg: str) -> str:
    """Drop comments and digits that no screen shows; about half of the size.

    Only what stands within tags is touched, never a word of the figure.
    """
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(
        r"<[^>]*>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag[0].replace("\n", " ")), svg
    )
    return re.sub(r">\s+<", "><", svg)


def label(name: str, longest: int = LABEL_LENGTH) -> str:
    """Return a class name fit for an axis: cleaned and cut."""
    return shorten(clean_text(name).replace("\n", " ").replace("\t", " "), longest)


#: Name, as in ``figures/<name>.svg``, and drawing.
Figures = dict[str, Drawing]


def keep_drawn(**drawings: Drawing | None) -> Figures:
    """Return the drawings by name, without those that have nothing to show."""
    return {name: drawing for name, drawing in drawings.items() if drawing is not None}


def save_figures(figures: Figures, folder: Path) -> None:
    """Write each figure as ``<name>.svg``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, drawing in figures.items():
        write_text(folder / f"{name}.svg", drawing.svg)


def rule_grid(axes: Axes, which: str = "y") -> None:
    """Draw faint lines across one axis and drop the ticks and the spine that they replace."""
    axes.grid(visible=True, axis=which)
    axes.tick_params(axis=which, length=0)
    axes.spines["left" if which == "y" else "bottom"].set_visible(False)


def scale_log(axes: Axes, say: Callable[[float], str]) -> None:
    """Make an axis logarithmic, with its ticks as plain text."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: say(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
