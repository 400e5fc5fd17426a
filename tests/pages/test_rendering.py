"""Every page: self-contained, well-formed, harmless whatever names it shows."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import jinja2
import pytest

from tests.pages.contents import (
    CLASSES,
    PAGES,
    make_integrity,
    make_judged,
    make_phases,
    make_run_report,
    parse,
    read_tag,
    read_text,
)
from tfclassify.pages.rendering import STYLE_SHEET, TEMPLATES, render_page
from tfclassify.pages.run_page import render_run_page

HOSTILE = ("<script>alert(1)</script>", "\"' onload=alert(2) x='", "a & b </td></svg>&lt;{{ 7*7 }}")


@pytest.fixture(scope="module", params=PAGES)
def page(request: pytest.FixtureRequest) -> str:
    return PAGES[request.param](CLASSES)


@pytest.fixture(scope="module")
def root(page: str) -> ET.Element:
    return parse(page)


def test_nothing_is_loaded_from_elsewhere(root: ET.Element) -> None:
    for element in root.iter():
        for name, value in element.attrib.items():
            if name.rpartition("}")[2] in ("src", "href"):
                assert value.startswith(("data:image/", "#", "fold-")), value
            assert "url(" not in value or "url(#" in value
    style = next(e.text for e in root.iter() if read_tag(e) == "style")
    assert "url(" not in style
    assert "@import" not in style


def test_no_address_of_the_web_is_named(page: str) -> None:
    # The names of the SVG language are no addresses: nothing is fetched from them.
    addresses = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_there_is_no_script_and_the_policy_forbids_one(root: ET.Element) -> None:
    forbidden = ("script", "iframe", "object", "link", "form", "base", "embed")
    assert not [e for e in root.iter() if read_tag(e) in forbidden]
    policy = [e.get("content") for e in root.iter() if e.get("http-equiv")]
    assert policy == [
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'"
    ]


def test_ids_are_unique_and_every_link_within_the_page_leads_somewhere(root: ET.Element) -> None:
    ids = Counter(e.get("id") for e in root.iter() if e.get("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    for element in root.iter():
        for name, value in element.attrib.items():
            if name.rpartition("}")[2] == "href" and value.startswith("#"):
                assert value.removeprefix("#") in ids
            for target in re.findall(r"url\(#([^)]+)\)", value):
                assert target in ids


def test_every_section_is_in_the_navigation(root: ET.Element) -> None:
    sections = [e.get("id") for e in root.iter() if read_tag(e) == "section"]
    nav = next(e for e in root.iter() if read_tag(e) == "nav")
    assert [link.get("href") for link in nav] == [f"#{name}" for name in sections]
    assert len(sections) >= 4


def test_pictures_figures_and_tables_say_what_they_show(root: ET.Element) -> None:
    pictures = [e for e in root.iter() if read_tag(e) == "img"]
    assert all(e.get("alt") and e.get("width") and e.get("height") for e in pictures)
    figures = [e for e in root.iter() if read_tag(e) == "svg" and not e.get("aria-hidden")]
    assert figures
    assert all(e.get("role") == "img" and len(e.get("aria-label", "")) > 20 for e in figures)
    tables = [e for e in root.iter() if read_tag(e) == "table"]
    assert tables
    for table in tables:
        assert next(read_tag(child) for child in table) == "caption"
        widths = {len(row) for row in table.iter() if read_tag(row) == "tr"}
        assert len(widths) == 1, "rows of different lengths"


@pytest.mark.parametrize("kind", PAGES)
def test_hostile_names_are_only_names(kind: str) -> None:
    page = PAGES[kind](HOSTILE)
    root = parse(page)
    assert not [e for e in root.iter() if read_tag(e) == "script"]
    assert not [name for e in root.iter() for name in e.attrib if name.startswith("on")]
    words = read_text(page)
    assert HOSTILE[0] in words
    assert "49" not in re.findall(r"&lt;(\d+)", page)  # no name is a template


def test_every_text_field_of_a_run_is_escaped() -> None:
    report = make_run_report()
    evil = "<img src=x onerror=alert(1)>"
    changes: dict[str, object] = {}
    for field in dataclasses.fields(report):
        value = getattr(report, field.name)
        if isinstance(value, str) and field.name != "metric":
            changes[field.name] = evil
        elif field.name in ("model", "recipe", "environment", "commands"):
            changes[field.name] = tuple(
                dataclasses.replace(row, **{f.name: evil for f in dataclasses.fields(row)})
                for row in value
            )
    rows = tuple(dataclasses.replace(row, image=evil, detail=evil) for row in make_integrity().rows)
    changes["integrity"] = dataclasses.replace(make_integrity(), rows=rows)
    changes["phases"] = tuple(
        dataclasses.replace(phase, name=evil, trained=evil, reason=evil) for phase in make_phases()
    )
    changes["judged"] = make_judged(split=evil, caution=evil)
    page = render_run_page(dataclasses.replace(report, **changes))
    root = parse(page)
    assert all(e.get("src", "").startswith("data:") for e in root.iter() if read_tag(e) == "img")
    assert read_text(page).count("onerror") > 20


def test_control_characters_do_not_reach_a_page() -> None:
    page = render_run_page(make_run_report(("a\x00b", "c\x1b[31md", "e\ud800f")))
    assert "a�b" in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f\ud800-\udfff]", page)
    parse(page)
    page.encode("utf-8")


def test_what_is_missing_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="page"):
        render_page("run.html", figures={})


def test_templates_of_another_folder_share_frame_and_look(tmp_path: Path) -> None:
    (tmp_path / "own.html").write_text(
        '{% extends "base.html" %}{% import "macros.html" as m with context %}'
        "{% block title %}{{ name }}{% endblock %}{% block header %}{{ m.heading(name) }}"
        '{% endblock %}{% block main %}{% call m.section("part", "Part") %}'
        "<p>{{ name }}</p>{% endcall %}{% endblock %}",
        "utf-8",
    )
    page = render_page("own.html", tmp_path, name="<b>", figures={})
    assert '<a href="#part">Part</a>' in page
    assert "<p>&lt;b&gt;</p>" in page
    assert STYLE_SHEET.read_text("utf-8").splitlines()[0] in page
    assert page == render_page("own.html", tmp_path, name="<b>", figures={})


def test_every_template_is_used() -> None:
    texts = {path.name: path.read_text("utf-8") for path in TEMPLATES.iterdir()}
    code = "".join(path.read_text("utf-8") for path in TEMPLATES.parents[1].rglob("*.py"))
    for name in texts:
        others = "".join(text for other, text in texts.items() if other != name)
        assert f'"{name}"' in code + others


def test_the_same_report_gives_the_same_bytes() -> None:
    assert render_run_page(make_run_report()) == render_run_page(make_run_report())


def test_nothing_heavy_is_imported_before_a_figure_is_drawn() -> None:
    code = (
        "import sys\n"
        "from tfclassify.pages import compare_page, crossval_page, ensemble_page, profile_page\n"
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'sklearn', 'pandas', 'jinja2'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "from tfclassify.pages.drawing import new_figure, finish_drawing\n"
        "with new_figure(1, 1) as figure: finish_drawing(figure, '')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
