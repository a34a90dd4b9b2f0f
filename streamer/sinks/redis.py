"""Events to Redis Streams, and from them for those who subscribe: one server, behind Sentinel, a Cluster.

redis is imported in the functions that use it: the supervisor and most commands read RedisSettings alone, and
the client library costs 9 MB and a tenth of a second.

One camera's keys share a Cluster slot and are written by one script. A Lua script is not rolled back, so it
checks types and places before its first write and then advances entry by entry: an error in the middle
leaves a clean prefix, and sending again is harmless, since explicit ids refuse a repeat by themselves.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_validator

from pipelines.rules import AbsolutePath
from streamer.errors import ConfigError
from streamer.events.cloudevents import EventId, StoredEvent
from streamer.ipc.camera_term import CameraTerm
from streamer.ipc.redis_keys import CAMERAS_KEY, site_cameras_key, terms_key
from streamer.sinks.base import Behind, SinkError, SinkSettings
from streamer.sinks.redis_connection import REPLY_TIMEOUT_S as REPLY_TIMEOUT_S
from streamer.sinks.redis_connection import Script, failures, failures_for_people, opener, read_streams
from streamer.sinks.redis_connection import connect as connect
from streamer.sinks.redis_places import Place, Places, Standing, newest
from streamer.sinks.redis_url import check_redis_url, is_tls, parse_redis_url, with_query, with_sentinel_login

# All that an ACL user needs (`+evalsha +script|load …` on the keys `streamer:*`), beyond what Redis lets all
# do: AUTH, HELLO, QUIT. For a database other than 0 SELECT comes to it.
WRITER_COMMANDS = (
    *("evalsha", "script|load", "type", "exists", "xinfo|stream", "xadd", "hset", "hdel", "hkeys", "del"),
)
READER_COMMANDS = ("hgetall", "xread", "xrevrange")  # of `streamer events`

PAGE_ENTRIES = 1000  # of a stream read backwards
POLL_S = 0.2  # how often a Cluster's streams are looked at

# KEYS: events, totals. ARGV: most entries kept, place before the first entry as lineage and seq (-1 -1: any),
# then lineage, seq, type, body, total key (may be empty), total value of each entry.
# Returns the stream's last id; "BEHIND id" where it stands before the place; "AHEAD id" for a later lineage.
# Numbers are doubles in Lua: exact to 2^53, where a millisecond of today is 2^41.
_WRITE = """
for i, want in ipairs({'stream', 'hash'}) do
  local have = redis.call('TYPE', KEYS[i]).ok
  if have ~= 'none' and have ~= want then
    return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' is a ' .. have)
  end
end
local lineage, seq = -1, -1
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      local a, b = string.match(info[i + 1], '(%d+)-(%d+)')
      lineage, seq = tonumber(a), tonumber(b)
    end
  end
end
local function place() return string.format('%.0f-%.0f', lineage, seq) end
local after_lineage, after_seq = tonumber(ARGV[2]), tonumber(ARGV[3])
if lineage < after_lineage or (lineage == after_lineage and seq < after_seq) then
  return 'BEHIND ' .. place()
end
if lineage > tonumber(ARGV[4]) then return 'AHEAD ' .. place() end
for i = 4, #ARGV, 6 do
  local l, s = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  if l > lineage or (l == lineage and s > seq) then
    local id = ARGV[i] .. '-' .. ARGV[i + 1]
    if ARGV[i + 4] ~= '' then
      redis.call('HSET', KEYS[2], ARGV[i + 4], ARGV[i + 5], 'lineage', ARGV[i], 'seq', ARGV[i + 1])
    else
      redis.call('HSET', KEYS[2], 'lineage', ARGV[i], 'seq', ARGV[i + 1])
    end
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], id, 'type', ARGV[i + 2], 'event', ARGV[i + 3])
    lineage, seq = l, s
  end
end
return place()
"""

# KEYS: a hash. ARGV: the fields and values that become all there is in it.
_REPLACE = """
local have = redis.call('TYPE', KEYS[1]).ok
if have ~= 'none' and have ~= 'hash' then
  return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' is a ' .. have)
