"""Where a camera's events lie in Redis: under the box's own keys, or under those of a term of its site.

An event goes to the keys of the term that it was made in, whenever it is sent. A camera's numbers rise over
all its terms on a box, so it stands where the newest of its streams ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import msgspec

from streamer.events.cloudevents import EventId, StoredEvent
from streamer.ipc.camera_term import CameraTerm
from streamer.ipc.redis_keys import (
    events_key,
    state_key,
    term_events_key,
    term_state_key,
    term_totals_key,
    totals_key,
)


class Place(NamedTuple):
    """The keys of a camera in term `term` of the site `owner`; in term 0 those of the node `owner`."""

    owner: str
    camera: str
    term: int = 0

    @property
    def events(self) -> str:
        return term_events_key(*self) if self.term else events_key(self.owner, self.camera)

    @property
    def totals(self) -> str:
        return term_totals_key(*self) if self.term else totals_key(self.owner, self.camera)

    @property
    def state(self) -> str:
        return term_state_key(*self) if self.term else state_key(self.owner, self.camera)

    @property
    def keys(self) -> tuple[str, str, str]:
        """All of one slot of a Cluster."""
        return self.events, self.totals, self.state

    def described(self, node: str) -> str:
        """What `streamer:cameras` says of it, as JSON."""
        of_site = {"site": self.owner, "term": self.term} if self.term else {}
        names = {"events": self.events, "totals": self.totals, "state": self.state}
        return json.dumps({"node": node, "camera": self.camera, **names, **of_site})


class Standing(NamedTuple):
    """How far a camera is in Redis, where that event lies, and how many are kept there."""

    place: Place
    at: EventId | None
    length: int = 0

    def order(self) -> EventId:
        """By which the newest place is last."""
        return self.at or EventId(-1, -1)


class _Data(msgspec.Struct):
    site: str = ""
    term: int = 0


class _Body(msgspec.Struct):
    data: _Data = msgspec.field(default_factory=_Data)


_decoder = msgspec.json.Decoder(_Body)


class Places:
    """Of the cameras of one node. Raises nothing."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._terms: Mapping[str, Sequence[CameraTerm]] = {}
        self._seen: dict[str, set[Place]] = {}  # by the events that went there
        self._dropped: dict[str, set[Place]] = {}  # terms that the box remembers no more
        self._shown: dict[str, Place] = {}  # of the state that was told last

    def learn(self, terms: Mapping[str, Sequence[CameraTerm]]) -> None:
        """These terms the cameras had on this box, the newest last."""
        for camera in self._terms:
            if gone := self._told(camera, self._terms) - self._told(camera, terms):
                self._dropped.setdefault(camera, set()).update(gone)
        self._terms = terms

    def own(self, camera: str) -> Place:
        """Without a term."""
        return Place(self._node, camera)

    def all(self, camera: str) -> list[Place]:
        """Where something of the camera may be."""
        told = self._told(camera, self._terms)
        return [self.own(camera), *sorted(told | self._seen.get(camera, set()))]

    @staticmethod
    def _told(camera: str, terms: Mapping[str, Sequence[CameraTerm]]) -> set[Place]:
        return {Place(term.site, camera, term.term) for term in terms.get(camera, ())}

    def dropped(self, camera: str) -> list[Place]:
        """Of the camera what the box has let go of since this was asked last: more than it may remember."""
        gone = self._dropped.pop(camera, set()) - self._told(camera, self._terms)
        self._seen[camera] = self._seen.get(camera, set()) - gone
        return sorted(gone)

    def by_place(self, events: Sequence[StoredEvent]) -> Iterator[tuple[Place, list[StoredEvent]]]:
        """Events that follow each other, by where they belong."""
        for place, group in groupby(events, self._of):
            if place.term:
                self._seen.setdefault(place.camera, set()).add(place)
            yield place, list(group)

    def _of(self, event: StoredEvent) -> Place:
        if '"term":' not in event.body:  # of most boxes none has one
            return self.own(event.camera)
        data = _decoder.decode(event.body).data
        return Place(data.site, event.camera, data.term) if data.term else self.own(event.camera)

    def show(self, camera: str, fields: Mapping[str, str]) -> tuple[Place, Place | None]:
        """Where the state with these fields belongs; and where the one before lies, if that is elsewhere."""
        term = fields.get("term", "null")
        now = Place(fields["site"], camera, int(term)) if term.isdecimal() else self.own(camera)
        before, self._shown[camera] = self._shown.get(camera), now
        return now, before if before != now else None

    def shown(self, camera: str) -> Place:
        """Where the camera's state was told last."""
        terms = self._terms.get(camera)
        newest = Place(terms[-1].site, camera, terms[-1].term) if terms else self.own(camera)
        return self._shown.get(camera, newest)

    def began(self, place: Place) -> str:
        """What `…:terms` says of the term, as JSON; "" where this box does not know."""
        for term in self._terms.get(place.camera, ()):
            if (term.site, term.term) == (place.owner, place.term):
                return json.dumps({"node": self._node, "name": "", "from_ns": term.from_ns})
        return ""

    def forget(self, camera: str) -> None:
        self._seen.pop(camera, None)
        self._shown.pop(camera, None)


def newest(found: Iterable[Standing]) -> Standing | None:
    """The one that is furthest; None where there is none."""
    return max(found, key=Standing.order, default=None)
