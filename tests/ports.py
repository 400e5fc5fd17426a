"""Addresses of this machine that nobody listens at."""

from __future__ import annotations

import socket
from contextlib import ExitStack


def choose_addresses(count: int) -> list[str]:
    """Choose ports of the loopback interface that are free at this moment."""
    with ExitStack() as opened:
        listeners = [
            opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in listeners]