end
redis.call('DEL', KEYS[1])
for i = 1, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 'OK'
"""


class RedisSettings(SinkSettings):
    """`url` empty: the private redis-server, which the daemon runs and `max_memory_mb` is for."""

    url: str = ""
    stream_max_len: int = Field(default=100_000, ge=1000)
    max_memory_mb: int = Field(default=256, ge=16)
    tls_ca: AbsolutePath | None = None  # None: the system's
    tls_cert: AbsolutePath | None = None
    tls_key: AbsolutePath | None = None

    @field_validator("url")
    @classmethod
    def _clean(cls, url: str) -> str:
        return check_redis_url(url)

    @model_validator(mode="after")
    def _tls_goes_together(self) -> RedisSettings:
        if self.url and not is_tls(self.url) and self._tls():
            raise ValueError("tls_ca, tls_cert and tls_key belong to a rediss:// url: change the url")
        if self.tls_key is not None and self.tls_cert is None:
            raise ValueError("tls_key: give tls_cert too, the certificate that it is the key of")
        return self

    def _tls(self) -> dict[str, str]:
        """As redis-py calls them."""
        given = {"ssl_ca_certs": self.tls_ca, "ssl_certfile": self.tls_cert, "ssl_keyfile": self.tls_key}
        return {name: str(path) for name, path in given.items() if path is not None}

    @property
    def address(self) -> str:
        return self.url

    def fault(self) -> str:
        """A file of TLS that this process may not read."""
        for path in self._tls().values():
            try:
                Path(path).open("rb").close()
            except OSError as error:
                return f"{path}: cannot be read: {error.strerror}: check its path and owner"
        return ""

    def completed(self, address: str, key_password: str | None) -> str:
        """The URL with the files of TLS, and the password of their key, in its query."""
        if not is_tls(address):
            return address
        tls = self._tls()
        if self.tls_cert is not None and key_password:
            tls["ssl_password"] = key_password
        return with_query(address, tls)

    def for_sentinels(self, address: str, username: str | None, password: str | None) -> str:
        """Raises ConfigError where there are none."""
        try:
            return with_sentinel_login(address, username, password)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    @property
    def rebuilds(self) -> bool:
        return True


class RedisSink:
    """The writer of one node's streams. Does not connect before it is used."""

    Settings: ClassVar[type[SinkSettings]] = RedisSettings

    def __init__(self, settings: RedisSettings, node: str, address: str) -> None:
        """Raise RedisError if `address` is no URL that Redis knows."""
        self._node = node
        self.max_events: int | None = settings.stream_max_len
        self._open = opener(address)
        self._client: Any = None
        self._watched = parse_redis_url(address).topology == "sentinel"
        self._primary = ""  # HOST:PORT, as the sentinels had it last
        self._write, self._replace = Script(_WRITE), Script(_REPLACE)
        self._places = Places(node)
        self._standing: dict[str, Standing] = {}
        self._named: set[Place] = set()  # the terms that are known to be in Redis
        self._totals: dict[str, dict[str, int]] = {}  # of each camera, as they stand where it stands

    @property
    def _redis(self) -> Any:
        """The client; making a Cluster's asks its nodes."""
        if self._client is None:
            self._client = self._open()
        return self._client

    def know_terms(self, terms: Mapping[str, Sequence[CameraTerm]]) -> None:
        self._places.learn(terms)

    def positions(self, cameras: Sequence[str]) -> dict[str, EventId | None]:
        """Asked where each stood before, and of all its streams where nothing is there."""
        known = [self._standing[c].place for c in cameras if c in self._standing]
        found = {standing.place.camera: standing for standing in self._ends(known)}
        others = [c for c in cameras if c not in found or found[c].at is None]
        self._named -= {place for place in self._named if place.camera in others}
        ends = self._ends([place for camera in others for place in self._places.all(camera)])
        for camera in others:
            furthest = newest(end for end in ends if end.place.camera == camera)
            found[camera] = furthest or Standing(self._places.own(camera), None)
        self._standing.update(found)
        return {camera: found[camera].at for camera in cameras}

    def _ends(self, places: Sequence[Place]) -> list[Standing]:
        """Where the streams of these places end."""
        if not places:
            return []
        with failures():
            pipe = self._redis.pipeline(transaction=False)
            for place in places:
                pipe.xinfo_stream(place.events)
            replies = pipe.execute(raise_on_error=False)
            self._note_primary()
            return [_standing(place, reply) for place, reply in zip(places, replies, strict=True)]

    def write(self, camera: str, after: EventId | None, events: Sequence[StoredEvent]) -> EventId:  # noqa: ARG002
        at = after
        for place, group in self._places.by_place(events):
            at = self._add(place, at, group)
        assert at is not None
        return at

    def _add(self, place: Place, after: EventId | None, events: Sequence[StoredEvent]) -> EventId:
        """Events of one place; returns the position of the camera, which is that of the newest place."""
        standing = self._standing.get(place.camera, Standing(self._places.own(place.camera), after))
        if place == standing.place:
            at = self._run(place, after, events)
        else:
            self._enter(place, after)
            at = self._run(place, None, events)
        if after is None or at >= after:
            self._standing[place.camera] = Standing(place, at)
            news = [e for e in events if after is None or e.id > after]
            changed = {e.total_key: e.total_value or 0 for e in news if e.total_key is not None}
            self._totals.setdefault(place.camera, {}).update(changed)
            return at
        return after  # what is sent again, to a term that is over

    def _enter(self, place: Place, after: EventId | None) -> None:
        """The first events of a term follow those of another: the camera must stand where that one ends, and
        its totals go on. Raises Behind."""
        stands = self.positions([place.camera])[place.camera]
        if (stands or EventId(-1, -1)) < (after or EventId(-1, -1)):
            raise Behind(stands)
        with failures():
            begun = self._redis.exists(place.events)
        totals = self._totals.get(place.camera)
        if totals and not begun:
            self._put_totals(place, totals, after)
        self._drop_old(place)

    def _drop_old(self, entered: Place) -> None:
        """Of a camera's terms that are over, the newest are kept that hold together what one may hold."""
        older = [place for place in self._places.all(entered.camera) if place != entered]
        kept = 0
        for end in sorted(self._ends(older), key=Standing.order, reverse=True):
            if self.max_events is not None and kept >= self.max_events and end.at is not None:
                self._delete(end.place)
            kept += end.length
        for place in self._places.dropped(entered.camera):
            self._delete(place)

    def _delete(self, place: Place) -> None:
        with failures():
            self._redis.delete(*place.keys)

    def _run(self, place: Place, after: EventId | None, events: Sequence[StoredEvent]) -> EventId:
        arguments: list[str | int] = [self.max_events or 0, *(after or (-1, -1))]
        for event in events:
            total = (event.total_key or "", event.total_value or 0)
            arguments.extend((*event.id, event.type, event.body, *total))
        with failures():
            reply = _text(self._write.run(self._redis, [place.events, place.totals], arguments))
        verdict, _, end = reply.rpartition(" ")
        if verdict == "BEHIND":
            raise Behind(None if end.startswith("-") else EventId.parse(end))
        if verdict == "AHEAD":
            raise SinkError(
                "ahead",
                f"camera {place.camera}: Redis holds {end}, a later lineage than this ledger's "
                f"{events[0].id.lineage}; if this ledger is the right one: streamer ledger new-incarnation",
            )
        return EventId.parse(end)

    def replace_totals(self, camera: str, totals: Mapping[str, int], at: EventId | None) -> None:
        """Those of a camera of which nothing is there are written with its first event, in its term."""
        self._totals[camera] = dict(totals)
        standing = self._standing.get(camera, Standing(self._places.own(camera), None))
        if standing.at is not None or len(self._places.all(camera)) == 1:
            self._put_totals(standing.place, totals, at)

    def _put_totals(self, place: Place, totals: Mapping[str, int], at: EventId | None) -> None:
        fields: list[str | int] = [item for pair in totals.items() for item in pair]
        if at is not None:
            fields += ["lineage", at.lineage, "seq", at.seq]
        with failures():
            self._replace.run(self._redis, [place.totals], fields)

    def publish(self, states: Mapping[str, Mapping[str, str]]) -> None:
        if not states:
            return
        with failures():
            pipe = self._redis.pipeline(transaction=False)
            where = {}
            for camera, fields in states.items():
                place, before = self._places.show(camera, fields)
                pipe.hset(place.state, mapping=dict(fields))
                if before is not None:
                    pipe.delete(before.state)
                if place.term and place not in self._named:
                    self._name_term(place)
                where[f"{self._node}/{camera}"] = place.described(self._node)
            pipe.hset(CAMERAS_KEY, mapping=where)
            pipe.execute()

    def _name_term(self, place: Place) -> None:
        """Who took the term has said so; a Redis that lost it is told again."""
        terms, cameras = terms_key(place.owner, place.camera), site_cameras_key(place.owner)
        began = self._places.began(place)
        if began and str(place.term) not in map(_text, self._redis.hkeys(terms)):
            self._redis.hset(terms, str(place.term), began)
        if place.camera not in map(_text, self._redis.hkeys(cameras)):
            self._redis.hset(cameras, place.camera, json.dumps({"terms": terms}))
        self._named.add(place)

    def cameras(self) -> set[str]:
        with failures():
            named = (_text(name).rpartition("/") for name in self._redis.hkeys(CAMERAS_KEY))
            return {camera for node, _, camera in named if node == self._node}

    def retire(self, states: Mapping[str, Mapping[str, str]]) -> None:
        with failures():
            for camera, fields in states.items():
                pairs = [item for pair in fields.items() for item in pair]
                place = self._places.shown(camera)
                self._replace.run(self._redis, [place.state], pairs)
                self._redis.hset(CAMERAS_KEY, f"{self._node}/{camera}", place.described(self._node))

    def forget(self, cameras: Sequence[str]) -> None:
        with failures():
            for camera in cameras:
                for place in self._places.all(camera):
                    self._redis.delete(*place.keys)
                self._redis.hdel(CAMERAS_KEY, f"{self._node}/{camera}")
                self._places.forget(camera)
                self._standing.pop(camera, None)
                self._totals.pop(camera, None)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None
        self._named.clear()

    def report(self) -> Mapping[str, Any]:
        """Who is the primary, where sentinels say so."""
        return {"primary": self._primary} if self._primary else {}

    def _note_primary(self) -> None:
        if self._watched and (at := self._redis.connection_pool.master_address):
            self._primary = f"{at[0]}:{at[1]}"


