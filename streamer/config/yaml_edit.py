"""Changes single keys in a YAML text that a person wrote, and leaves every other character as it is.

ruamel.yaml says where each key and value lies. Its writer is not used: it lays out anew what nobody changed.
A place is the way to a value; items with a `name` are found by it: ("rules", "lines", "door", "points").
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeGuard

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from streamer.config.yaml_writer import dump, dump_inline

Way = tuple[str, ...]


class NotEditable(ValueError):
    """Raised where the text is written so that a change does not fit into it."""


def edited(
    text: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    needed: Mapping[str, Any],
    unset: Collection[Way] = (),
) -> str:
    """`text`, which says `before`, made to say `after`; both are complete, with every default.

    Of `after` only what is `needed` has to be written; what is in the text already is kept up to date in its
    place, and taken out where it is `unset`. Raises NotEditable.
    """
    try:
        changes = list(_changes(before, after, needed, ()))
        for way, value in sorted(changes, key=lambda change: _takes_out(change[1])):  # last: what they leave
            text = _put(text, way, value)
        for way in unset:
            text = _put(text, way, _Gone)
    except (YAMLError, IndexError) as error:
        raise NotEditable(str(error)) from error
    return text


class _Gone:
    """Stands for a value that is to be taken out."""


def _changes(
    before: Mapping[str, Any], after: Mapping[str, Any], needed: Mapping[str, Any], way: Way
) -> Iterator[tuple[Way, Any]]:
    """What is to be written where, or `_Gone`."""
    for key in (*after, *(key for key in before if key not in after)):
        old, new, place = before.get(key), after.get(key), (*way, key)
        if key in before and key in after and old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict) and new:
            yield from _changes(old, new, needed.get(key) or {}, place)
        elif _named(old) and _named(new) and _in_order(old, new):
            names = [item["name"] for item in new]
            for item in old:
                if item["name"] not in names:
                    yield (*place, item["name"]), _Gone
            written = {item["name"]: item for item in needed.get(key) or ()}
            old_items = {item["name"]: item for item in old}
            for item in new:
                at = (*place, item["name"])
                if item["name"] in old_items:
                    yield from _changes(old_items[item["name"]], item, written.get(item["name"], {}), at)
                else:
                    yield at, written[item["name"]]
        elif key in needed:
            yield place, needed[key]
        else:  # a default: written only where the text has the key
            yield place, _Default(new)


class _Default:
    """A value that need not be written."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _takes_out(value: Any) -> bool:
    return value is _Gone or (isinstance(value, _Default) and value.value in (None, [], {}))


def _named(items: Any) -> TypeGuard[list[dict[str, Any]]]:
    return (
        isinstance(items, list) and bool(items) and all(isinstance(i, dict) and i.get("name") for i in items)
    )


