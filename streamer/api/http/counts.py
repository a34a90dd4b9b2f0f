"""`/api/v1/counts`: what `streamer counts` prints, for programs."""

from __future__ import annotations

import io
import threading
from contextlib import closing
from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import JSONResponse, Response

from streamer.api.counts.audits import audits_that_hold
from streamer.api.counts.query import DEFAULT_BY, NO_END_S, Counted, CountQuery, columns_of
from streamer.api.http.problems import HttpRefusal
from streamer.api.http.site import Site
from streamer.api.moments import unix_s
from streamer.api.tokens import Token
from streamer.errors import CapacityError
from streamer.ledger import LedgerReader

MAX_ROWS = 20_000
MAX_READERS = 2  # at a time: a year is minutes of reading, and megabytes of rows
WAIT_S = 10.0
_readers = threading.BoundedSemaphore(MAX_READERS)

Text = Annotated[str, Query(max_length=64)]


def counts(
    request: Request,
    since: Text = "24h",
    until: Text = "",
    by: Text = DEFAULT_BY,
    camera: Text = "",
    class_: Annotated[str, Query(alias="class", max_length=64)] = "",
    format_: Annotated[str, Query(alias="format", pattern="^(json|csv)$")] = "json",
) -> Response:
    """Counts from `since` to `until` (30m, 12h, 7d, all, or a time), summed `by` some of camera, name,
    direction, class, rev, minute, hour, day. What was not seen is unknown (null), never 0."""
    site, token = request.app.state.site, request.state.token
    zone = site.zone
    cameras = frozenset((camera,)) if camera else site.seen_by(token)
    until_s = unix_s(until, zone) if until else NO_END_S
    query = CountQuery(columns_of(by), zone, unix_s(since, zone), until_s, cameras, class_ or None)
    if not _readers.acquire(timeout=WAIT_S):
        raise HttpRefusal(503, "other counts are being read: try again in a moment")
    try:
        counted = _counted(site, token, query, camera)
    finally:
        _readers.release()
    if format_ == "json":
        return JSONResponse(counted.document())
    text = io.StringIO()
    counted.write_csv(text)
    return Response(text.getvalue(), media_type="text/csv")


def _counted(site: Site, token: Token, query: CountQuery, camera: str) -> Counted:
    """Raise HttpRefusal for a camera that there is none of, and for more rows than are sent."""
    names = [c.name for c in site.config.cameras if token.sees(c.name)]
    audits, _ = audits_that_hold(site.config, [camera] if camera else names)
    with closing(LedgerReader(site.ledger_path)) as reader:
        if camera and camera not in {*names, *reader.cameras()}:
            raise HttpRefusal(404, f"no camera {camera!r}: /api/v1/cameras has those that there are")
        try:
            return Counted(query, query.counts(reader), query.buckets(reader), audits, MAX_ROWS)
        except CapacityError as error:
            raise HttpRefusal(422, str(error)) from error
