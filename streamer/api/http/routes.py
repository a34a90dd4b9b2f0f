"""The route table, and the application that it makes. What may be asked, and by whom, is here and nowhere
else.

A new one is a line of ROUTES. Who asks must hold its role, which is at least that of the operation behind
it, and a token for some cameras is refused wherever another one is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from anyio.to_thread import run_sync
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from streamer.api.callers import Role
from streamer.api.http import (
    answers,
    cameras,
    count_answers,
    counts,
    description,
    events,
    health,
    live,
    metrics,
    models,
    occupancies,
    page_files,
    probing,
    problems,
    sign_in,
    tracks,
    why,
)
from streamer.api.http.coverage_sums import CoverageSums
from streamer.api.http.problems import HttpRefusal
from streamer.api.http.rules import ALERTS, LINES, MASKS, ZONES, RuleKind
from streamer.api.http.site import Site
from streamer.errors import StreamerError


@dataclass(frozen=True)
class Route:
    """`role` None: for everybody, also without a token. `operation` is the one of the daemon's table that
    it is served by, if one is; `body` an example of the JSON that is sent, and `model` what it must be;
    `answer` is what the JSON is that comes, `status` and `also` how."""

    method: str
    path: str
    endpoint: Callable[..., Any]
    role: Role | None = "viewer"
    operation: str = ""
    body: Mapping[str, Any] | None = None
    produces: tuple[str, ...] = ("application/json",)
    status: int = field(default=200)
    also: tuple[int, ...] = ()
    answer: type[BaseModel] | None = None
    model: type[BaseModel] | None = None


async def openapi(request: Request) -> JSONResponse:
    """This description."""
    state = request.app.state
    if state.description is None:  # it takes a moment, and is the same for as long as the process lives
        models = [model for route in ROUTES for model in (route.model, route.answer) if model is not None]
        state.description = await run_sync(description.complete, request.app, models)
    return JSONResponse(state.description)


_NEW = {"camera": {"name": "gate", "url": "rtsp://192.168.10.5/live"}, "username": "admin", "password": "…"}
_CHANGED = {"values": {"source.fps": 5, "enabled": True}}
_CAMERA = "/api/v1/cameras/{name}"
_LINE = {"name": "door", "points": [[0.2, 0.6], [0.8, 0.6]], "left_to_right": "in", "right_to_left": "out"}
_PROPOSED = {"line": _LINE, "since": "24h"}
_CORNERS = [[0.1, 0.5], [0.5, 0.5], [0.5, 0.9], [0.1, 0.9]]
_ALERT = {"name": "crowd", "zone": "yard", "at_least": 10, "for_s": 5}


def _rules(kind: RuleKind, example: Mapping[str, Any]) -> tuple[Route, ...]:
    """The routes of one kind of a camera's rules."""
    every, one = f"{_CAMERA}/{kind.plural}", f"{_CAMERA}/{kind.plural}/{{rule}}"
    model = kind.model
    return (
        Route("GET", every, kind.list_, answer=answers.rules(kind.plural, model)),
        Route("POST", every, kind.add, "operator", "change", example, status=201, model=model),
        Route("GET", one, kind.show, answer=model),
        Route("PUT", one, kind.put, "operator", "change", example, also=(201,), model=model),
        Route("PATCH", one, kind.change, "operator", "change", example, model=model),
        Route("DELETE", one, kind.remove, "operator", "change"),
    )


def _renamed(kind: RuleKind) -> Route:
    """Of what counts: its counts go with it."""
    path = f"{_CAMERA}/{kind.plural}/{{rule}}/rename"
    return Route("POST", path, kind.rename, "operator", "change", {"to": "entrance"})


