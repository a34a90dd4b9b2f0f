"""YAML read with suspicion: bounded, no aliases, no duplicate keys, and a line number for every key.

A configuration file is written by people and programs and read by a daemon that must start: whatever is in
it ends in data or in one ConfigError that names file, line and key. Values never appear in an error text
where they could be a credential.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from pipelines.rules import NAME_PATTERN, NAME_RULE, PATH_PATTERN, PATH_RULE
from streamer.errors import ConfigError, one_line
from streamer.logs import redact

MAX_BYTES = 1 << 20  # 1 MiB; a camera with 32 lines of 32 points takes 30 KiB
MAX_DEPTH = 24  # the deepest key of the configuration lies at 7
PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str")}

SECRET_KEYS = ("url", "username", "password")  # whose values are never repeated in an error

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[str | int, ...]  # the way to a key: ("rules", "lines", 0, "points")


@dataclass(frozen=True)
class Document:
    """What a file says, and on which line (from 1) it says it."""

    path: Path
    data: dict[str, Any]
    lines: dict[Place, int]

    def line_of(self, place: Place) -> int:
        """The line of `place`, or of the nearest thing around it that is in the file."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def error(self, place: Place, text: str) -> ConfigError:
        key = redact(show_place(place))
        return ConfigError(f"{self.path}:{self.line_of(place)}: {key + ': ' if key else ''}{text}")

    def check(self, model: type[Model]) -> Model:
        """The data as `model`. Raises ConfigError for the first thing that is wrong with it."""
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            place, text = explain(error, model)
            raise self.error(place, text) from None  # pydantic's own text repeats the values


def explain(error: ValidationError, model: type[BaseModel]) -> tuple[Place, str]:
    """The place and one line about the first of the errors, with the nearest key that does exist."""
    errors = error.errors(include_url=False)
    # A mistyped key is told before the one that is missing for it.
    first, *others = sorted(errors, key=lambda e: e["type"] != "extra_forbidden")
    place: Place = tuple(first["loc"])
    if first["type"] == "extra_forbidden":
        text = "unknown key" + _suggest(str(place[-1]), _fields_at(model, place[:-1]))
    else:
        text = _for_people(first)
        value = first["input"]
        secret = model.model_config.get("hide_input_in_errors") or set(place) & set(SECRET_KEYS)
        if isinstance(value, str | int | float) and first["type"] != "value_error" and not secret:
            text += f", got {redact(repr(value))[:80]}"
    return place, one_line(text) + (f" (and {len(others)} more)" if others else "")


def _for_people(error: ErrorDetails) -> str:
    """What is wrong, where pydantic's own words are about patterns and tuples."""
    told, place = error.get("ctx", {}), error["loc"]
    if error["type"] == "string_pattern_mismatch" and told["pattern"] == NAME_PATTERN:
        return NAME_RULE
    if error["type"] == "string_pattern_mismatch" and told["pattern"] == PATH_PATTERN:
        return PATH_RULE
    if place and place[-1] == "points" and error["type"] in ("too_short", "too_long"):
        least, most = told.get("min_length"), told.get("max_length")
        wanted = f"at least {least}" if least is not None else f"at most {most}"
        return f"needs {wanted} points, not {told['actual_length']}"
    text = error["msg"].removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _suggest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f": did you mean {near[0]!r}?"
    return f": known here are {', '.join(known)}" if known else ""


def _fields_at(model: type[BaseModel], place: Place) -> list[str]:
    """The keys that `model` knows at `place`; [] where it is not a model."""
    found: Any = model
    for step in place:
        if isinstance(found, type) and issubclass(found, BaseModel):
            field = found.model_fields.get(str(step))
            found = field.annotation if field else None
        else:  # tuple[Model, ...] or dict[str, Model]
            found = next((a for a in get_args(found) if isinstance(a, type) and a is not str), None)
    if not isinstance(found, type):  # Model | None
        found = next((a for a in get_args(found) if isinstance(a, type)), None)
    return list(found.model_fields) if isinstance(found, type) and issubclass(found, BaseModel) else []


