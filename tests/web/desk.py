"""A labelling session that is served, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tfclassify.data.journals import Answer
from tfclassify.web.studio import make_studio
from tfclassify.workflows.label import LabelRequest, LabelWork, start_labelling


@dataclass(frozen=True)
class Desk:
    """A session at work, with its server."""

    work: LabelWork
    client: httpx.Client
    address: str

    @property
    def labeller(self) -> str:
        """Who labels unless a request says otherwise."""
        return self.work.labeller

    def ask(self, route: str) -> Any:
        """Get what a route gives."""
        return self.client.get(f"/api/{route}").raise_for_status().json()

    def post(self, route: str, **given: Any) -> Any:
        """Send JSON to a route, as the labeller."""
        content = {"labeller": self.labeller, **given}
        return self.client.post(f"/api/{route}", json=content).raise_for_status().json()

    def answers(self, labeller: str | None = None) -> dict[str, Answer]:
        """Read a labeller's answers from the disk."""
        return self.work.board.session.read_answers(labeller or self.labeller)


@contextmanager
def open_desk(
    source: Path, session: Path, serve_app: Callable[..., Any], **request: Any
) -> Iterator[Desk]:
    """Open a session, as ``ann`` unless told otherwise, and serve it."""
    request = {"labeller": "ann", **request}
    work = start_labelling(LabelRequest(source=str(source), session=session, **request))
    try:
        served = serve_app(lambda door: make_studio(door, work.board, work.labeller, work.remarks))
        yield Desk(work, served.client, served.address)
    finally:
        work.board.close()