class Subscriber:
    """Reads what RedisSink wrote, for the command line. Raises RedisError."""

    def __init__(self, url: str) -> None:
        with failures_for_people():
            self._redis = connect(url)

    def cameras(self) -> dict[str, dict[str, str]]:
        """Where each camera's keys are, by `NODE/CAMERA`."""
        with failures_for_people():
            return {_text(k): json.loads(v) for k, v in self._redis.hgetall(CAMERAS_KEY).items()}

    def tail(
        self, key: str, count: int, event_type: str | None = None, up_to: str = "+"
    ) -> list[tuple[str, str]]:
        """(id, CloudEvent as JSON) of the newest `count` entries of the stream `key`, oldest first.

        Of `event_type` alone where one is given: read backwards in pages until there are `count` or the
        stream begins. `up_to` is the newest id looked at.
        """
        count = max(1, count)
        newest_first: list[tuple[str, str]] = []
        size = count if event_type is None else PAGE_ENTRIES
        while len(newest_first) < count:
            with failures_for_people():
                page: Any = self._redis.xrevrange(key, max=up_to, count=size)
            for entry_id, fields in page:
                if event_type is None or _text(fields[b"type"]) == event_type:
                    newest_first.append((_text(entry_id), _text(fields[b"event"])))
            if len(page) < size:
                break
            up_to = f"({_text(page[-1][0])}"
        return newest_first[:count][::-1]

    def read(self, cursors: Mapping[str, str], block_ms: int | None) -> list[tuple[str, str, str]]:
        """(stream key, id, CloudEvent as JSON) of what comes after `cursors`; waits up to `block_ms`."""
        until_s = time.monotonic() + (block_ms or 0) / 1000
        with failures_for_people():
            reply = read_streams(self._redis, cursors, 500, block_ms)
            while not reply and time.monotonic() < until_s:  # one that waits by itself has waited
                time.sleep(min(POLL_S, max(0.0, until_s - time.monotonic())))
                reply = read_streams(self._redis, cursors, 500, None)
        return [
            (_text(key), _text(entry_id), _text(fields[b"event"]))
            for key, entries in reply
            for entry_id, fields in entries
        ]

    def totals(self, key: str) -> dict[str, int]:
        """The running totals with the fields `lineage` and `seq`, which say up to which event."""
        with failures_for_people():
            return {_text(k): int(v) for k, v in self._redis.hgetall(key).items()}

    def close(self) -> None:
        self._redis.close()


def _standing(place: Place, reply: Any) -> Standing:
    """Of what XINFO STREAM says."""
    import redis

    if isinstance(reply, redis.ResponseError) and "no such key" in str(reply):
        return Standing(place, None)
    if isinstance(reply, redis.RedisError):
        raise reply
    return Standing(place, EventId.parse(_text(reply["last-generated-id"])), int(reply["length"]))


def _text(raw: Any) -> str:
    return raw.decode() if isinstance(raw, bytes) else str(raw)
