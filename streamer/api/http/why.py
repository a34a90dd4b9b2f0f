"""`/api/v1/events/ID/why`: what an event rests on, and what nearly happened, as `streamer explain` has it; as
JSON, or as a picture of lines, zones and the track's way, by themselves (SVG) or on the camera's (`why.jpg`).
"""

from __future__ import annotations

import logging
from contextlib import closing
from typing import Annotated
from xml.sax.saxutils import escape

from fastapi import Query, Request
from fastapi.responses import JSONResponse, Response

from pipelines.camera_rules import CameraRules
from streamer.api.explain import Explanation, UnknownEvent, anchors, explain, parse_id
from streamer.api.http import cameras
from streamer.api.http.problems import HttpRefusal
from streamer.errors import StreamerError
from streamer.ledger import LedgerReader

log = logging.getLogger(__name__)

GROUND_WIDTH = 1280
SIZE = (1280, 720)  # the camera's own shape plays no part: all is in shares of the picture
CAPTION = 34  # below the picture, so that it covers nothing
_STYLE = (
    "text{font:18px sans-serif;fill:#f0f0f0} .line{stroke:#ffc800;stroke-width:3;fill:none}"
    " .zone{fill:#28aae6;fill-opacity:.2;stroke:#28aae6} .way{stroke:#f0f0f0;stroke-width:2;fill:none}"
    " .near{fill:#ff5050} .event{fill:none;stroke:#5adc5a;stroke-width:4}"
)
Points = list[tuple[float, float]]


def why(
    request: Request,
    event: str,
    format_: Annotated[str, Query(alias="format", pattern="^(json|svg)$")] = "json",
) -> Response:
    """Why an event was made; its id is NODE/CAMERA/LINEAGE/SEQ, or CAMERA/SEQ. `format=svg`: drawn."""
    found = _explained(request, event)
    if format_ == "json":
        return JSONResponse(found.as_dict)
    return Response(picture(found), media_type="image/svg+xml")


def why_picture(request: Request, event: str) -> Response:
    """Why, drawn on the camera's picture of now; on a plain ground where `privacy.people` hides people or the
    camera gives none (`streamer-ground` says which: picture, plain)."""
    found = _explained(request, event)
    from streamer.api.http import why_picture  # OpenCV: only where somebody wants it drawn

    ground = _ground(request, found.as_dict["camera"])
    try:
        jpeg = why_picture.drawn(found, ground)
    except ValueError as error:
        raise HttpRefusal(502, str(error)) from error
    headers = {"cache-control": "no-store", "streamer-ground": "picture" if ground else "plain"}
    return Response(jpeg, media_type="image/jpeg", headers=headers)


def _ground(request: Request, camera: str) -> bytes:
    """The camera's next picture; empty where there is none to be had, or to be shown."""
    try:
        return bytes(cameras.snapshot(request, camera, GROUND_WIDTH).body)
    except StreamerError as error:
        log.info("camera %s: why.jpg on a plain ground: %s", camera, error)
        return b""


def _explained(request: Request, event: str) -> Explanation:
    site, token = request.app.state.site, request.state.token
    try:
        asked = parse_id(event)
    except UnknownEvent as error:
        raise HttpRefusal(422, str(error)) from error
    cameras.check_seen(token, asked.camera)
    with closing(LedgerReader(site.ledger_path)) as reader:
        try:
            return explain(reader, asked)
        except UnknownEvent as error:
            raise HttpRefusal(404, str(error)) from error


def picture(found: Explanation) -> str:
    """The explanation as an SVG document."""
    parts = [*_rules(found.rules or CameraRules()), *_way(found), *_moments(found)]
    title = " ".join(str(found.as_dict[key]) for key in ("camera", "type", "subject", "time"))
    width, height = SIZE
    whole = height + CAPTION
    parts.append(f'<text x="8" y="{whole - 11}">{escape(title)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {whole}"><style>{_STYLE}</style>'
        f'<rect width="{width}" height="{whole}" fill="#14171c"/>'
        f'<rect width="{width}" height="{height}" fill="#2a2e34"/>{"".join(parts)}</svg>'
    )


def _rules(rules: CameraRules) -> list[str]:
    parts = []
    for zone in rules.zones:
        parts += [
            f'<polygon class="zone" points="{_places(zone.points)}"/>',
            _text(zone.name, zone.points[0]),
        ]
    for line in rules.lines:
        parts += [_polyline("line", line.points), _text(line.name, line.points[0])]
    return parts


def _way(found: Explanation) -> list[str]:
    points = anchors(found)
    return [_polyline("way", points), *(_dot("way", point, 3) for point in points)] if points else []


def _moments(found: Explanation) -> list[str]:
    parts = []
    for moment in found.as_dict.get("nearly", ()):
        if "point_xyn" in moment:
            parts += [_dot("near", moment["point_xyn"], 6), _text(moment["kind"], moment["point_xyn"])]
    at = found.event["data"].get("point_xyn")
    return [*parts, _dot("event", at, 12)] if at else parts


def _polyline(kind: str, points: Points | tuple[tuple[float, float], ...]) -> str:
    return f'<polyline class="{kind}" points="{_places(points)}"/>'


def _places(points: Points | tuple[tuple[float, float], ...]) -> str:
    return " ".join(f"{x * SIZE[0]:.1f},{y * SIZE[1]:.1f}" for x, y in points)


def _dot(kind: str, at: tuple[float, float], radius: int) -> str:
    x, y = at
    return f'<circle class="{kind}" cx="{x * SIZE[0]:.1f}" cy="{y * SIZE[1]:.1f}" r="{radius}"/>'


def _text(text: str, at: tuple[float, float]) -> str:
    x, y = at
    return f'<text x="{x * SIZE[0] + 8:.1f}" y="{y * SIZE[1] - 8:.1f}">{escape(text)}</text>'
