"""Data as the YAML that this program writes into files that people read."""

from __future__ import annotations

from typing import Any

import yaml


def dump(data: Any) -> str:
    """`data` as YAML in the order of its keys; points and lists of words as a person writes them."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def dump_inline(value: Any, quotes: str | None = None) -> str:
    """`value` as YAML on one line, for a place in the midst of others; `quotes` are those of a text."""
    text = yaml.dump(
        [value],
        Dumper=yaml.SafeDumper,
        default_flow_style=True,
        default_style=quotes,
        sort_keys=False,
        allow_unicode=True,
        width=1 << 20,
    )
    return text.strip()[1:-1]  # as in a list, where more needs quotes than alone


class _Dumper(yaml.SafeDumper):
    """A list that holds no mapping stays on one line."""

    def represent_sequence(
        self, tag: str, sequence: Any, flow_style: bool | None = None
    ) -> yaml.SequenceNode:
        flow = flow_style or not any(isinstance(item, dict) for item in sequence)
        node: yaml.SequenceNode = super().represent_sequence(tag, sequence, flow)
        return node
