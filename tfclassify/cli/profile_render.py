"""Profiles in the form that was asked for.

Owns: the choice between one network and several. Does not own: tables and the page
(``report``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from tfclassify import __version__
from tfclassify.pages.profile_page import render_profile_page
from tfclassify.pages.profile_tables import (
    render_profile,
    tabulate_networks,
    write_layers_csv,
    write_networks_csv,
)
from tfclassify.workflows.profile import Profiled, describe_network


def render_profiles(found: Sequence[Profiled], form: str) -> str:
    """Write profiles as ``table``, ``csv``, ``json`` or ``html``."""
    return _FORMS[form](found)


def _to_table(found: Sequence[Profiled]) -> str:
    if len(found) == 1:
        return render_profile(describe_network(found[0]))
    return tabulate_networks([describe_network(each) for each in found])


def _to_csv(found: Sequence[Profiled]) -> str:
    if len(found) == 1:
        return write_layers_csv(describe_network(found[0]))
    return write_networks_csv([describe_network(each) for each in found])


def _to_json(found: Sequence[Profiled]) -> str:
    contents = [each.profile.to_dict(each.layers) for each in found]
    content = contents[0] if len(contents) == 1 else contents
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def _to_html(found: Sequence[Profiled]) -> str:
    from tfclassify.workflows.reporting import format_now

    return render_profile_page(
        [describe_network(each, is_whole=True) for each in found],
        created=format_now(),
        version=__version__,
    )


_FORMS: dict[str, Callable[[Sequence[Profiled]], str]] = {
    "table": _to_table,
    "csv": _to_csv,
    "json": _to_json,
    "html": _to_html,
}
