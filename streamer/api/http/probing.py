"""Adding a camera, and the look at it that is taken first, as `streamer camera add` takes one; also alone."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from collections.abc import Iterator
from typing import Any

from anyio.to_thread import run_sync
from fastapi import Request
from fastapi.responses import JSONResponse

from streamer.api.apply_change import take_credentials, validated
from streamer.api.arguments import read_arguments
from streamer.api.callers import Caller
from streamer.api.capacity.room import room_for
from streamer.api.changes import WithCredentials
from streamer.api.http import cameras, onvif
from streamer.api.http.problems import HttpRefusal
from streamer.api.http.site import Site
from streamer.api.source_urls import check_source
from streamer.api.tokens import Token
from streamer.config.schema import CameraConfig
from streamer.errors import ControlError, RunningError, SourceError
from streamer.logs import redact
from streamer.sources.probe_process import probe_apart
from streamer.sources.report import ProbeReport
from streamer.sources.room import Room
from streamer.sources.urls import join_credentials, split_credentials

MAX_PROBES = 2  # at a time: each is a process with a decoder
_probes = threading.BoundedSemaphore(MAX_PROBES)


async def add(request: Request, check: bool = True) -> JSONResponse:
    """Add a camera: `camera` has its keys, as a file of cameras.d; `username` and `password` are kept
    apart. It is looked at first, and not saved where it cannot be read, unless `check` is false."""
    site, token = request.app.state.site, request.state.token
    body = await cameras.read_json(request)
    name = _name_of(token, body)
    if site.config.camera(name) is not None:
        raise HttpRefusal(409, f"camera {name!r} exists: choose another name, or PATCH it")
    notes: list[str] = []
    if onvif.names_device(body):
        site.check_size({**body, "op": "camera.put"})
        body, notes = await run_sync(_asked, site, token, body)
    change = {**body, "op": "camera.put"}
    site.check_size(change)
    report = await run_sync(_checked, site, token, body) if check else None
    if report:
        report["advice"] = [*notes, *report["advice"]]
    rev = await run_sync(site.change, token, change)
    return JSONResponse({"config_rev": rev} | ({"probe": report} if report else {}), 201)


def _checked(site: Site, token: Token, body: dict[str, Any]) -> dict[str, Any]:
    """What a look at the camera found, without its picture. Raise SourceError where it cannot be read."""
    report = look(site, token, body)
    if not report["ok"]:
        saved = "?check=false saves it, and the daemon keeps trying"
        raise SourceError(f"{report['problem']}; not saved ({saved})")
    return {key: value for key, value in report.items() if key != "jpeg_base64"}


def _asked(site: Site, token: Token, body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """As onvif.with_stream. Raise HttpRefusal where others are looked at."""
    with _one_of_few():
        return onvif.with_stream(site, token, body)


def _name_of(token: Token, body: dict[str, Any]) -> str:
    camera = body.get("camera")
    name = camera.get("name") if isinstance(camera, dict) else None
    if not isinstance(name, str):
        raise HttpRefusal(422, "camera.name: is missing, or no text")
    cameras.check_seen(token, name)
    return name


async def test(request: Request) -> JSONResponse:
    """Look whether a camera can be read, without saving it: codec, size, rate, key frames, and what to mend.
    An admin gets the first picture too (`jpeg_base64`), unless privacy.people hides people."""
    body = await cameras.read_json(request)
    how = _look_by_onvif if onvif.names_device(body) else look
    return JSONResponse(await run_sync(how, request.app.state.site, request.state.token, body))


def _look_by_onvif(site: Site, token: Token, body: dict[str, Any]) -> dict[str, Any]:
    """As look(), of the stream that the device names; where it names none, that is the problem."""
    _name_of(token, body)
    try:
        body, notes = _asked(site, token, body)
    except SourceError as error:
        shown = redact(split_credentials(body["camera"]["url"])[0])
        return {"ok": False, **dataclasses.asdict(ProbeReport(shown, error.state, str(error)))}
    report = look(site, token, body)
    return {**report, "advice": [*notes, *report["advice"]]}


@contextlib.contextmanager
def _one_of_few() -> Iterator[None]:
    if not _probes.acquire(blocking=False):
        raise HttpRefusal(503, f"{MAX_PROBES} cameras are being looked at: try again in a moment")
    try:
        yield
    finally:
        _probes.release()


def look(site: Site, token: Token, body: dict[str, Any]) -> dict[str, Any]:
    """What the probe found of the camera in `body`, which may or may not be one of the site. Raise
    ConfigError for what may not be named, HttpRefusal where others are looked at."""
    _name_of(token, body)
    settings = dict(body["camera"])
    rest = {key: value for key, value in body.items() if key != "camera"}
    credentials = take_credentials(settings, read_arguments(WithCredentials, rest))
    camera = validated(settings)
    caller = Caller(os.geteuid(), at_most=token.role, behalf=f"token {token.name}")
    check_source(site.config, None, camera, caller)
    url = camera.url
    if credentials is not None:
        url = join_credentials(url, credentials.username, credentials.password)
    with _one_of_few():
        shown = token.holds("admin") and site.config.privacy.people == "show"
        source = camera.source
        room = room_of(site, camera)
        limits = site.config.sources.limits
        return probe_apart(url, limits, source.stream, source.transport, shown, room, source.ca)


def room_of(site: Site, camera: CameraConfig) -> Room | None:
    """What the box has left for a camera that it does not have; None where that says nothing: of a file that
    is read as fast as it goes, and where the daemon tells nothing now."""
    if site.config.camera(camera.name) is not None or not camera.source.realtime:
        return None
    try:
        return room_for(site.status(), site.config, camera.source.fps)
    except (RunningError, ControlError):
        return None  # a look needs none of it
