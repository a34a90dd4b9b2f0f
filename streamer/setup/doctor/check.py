"""What one check found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """`text` is what was found, `advice` what to do about it (empty when there is nothing to do).

    fail: the daemon cannot work like this; warn: it works, but worse than it could.
    """

    name: str
    level: Level
    text: str
    advice: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def ok(name: str, text: str) -> Check:
    return Check(name, "ok", text)


def warn(name: str, text: str, advice: str) -> Check:
    return Check(name, "warn", text, advice)


def fail(name: str, text: str, advice: str) -> Check:
    return Check(name, "fail", text, advice)
