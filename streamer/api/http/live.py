"""`/api/v1/cameras/NAME/live`: a few pictures a second, for who looks (multipart/x-mixed-replace, as an <img>
shows it).

Nothing is converted for nobody: each picture is asked for when the one before has been taken, and at most
MAX_STREAMS are looked at at a time. Where privacy.people hides people there is none: who is hidden is found
by a detector, and a live picture will not wait for one.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Query, Request
from fastapi.responses import StreamingResponse

from streamer.api.http import cameras
from streamer.api.http.problems import HttpRefusal
from streamer.api.http.site import Site
from streamer.api.tokens import Token
from streamer.errors import StreamerError

MAX_STREAMS = 4
MAX_PER_S = 5.0
MAX_WIDTH = 1280
ASK_TIMEOUT_S = 10.0
AWAY_S = 15.0  # without a picture the stream ends
BOUNDARY = "picture"
OVERLAYS = ("boxes", "lines", "trails", "none")
_threads = CapacityLimiter(MAX_STREAMS)  # of their own, so that all others are answered meanwhile


class Looks:
    """How many look now."""

    def __init__(self) -> None:
        self.open = 0

    def check(self) -> None:
        """Raise HttpRefusal where as many look as may."""
        if self.open >= MAX_STREAMS:
            text = f"{MAX_STREAMS} live pictures are looked at, and no more are sent: try again later"
            raise HttpRefusal(503, text)


async def live(
    request: Request,
    name: str,
    rate: Annotated[float, Query(gt=0, le=MAX_PER_S)] = 2.0,
    width: Annotated[int, Query(ge=64, le=MAX_WIDTH)] = 640,
    overlay: Annotated[str, Query(max_length=64)] = "none",
) -> StreamingResponse:
    """Pictures, `rate` a second at most, with an `overlay` of some of boxes, lines, trails (or none). Not
    where `privacy.people` hides people."""
    site, token = request.app.state.site, request.state.token
    view = _View(site, token, name, width, _overlay(overlay))
    await run_sync(cameras.known, site, token, name)
    cameras.check_may_show(site)
    request.app.state.looks.check()
    first = await run_sync(view.picture, limiter=_threads)  # what is wrong is an answer of its own
    parts = _parts(request.app.state.looks, view, first, 1 / rate)
    kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
    return StreamingResponse(parts, media_type=kind, headers={"cache-control": "no-store"})


def _overlay(text: str) -> frozenset[str]:
    words = frozenset(word.strip() for word in text.split(",") if word.strip())
    if unknown := sorted(words - set(OVERLAYS)):
        raise HttpRefusal(422, f"overlay: {unknown[0]!r} is none: use some of {', '.join(OVERLAYS)}")
    return words - {"none"}


class _View:
    """One camera as one client wants it."""

    def __init__(self, site: Site, token: Token, name: str, width: int, overlay: frozenset[str]) -> None:
        self.site, self.token, self.name = site, token, name
        self._width, self._overlay = width, overlay
        self._trails: Any = None

    def picture(self) -> bytes:
        """A JPEG. Raise StreamerError."""
        args = {"camera": self.name, "width": self._width}
        jpeg = base64.b64decode(self.site.ask(self.token, "snapshot", args, ASK_TIMEOUT_S)["jpeg_base64"])
        return self._drawn(jpeg) if self._overlay else jpeg

    def _drawn(self, jpeg: bytes) -> bytes:
        from streamer.api.http import live_overlay  # OpenCV: only where somebody wants it drawn

        rules, tracks = None, []
        camera = self.site.config.camera(self.name)
        if "lines" in self._overlay and camera is not None:
            rules = camera.rules
        if self._overlay & {"boxes", "trails"}:
            tracks = self.site.ask(self.token, "tracks", {"camera": self.name}, ASK_TIMEOUT_S)["tracks"]
        self._trails = self._trails or live_overlay.Trails()
        trails = self._trails.add(tracks) if "trails" in self._overlay else []
        try:
            return live_overlay.drawn(jpeg, rules, tracks if "boxes" in self._overlay else [], trails)
        except ValueError as error:
            raise HttpRefusal(502, str(error)) from error

    @property
    def wanted(self) -> bool:
        """Whether it may go on: token, camera and privacy are what they were."""
        site = self.site
        there = site.config.camera(self.name) is not None and site.config.privacy.people == "show"
        return there and not site.stopping.is_set() and self.token in site.tokens.tokens()


async def _parts(looks: Looks, view: _View, first: bytes, every_s: float) -> AsyncIterator[bytes]:
    """Until who looks has gone. A camera that is away for a moment shows its last picture."""
    looks.open += 1
    try:
        yield _part(first)
        due_s = shown_s = time.monotonic()
        while view.wanted and time.monotonic() - shown_s < AWAY_S:
            due_s = max(due_s + every_s, time.monotonic())  # who reads slowly gets fewer, not later ones
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            try:
                picture = await run_sync(view.picture, limiter=_threads)
            except StreamerError:
                continue  # told by its state, and by the end of the stream where it lasts
            shown_s = time.monotonic()
            yield _part(picture)
    finally:
        looks.open -= 1


def _part(jpeg: bytes) -> bytes:
    head = f"--{BOUNDARY}\r\ncontent-type: image/jpeg\r\ncontent-length: {len(jpeg)}\r\n\r\n"
    return head.encode() + jpeg + b"\r\n"
