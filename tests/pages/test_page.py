"""The pages: self-contained, well-formed, harmless, and saying the right numbers."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET
from collections import Counter

import numpy as np
import pytest

from tests.builders import make_photo
from tests.pages.contents import (
    CLASSES,
    make_evaluation_report,
    make_inspect_report,
    make_phases,
    make_run_report,
    make_verdict,
)
from tfclassify.pages.content import HardImage, Integrity, IntegrityRow, RunReport
from tfclassify.pages.figures import draw_run_figures
from tfclassify.pages.page import render_evaluation_page, render_inspect_page, render_page
from tfclassify.pages.pictures import make_thumbnail
from tfclassify.scoring.judgement import judge

HOSTILE = ("<script>alert(1)</script>", "\"' onload=alert(2) x='", "a & b </td></svg>&lt;")

PAGES = {
    "run": lambda classes: render_page(make_run_report(classes)),
    "evaluation": lambda classes: render_evaluation_page(make_evaluation_report(classes)),
    "inspect": lambda classes: render_inspect_page(make_inspect_report(classes)),
}


def parse(page: str) -> ET.Element:
    """Parse a page strictly: every element closed, every attribute quoted."""
    assert page.startswith("<!doctype html>\n<html lang=")
    return ET.fromstring(page.removeprefix("<!doctype html>\n"))


def read_tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def read_text(root: ET.Element) -> str:
    return " ".join(" ".join(root.itertext()).split())


def render_bare(report: RunReport) -> str:
    """Render a page without its figures, which take most of the time."""
    return render_page(report, {})


@pytest.fixture(scope="module", params=PAGES)
def root(request) -> ET.Element:
    return parse(PAGES[request.param](CLASSES))


def test_nothing_is_loaded_from_elsewhere(root: ET.Element) -> None:
    for element in root.iter():
        for name, value in element.attrib.items():
            if name.rpartition("}")[2] in ("src", "href"):
                assert value.startswith(("data:image/", "#")), value
            assert "url(" not in value or "url(#" in value
    style = next(e.text for e in root.iter() if read_tag(e) == "style")
    assert "url(" not in style
    assert "@import" not in style


def test_there_is_no_script_and_the_policy_forbids_one(root: ET.Element) -> None:
    assert not [e for e in root.iter() if read_tag(e) in ("script", "iframe", "object", "link")]
    policy = [e.get("content") for e in root.iter() if e.get("http-equiv")]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_ids_are_unique_and_every_link_within_the_page_leads_somewhere(root: ET.Element) -> None:
    ids = Counter(e.get("id") for e in root.iter() if e.get("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    for element in root.iter():
        for name, value in element.attrib.items():
            if name.rpartition("}")[2] == "href":
                assert value.removeprefix("#") in ids
            for target in re.findall(r"url\(#([^)]+)\)", value):
                assert target in ids


def test_pictures_and_figures_say_what_they_show(root: ET.Element) -> None:
    pictures = [e for e in root.iter() if read_tag(e) == "img"]
    assert pictures
    assert all(e.get("alt") and e.get("width") and e.get("height") for e in pictures)
    figures = [e for e in root.iter() if read_tag(e) == "svg" and not e.get("aria-hidden")]
    assert figures
    assert all(e.get("role") == "img" and len(e.get("aria-label", "")) > 20 for e in figures)
    assert all(
        next(read_tag(child) for child in e) == "caption"
        for e in root.iter()
        if read_tag(e) == "table"
    )


@pytest.mark.parametrize("kind", PAGES)
def test_hostile_names_are_only_names(kind: str) -> None:
    root = parse(PAGES[kind](HOSTILE))
    assert not [e for e in root.iter() if read_tag(e) == "script"]
    assert not [name for e in root.iter() for name in e.attrib if name.startswith("on")]
    assert HOSTILE[0] in read_text(root)
    assert HOSTILE[2] in read_text(root)


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
    changes["integrity"] = Integrity(1, (IntegrityRow(evil, evil, evil, evil),))
    changes["phases"] = tuple(
        dataclasses.replace(phase, name=evil, trained=evil, reason=evil) for phase in make_phases()
    )
    changes["verdict"] = make_verdict(judged_on=evil, caution=evil)
    root = parse(render_page(dataclasses.replace(report, **changes)))
    assert all(e.get("src", "").startswith("data:") for e in root.iter() if read_tag(e) == "img")
    assert read_text(root).count("onerror") > 20


def test_control_characters_do_not_reach_the_page() -> None:
    page = render_page(make_run_report(("a\x00b", "c\x1b[31md", "e\ud800f")))
    assert "a�b" in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f\ud800-\udfff]", page)
    parse(page)
    page.encode("utf-8")


def test_the_headline_says_score_interval_and_images() -> None:
    report = make_run_report()
    interval = report.verdict.judgement.metrics["accuracy"]
    text = read_text(parse(render_bare(report)))
    assert "Accuracy on 60 validation images" in text
    assert f"{100 * interval.value:.1f} %" in text
    assert f"95 % interval {100 * interval.low:.1f}–{100 * interval.high:.1f} %" in text
    assert "Judge with care." in text
    assert "Run 003 · 14 November 2026 · 12 min 5 s" in text


def test_views_are_told_beside_the_plain_scores() -> None:
    better = make_verdict(images=80).judgement
    verdict = dataclasses.replace(make_verdict(), with_views=better, views=6)
    other = make_verdict(judged_on="test")
    text = read_text(parse(render_bare(make_run_report(verdict=verdict, others=(other,)))))
    assert "Accuracy on 80 validation images, 6 views of each" in text
    assert "Test (n = 60) Validation, one view (n = 60) Validation, 6 views (n = 80)" in text


def test_what_was_trained_and_how_to_repeat_it_is_told() -> None:
    text = read_text(parse(render_bare(make_run_report())))
    assert "48 images of 3 classes from photos.zip : 33 train, 15 validation." in text
    assert "tfclassify train recipe.yaml" in text
    assert "name: trees" in text
    assert "no gain in 1 epoch" in text
    assert "4 of 10" in text
    # Epoch 3 of the first phase was kept: 0.9 - 0.5 / 3.
    assert "73.3 %" in text
    assert "90 images were checked: 1 quarantined, which took no part, and 1 remark." in text


def test_the_sheet_of_what_the_model_saw_is_embedded() -> None:
    report = make_run_report(preview=make_thumbnail(make_photo(0, size=(60, 90))))
    root = parse(render_bare(report))
    sheets = [e for e in root.iter() if e.get("alt") == "What the model saw in training"]
    assert [e.get("width") for e in sheets] == ["90"]


def test_a_run_without_held_out_images_says_so() -> None:
    text = read_text(parse(render_bare(make_run_report(verdict=None))))
    assert "No score" in text
    assert "All images were trained on" in text
    assert "Confusion" not in text


def test_a_run_without_epochs_or_findings() -> None:
    page = render_bare(make_run_report(phases=(), integrity=Integrity(7), commands=()))
    text = read_text(parse(page))
    assert "No epoch was finished." in text
    assert "7 images were checked: all readable, nothing to remark." in text


def test_a_perfect_model_has_no_mistakes_and_an_exact_bound() -> None:
    targets = np.arange(30) % 3
    verdict = make_verdict(judgement=judge(targets, np.eye(3)[targets], CLASSES, seed=0))
    text = read_text(parse(render_bare(make_run_report(verdict=verdict))))
    assert "Not one image was mistaken." in text
    # 0.025 ** (1 / 30)
    assert "95 % interval 88.4–100.0 % (exact binomial bound" in text


def test_a_single_image_a_loss_headline_and_groups() -> None:
    judgement = judge([0], [[0.6, 0.3, 0.1]], CLASSES, seed=0)
    page = render_bare(make_run_report(metric="loss", verdict=make_verdict(judgement=judgement)))
    assert "Too few images, or too alike, for an interval." in read_text(parse(page))
    assert "gauge" not in page.partition("</style>")[2]
    page = render_bare(make_run_report(metric="roc_auc", verdict=make_verdict(judgement=judgement)))
    assert "This metric has no value on these images." in read_text(parse(page))
    grouped = judge([0, 1, 0, 2], np.eye(3)[[0, 1, 1, 2]], CLASSES, seed=0, groups=list("aabc"))
    page = render_bare(make_run_report(verdict=make_verdict(judgement=grouped)))
    assert "resamples of the 3 groups of images" in read_text(parse(page))


def test_a_mistake_whose_file_is_gone_is_still_listed() -> None:
    verdict = make_verdict()
    gone = dataclasses.replace(verdict.mistakes[0], thumbnail=None, image="gone.png")
    verdict = dataclasses.replace(verdict, mistakes=(gone,))
    root = parse(render_bare(make_run_report(verdict=verdict)))
    assert "gone.png" in read_text(root)
    assert not [e for e in root.iter() if read_tag(e) == "img"]


def test_long_lists_of_findings_are_cut() -> None:
    rows = tuple(IntegrityRow(f"{n}.jpg", "duplicate", "remark", "") for n in range(250))
    text = read_text(parse(render_bare(make_run_report(integrity=Integrity(300, rows)))))
    assert "199.jpg" in text
    assert "200.jpg" not in text
    assert "And 50 more." in text


def test_top_k_is_left_out_where_it_must_be_one() -> None:
    text = read_text(parse(render_bare(make_run_report())))
    assert "Top-2 accuracy" in text
    assert "Top-3 accuracy" not in text


def test_inspect_page_without_a_readable_image() -> None:
    report = make_inspect_report(sizes=(), mean=None, std=None, samples={}, commands=())
    text = read_text(parse(render_inspect_page(report)))
    assert "No image could be read." in text


def test_inspect_page_says_sizes_and_colours() -> None:
    report = make_inspect_report(sizes=((96, 64), (96, 64), (200, 100)))
    text = read_text(parse(render_inspect_page(report)))
    assert "Most frequent 96 × 64 pixels (2)" in text
    assert "200 × 100 pixels" in text
    assert "0.500, 0.400, 0.300" in text


def test_the_same_report_gives_the_same_bytes_and_ready_figures_are_used() -> None:
    report = make_run_report()
    figures = draw_run_figures(report)
    assert render_page(report) == render_page(report, figures)


@pytest.mark.parametrize("count", [2, 90])
def test_any_number_of_classes(count: int) -> None:
    classes = tuple(f"class {number}" for number in range(count))
    page = render_page(make_run_report(classes))
    parse(page)
    assert len(page) < 1_500_000


def test_hard_images_are_shown_where_there_are_some() -> None:
    hard = HardImage("a/<b>.png", make_thumbnail(make_photo(1)), "ash", misses=3, weight=2.5)
    text = read_text(parse(render_bare(make_run_report(hard=(hard,)))))
    assert "Hardest training images" in text
    assert "missed 3 times, weight 2.5" in text
    assert "a/<b>.png" in text
    assert "Hardest" not in read_text(parse(render_bare(make_run_report())))
