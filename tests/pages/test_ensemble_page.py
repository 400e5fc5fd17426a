from __future__ import annotations

from tests.pages.contents import make_ensemble
from tfclassify.pages.ensemble_page import (
    MemberRow,
    draw_ensemble_figures,
    render_ensemble_page,
)


def test_members_their_weights_and_sizes_are_listed() -> None:
    page = render_ensemble_page(make_ensemble())
    for text in (
        "reports/ash/001",
        "0.750",
        "23,000,000",
        "left out",
        "Found on validation.",
    ):
        assert text in page
    assert "Images are read at 96 × 96 pixels; the model shrinks them" in page
    assert "Ensemble and members" in page
    assert "confusion_matrix" in draw_ensemble_figures(make_ensemble())


def test_without_held_out_images_there_is_no_score() -> None:
    page = render_ensemble_page(make_ensemble(judged=None, comparison=None))
    assert "there is no score" in page
    assert "Ensemble and members" not in page


def test_members_of_one_size_need_no_word_about_it() -> None:
    members = (MemberRow("a", "custom_cnn", (96, 96), 1, 1.0),)
    assert "shrinks" not in render_ensemble_page(make_ensemble(members=members))
