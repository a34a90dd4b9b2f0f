"""`/api/v1/clips` and `/api/v1/events/ID/clip`: clips of events, made and handed out by the daemon.

A clip is a picture that was kept: admins alone get one, and the daemon's log says who did.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, StreamingResponse

from streamer.api.explain import UnknownEvent, parse_id
from streamer.api.http.answers import Answer, maybe
from streamer.api.http.cameras import check_seen
from streamer.api.http.problems import HttpRefusal
from streamer.api.http.site import Site
from streamer.api.tokens import Token
from streamer.config.clip_settings import People

TYPES = {".mp4": "video/mp4", ".mkv": "video/x-matroska"}


class Clip(Answer):
    clip: str
    event: str
    camera: str
    from_ns: int
    to_ns: int
    file: str
    bytes: int
    sha256: str
    people: People
    codec: str
    made_ns: int
    note: str
    seq: int
    path: str


class ClipMaking(Answer):
    clip: str
    camera: str
    state: str


class Clips(Answer):
    clips: list[Clip]
    making: list[ClipMaking]
    bytes: int
    max_bytes: int
    folder: str


class ClipState(Answer):
    """`state` is recording, hiding or ready; `made` is there when it is ready."""

    state: str
    clip: str
    made: Clip = maybe()


def list_(request: Request, camera: str = "") -> JSONResponse:
    """The clips that there are, newest first, and those that are being made."""
    token = request.state.token
    answer = _ask(request, "list", camera=camera or None)
    for key in ("clips", "making"):
        answer[key] = [each for each in answer[key] if token.sees(each["camera"])]
    return JSONResponse(answer)


def make(request: Request, event: str) -> JSONResponse:
    """Have the clip of an event made, or say how far it is: ask again until it is ready."""
    _check(request, event)
    answer = _ask(request, "make", event=event)
    state = answer.pop("state")
    more = {"made": answer} if state == "ready" else {}
    return JSONResponse({"state": state, "clip": answer["clip"], **more}, 200 if more else 202)


def show(request: Request, event: str) -> StreamingResponse:
    """The clip of an event as a file, where one was made."""
    _check(request, event)
    first = _ask(request, "read", event=event)
    name = str(first["name"])
    size = len(base64.b64decode(first["data_base64"])) + first["left"]
    headers = {
        "cache-control": "no-store",
        "content-length": str(size),
        "content-disposition": f'inline; filename="{name}"',
    }
    site, token = request.app.state.site, request.state.token
    kind = TYPES[name[name.rindex(".") :]]
    return StreamingResponse(_parts(site, token, event, first), media_type=kind, headers=headers)


def remove(request: Request, event: str) -> JSONResponse:
    """Remove the clip of an event."""
    _check(request, event)
    return JSONResponse(_ask(request, "remove", event=event))


def _parts(site: Site, token: Token, event: str, part: dict[str, Any]) -> Iterator[bytes]:
    sent = base64.b64decode(part["data_base64"])
    yield sent
    offset = len(sent)
    while part["left"]:
        part = site.ask(token, "clip", {"action": "read", "event": event, "offset": offset})
        sent = base64.b64decode(part["data_base64"])
        yield sent
        offset += len(sent)


def _ask(request: Request, action: str, **args: Any) -> dict[str, Any]:
    site: Site = request.app.state.site
    return site.ask(request.state.token, "clip", {"action": action, **args})


def _check(request: Request, event: str) -> None:
    """Raise HttpRefusal for what is no event's id, or one of a camera that the token is not for."""
    try:
        camera = parse_id(event).camera
    except UnknownEvent as error:
        raise HttpRefusal(422, str(error)) from error
    check_seen(request.state.token, camera)
