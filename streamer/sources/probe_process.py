"""A look at a source in a process of its own, for who serves others meanwhile: what a hostile stream does to
a decoder ends there.

The address, which may hold credentials, goes in on standard input: an argument would be for all to see.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import signal
import sys
from typing import TYPE_CHECKING, Any

from streamer.errors import ConfigError
from streamer.ipc.choices import Transport
from streamer.sources.asked_apart import ask_apart
from streamer.sources.limits import SourceLimits
from streamer.sources.room import Room

if TYPE_CHECKING:
    from streamer.sources.base import Decoded

MAX_PROBE_S = 15.0
ENDED_BY_S = 60  # whatever it hangs in; a busy box takes long to begin
PICTURE_WIDTH = 640
JPEG_QUALITY = 85


def probe_apart(
    url: str,
    limits: SourceLimits,
    stream: int | None,
    transport: Transport,
    picture: bool,
    room: Room | None = None,
    ca: str = "",
) -> dict[str, Any]:
    """The report of sources.probe as plain data with `ok`, and where `picture` is asked for the first one as
    `jpeg_base64` (empty where there was none). Raise ConfigError for no address of a source, SourceError
    where the process died of it.
    """
    asked = {
        "url": url,
        "limits": dataclasses.asdict(limits),
        "stream": stream,
        "transport": transport,
        "ca": ca,
        "picture": picture,
        "room": room and dataclasses.asdict(room),
    }
    return ask_apart(
        __name__, asked, ENDED_BY_S, "the look at the camera was ended: it hung, or broke the decoder"
    )


def _look(asked: dict[str, Any]) -> dict[str, Any]:
    from streamer.sources.probe import probe  # the decoder: who asks for a look has none of its own

    first: list[bytes] = []
    limits = SourceLimits(*(tuple(of) if of is not None else None for of in asked["limits"].values()))
    report = probe(
        asked["url"],
        MAX_PROBE_S,
        stream=asked["stream"],
        transport=asked["transport"],
        ca=asked["ca"],
        limits=limits,
        room=Room(**asked["room"]) if asked["room"] else None,
        on_picture=(lambda decoded: first.append(_jpeg(decoded))) if asked["picture"] else None,
    )
    told = {"ok": report.ok, **dataclasses.asdict(report)}
    if asked["picture"]:
        told["jpeg_base64"] = base64.b64encode(first[0]).decode() if first else ""
    return told


def _jpeg(decoded: Decoded) -> bytes:
    import cv2

    _, raw = cv2.imencode(".jpg", decoded.image(PICTURE_WIDTH), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return raw.tobytes()


def main() -> None:
    signal.alarm(ENDED_BY_S)
    with contextlib.redirect_stdout(sys.stderr):
        try:
            told = _look(json.load(sys.stdin))
        except ConfigError as error:
            told = {"refused": str(error)}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
