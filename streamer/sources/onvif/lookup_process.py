"""A look-up in a process of its own, for who serves others meanwhile: what a device answers is read there.

The address and its credentials go in on standard input: an argument would be for all to see.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
from dataclasses import dataclass
from typing import Any

from streamer.errors import ConfigError, SourceError
from streamer.sources.asked_apart import ask_apart
from streamer.sources.limits import SourceLimits

ENDED_BY_S = 60  # whatever it hangs in; a busy box takes long to begin


@dataclass(frozen=True, slots=True)
class FoundApart:
    """`url` has no credentials; `endpoint` is "" where the device told none; `profile` is for people; `ca` is
    for the stream."""

    url: str
    endpoint: str
    profile: str
    ca: str
    notes: list[str]


def look_up_apart(
    url: str, user: str | None, password: str | None, limits: SourceLimits, width: int, ca: str = ""
) -> FoundApart:
    """As lookup.look_up. Raise ConfigError for no such address, SourceError for the rest."""
    asked = {
        "url": url,
        "user": user,
        "password": password,
        "limits": dataclasses.asdict(limits),
        "width": width,
        "ca": ca,
    }
    told = ask_apart(
        __name__, asked, ENDED_BY_S, "asking the camera by ONVIF was ended: it hung, or broke the reader"
    )
    if "problem" in told:
        raise SourceError(told["problem"])
    return FoundApart(**told)


def _look_up(asked: dict[str, Any]) -> dict[str, Any]:
    from streamer.sources.onvif.lookup import look_up, read_login  # who asks reads no device's answers

    limits = SourceLimits(*(tuple(of) if of is not None else None for of in asked["limits"].values()))
    url, login = read_login(asked["url"], asked["user"], asked["password"])
    found = look_up(url, login, limits, asked["width"], asked["ca"])
    told = FoundApart(found.url, found.endpoint, str(found.profile), found.ca, found.notes)
    return dataclasses.asdict(told)


def main() -> None:
    signal.alarm(ENDED_BY_S)
    try:
        told = _look_up(json.load(sys.stdin))
    except ConfigError as error:
        told = {"refused": str(error)}
    except SourceError as error:
        told = {"problem": str(error)}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
