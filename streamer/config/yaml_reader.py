"""YAML 1.2 read with suspicion: bounded, no aliases, no duplicate keys, and a line number for every key.

A configuration file is written by people and programs and read by a daemon that must start: whatever is in
it ends in data or in one ConfigError that names file, line and key. Values never appear in an error text
where they could be a credential.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from streamer.config.validation_errors import Place, explain, show_place
from streamer.errors import ConfigError
from streamer.logs import redact

MAX_BYTES = 1 << 20  # 1 MiB; a camera with 32 lines of 32 points takes 30 KiB
MAX_DEPTH = 24  # the deepest key of the configuration lies at 7
STR_TAG = "tag:yaml.org,2002:str"
PLAIN_TAGS = {None, "!", STR_TAG, *(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float"))}

NULLS = ("", "~", "null", "Null", "NULL")
BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
# What YAML 1.1 and 1.2 both take for a number, and the same one.
DECIMAL = re.compile(r"[-+]?(0?[0-7]|[1-9][0-9]*)")
HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
FLOAT = re.compile(
    r"[-+]?[0-9]+\.[0-9]*([eE][-+][0-9]+)?|\.[0-9]+([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
LEADING_ZERO = re.compile(r"[-+]?0[0-7_]{2,}")  # in octal by 1.1, in decimal by 1.2

Model = TypeVar("Model", bound=BaseModel)
Scalar = str | int | float | bool | None


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
    lines: dict[Place, int] = {}
    try:
        data = _Builder(text, lines, as_text).document()
    except _Refused as error:
        raise ConfigError(f"{path}:{error.line}: {error.text}") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: is not YAML: {_in_words(error)}") from error
    except YAMLError as error:  # the reader's: characters that YAML does not allow
        raise ConfigError(f"{path}: is not YAML: it holds control characters") from error
    if data is _NOTHING and may_be_empty:
        return Document(path, {}, {})
    if data is _NOTHING:
        raise ConfigError(f"{path}: is empty" + (f": {advice}" if advice else ""))
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:{lines[()]}: expected `key: value` lines at the top level")
    return Document(path, data, lines)


def _in_words(error: MarkedYAMLError) -> str:
    """What the parser found, and what to do about it where that is known."""
    found, within = str(error.problem or error.context), str(error.context)
    if "character '\\t'" in found:
        return f"{found}: indent with spaces, not with tabs"
    if "'<stream end>'" in found and "flow" in within:
        return "a bracket, [ or {, is not closed: close it, or quote a text that begins with one"
    if "expected ',' or" in found:
        return f"{found}: a comma is missing, or a bracket is not closed"
    return found


class _Refused(Exception):
    """Raised inside this file for what YAML allows and a configuration does not."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


_NOTHING = object()  # what an empty document holds


class _Builder:
    """Makes plain values of the events of a text, and notes the line of each.

    Events are taken one by one, so that aliases (cycles and 10^9-fold expansion) and deep nesting are refused
    before they cost anything.
    """

    def __init__(self, text: str, lines: dict[Place, int], as_text: bool) -> None:
        self._events: Iterator[Event] = YAML(typ="safe", pure=True).parse(io.StringIO(text))
        self._lines = lines
        self._as_text = as_text

    def document(self) -> Any:
        """The value of the only document; _NOTHING where there is none."""
        next(self._events)  # the stream's start
        if isinstance(next(self._events), StreamEndEvent):
            return _NOTHING
        value = self._value(next(self._events), ())
        next(self._events)  # the document's end
        after = next(self._events)
        if not isinstance(after, StreamEndEvent):
            raise _Refused(_line(after), "is not YAML: a second document begins here")
        return value

    def _value(self, event: Event, place: Place) -> Any:
        _check_anchor(event)
        if isinstance(event, ScalarEvent):
            self._lines.setdefault(place, _line(event))
            return self._text_or_scalar(event)
        if len(place) >= MAX_DEPTH:
            raise _Refused(_line(event), f"nested more than {MAX_DEPTH} deep")
        self._lines.setdefault(place, _line(event))
        if isinstance(event, MappingStartEvent):
            return self._mapping(event, place)
        if isinstance(event, SequenceStartEvent) and event.tag in (None, "!", "tag:yaml.org,2002:seq"):
            return self._sequence(place)
        raise _Refused(_line(event), f"{show_place(place)}: this kind of YAML value is not used here")

    def _sequence(self, place: Place) -> list[Any]:
        result: list[Any] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            result.append(self._value(event, (*place, len(result))))
        return result

    def _mapping(self, start: MappingStartEvent, place: Place) -> dict[str, Any]:
        if start.tag not in (None, "!", "tag:yaml.org,2002:map"):
            raise _Refused(_line(start), f"{show_place(place)}: YAML tags (!) are not used here")
        result: dict[str, Any] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = _key(event, place)
            here = (*place, key)
            if key in result:
                first = self._lines[here]
                raise _Refused(_line(event), f"{show_place(here)}: is given twice (first on line {first})")
            self._lines[here] = _line(event)
            result[key] = self._value(next(self._events), here)
        return result

    def _text_or_scalar(self, event: ScalarEvent) -> Scalar:
        return str(event.value) if self._as_text and event.tag in PLAIN_TAGS else _scalar(event)


def _key(event: Event, place: Place) -> str:
    _check_anchor(event)
    key = _scalar(event) if isinstance(event, ScalarEvent) else None
    if not isinstance(event, ScalarEvent) or not isinstance(key, str):
        raise _Refused(_line(event), f"{show_place(place)}: a key must be a word; quote it if it is one")
    if key == "<<" and event.implicit[0]:
        raise _Refused(_line(event), f"{show_place((*place, key))}: is not used here: write the keys out")
    return key


def _check_anchor(event: Event) -> None:
    if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
        raise _Refused(
            _line(event), "YAML anchors and aliases (& and *) are not used here; quote a value with them"
        )


def _scalar(event: ScalarEvent) -> Scalar:
    if event.tag not in PLAIN_TAGS:
        raise _Refused(_line(event), "YAML tags (!) are not used here; quote a value with them")
    text = str(event.value)
    if event.tag == STR_TAG or not (event.implicit[0] or event.tag):
        return text
    if LEADING_ZERO.fullmatch(text):
        raise _Refused(
            _line(event), "a number with a leading 0 has two meanings: leave the 0 out, or quote a text"
        )
    try:
        return _plain(text)
    except (ValueError, OverflowError):
        raise _Refused(_line(event), "not a number that can be used") from None


def _plain(text: str) -> Scalar:
    """What YAML 1.2 takes an unquoted text for. Raises ValueError for a number of too many digits.

    Earlier versions of this program read YAML 1.1. What only one of the two takes for a number (12:30, 1_000,
    1e5, 0o17), and what only 1.1 takes for true or false (yes, off), stays text here: pydantic makes of it
    what the key's type asks for, a number or a truth value as before where it is one, or refuses it.
    """
    if text in NULLS:
        return None
    if text in BOOLS:
        return BOOLS[text]
    if DECIMAL.fullmatch(text):
        return int(text)
    if HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    if FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _line(event: Event) -> int:
    return int(event.start_mark.line) + 1
