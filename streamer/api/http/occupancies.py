"""`/api/v1/cameras/NAME/occupancies`: how many are inside, as last told, and a person's setting of it."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

from anyio.to_thread import run_sync
from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import Field

from pipelines.defaults import with_defaults
from streamer.api.arguments import Arguments, read_arguments
from streamer.api.http import cameras
from streamer.api.http.problems import HttpRefusal
from streamer.api.http.site import Site
from streamer.ledger import LedgerReader
from streamer.models.camera_check import pipeline_of

CHANGED = "streamer.occupancy.changed.v1"
MAX_LOOKED_AT = 2_000  # of the latest changes of the camera


class OccupancySetting(Arguments):
    """The number from now on, and why: one line."""

    count: int = Field(ge=0, le=1_000_000)
    reason: str = Field(min_length=1, max_length=500)


def list_(request: Request, name: str) -> JSONResponse:
    """The camera's occupancies: `count` and `time` of the last change among its latest events, else null."""
    site, token = request.app.state.site, request.state.token
    cameras.known(site, token, name)
    latest = _latest(site, name)
    rows = [latest.get(rule) or {"name": rule, "count": None, "time": None} for rule in _rules(site, name)]
    return JSONResponse({"occupancies": rows})


async def set_(request: Request, name: str, rule: str) -> JSONResponse:
    """Set one to a number, from now on, as an event of its own (`seq`). What was counted stays."""
    site, token = request.app.state.site, request.state.token
    body = await cameras.read_json(request, ())
    wanted = read_arguments(OccupancySetting, body)
    await run_sync(cameras.known, site, token, name)
    if rule not in _rules(site, name):
        raise HttpRefusal(404, f"camera {name}: no occupancy {rule[:64]!r}; known: {_listed(site, name)}")
    asked = {"camera": name, "occupancy": rule, "by": token.name, **wanted.model_dump()}
    made = await run_sync(site.ask, token, "occupancy", asked)
    return JSONResponse({"seq": made["seq"], "count": wanted.count}, 201)


def _rules(site: Site, name: str) -> list[str]:
    camera = site.config.camera(name)
    if camera is None:
        raise HttpRefusal(409, f"camera {name} is misconfigured: mend its file first")
    return [rule.name for rule in with_defaults(camera.rules, pipeline_of(camera)).of("occupancies")]


def _listed(site: Site, name: str) -> str:
    return ", ".join(_rules(site, name)) or "there is none"


def _latest(site: Site, name: str) -> dict[str, dict[str, Any]]:
    with closing(LedgerReader(site.ledger_path)) as reader:
        if name not in reader.cameras():
            return {}
        stored = reader.last_events(MAX_LOOKED_AT, name, CHANGED)
        events = [json.loads(each.body) for each in stored]
    return {
        event["subject"]: {"name": event["subject"], "count": event["data"]["count"], "time": event["time"]}
        for event in sorted(events, key=lambda event: event["time"])
    }
