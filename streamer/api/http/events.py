"""`/api/v1/events`: a range of events page by page, and with `Accept: text/event-stream` those that come.

A stream names each event by its CloudEvents id (NODE/CAMERA/LINEAGE/SEQ); who comes back with it in
Last-Event-ID gets what was committed after it, from the ledger. Where that is not kept any more, an event
`gap` is sent first, and then all that is kept.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Annotated, Any, NamedTuple, TypeVar

from fastapi import Query, Request
from fastapi.responses import Response, StreamingResponse

from streamer.api.http.problems import HttpRefusal
from streamer.api.http.site import Site
from streamer.api.moments import unix_s
from streamer.api.sessions import Session
from streamer.api.tokens import Token
from streamer.errors import StorageError
from streamer.events import schemas
from streamer.events.cloudevents import NS_PER_S, EventId, StoredEvent
from streamer.ledger.event_feed import LATE_NS, MAX_EVENTS_A_CALL, EventFeed, EventFilter, Page

MAX_STREAMS = 64
STREAM_BATCH = 100  # events that are read for one stream at a time
POLL_S = 0.25
COMMENT_EVERY_S = 15.0  # so that who has gone is noticed
LAST_ROW_FOR_S = 0.2

Found = TypeVar("Found")
Text = Annotated[str, Query(max_length=64)]


class Feeds:
    """The ledger for all streams and pages: one connection, in the one thread that it may be used in."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="events")
        self._feed: EventFeed | None = None
        self._inode = 0
        self._last: tuple[float, int] = (0.0, 0)
        self.opened = 0  # how often: rows of an older one are not those of this one
        self.streams = 0

    async def ask(self, question: Callable[[EventFeed], Found]) -> Found:
        """Raise StorageError."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, question)

    async def page(self, after_row: int, wanted: EventFilter, limit: int) -> Page:
        """Raise StorageError."""
        return await self.ask(lambda feed: feed.page(after_row, wanted, limit))

    async def last_row(self) -> int:
        """The newest row, asked for a few times a second, however many streams there are."""
        if time.monotonic() - self._last[0] > LAST_ROW_FOR_S:
            self._last = (time.monotonic(), await self.ask(EventFeed.last_row))
        return self._last[1]

    def _ask(self, question: Callable[[EventFeed], Found]) -> Found:
        try:
            return question(self._current())
        except StorageError:
            self._close()
            raise

    def _current(self) -> EventFeed:
        """Opened again where the file is another: one that was mended, or brought back from a backup."""
        try:
            inode = self._site.ledger_path.stat().st_ino
        except OSError:
            inode = 0  # which EventFeed says better
        if self._feed is None or inode != self._inode:
            self._close()
            self._feed, self._inode = EventFeed(self._site.ledger_path), inode
            self.opened += 1
        return self._feed

    def _close(self) -> None:
        if self._feed is not None:
            self._feed.close()
        self._feed = None


async def events(
    request: Request,
    since: Text = "",
    until: Text = "",
    camera: Text = "",
    type_: Annotated[str, Query(alias="type", max_length=64)] = "",
    after: Annotated[str, Query(max_length=255)] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_EVENTS_A_CALL)] = 100,
) -> Response:
    """Events in the order of their commit: up to `limit` of a range, after the event `after` (its id);
    `next` is what to go on from. With `Accept: text/event-stream`: those that come, after Last-Event-ID."""
    site, token, feeds = request.app.state.site, request.state.token, request.app.state.feeds
    wanted = _filter(site, token, camera, type_)
    if "text/event-stream" in request.headers.get("accept", ""):
        last_id = request.headers.get("last-event-id") or after
        return await _stream(feeds, site, Listener.of(request), wanted, last_id)
    since_ns = unix_s(since, site.zone) * NS_PER_S if since else 0
    until_ns = unix_s(until, site.zone) * NS_PER_S if until else wanted.until_ns
    wanted = replace(wanted, since_ns=since_ns, until_ns=until_ns)
    row, _ = await _begin(feeds, site, token, after) if after else (None, False)
    page = await _page(feeds, wanted, row, limit)
    more = None if page.done or not page.events else json.loads(page.events[-1].body)["id"]
    bodies = ",".join(event.body for event in page.events)
    return Response(f'{{"events":[{bodies}],"next":{json.dumps(more)}}}', media_type="application/json")


def _filter(site: Site, token: Token, camera: str, event_type: str) -> EventFilter:
    """Raise ConfigError for a type that there is not."""
    if event_type:
        schemas.get(event_type)
    return EventFilter(frozenset((camera,)) if camera else site.seen_by(token), event_type or None)


async def _page(feeds: Feeds, wanted: EventFilter, row: int | None, limit: int) -> Page:
    """A full one, or the last: what lies between is passed over in pieces, so that others have their turn."""
    if row is None:
        row = await feeds.ask(lambda feed: feed.row_before(wanted.since_ns))
    end = await _last(feeds, wanted)
    found: list[StoredEvent] = []
    while True:
        page = await feeds.page(row, wanted, limit - len(found))
        found, row = [*found, *page.events], page.row
        if len(found) >= limit or page.done or row >= end:
            return Page(found, row, page.done or row >= end)


async def _last(feeds: Feeds, wanted: EventFilter) -> int:
    """The row behind which none is wanted."""
    until_ns = wanted.until_ns + 2 * LATE_NS  # as far behind as row_before() goes ahead, and as late again
    if wanted.until_ns > time.time_ns():
        return await feeds.last_row()
    return await feeds.ask(lambda feed: feed.row_before(until_ns))


async def _begin(feeds: Feeds, site: Site, token: Token, event_id: str) -> tuple[int, bool]:
    """The row after which to go on, and whether something is missing. Raise HttpRefusal for another box's
    id."""
    node, camera, at = _parsed(event_id)
    if node != site.node:
        raise HttpRefusal(422, f"{event_id[:120]!r} is no event of this box, which is {site.node}")
    if not token.sees(camera):
        raise HttpRefusal(403, f"token {token.name} is not for camera {camera[:64]!r}")
    row = await feeds.ask(lambda feed: feed.row_of(camera, at))
    if row is not None:
        return row, False
    return await feeds.ask(EventFeed.first_row) - 1, True


def _parsed(event_id: str) -> tuple[str, str, EventId]:
    try:
        node, camera, lineage, seq = event_id.split("/")
        at = EventId(int(lineage), int(seq))
        if not (0 <= at.lineage < 1 << 63 and 0 <= at.seq < 1 << 63):
            raise ValueError
    except ValueError:
        raise HttpRefusal(422, f"{event_id[:120]!r} is no event's id: NODE/CAMERA/LINEAGE/SEQ") from None
    return node, camera, at


# ---- those that come


class Listener(NamedTuple):
    """Who listens: a token, which a session may stand for."""

    token: Token
    session: Session | None

    @classmethod
    def of(cls, request: Request) -> Listener:
        return cls(request.state.token, getattr(request.state, "session", None))


async def _stream(
    feeds: Feeds, site: Site, who: Listener, wanted: EventFilter, last_id: str
) -> StreamingResponse:
    if feeds.streams >= MAX_STREAMS:
        raise HttpRefusal(503, f"{MAX_STREAMS} streams are open, and no more are served: try again later")
    row, gap = (await _begin(feeds, site, who.token, last_id)) if last_id else (await feeds.last_row(), False)
    lines = _lines(feeds, site, who, wanted, row, last_id if gap else "")
    return StreamingResponse(lines, media_type="text/event-stream", headers={"cache-control": "no-store"})


async def _lines(
    feeds: Feeds, site: Site, who: Listener, wanted: EventFilter, row: int, missing_after: str
) -> AsyncIterator[str]:
    """Until who listens has gone or may no more, or the ledger is another: then who comes back with
    the last id goes on from there."""
    feeds.streams += 1
    try:
        yield "retry: 2000\n\n"
        if missing_after:
            yield f"event: gap\ndata: {json.dumps({'after': missing_after})}\n\n"
        opened, told_s = feeds.opened, time.monotonic()
        while not site.stopping.is_set() and site.admits(*who):
            if await feeds.last_row() > row:
                page = await feeds.page(row, wanted, STREAM_BATCH)
                if feeds.opened != opened:
                    return
                row = page.row
                if page.events:
                    yield "".join(map(_message, page.events))
                    told_s = time.monotonic()
                continue
            if time.monotonic() - told_s > COMMENT_EVERY_S:
                yield ": still here\n\n"
                told_s = time.monotonic()
            await asyncio.sleep(POLL_S)
    finally:
        feeds.streams -= 1


def _message(event: StoredEvent) -> str:
    found: dict[str, Any] = json.loads(event.body)
    return f"id: {found['id']}\nevent: {event.type}\ndata: {event.body}\n\n"
