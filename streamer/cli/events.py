"""`streamer events`: what happened last, and what happens now.

Events are read from Redis as any subscriber reads them, or from the ledger where no Redis answers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

import click

from streamer.cli.event_summary import one_line
from streamer.cli.ledger import check_known, open_ledger
from streamer.cli.lenient_config import readable
from streamer.config.schema import Config
from streamer.config.secrets import SecretStore
from streamer.config.store import ConfigStore
from streamer.daemon import redis_server
from streamer.errors import RedisError, StorageError
from streamer.events import schemas
from streamer.events.cloudevents import EventId
from streamer.ledger import LedgerReader, LedgerRefused
from streamer.sinks.redis import Subscriber

WAIT_S = 1.0  # how long a follower waits before it looks for new cameras
LEDGER_POLL_S = 0.2


class Shown(NamedTuple):
    camera: str
    id: EventId
    body: str


class Feed(Protocol):
    """Where events come from. Raises StreamerError."""

    def past(self, count: int) -> list[Shown]:
        """The newest `count` events of the wanted type, of each camera, in order of time.

        Later ones, of every type, come from new().
        """

    def new(self) -> list[Shown]:
        """What came since the last call; waits a while for it."""


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with events as they come.")
@click.option("--camera", help="Only this camera.")
@click.option("--type", "event_type", help="Only this type: line.crossed, or streamer.line.crossed.v1.")
@click.option("--last", "-n", type=click.IntRange(0, 100_000), help="Past events to begin with [20; -f: 0].")
@click.option("--json", "as_json", is_flag=True, help="Print each event as one line of CloudEvents JSON.")
@click.pass_obj
def events(
    store: ConfigStore,
    follow: bool,
    camera: str | None,
    event_type: str | None,
    last: int | None,
    as_json: bool,
) -> None:
    """Print events: the last ones, or with --follow those that come."""
    config = readable(store)
    wanted_type = full_type(event_type) if event_type else None
    count = last if last is not None else (0 if follow else 20)
    zone = ZoneInfo(config.timezone)
    for shown in _stream(_open(store, config, camera, wanted_type), count, follow, wanted_type):
        event = json.loads(shown.body)
        if wanted_type is None or event["type"] == wanted_type:
            click.echo(shown.body if as_json else _line(event, shown.camera, zone))


def _stream(feed: Feed, count: int, follow: bool, wanted_type: str | None) -> Iterator[Shown]:
    """The events; what is missing between two of them is said on standard error."""
    gaps = _Gaps()
    past = feed.past(count)[-count:] if count else feed.past(1)[:0]
    for shown in past:
        if wanted_type is None:  # of one type alone, the numbers between are the other types'
            gaps.tell(shown)
        yield shown
    while follow:
        for shown in feed.new():
            gaps.tell(shown)
            yield shown


def _open(store: ConfigStore, config: Config, camera: str | None, event_type: str | None) -> Feed:
    """Redis if it answers, else the ledger; says so on standard error.

    Raises ConfigError for a camera that is not configured and of which nothing is recorded.
    """
    if config.redis_sinks and not _was_renamed(config, camera):
        address = SecretStore(store).sink_address(config.redis_sinks[0]).reveal()
        url = address or redis_server.subscriber_url(config.runtime_path)
        try:
            feed = _RedisFeed(Subscriber(url), camera, event_type)
            if camera is None or camera in feed.cameras() or config.camera(camera) is not None:
                return feed
            check_known(config, camera, [*feed.cameras(), *_in_ledger(config)])
            click.echo(f"Redis has no camera {camera!r}; reading the ledger instead", err=True)
        except RedisError as error:
            click.echo(f"{error}; reading the ledger instead", err=True)
    check_known(config, camera, _in_ledger(config))
    return _LedgerFeed(open_ledger(config), camera, event_type)


def _was_renamed(config: Config, camera: str | None) -> bool:
    """Whether there may be a past of it under another name, which the ledger alone tells together."""
    try:
        with closing(open_ledger(config)) as reader:
            return camera is not None and len(reader.renames().sources(camera)) > 1
    except (StorageError, PermissionError):
        return False


def _in_ledger(config: Config) -> list[str]:
    """The cameras that the ledger knows; none where it cannot be read, which who reads it will say."""
    try:
        with closing(open_ledger(config)) as reader:
            return list(reader.cameras())
    except (StorageError, PermissionError):
        return []


class _RedisFeed:
    """Every camera's stream, with a cursor each; a camera that appears later is read from its start."""

    def __init__(self, subscriber: Subscriber, camera: str | None, event_type: str | None) -> None:
        self._subscriber = subscriber
        self._camera = camera
        self._type = event_type
        self._cursors: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._lost = False
        self._look()

    def _look(self) -> None:
        for where in self._subscriber.cameras().values():
            if self._camera in (None, where["camera"]) and where["events"] not in self._names:
                self._names[where["events"]] = where["camera"]
                self._cursors[where["events"]] = "0-0"

    def cameras(self) -> list[str]:
        """Every camera that Redis knows, also one that was removed."""
        return [where["camera"] for where in self._subscriber.cameras().values()]

    def past(self, count: int) -> list[Shown]:
        found = []
        for key, name in self._names.items():
            for newest, _ in self._subscriber.tail(key, 1):
                self._cursors[key] = newest  # whatever its type: what comes after it is new
            for entry_id, body in self._subscriber.tail(key, count, self._type, up_to=self._cursors[key]):
                found.append(Shown(name, EventId.parse(entry_id), body))
        return sorted(found, key=_emitted)

    def new(self) -> list[Shown]:
        """A Redis that goes away is waited for: the cursors hold, so nothing is passed over."""
        try:
            found = self._read()
        except RedisError as error:
            if not self._lost:
                click.echo(f"{error}; waiting for it", err=True)
            self._lost = True
            time.sleep(WAIT_S)
            return []
        self._lost = False
        return found

    def _read(self) -> list[Shown]:
        self._look()
        if not self._cursors:
            time.sleep(WAIT_S)
            return []
        found = []
        for key, entry_id, body in self._subscriber.read(self._cursors, int(WAIT_S * 1000)):
            self._cursors[key] = entry_id
            found.append(Shown(self._names[key], EventId.parse(entry_id), body))
        return found


