"""`/api/v1/counts`: what `streamer counts` prints, for programs."""

from __future__ import annotations

import io
import threading
from contextlib import closing
from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import JSONResponse, Response

from streamer.api.counts import parquet
from streamer.api.counts.audits import audits_that_hold
from streamer.api.counts.periods import periods_of
from streamer.api.counts.query import DEFAULT_BY, NO_END_S, Counted, CountQuery, columns_of
from streamer.api.http.problems import HttpRefusal
from streamer.api.http.site import Site
from streamer.api.moments import unix_s
from streamer.api.tokens import Token
from streamer.errors import CapacityError, ConfigError
from streamer.ledger import LedgerReader

PARQUET = "application/vnd.apache.parquet"  # as IANA has it
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
    format_: Annotated[str, Query(alias="format", pattern="^(json|csv|parquet)$")] = "json",
) -> Response:
    """Counts from `since` to `until` (30m, 12h, 7d, all, or a time), summed `by` some of camera, name,
    direction, class, rev, minute, hour, day, week. What was not seen is unknown (null), never 0.
    `parquet` needs the extra of that name (501 without it), and has columns of fixed types.
    `as_of`: the last event of each camera that is in it; `periods`: all that rows by time may be of."""
    site, token = request.app.state.site, request.state.token
    if format_ == "parquet":
        check_parquet()
    zone = site.zone
    cameras = frozenset((camera,)) if camera else site.seen_by(token)
    until_s = unix_s(until, zone) if until else NO_END_S
    query = CountQuery(columns_of(by), zone, unix_s(since, zone), until_s, cameras, class_ or None)
    if not _readers.acquire(timeout=WAIT_S):
        raise HttpRefusal(503, "other counts are being read: try again in a moment")
    try:
        counted, as_of = _counted(site, token, query, camera)
    finally:
        _readers.release()
    if format_ == "json":
        more = {"as_of": as_of, "periods": periods_of(counted), "recorded": counted.recorded_s}
        return JSONResponse({**counted.document(), **more})
    if format_ == "parquet":
        return Response(parquet.write_apart(counted), media_type=PARQUET)
    text = io.StringIO()
    counted.write_csv(text)
    return Response(text.getvalue(), media_type="text/csv")


def check_parquet() -> None:
    """Raise HttpRefusal before anything is read for a file that cannot be made."""
    try:
        parquet.check_installed()
    except ConfigError as error:
        raise HttpRefusal(501, str(error)) from error


def _counted(site: Site, token: Token, query: CountQuery, camera: str) -> tuple[Counted, dict[str, int]]:
    """Raise HttpRefusal for a camera that there is none of, and for more rows than are sent."""
    names = [c.name for c in site.config.cameras if token.sees(c.name)]
    audits, _ = audits_that_hold(site.config, [camera] if camera else names)
    with closing(LedgerReader(site.ledger_path)) as reader, reader.one_moment():
        last = reader.cameras()
        if camera and camera not in {*names, *last}:
            raise HttpRefusal(404, f"no camera {camera!r}: /api/v1/cameras has those that there are")
        try:
            counted = Counted(query, query.counts(reader), query.buckets(reader), audits, MAX_ROWS)
        except CapacityError as error:
            raise HttpRefusal(422, str(error)) from error
    wanted = query.cameras
    return counted, {name: seq for name, seq in last.items() if wanted is None or name in wanted}
