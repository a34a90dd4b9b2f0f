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
from streamer.ipc.redis_keys import CAMERAS_KEY, events_key, state_key, totals_key
from streamer.sinks.base import Behind, SinkError, SinkSettings
from streamer.sinks.redis_connection import REPLY_TIMEOUT_S as REPLY_TIMEOUT_S
from streamer.sinks.redis_connection import Script, failures, failures_for_people, opener, read_streams
from streamer.sinks.redis_connection import connect as connect
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

    @property
    def _redis(self) -> Any:
        """The client; making a Cluster's asks its nodes."""
        if self._client is None:
            self._client = self._open()
        return self._client

    def positions(self, cameras: Sequence[str]) -> dict[str, EventId | None]:
        with failures():
            pipe = self._redis.pipeline(transaction=False)
            for camera in cameras:
                pipe.xinfo_stream(events_key(self._node, camera))
            replies = pipe.execute(raise_on_error=False)
            self._note_primary()
            return {c: _position(reply) for c, reply in zip(cameras, replies, strict=True)}

    def write(self, camera: str, after: EventId | None, events: Sequence[StoredEvent]) -> EventId:
        arguments: list[str | int] = [self.max_events or 0, *(after or (-1, -1))]
        for event in events:
            total = (event.total_key or "", event.total_value or 0)
            arguments.extend((*event.id, event.type, event.body, *total))
        keys = [events_key(self._node, camera), totals_key(self._node, camera)]
        with failures():
            reply = _text(self._write.run(self._redis, keys, arguments))
        verdict, _, place = reply.rpartition(" ")
        if verdict == "BEHIND":
            raise Behind(None if place.startswith("-") else EventId.parse(place))
        if verdict == "AHEAD":
            raise SinkError(
                "ahead",
                f"camera {camera}: Redis holds {place}, a later lineage than this ledger's "
                f"{events[0].id.lineage}; if this ledger is the right one: streamer ledger new-incarnation",
            )
        return EventId.parse(place)

    def replace_totals(self, camera: str, totals: Mapping[str, int], at: EventId | None) -> None:
        fields: list[str | int] = [item for pair in totals.items() for item in pair]
        if at is not None:
            fields += ["lineage", at.lineage, "seq", at.seq]
        with failures():
            self._replace.run(self._redis, [totals_key(self._node, camera)], fields)

    def publish(self, states: Mapping[str, Mapping[str, str]]) -> None:
        if not states:
            return
        with failures():
            pipe = self._redis.pipeline(transaction=False)
            for camera, fields in states.items():
                pipe.hset(state_key(self._node, camera), mapping=dict(fields))
            pipe.hset(CAMERAS_KEY, mapping={f"{self._node}/{c}": self._where(c) for c in states})
            pipe.execute()

    def cameras(self) -> set[str]:
        with failures():
            named = (_text(name).rpartition("/") for name in self._redis.hkeys(CAMERAS_KEY))
            return {camera for node, _, camera in named if node == self._node}

    def retire(self, states: Mapping[str, Mapping[str, str]]) -> None:
        with failures():
            for camera, fields in states.items():
                pairs = [item for pair in fields.items() for item in pair]
                self._replace.run(self._redis, [state_key(self._node, camera)], pairs)
                self._redis.hset(CAMERAS_KEY, f"{self._node}/{camera}", self._where(camera))

    def forget(self, cameras: Sequence[str]) -> None:
        with failures():
            for camera in cameras:
                keys = (key(self._node, camera) for key in (events_key, totals_key, state_key))
                self._redis.delete(*keys)
                self._redis.hdel(CAMERAS_KEY, f"{self._node}/{camera}")

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None

    def report(self) -> Mapping[str, Any]:
        """Who is the primary, where sentinels say so."""
        return {"primary": self._primary} if self._primary else {}

    def _note_primary(self) -> None:
        if self._watched and (at := self._redis.connection_pool.master_address):
            self._primary = f"{at[0]}:{at[1]}"

    def _where(self, camera: str) -> str:
        keys = {
            "node": self._node,
            "camera": camera,
            "events": events_key(self._node, camera),
            "totals": totals_key(self._node, camera),
            "state": state_key(self._node, camera),
        }
        return json.dumps(keys)


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


def _position(reply: Any) -> EventId | None:
    import redis

    if isinstance(reply, redis.ResponseError) and "no such key" in str(reply):
        return None
    if isinstance(reply, redis.RedisError):
        raise reply
    return EventId.parse(_text(reply["last-generated-id"]))


def _text(raw: Any) -> str:
    return raw.decode() if isinstance(raw, bytes) else str(raw)
