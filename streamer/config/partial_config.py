"""What a broken streamer.yaml still says: enough to find a daemon and its records, never to run one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from streamer.config.schema import Config
from streamer.config.yaml_reader import parse, read_text
from streamer.errors import ConfigError

UNDECODABLE = "\N{REPLACEMENT CHARACTER}"
MAX_BLOCKS = 100  # more top-level keys than there are


def salvage(path: Path) -> Config:
    """Every top-level key that can be understood by itself; all others have their defaults."""
    try:
        text = read_text(path, undecodable="replace")
    except ConfigError:
        return Config()
    data: dict[str, Any] = {}
    for block in _blocks(text):
        first = block.splitlines()[0]
        data = {
            **(_read(path, block) or _read(path, first)),
            **data,
        }  # of two, the first
    if "sinks" in data:
        data.pop("redis", None)  # the two refuse each other
    return Config.model_validate(data)


def _blocks(text: str) -> Iterator[str]:
    """Each known top-level key with what is indented below it."""
    block: list[str] = []
    count = 0
    for line in text.splitlines(keepends=True):
        if line[:1].isalpha():
            if block:
                yield "".join(block)
            count += 1
            if count > MAX_BLOCKS:
                return
            block = [line] if line.partition(":")[0].strip() in Config.model_fields else []
        elif block:
            block.append(line)
    if block:
        yield "".join(block)


def _read(path: Path, block: str) -> dict[str, Any]:
    """The key and its value; {} for what is not understood, or was no text."""
    if UNDECODABLE in block:
        return {}
    try:
        data = parse(path, block, may_be_empty=True).data
        Config.model_validate(data)
    except (ConfigError, ValidationError):
        return {}
    data.pop("cameras", None)
    return data
