"""The terms of a site's cameras, in the site's Redis: which box owns a camera, from which moment on.

Each placing of a camera raises its term. Terms rise by one, each begins no earlier than the one before, and a
moment belongs to the highest that had begun by then. Where a box has the camera still to open, it says from
when on it sees it: until then the moments stay those of the box before, which goes on. Everything of one
camera lies in one slot of a Cluster (the braces), so one script raises a term whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from streamer.errors import RedisError
from streamer.ipc.redis_keys import site_cameras_key, terms_key
from streamer.sinks.redis_connection import Script, failures_for_people

MAX_NS = (1 << 63) - 1

# KEYS: the camera's terms. ARGV: a term that is taken already, the begin of the new one in ns with leading
# zeros, and JSON of who takes it, without its last brace.
# Nanoseconds of today are beyond what a double holds exactly: they are compared as texts of one length.
_NEXT = """
local highest, began = tonumber(ARGV[1]), string.rep('0', #ARGV[2])
local last = 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do last = math.max(last, tonumber(field)) end
if last > 0 then
  local found = string.match(redis.call('HGET', KEYS[1], tostring(last)), '"from_ns": ?(%d+)')
  began = string.rep('0', #ARGV[2] - #found) .. found
end
local from_ns = ARGV[2] < began and began or ARGV[2]
local term = string.format('%.0f', math.max(last, highest) + 1)
redis.call('HSET', KEYS[1], term, ARGV[3] .. ', "from_ns": ' .. string.match(from_ns, '^0*(%d+)$') .. '}')
return term
"""
_NS_DIGITS = 19

_next = Script(_NEXT)


class Term(NamedTuple):
    """Taken at `from_ns` (Unix ns) by the box `node`; `name` is for people. `seen_ns`: from when on it sees
    the camera, 0 while it has still to open it; None: it had it open when it took the term, or says nothing.
    """

    term: int
    node: str
    name: str
    from_ns: int
    seen_ns: int | None = None

    @property
    def is_open(self) -> bool:
        return self.seen_ns != 0

    @property
    def begin_ns(self) -> int:
        """From when on the camera is that box's, if it has it open."""
        return max(self.from_ns, self.seen_ns or 0)


def next_term(
    redis: Any,
    site: str,
    camera: str,
    node: str,
    from_ns: int,
    *,
    name: str = "",
    above: int = 0,
    opening: bool = False,
) -> int:
    """Take the camera's next term for the box `node` from `from_ns` on (Unix ns); returns it, 1 at first.

    `redis` is a client of redis-py, of one server or of a Cluster. One that begins before the term before
    it (a clock that is behind) begins with that. `name` is what people call the box; `above` is a term that
    is known to be taken, since a Redis that lost its data knows of none. `opening`: the box has the camera
    still to open, and will say when it has (say_open). Raises RedisError: then whether it was taken is not
    known, and taking another one is safe.
    """
    if not 0 <= from_ns <= MAX_NS:
        raise ValueError(f"from_ns {from_ns} is no time: 0 to {MAX_NS}")
    who = json.dumps({"node": node, "name": name, **({"seen_ns": 0} if opening else {})})[:-1]
    with failures_for_people():
        redis.hset(site_cameras_key(site), camera, json.dumps({"terms": terms_key(site, camera)}))
        arguments = (above, f"{from_ns:0{_NS_DIGITS}d}", who)
        return int(_next.run(redis, [terms_key(site, camera)], arguments))


def say_open(redis: Any, site: str, camera: str, term: int, seen_ns: int) -> None:
    """The box that took `term` sees the camera from `seen_ns` on (Unix ns). Nobody else writes that field.

    Raises RedisError. A Redis that has lost the term is told nothing: it is taken anew.
    """
    key = terms_key(site, camera)
    with failures_for_people():
        found = redis.hget(key, str(term))
        if found is not None:
            redis.hset(key, str(term), json.dumps({**json.loads(found), "seen_ns": seen_ns}))


def terms_of(redis: Any, site: str, camera: str) -> list[Term]:
    """All that the camera had, in their order. Raises RedisError."""
    key = terms_key(site, camera)
    with failures_for_people():
        found = redis.hgetall(key)
    try:
        return sorted(_term(int(field), json.loads(value)) for field, value in found.items())
    except (ValueError, KeyError, TypeError) as error:
        raise RedisError(f"{key} holds what is no term: remove that field of it (HDEL)") from error


def cameras_of(redis: Any, site: str) -> list[str]:
    """The cameras that have, or had, a term in the site, by name. Raises RedisError."""
    with failures_for_people():
        names = redis.hkeys(site_cameras_key(site))
    return sorted(name.decode() if isinstance(name, bytes) else str(name) for name in names)


def _term(term: int, told: Mapping[str, Any]) -> Term:
    seen_ns = int(told["seen_ns"]) if "seen_ns" in told else None
    return Term(term, str(told["node"]), str(told.get("name", "")), int(told["from_ns"]), seen_ns)
