from __future__ import annotations

import dataclasses

from tests.pages.contents import make_integrity, make_verdict
from tests.pages.test_compare_page import make_report as make_comparison
from tfclassify.pages.content import DataSummary
from tfclassify.pages.ensemble_page import (
    EnsembleReport,
    MemberRow,
    draw_ensemble_figures,
    render_ensemble_page,
)


def make_report(**changes: object) -> EnsembleReport:
    report = EnsembleReport(
        name="trees",
        run="002",
        metric="accuracy",
        created="today",
        version="1",
        members=(
            MemberRow("reports/<a>/001", "custom_cnn", (96, 96), 12_345, 0.75),
            MemberRow("reports/b/001", "resnet50", (64, 64), 23_000_000, 0.25),
            MemberRow("reports/c/001", "vgg16", (64, 64), 14_000_000, 0.0),
        ),
        how="Found on validation.",
        image_size=(96, 96),
        verdict=make_verdict(),
        others=(),
        comparison=make_comparison(),
        data=DataSummary("photos", ("ash", "birch", "cedar"), {"validation": (20, 20, 20)}),
        integrity=make_integrity(),
    )
    return dataclasses.replace(report, **changes)


def test_members_their_weights_and_sizes_are_listed() -> None:
    page = render_ensemble_page(make_report())
    for text in (
        "reports/&lt;a&gt;/001",
        "0.750",
        "23,000,000",
        "left out",
        "Found on validation.",
    ):
        assert text in page
    assert "Images are read at 96x96; the model shrinks them" in page
    assert "Ensemble and members" in page
    assert "confusion_matrix" in draw_ensemble_figures(make_report())


def test_without_held_out_images_there_is_no_score() -> None:
    page = render_ensemble_page(make_report(verdict=None, comparison=None))
    assert "there is no score" in page
    assert "Ensemble and members" not in page


def test_members_of_one_size_need_no_word_about_it() -> None:
    members = (MemberRow("a", "custom_cnn", (96, 96), 1, 1.0),)
    assert "shrinks" not in render_ensemble_page(make_report(members=members))
