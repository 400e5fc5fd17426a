"""The review of suspects in the studio's page, and what it writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.builders import Listener
from tests.tiny_run import TinyRun
from tfclassify.data.corrections import read_corrections
from tfclassify.data.index import load_index
from tfclassify.web import cleaning
from tfclassify.web.cleaning import review_suspects
from tfclassify.web.studio import make_studio
from tfclassify.workflows.clean import CleanRequest, clean_target, conclude_review, start_review


def test_suspects_are_reviewed_on_the_page(
    tiny_run: TinyRun,
    tmp_path: Path,
    serve_app: Callable[..., Any],
    open_page: Callable[..., Any],
) -> None:
    request = CleanRequest(tiny_run.run, has_photos=False, has_features=False, out=tmp_path)
    result = clean_target(request)
    first, second = result.suspects[:2]
    assert conclude_review(result) == {}  # nobody has begun
    board = start_review(result)
    try:
        served = serve_app(lambda door: make_studio(door, board, "ann", ()))
        page = open_page(served.address)
        page.wait_for_selector("body[data-ready]")
        page.wait_for_function(
            "name => document.querySelector('#name').textContent.includes(name)", arg=first.image
        )
        assert first.reason in page.inner_text("body")
        assert not page.is_visible("#retrain")  # these models are judged, and learn nothing here
        # What the model says by one key, then the label that the second image has.
        page.keyboard.press(".")
        page.wait_for_function(
            "name => document.querySelector('#name').textContent.includes(name)", arg=second.image
        )
        keys = {label.name: label.key for label in board.vocabulary.labels}
        page.keyboard.press(keys[second.given])
        page.wait_for_function(
            "name => !document.querySelector('#name').textContent.includes(name)",
            arg=second.image,
        )
    finally:
        board.close()
    assert conclude_review(result) == {"keep": 1, "relabel": 1, "drop": 0}
    found = {each.file: each for each in read_corrections(result.corrections)}
    assert (found[first.image].action, found[first.image].label) == ("relabel", first.suggestion)
    assert found[second.image].action == "keep"
    # Another look writes the same down again, also where the page was killed.
    result.corrections.unlink()
    assert clean_target(request).corrections.exists()


def test_the_command_serves_until_it_is_stopped_and_writes(
    tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = load_index(tiny_run.run / "index.csv").frame.set_index("image")

    def serve(
        board: Any, labeller: str, *given: Any, remarks: tuple[str, ...], **named: Any
    ) -> None:
        from tfclassify.data.journals import Answer

        assert "keeps it" in remarks[0]
        image = board.images.names[0]
        label = index.loc[image, "label"]
        board.sit_down(labeller).answer({image: Answer("", "", (label,))})

    monkeypatch.setattr(cleaning, "serve_board", serve)
    listener = Listener()
    request = CleanRequest(tiny_run.run, has_photos=False, has_features=False, out=tmp_path)
    result = review_suspects(request, listener, port=0, opens_browser=False)
    assert listener.notes[-1] == "1 image decided: keep 1, relabel 0, drop 0"
    assert [each.action for each in read_corrections(result.corrections)] == ["keep"]