def show_place(place: Place) -> str:
    """("rules", "lines", 0, "name") as rules.lines[0].name."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{one_line(step)[:80]}" for step in place)
    return text.removeprefix(".")


def read_text(path: Path, undecodable: str = "strict") -> str:
    """The file's text. Raises ConfigError if it is no regular, readable file of at most 1 MiB, or no UTF-8
    where that is asked for (`undecodable` as bytes.decode() takes it).
    """
    try:
        # O_NONBLOCK: opening a named pipe must not wait for its writer
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(f"{path}: is not a regular file")
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path}: is larger than {MAX_BYTES >> 20} MiB, too large for a configuration")
    try:
        return raw.decode("utf-8", undecodable)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 text: save it as UTF-8") from error


def read(path: Path, as_text: bool = False, may_be_empty: bool = False, advice: str = "") -> Document:
    """Parse a file whose top level is a mapping. Raises ConfigError with file and line.

    `as_text`: every value stays as it is written, so that the password 0123 is not the number 83.
    `advice` is what to do about a file that is empty.
    """
    return parse(path, read_text(path), as_text, may_be_empty, advice)


def parse(
    path: Path, text: str, as_text: bool = False, may_be_empty: bool = False, advice: str = ""
) -> Document:
    """Parse `text` as the content of `path`. Raises ConfigError with file and line."""
    try:
        composer = _Composer(text)
        try:
            root = composer.get_single_node()
        finally:
            composer.dispose()
    except _Refused as error:
        raise ConfigError(f"{path}:{error.line}: {error.text}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: is not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:  # the reader's: characters that YAML does not allow
        raise ConfigError(f"{path}: is not YAML: it holds control characters") from error
    if root is None and may_be_empty:
        return Document(path, {}, {})
    if root is None:
        raise ConfigError(f"{path}: is empty" + (f": {advice}" if advice else ""))
    lines: dict[Place, int] = {}
    try:
        data = _Builder(lines, as_text).build(root, ())
    except _Refused as error:
        raise ConfigError(f"{path}:{error.line}: {error.text}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:{_line(root)}: expected `key: value` lines at the top level")
    return Document(path, data, lines)


class _Refused(Exception):
    """Raised inside this file for what YAML allows and a configuration does not."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


class _Composer(yaml.SafeLoader):
    """Refuses aliases (cycles and 10^9-fold expansion) and deep nesting while the text is read."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _Refused(
                line, "YAML anchors and aliases (& and *) are not used here; quote a value with them"
            )
        if self._depth >= MAX_DEPTH:
            raise _Refused(line, f"nested more than {MAX_DEPTH} deep")
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


_values = yaml.constructor.SafeConstructor()


class _Builder:
    """Turns YAML nodes into plain values and notes the line of each."""

    def __init__(self, lines: dict[Place, int], as_text: bool) -> None:
        self._lines = lines
        self._as_text = as_text

    def build(self, node: Node, place: Place) -> Any:
        self._lines.setdefault(place, _line(node))
        if isinstance(node, MappingNode):
            return self._mapping(node, place)
        if isinstance(node, SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.build(item, (*place, i)) for i, item in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return node.value if self._as_text and node.tag in PLAIN_TAGS else _scalar(node)
        raise _Refused(_line(node), f"{show_place(place)}: this kind of YAML value is not used here")

    def _mapping(self, node: MappingNode, place: Place) -> dict[str, Any]:
        if node.tag != "tag:yaml.org,2002:map":
            raise _Refused(_line(node), f"{show_place(place)}: YAML tags (!) are not used here")
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = _line(key_node)
            key = _scalar(key_node) if isinstance(key_node, ScalarNode) else None
            if not isinstance(key, str):
                raise _Refused(line, f"{show_place(place)}: a key must be a word; quote it if it is one")
            here = (*place, key)
            if key in result:
                first = self._lines[here]
                raise _Refused(line, f"{show_place(here)}: is given twice (first on line {first})")
            self._lines[here] = line
            result[key] = self.build(value_node, here)
        return result


def _scalar(node: ScalarNode) -> Hashable:
    """A plain value; what YAML would take for a date stays text."""
    if node.tag not in PLAIN_TAGS:
        if node.tag == "tag:yaml.org,2002:timestamp":
            return str(node.value)
        raise _Refused(_line(node), "YAML tags (!), << and = are not used here; quote a value with them")
    with suppress(ValueError, OverflowError):
        value: Hashable = _values.yaml_constructors[node.tag](_values, node)
        return value
    raise _Refused(_line(node), "not a number that can be used")


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


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