def _in_order(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> bool:
    """Whether `new` is `old` with some taken out and others put at the end."""
    old_names, new_names = [i["name"] for i in old], [i["name"] for i in new]
    remaining = [name for name in old_names if name in new_names]
    return len(set(old_names)) == len(old_names) and new_names[: len(remaining)] == remaining


# ---- one change


def _put(text: str, way: Way, value: Any) -> str:
    node: Node = YAML().compose(io.StringIO(text))
    parents: list[tuple[CollectionNode, int]] = []
    for depth, step in enumerate(way):
        at = _find(node, step)
        if at is not None and isinstance(node, CollectionNode):
            parents.append((node, at))
            node = _value(node, at)
            continue
        if value is _Gone or isinstance(value, _Default):
            return text  # it is not there
        return _insert(text, parents, node, way[depth:], value)
    if _takes_out(value):
        return _remove(text, parents)
    return _replace(text, *parents[-1], value.value if isinstance(value, _Default) else value)


def _find(node: Node, step: str) -> int | None:
    """Where in a mapping the key is, or in a sequence the item of that name."""
    if isinstance(node, MappingNode):
        return next((i for i, (key, _) in enumerate(node.value) if key.value == step), None)
    if isinstance(node, SequenceNode):
        for i, item in enumerate(node.value):
            at = _find(item, "name") if isinstance(item, MappingNode) else None
            if at is not None and item.value[at][1].value == step:
                return i
    return None


def _value(node: CollectionNode, at: int) -> Node:
    entry = node.value[at]
    value: Node = entry[1] if isinstance(node, MappingNode) else entry
    return value


def _start(node: CollectionNode, at: int) -> int:
    entry = node.value[at]
    return int((entry[0] if isinstance(node, MappingNode) else entry).start_mark.index)


def _colon(text: str, node: CollectionNode, at: int) -> int:
    """Behind the colon of a mapping's key."""
    if not isinstance(node, MappingNode):
        raise NotEditable("an item of a list is empty, or to be another")
    return text.index(":", int(node.value[at][0].end_mark.index)) + 1


def _empty(node: Node) -> bool:
    """A null that is not written; its marks lie behind the comments that follow it."""
    return isinstance(node, ScalarNode) and not node.value and node.style not in ("'", '"')


def _end(text: str, node: CollectionNode, at: int) -> int:
    """Where a value ends: a block's own mark lies behind the comments that follow it."""
    value = _value(node, at)
    if isinstance(value, CollectionNode) and not value.flow_style and value.value:
        return _end(text, value, len(value.value) - 1)
    if isinstance(value, ScalarNode) and value.style in ("|", ">"):
        raise NotEditable("it holds a text of several lines")
    return _colon(text, node, at) if _empty(value) else int(value.end_mark.index)


def _insert(text: str, parents: list[tuple[CollectionNode, int]], node: Node, way: Way, value: Any) -> str:
    """Put what is missing, with the mappings around it, into `node`."""
    item = isinstance(node, SequenceNode)
    for step in reversed(way[1:] if item else way):
        value = {step: value}
    if not isinstance(node, CollectionNode):  # nothing, where a mapping or a list is to be
        return _replace(text, *parents[-1], value)
    last = len(node.value) - 1
    if node.flow_style:
        inner = dump_inline(value)
        inner = inner if item else inner[1:-1]
        at = _end(text, node, last) if node.value else int(node.end_mark.index) - 1
        return text[:at] + (", " if node.value else "") + inner + text[at:]
    lines = dump([value] if item else value).splitlines()
    return _add_lines(text, _end(text, node, last), [" " * node.start_mark.column + line for line in lines])


def _add_lines(text: str, after: int, lines: list[str]) -> str:
    """Below the line on which `after` lies."""
    newline = "\r\n" if "\r\n" in text else "\n"
    at = text.find("\n", after)
    head, tail = (text + newline, "") if at < 0 else (text[: at + 1], text[at + 1 :])
    return head + "".join(line + newline for line in lines) + tail


def _replace(text: str, parent: CollectionNode, at: int, value: Any) -> str:
    node = _value(parent, at)
    start, end = int(node.start_mark.index), _end(text, parent, at)
    if _empty(node):
        return text[:end] + " " + dump_inline(value) + text[end:]
    if isinstance(node, ScalarNode):
        quotes = node.style if isinstance(value, str) and node.style in ("'", '"') else None
        return text[:start] + dump_inline(value, quotes) + text[end:]
    if isinstance(node, CollectionNode) and not node.flow_style:  # it begins below its key
        colon = _colon(text, parent, at)
        comments = text[colon:start].rstrip()
        if comments:  # comments
            end = len(text) if (newline := text.find("\n", end)) < 0 else newline
        return text[:colon] + " " + dump_inline(value) + comments + text[end:]
    return text[:start] + dump_inline(value) + text[end:]


def _commented(text: str, parent: CollectionNode, at: int) -> bool:
    """Whether a key that holds others has a comment beside it, or below it before the first of them."""
    value = _value(parent, at)
    if not isinstance(parent, MappingNode) or not isinstance(value, CollectionNode):
        return False
    if value.flow_style:
        end = int(value.end_mark.index)
        return text[end:].partition("\n")[0].lstrip().startswith("#")
    return "#" in text[_colon(text, parent, at) : int(value.start_mark.index)]


def _remove(text: str, parents: list[tuple[CollectionNode, int]]) -> str:
    """Take out the innermost, and what is empty without it; a section with a comment of its own stays."""
    while len(parents) > 1 and len(parents[-1][0].value) == 1:
        emptied = parents.pop()[0]
        if _commented(text, *parents[-1]):
            return _replace(text, *parents[-1], [] if isinstance(emptied, SequenceNode) else {})
    node, at = parents[-1]
    start, end = _start(node, at), _end(text, node, at)
    if node.flow_style:
        if at + 1 < len(node.value):
            return text[:start] + text[_start(node, at + 1) :]
        return text[: _end(text, node, at - 1) if at else start] + text[end:]
    first = text.rfind("\n", 0, start) + 1
    lead = text[first:start]
    if lead.strip() not in (("-",) if isinstance(node, SequenceNode) else ("",)):
        if at + 1 < len(node.value):  # the first key of an item, beside its dash
            return text[:start] + text[_start(node, at + 1) :]
        raise NotEditable("it does not begin its line")
    last = text.find("\n", end)
    return text[:first] + ("" if last < 0 else text[last + 1 :])
