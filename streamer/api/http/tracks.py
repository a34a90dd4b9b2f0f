"""`/api/v1/cameras/NAME/paths`, `/recount` and `/lines/suggested`: where people and vehicles went, what a
line or zone that is only proposed would have counted of them, and which lines most of them cross. All from
the paths that the ledger keeps of ended tracks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import Query, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from pipelines.count.replay import stored_anchors
from pipelines.count.trajectory_codec import Trajectory, TrajectoryError, decode
from pipelines.rules import LineSpec, ZoneSpec
from streamer.api.arguments import Arguments, read_arguments
from streamer.api.counts import suggest_lines
from streamer.api.counts.audits import audits_that_hold
from streamer.api.counts.path_bounds import PathBounds
from streamer.api.counts.recount import (
    KEYS,
    Recount,
    anchor_of,
    as_dict,
    grouped,
    recount_camera,
)
from streamer.api.counts.sure_count import sure_count
from streamer.api.http import cameras
from streamer.api.http.problems import HttpRefusal
from streamer.api.http.site import Site
from streamer.api.moments import unix_s
from streamer.api.tokens import Token
from streamer.events.cloudevents import NS_PER_S, rfc3339
from streamer.ledger import LedgerReader
from streamer.ledger.queries import StoredPath

MAX_PATHS, MAX_POINTS = 2000, 32
MAX_READERS = 2  # at a time: each takes a core while it lasts
READ_LIMIT_S = 0.8  # without more being asked for: so a line can be dragged
MAX_READ_S = 30.0
WAIT_S = 2.0
_readers = threading.BoundedSemaphore(MAX_READERS)
_bounds = PathBounds()

Moment = Annotated[str, Field(max_length=64)]
Text = Annotated[str, Query(max_length=64)]


class RecountArguments(Arguments):
    """`line` or `zone` as in the camera's file, its name left out where it has none yet. `within_s`: how long
    it may take; `by_hour`: the counts hour by hour."""

    line: dict[str, Any] | None = None
    zone: dict[str, Any] | None = None
    since: Moment = "24h"
    until: Moment = ""
    by_hour: bool = False
    within_s: float = Field(default=READ_LIMIT_S, gt=0, le=MAX_READ_S)


class _Proposed(Arguments):
    line: LineSpec | None = None
    zone: ZoneSpec | None = None


def paths(
    request: Request,
    name: str,
    since: Text = "1h",
    until: Text = "",
    limit: Annotated[int, Query(ge=1, le=MAX_PATHS)] = 500,
) -> JSONResponse:
    """The newest paths of ended tracks: points by which lines judge them (the foot of a person, else the
    middle) as shares of the picture, with seconds since `start`; no more than 32 of each."""
    site, token = request.app.state.site, request.state.token
    since_ns, until_ns = _range(site, since, until)
    with _reading(site, token, name) as reader:
        stored = list(islice(reader.paths(name, since_ns, until_ns, newest_first=True), limit + 1))
        told = [shown for path in stored[:limit] if (shown := _shown(path))]
        oldest = reader.paths(name, 0, until_ns)
        first = next(oldest, None)
    document = {
        "camera": name,
        "since": rfc3339(since_ns),
        "until": rfc3339(until_ns),
        "paths": told,
        "more": len(stored) > limit,
        "unreadable": min(len(stored), limit) - len(told),
        "kept_since": rfc3339(first.first_ns) if first else None,
        "tracks_days": site.config.ledger.tracks_days or site.config.ledger.retention_days,
    }
    return JSONResponse(document)


async def recount(request: Request, name: str) -> JSONResponse:
    """What a line or zone would have counted, by direction and class, as `streamer recount` has it. Where
    a second is not enough, `since` is from when on all is counted, and `complete` is false."""
    body = await cameras.read_json(request, ())
    arguments = read_arguments(RecountArguments, body)
    return JSONResponse(await run_sync(_recounted, request, name, arguments))


def suggested(
    request: Request,
    name: str,
    since: Text = "10m",
    until: Text = "",
    classes: Annotated[str, Query(alias="class", max_length=256)] = "",
    all_tracks: Annotated[bool, Query(alias="all")] = False,
) -> JSONResponse:
    """Up to three lines that most tracks (of `class`: words with commas between) crossed cleanly, best first,
    and what each would have counted (`counted`), as `streamer line suggest --json`. None is saved.
    Tracks that a line of the camera's counts already (`covered`) speak for no other, unless `all` says so."""
    site, token = request.app.state.site, request.state.token
    since_ns, until_ns = _range(site, since, until)
    wanted = tuple(word for part in classes.split(",") if (word := part.strip()))
    with _reading(site, token, name) as reader:
        asked = suggest_lines.wanted_of(site.config, name, wanted, all_tracks=all_tracks)
        found = suggest_lines.propose_lines(reader, name, since_ns, until_ns, asked)
    return JSONResponse(suggest_lines.as_dict(found))


