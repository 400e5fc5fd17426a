"""From plain values to one self-contained HTML page.

Owns: the template engine, its filters, and what every page may show. Does not own: the look
(``style.css``), the parts that pages share (``templates/base.html``, ``macros.html``), what
stands on a page (each page's module).

A page loads nothing: style sheet, figures and photos are inside it, and a policy in it
forbids scripts. Text is escaped unless it is a figure made here; control characters never
reach a page.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfclassify import __version__
from tfclassify.pages import wording
from tfclassify.pages.tables import show_interval

if TYPE_CHECKING:
    from jinja2 import Environment

#: Where the pages' templates and the style sheet are.
TEMPLATES = Path(__file__).parent / "templates"
STYLE_SHEET = Path(__file__).parent / "style.css"


@dataclass(frozen=True)
class Fact:
    """One line of a list of facts, such as ``Backbone: efficientnet_lite0``."""

    name: str
    value: str


@dataclass(frozen=True)
class Command:
    """A command line and what it is for."""

    purpose: str
    line: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """What every page says at its end.

    Attributes:
        created: When it was made, in words.
        commands: How to repeat it, or what to do next.
        environment: Facts about the machine and the software.
        recipe_text: The resolved recipe; empty where there is none.
    """

    created: str = ""
    commands: tuple[Command, ...] = ()
    environment: tuple[Fact, ...] = ()
    recipe_text: str = ""


def format_now() -> str:
    """Write the present time as people read it."""
    return f"{datetime.datetime.now():%d %B %Y, %H:%M}"


def render_page(template: str, *folders: Path, **content: Any) -> str:
    """Fill a template.

    Args:
        template: Its file name, such as ``run.html``.
        folders: More folders to find templates in, before this package's own.
        content: What it shows; a name that the template asks for and that is not there is
            an error, never a gap.

    Returns:
        The page, the same for the same content.
    """
    environment = open_templates(*folders)
    return environment.get_template(template).render(sections=[], **content) + "\n"


@lru_cache
def open_templates(*folders: Path) -> Environment:
    """Return the template engine: everything is escaped, nothing may be missing."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
        finalize=_clean,
    )
    environment.filters |= {
        "count": wording.format_count,
        "seconds": wording.format_seconds,
        "bytes": wording.format_bytes,
        "large": wording.format_large,
        "ms": wording.format_ms,
    }
    environment.globals |= {
        "style": STYLE_SHEET.read_text("utf-8"),
        "version": __version__,
        "count_of": wording.count_of,
        "format_range": wording.format_range,
        "format_score": wording.format_score,
        "show_interval": show_interval,
        "title_of": wording.title_of,
    }
    return environment


def _clean(value: Any) -> Any:
    """Make a text of what a template shows, nothing of None; HTML made here stays as it is."""
    if value is None:
        return ""
    return wording.clean_text(value) if type(value) is str else value
