"""The site's Redis as an agent uses it: terms, configuration, and a sign of life with what is wrong.

The client is made anew after a failure. Everything raises RedisError.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamer.errors import RedisError
from streamer.ipc.redis_keys import site_boxes_key, site_drained_key
from streamer.sinks.redis_connection import connect, failures_for_people
from streamer.site.configuration import Published, SiteCamera, publish, published
from streamer.site.terms import Term, next_term, say_open, terms_of


@dataclass(frozen=True)
class Sign:
    """What a box said last: when (Unix ns), and by camera, or "" for the box itself, what is wrong."""

    at_ns: int
    node: str
    faults: Mapping[str, str]


class SiteRedis:
    def __init__(self, url: str, site: str) -> None:
        self._url, self._site = url, site
        self._client: Any = None

    @property
    def client(self) -> Any:
        if self._client is None:
            with failures_for_people():
                self._client = connect(self._url)
        return self._client

    def last_term(self, camera: str) -> Term | None:
        return next(iter(reversed(terms_of(self.client, self._site, camera))), None)

    def next_term(
        self, camera: str, node: str, name: str, from_ns: int, above: int, opening: bool = False
    ) -> int:
        given: dict[str, Any] = {"name": name, "above": above, "opening": opening}
        return next_term(self.client, self._site, camera, node, from_ns, **given)

    def say_open(self, camera: str, term: int, seen_ns: int) -> None:
        say_open(self.client, self._site, camera, term, seen_ns)

    def clock_ns(self) -> int:
        """Unix ns by Redis's own clock, which all boxes can compare theirs with."""
        with failures_for_people():
            found: Any = self.client.time()
        seconds, micros = found if isinstance(found, tuple) else next(iter(found.values()))  # of a Cluster
        return (int(seconds) * 1_000_000 + int(micros)) * 1000

    def cameras(self) -> dict[str, Published]:
        return published(self.client, self._site)

    def publish(self, cameras: list[SiteCamera]) -> None:
        publish(self.client, self._site, cameras)

    def give_sign(self, box: str, sign: Sign) -> None:
        text = json.dumps({"at_ns": sign.at_ns, "node": sign.node, "faults": dict(sign.faults)})
        with failures_for_people():
            self.client.hset(site_boxes_key(self._site), box, text)

    def forget_box(self, box: str) -> None:
        with failures_for_people():
            self.client.hdel(site_boxes_key(self._site), box)
            self.client.hdel(site_drained_key(self._site), box)

    def set_drained(self, box: str, at_ns: int) -> None:
        """From `at_ns` (Unix ns) on it is to have no cameras; 0: it may again."""
        key = site_drained_key(self._site)
        with failures_for_people():
            if at_ns:
                self.client.hset(key, box, at_ns)
            else:
                self.client.hdel(key, box)

    def drained(self) -> frozenset[str]:
        with failures_for_people():
            return frozenset(_text(box) for box in self.client.hkeys(site_drained_key(self._site)))

    def signs(self) -> dict[str, Sign]:
        key = site_boxes_key(self._site)
        with failures_for_people():
            found = self.client.hgetall(key)
        try:
            return {_text(box): Sign(**json.loads(value)) for box, value in found.items()}
        except (ValueError, TypeError) as error:
            raise RedisError(f"{key} holds what is no box's: remove it (DEL)") from error


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