def _recounted(request: Request, name: str, asked: RecountArguments) -> dict[str, Any]:
    site, token = request.app.state.site, request.state.token
    rule = _proposed(asked)
    if rule.anchor == "auto":
        rule = rule.model_copy(update={"anchor": anchor_of(site.config, name)})
    since_ns, until_ns = _range(site, asked.since, asked.until)
    with _reading(site, token, name) as reader:
        found = recount_camera(reader, name, rule, since_ns, until_ns, limit_s=asked.within_s, bounds=_bounds)
    return _document(site, found, since_ns, asked.by_hour)


def _proposed(asked: RecountArguments) -> LineSpec | ZoneSpec:
    """Raise HttpRefusal where there is none, or both."""
    if (asked.line is None) == (asked.zone is None):
        raise HttpRefusal(422, "say which line or which zone is counted: one of the two")
    kind, drawn = ("line", asked.line) if asked.line is not None else ("zone", asked.zone)
    read = read_arguments(_Proposed, {kind: {"name": "proposed", **(drawn or {})}})
    rule = read.line or read.zone
    assert rule is not None
    return rule


def _document(site: Site, found: Recount, asked_ns: int, by_hour: bool) -> dict[str, Any]:
    audited = audits_that_hold(site.config, [found.camera])[0].get(found.camera)
    ways: dict[tuple[str, str], list[Any]] = {}
    for crossing in found.crossings:
        ways.setdefault((crossing.direction, crossing.class_name), []).append(crossing.judgement)
    rows = [
        {"direction": key[0], "class": key[1], **sure_count(told, audited=audited).as_dict()}
        for key, told in sorted(ways.items())
    ]
    total = sure_count((crossing.judgement for crossing in found.counted), audited=audited)
    document = as_dict(found, rows, total) | {"complete": found.complete, "asked_since": rfc3339(asked_ns)}
    del document[found.kind]["rev"]
    if by_hour:
        hours = grouped(found, site.zone, audited)
        document["hours"] = [{**dict(zip(KEYS, k, strict=True)), **n.as_dict()} for k, n in hours.items()]
    return document


@contextmanager
def _reading(site: Site, token: Token, name: str) -> Iterator[LedgerReader]:
    """The ledger, for one of few at a time. Raise HttpRefusal for a camera that there is none of."""
    cameras.check_seen(token, name)
    if not _readers.acquire(timeout=WAIT_S):
        raise HttpRefusal(503, "other paths are being read: try again in a moment")
    try:
        with closing(LedgerReader(site.ledger_path)) as reader:
            if name not in reader.cameras():
                cameras.known(site, token, name)
                raise HttpRefusal(409, f"camera {name} has no events yet: there are no paths of it")
            yield reader
    finally:
        _readers.release()


def _range(site: Site, since: str, until: str) -> tuple[int, int]:
    """Unix nanoseconds. Raise ConfigError, and HttpRefusal for a time that is none."""
    since_ns = unix_s(since, site.zone) * NS_PER_S
    until_ns = unix_s(until, site.zone) * NS_PER_S if until else time.time_ns()
    if since_ns >= until_ns:
        raise HttpRefusal(422, "since is not before until: there is no time between them")
    return since_ns, until_ns


def _shown(path: StoredPath) -> dict[str, Any] | None:
    try:
        trajectory = decode(path.trace)
    except TrajectoryError:
        return None
    return {
        "track_id": path.track_id,
        "epoch": path.epoch,
        "class": _class_of(trajectory),
        "start": rfc3339(path.first_ns),
        "seconds": round((path.last_ns - path.first_ns) / NS_PER_S, 3),
        "points": _points(trajectory),
    }


def _class_of(trajectory: Trajectory) -> str:
    """The name that most of its samples have."""
    votes = [0] * len(trajectory.classes)
    for index, samples in zip(trajectory.class_index, trajectory.samples_each, strict=True):
        votes[index] += int(samples)
    return trajectory.classes[votes.index(max(votes))][0]


def _points(trajectory: Trajectory) -> list[list[float]]:
    """[x, y, seconds since the start] of no more than MAX_POINTS knots, with the first and the last; who has
    left the picture is at its edge."""
    anchors = stored_anchors(trajectory.boxes_xyxyn, trajectory.class_index, trajectory, "auto")
    rows = zip(anchors.clip(0.0, 1.0).tolist(), trajectory.times_s.tolist(), strict=True)
    points = [[round(x, 4), round(y, 4), round(at_s, 3)] for (x, y), at_s in rows]
    step = -(-(len(points) - 1) // (MAX_POINTS - 1)) or 1
    return [*points[:-1:step], points[-1]]