def _emitted(shown: Shown) -> tuple[int, EventId]:
    """Rises with a camera's sequence; an event's `time` does not, since a bucket is told after its end."""
    return int(json.loads(shown.body)["data"].get("emitted_ns", 0)), shown.id


class _LedgerFeed:
    """The ledger's events in the order of their commit."""

    def __init__(self, reader: LedgerReader, camera: str | None, event_type: str | None) -> None:
        self._reader = reader
        self._camera = camera
        self._type = event_type
        self._row = self._reader.last_row()
        self._refused = ""

    def past(self, count: int) -> list[Shown]:
        rows = self._reader.last_events(count, self._camera, self._type)
        return [Shown(e.camera, e.id, e.body) for e in rows]

    def new(self) -> list[Shown]:
        """A ledger that another program has locked is waited for."""
        try:
            found = self._wanted(self._row)
            self._refused = ""
        except LedgerRefused as error:
            if not self._refused:
                click.echo(str(error), err=True)
            self._refused, found = str(error), []
        if not found:
            time.sleep(LEDGER_POLL_S)
        return found

    def _wanted(self, after_row: int) -> list[Shown]:
        rows = self._reader.tail(after_row, 1000)
        self._row = max(self._row, rows[-1][0] if rows else 0)
        return [Shown(e.camera, e.id, e.body) for _, e in rows if self._camera in (None, e.camera)]


class _Gaps:
    """Arithmetic on sequence numbers: within a lineage each is one more than that before."""

    def __init__(self) -> None:
        self._last: dict[str, EventId] = {}

    def tell(self, shown: Shown) -> None:
        """Say on standard error what is missing just before this one."""
        if missing := self.before(shown):
            click.echo(
                f"{shown.camera}: {missing} events are missing here (trimmed from the stream)", err=True
            )

    def before(self, shown: Shown) -> int:
        """How many events are missing just before this one."""
        last = self._last.get(shown.camera)
        self._last[shown.camera] = shown.id
        if last is None or last.lineage != shown.id.lineage:
            return 0
        return max(0, shown.id.seq - last.seq - 1)


def full_type(text: str) -> str:
    """Raise ConfigError, with the types there are, for one that there is not."""
    full = text if text.startswith("streamer.") else f"streamer.{text}"
    if full not in schemas.names() and f"{full}.v1" in schemas.names():
        full = f"{full}.v1"
    schemas.get(full)
    return full


def _line(event: dict[str, Any], camera: str, zone: ZoneInfo) -> str:
    """One event for people: local time, camera, what, and what is worth knowing of it."""
    at = datetime.fromisoformat(event["time"]).astimezone(zone)
    kind = event["type"].removeprefix("streamer.").rpartition(".v")[0]
    moment = f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"
    return f"{moment}  {camera:<16} {kind:<15} {_summary(kind, event)}"


def _summary(kind: str, event: dict[str, Any]) -> str:
    data = event["data"]
    if kind == "counts":
        crossed = [
            f"{line} {direction} {class_name} {n}"
            for line, directions in data["lines"].items()
            for direction, classes in directions.items()
            for class_name, n in classes.items()
        ]
        seen_s = data["coverage"]["seen_s"] + data["coverage"]["gated_s"]
        length_s = (data["end_ns"] - data["start_ns"]) / 1e9
        return f"{', '.join(crossed) or 'no crossing'}; seen {seen_s:.1f} of {length_s:.1f} s"
    summary = one_line(event["type"], data)
    if summary is not None:
        return f"{event.get('subject', '')}  {summary}"
    shown = {
        "line.crossed": ("line", "direction", "class", "track_id"),
        "zone.entered": ("zone", "class", "track_id"),
        "zone.exited": ("zone", "class", "track_id", "dwell_s"),
        "zone.occupancy": ("zone", "count", "by_class"),
        "track.ended": ("track_id", "class"),
        "camera.state": ("state", "detail", "health", "health_detail"),
    }
    return "  ".join(
        f"{name}={data[name]}" for name in shown.get(kind, ()) if data.get(name) not in (None, "")
    )
