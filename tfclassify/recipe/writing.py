"""YAML as this project writes it.

Owns: how plain values become YAML text that every reader takes in the same way.
Does not own: what is written (``loading``, ``starter``, ``reference``).
"""

from __future__ import annotations

from typing import Any

import yaml

#: Words that some YAML reader takes for something else than text.
_RESERVED = frozenset(("y", "n", "yes", "no", "on", "off", "null", "true", "false"))


class _Dumper(yaml.SafeDumper):
    """The safe dumper without aliases, which recipes do not have."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # Quoting whatever is not an ordinary word keeps '1e-3', '1:30' and 'no' text everywhere.
    is_word = text.isascii() and text.replace("_", "").isalnum() and text[0].isalpha()
    style = None if is_word and text.lower() not in _RESERVED else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def render_yaml(content: Any) -> str:
    """Write mappings, lists and scalars as YAML, short collections on one line."""
    text: str = yaml.dump(
        content,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=100,
    )
    return text


def render_inline(value: Any) -> str:
    """Write one value as YAML on one line, as it stands after ``key:``."""
    text: str = yaml.dump(
        value,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=True,
        width=1 << 30,
    )
    return text.removesuffix("\n").removesuffix("\n...").strip()