ROUTES: tuple[Route, ...] = (
    Route("GET", "/livez", health.livez, None, answer=answers.Word),
    Route("GET", "/readyz", health.readyz, None, answer=answers.Word),
    Route("GET", "/metrics", metrics.metrics, produces=("text/plain",)),
    Route("GET", "/openapi.json", openapi),
    Route("GET", "/", page_files.index, None, produces=("text/html",)),
    Route("GET", "/page/{path:path}", page_files.file, None, produces=("text/css", "text/javascript")),
    Route(
        "POST",
        "/api/v1/session",
        sign_in.sign_in,
        None,
        body={"token": "streamer_…"},
        status=201,
        answer=answers.Session,
    ),
    Route("GET", "/api/v1/session", sign_in.session, answer=answers.Session),
    Route("DELETE", "/api/v1/session", sign_in.sign_out, answer=answers.Word),
    Route("GET", "/api/v1/status", health.status, operation="status", answer=answers.Status),
    Route("GET", "/api/v1/health", health.health, operation="status", answer=answers.Overall),
    Route("GET", "/api/v1/cameras", cameras.list_, operation="status", answer=answers.Cameras),
    Route(
        "POST", "/api/v1/cameras", probing.add, "operator", "change", _NEW, status=201, answer=answers.Added
    ),
    Route(
        "POST",
        "/api/v1/cameras/test",
        probing.test,
        "operator",
        body=_NEW,
        answer=answers.Looked,
    ),
    Route("GET", _CAMERA, cameras.show, operation="status", answer=answers.Camera),
    Route("PATCH", _CAMERA, cameras.change, "operator", "change", _CHANGED),
    Route("DELETE", _CAMERA, cameras.remove, "operator", "change"),
    Route("POST", f"{_CAMERA}/rename", cameras.rename, "operator", "change", {"to": "entrance"}),
    Route("GET", f"{_CAMERA}/snapshot.jpg", cameras.snapshot, "admin", "snapshot", produces=("image/jpeg",)),
    Route(
        "GET", f"{_CAMERA}/lines/suggested", tracks.suggested, answer=count_answers.Proposals
    ),  # before …/lines/{rule}
    *_rules(LINES, _LINE),
    *_rules(ZONES, {"name": "yard", "points": _CORNERS}),
    _renamed(LINES),
    _renamed(ZONES),
    *_rules(MASKS, {"name": "street", "points": _CORNERS}),
    *_rules(ALERTS, _ALERT),
    Route("GET", f"{_CAMERA}/occupancies", occupancies.list_, answer=count_answers.Occupancies),
    Route(
        "POST",
        f"{_CAMERA}/occupancies/{{rule}}",
        occupancies.set_,
        "operator",
        "occupancy",
        body={"count": 0, "reason": "closing time"},
        status=201,
        answer=count_answers.OccupancySet,
        model=occupancies.OccupancySetting,
    ),
    Route("GET", f"{_CAMERA}/live", live.live, "admin", "snapshot", produces=("multipart/x-mixed-replace",)),
    Route("GET", f"{_CAMERA}/paths", tracks.paths, answer=count_answers.Paths),
    Route(
        "POST",
        f"{_CAMERA}/recount",
        tracks.recount,
        body=_PROPOSED,
        answer=count_answers.Recounted,
        model=tracks.RecountArguments,
    ),
    Route(
        "GET",
        "/api/v1/counts",
        counts.counts,
        produces=("application/json", "text/csv", counts.PARQUET),
        answer=count_answers.Counts,
    ),
    Route(
        "GET",
        "/api/v1/events",
        events.events,
        produces=("application/json", "text/event-stream"),
        answer=count_answers.Events,
    ),
    Route(
        "GET",
        "/api/v1/events/{event:path}/why.jpg",
        why.why_picture,
        "admin",
        "snapshot",
        produces=("image/jpeg",),
    ),
    Route(
        "GET",
        "/api/v1/events/{event:path}/why",
        why.why,
        produces=("application/json", "image/svg+xml"),
        answer=count_answers.Why,
    ),
    Route("GET", "/api/v1/models", models.models, answer=answers.Models),
    Route("GET", "/api/v1/actions", models.actions, answer=answers.Actions),
)


def application(site: Site) -> FastAPI:
    """All routes, for behind the gate (gate.py), which says whose token it is."""
    app = FastAPI(
        title="streamer", version=version("streamer"), openapi_url=None, docs_url=None, redoc_url=None
    )
    app.state.site = site
    app.state.description = None
    app.state.feeds = events.Feeds(site)
    app.state.looks = live.Looks()
    app.state.coverage = CoverageSums()
    app.state.failures = sign_in.Failures()
    for route in ROUTES:
        app.add_api_route(
            route.path,
            route.endpoint,
            methods=[route.method],
            status_code=route.status,
            response_class=Response,
            dependencies=[] if route.role is None else [Depends(_rights(route.role))],
            responses=description.answers(route),
            openapi_extra=description.described(route),
            tags=[description.tag_of(route.path)],
            operation_id=description.operation_id(route),
        )
    for kind in (StreamerError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _problem)
    return app


def _rights(role: Role) -> Callable[[Request], None]:
    async def check(request: Request) -> None:
        token = request.state.token
        if not token.holds(role):
            raise HttpRefusal(403, f"this needs the role {role}, and token {token.name} has {token.role}")
        name = request.path_params.get("name")
        for camera in (*request.query_params.getlist("camera"), *([name] if name is not None else [])):
            cameras.check_seen(token, camera)

    return check  # type: ignore[return-value]


def _problem(_request: Request, error: Exception) -> Response:
    """Whatever is wrong as problem details. What nobody foresaw is logged by who called the application."""
    told = _told(error)
    body = problems.document(told)
    kept = [(name.decode(), value.decode()) for name, value in problems.headers(told, body)]
    return Response(body, problems.status_of(told), dict(kept))


def _told(error: Exception) -> StreamerError:
    if isinstance(error, StreamerError):
        return error
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        return HttpRefusal(422, f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg'].lower()}")
    if isinstance(error, HTTPException):
        return HttpRefusal(error.status_code, f"{error.detail}: /openapi.json has what may be asked")
    return HttpRefusal(500, "a fault of the API, which the daemon's log describes")
