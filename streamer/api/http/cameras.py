"""`/api/v1/cameras`: what the daemon tells of cameras, their changes, and their pictures."""

from __future__ import annotations

import base64
import json
import threading
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import Query, Request
from fastapi.responses import JSONResponse, Response

from pipelines.camera_rules import REVISED
from streamer.api.http.problems import HttpRefusal
from streamer.api.http.site import Site
from streamer.api.tokens import Token

MAX_DEPTH = 32  # of JSON that is sent: nothing here is deeper than 8
MAX_WIDTH = 16384
MAX_SNAPSHOTS = 2  # at a time: a full-size picture is megabytes, several times over
SNAPSHOT_TIMEOUT_S = 10.0
_snapshots = threading.BoundedSemaphore(MAX_SNAPSHOTS)
_NOT_GIVEN = ("op", "name", "replace")  # of a change: the request itself says so


def check_seen(token: Token, camera: str) -> None:
    """Raise HttpRefusal for a camera that the token is not for, whether there is one or not."""
    if not token.sees(camera):
        raise HttpRefusal(403, f"token {token.name} is not for camera {camera[:64]!r}")


def known(site: Site, token: Token, name: str) -> None:
    """Raise HttpRefusal for a camera that is neither configured nor misconfigured."""
    check_seen(token, name)
    if site.config.camera(name) is None and _row(site, name) is None:
        raise HttpRefusal(404, f"no camera {name[:64]!r}: /api/v1/cameras has those that there are")


def list_(request: Request) -> JSONResponse:
    """The cameras that the token is for, with state, rates, age and frame counters."""
    site, token = request.app.state.site, request.state.token
    rows = [_shown(row) for row in site.status()["cameras"] if token.sees(row["name"])]
    return JSONResponse({"cameras": rows})


def show(request: Request, name: str) -> JSONResponse:
    """A camera's settings, and how it stands. Its address is for operators."""
    site, token = request.app.state.site, request.state.token
    known(site, token, name)
    camera, row = site.config.camera(name), _row(site, name)
    settings = None if camera is None else camera.model_dump(mode="json")
    if settings is not None:
        for kind in REVISED:
            for item in settings["rules"][kind]:
                del item["rev"]  # of the daemon's records, not of the settings
        if not token.holds("operator"):
            del settings["url"]
    return JSONResponse({"name": name, "settings": settings, "running": row and _shown(row)})


async def change(request: Request, name: str) -> JSONResponse:
    """Change settings: `values` has keys with dots, such as source.fps; null is a key's default."""
    body = await read_json(request)
    return await _change_known(request, name, {**body, "op": "camera.set"})


async def rename(request: Request, name: str) -> JSONResponse:
    """Give a camera the name `to`. What it has counted goes with it; tokens go on meaning the old name."""
    body = await read_json(request)
    check_seen(request.state.token, str(body.get("to", name)))
    return await _change_known(request, name, {**body, "op": "camera.rename"})


async def remove(request: Request, name: str) -> JSONResponse:
    """Remove a camera, its rules and its credentials. Its counts stay."""
    return await _change_known(request, name, {"op": "camera.remove"})


def snapshot(request: Request, name: str, width: Annotated[int, Query(ge=0, le=MAX_WIDTH)] = 0) -> Response:
    """The camera's next picture, at most `width` wide (0: full size). Not where `privacy.people` hides
    people."""
    site, token = request.app.state.site, request.state.token
    known(site, token, name)
    check_may_show(site)
    if not _snapshots.acquire(blocking=False):
        raise HttpRefusal(503, f"{MAX_SNAPSHOTS} pictures are being taken: try again in a moment")
    try:
        answer = site.ask(token, "snapshot", {"camera": name, "width": width}, SNAPSHOT_TIMEOUT_S)
        picture = base64.b64decode(answer["jpeg_base64"])
    finally:
        _snapshots.release()
    return Response(picture, media_type="image/jpeg", headers={"cache-control": "no-store"})


def check_may_show(site: Site) -> None:
    """Raise HttpRefusal where people are hidden: whatever HTTP shows, it shows as the camera saw it."""
    people = site.config.privacy.people
    if people != "show":
        raise HttpRefusal(
            403,
            f"privacy.people is {people}, and pictures over HTTP show people as they are: "
            "`streamer camera snapshot` hides them",
        )


async def read_json(request: Request, given: tuple[str, ...] = _NOT_GIVEN) -> dict[str, Any]:
    """The body as a JSON object. Raise HttpRefusal for anything else, one that is nested too deep, or has a
    key that the request itself says (`given`)."""
    try:
        value = json.loads(await request.body())
    except RecursionError:
        raise HttpRefusal(400, f"the body is nested deeper than {MAX_DEPTH}") from None
    except ValueError:
        raise HttpRefusal(400, "the body is no JSON") from None
    if not isinstance(value, dict):
        raise HttpRefusal(400, "the body is no JSON object")
    _check_depth(value)
    if unwanted := [key for key in given if key in value]:
        raise HttpRefusal(422, f"{unwanted[0]}: unknown key")
    return value


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise HttpRefusal(400, f"the body is nested deeper than {MAX_DEPTH}")
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]


async def _change_known(request: Request, name: str, change: dict[str, Any]) -> JSONResponse:
    await run_sync(known, request.app.state.site, request.state.token, name)
    return await apply(request, {**change, "name": name}, 200)


async def apply(request: Request, change: dict[str, Any], status: int) -> JSONResponse:
    """Have the change applied; answered with the revision that is in force then."""
    rev = await run_sync(request.app.state.site.change, request.state.token, change)
    return JSONResponse({"config_rev": rev}, status)


def _row(site: Site, name: str) -> dict[str, Any] | None:
    return next((row for row in site.status()["cameras"] if row["name"] == name), None)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Without the older names of what is in it."""
    return {key: value for key, value in row.items() if key not in ("books", "trouble")}
