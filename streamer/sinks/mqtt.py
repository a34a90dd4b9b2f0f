"""Events to an MQTT 5 broker, and beside them totals, states, commands and what Home Assistant shows.

An event is a message of `PREFIX/NODE/events`, a CloudEvent in structured JSON by the CloudEvents MQTT
binding, with QoS 1. The cursor moves on with PUBACK alone, noted in a file of this sink (progress.py): after
a lost acknowledgement or a kill an event may come twice, with the same id.

With `vocabulary: onvif` it is told in ONVIF's words instead (onvif.py): crossings as events, counters and
zones as properties. Of what ONVIF has no word for nothing is told.

Totals, states and discovery are retained messages, noted in the same file, so that a broker that lost them
gets them again with every connection, and what is of no use any more can be emptied. A total is the sum of
all revisions of its line, and a revision that the ledger has forgotten stays in it: what Home Assistant adds
up (`total_increasing`) must not fall but by a correction or by a ledger that began anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from streamer.events.cloudevents import EventId, StoredEvent, rfc3339
from streamer.sinks import home_assistant
from streamer.sinks.base import SinkError, SinkSettings
from streamer.sinks.mqtt_connection import MqttConnection, Published
from streamer.sinks.mqtt_settings import PORTS, MqttSettings
from streamer.sinks.mqtt_topics import Topics
from streamer.sinks.onvif import Onvif, same
from streamer.sinks.progress import Progress
from streamer.sinks.sink_address import parse_address

if TYPE_CHECKING:
    from pipelines.camera_rules import CameraRules

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
WELL = frozenset({"live", "disabled", "ended", "removed"})  # states of a camera that are no problem
_ORDERS = {b"on": True, b"true": True, b"1": True, b"off": False, b"false": False, b"0": False}
_OCCUPANCIES = ("streamer.occupancy.changed.v1", "streamer.zone.occupancy.v1")


class MqttSink:
    """The publisher of one node. Does not connect before it is used."""

    Settings: ClassVar[type[SinkSettings]] = MqttSettings

    def __init__(self, settings: MqttSettings, node: str, address: str) -> None:
        """Raise ConfigError if `address` is none."""
        self.max_events: int | None = None
        self._settings, self._node = settings, node
        self._topics = Topics(settings.topic_prefix, node)
        self._onvif = Onvif(self._topics.root)
        self._home = f"{settings.discovery_prefix}/status"
        parsed = parse_address(address, PORTS)
        client_id = f"streamer-{node}-{settings.name}"
        self._connection = MqttConnection(parsed, settings, client_id, self._topics.status, self._arrived)
        self._command: Callable[[str, bool], None] | None = None
        self._rules: Mapping[str, CameraRules] = {}
        self._changed = threading.Event()  # rules, or Home Assistant came up: announce again
        self._reborn = threading.Event()  # Home Assistant came up: it wants the values as well
        self._ignored = 0

    def keep_progress(self, path: Path) -> None:
        self._progress = Progress(path)

    def obey_with(self, command: Callable[[str, bool], None]) -> None:
        self._command = command

    def describe(self, cameras: Mapping[str, CameraRules]) -> None:
        self._rules = cameras
        self._changed.set()

    def report(self) -> Mapping[str, Any]:
        return {"connected": self._connection.connected, "commands_ignored": self._ignored}

    # ---- events

    def positions(self, cameras: Sequence[str]) -> dict[str, EventId | None]:
        self._connect()
        return self._progress.positions(cameras)

    def write(self, camera: str, after: EventId | None, events: Sequence[StoredEvent]) -> EventId:
        self._connect()
        new = self._progress.admit(camera, after, events)
        if new:
            taken = self._tell(new)
            totals = {e.total_key: e.total_value for e in taken if e.total_key and e.total_value is not None}
            self._progress.advance(camera, taken[-1].id, totals)
            shown = self._of_totals(camera, totals)
            if not shown.keys() <= self._progress.retained(camera).keys():
                self._changed.set()  # a class that was never counted before
            self._show(camera, {**shown, **self._of_occupancies(camera, taken)})
            self._show_properties(camera, taken)
        at = self._progress.positions([camera])[camera]
        return at or events[-1].id

    def replace_totals(self, camera: str, totals: Mapping[str, int], at: EventId | None) -> None:  # noqa: ARG002
        """A total that the ledger has forgotten stays as it was: see above."""
        self._connect()
        self._progress.set_totals(camera, totals)
        self._show(camera, self._of_totals(camera, self._progress.totals(camera)))
        self._show_properties(camera, ())

    # ---- states

    def publish(self, states: Mapping[str, Mapping[str, str]]) -> None:
        self._connect()
        for camera, fields in states.items():
            self._show(camera, self._of_state(camera, fields))
        if self._changed.is_set():
            self._changed.clear()
            self._announce()
        if self._reborn.is_set():
            self._reborn.clear()
            self._say_all()

    def cameras(self) -> set[str]:
        self._connect()
        return self._progress.retained_cameras()

    def retire(self, states: Mapping[str, Mapping[str, str]]) -> None:
        self._connect()
        for camera, fields in states.items():
            self._show(camera, {**self._of_state(camera, fields), self._discovery(camera): ""})

    def forget(self, cameras: Sequence[str]) -> None:
        self._connect()
        for camera in cameras:
            self._show(camera, dict.fromkeys(self._progress.retained(camera), ""))
        self._progress.forget(cameras)
        self._changed.set()

    def close(self) -> None:
        self._connection.close()
        self._progress.close()

    # ---- what is said

    def _tell(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        """Publish what is told of `events`; returns those that were, from the first on: what ONVIF has no
        word for needs no telling. Raises SinkError.
        """
        told = [(i, message) for i, event in enumerate(events) if (message := self._message(event))]
        acknowledged = self._connection.publish([message for _, message in told]) if told else 0
        return events if acknowledged == len(told) else events[: told[acknowledged][0]]

    def _message(self, event: StoredEvent) -> Published | None:
        if self._settings.vocabulary == "onvif":
            return self._onvif.message(event)
        source = f"/streamer/{self._node}/{event.camera}"
        ident = f"{self._node}/{event.camera}/{event.id.lineage}/{event.id.seq}"
        attributes = ("specversion", "1.0"), ("id", ident), ("source", source), ("type", event.type)
        body = event.body.encode()
        return Published(self._topics.events, body, content_type=CONTENT_TYPE, properties=attributes)

    def _of_totals(self, camera: str, changed: Iterable[str]) -> dict[str, str]:
        """The topics of these totals, each with the sum of all revisions."""
        wanted = {self._topics.total(camera, key) for key in changed}
        sums: dict[str, int] = defaultdict(int)
        for key, value in self._progress.totals(camera).items() if wanted else ():
            sums[self._topics.total(camera, key)] += value
        return {topic: str(sums[topic]) for topic in wanted}

    def _of_occupancies(self, camera: str, events: Iterable[StoredEvent]) -> dict[str, str]:
        found = {}
        for event in events:
            if event.type in _OCCUPANCIES:
                data = msgspec.json.decode(event.body)["data"]
                levels = (
                    ("zone", data["zone"], "occupancy")
                    if "zone" in data
                    else ("occupancy", data["occupancy"])
                )
                found[self._topics.of(camera, *levels)] = str(data["count"])
        return found

    def _show_properties(self, camera: str, events: Sequence[StoredEvent]) -> None:
        """ONVIF's properties, where they are asked for: counters as they stand after `events`, and zones."""
        if self._settings.vocabulary == "onvif":
            at = _time_of(events[-1]) if events else rfc3339(time.time_ns())
            counters = self._onvif.counters(camera, self._progress.totals(camera), at)
            self._show_news(camera, {**counters, **self._onvif.insides(camera, events)})

    def _show_news(self, camera: str, properties: Mapping[str, str]) -> None:
        """Those that tell something else than before: the time alone is no news."""
        before = self._progress.retained(camera)
        news = {t: text for t, text in properties.items() if not same(before.get(t, ""), text)}
        self._show(camera, news)

    def _of_state(self, camera: str, fields: Mapping[str, str]) -> dict[str, str]:
        """`fields` may be a part of them: what they do not say stays as it is."""
        of, found = self._topics.of, {}
        if "enabled" in fields:
            found[of(camera, "enabled")] = "ON" if fields["enabled"] == "true" else "OFF"
        if "state" in fields:
            found[of(camera, "state")] = fields["state"]
            found[of(camera, "problem")] = "ON" if _is_problem(fields) else "OFF"
        return found

    def _show(self, camera: str, payloads: Mapping[str, str]) -> None:
        """Retain what is news, here first: what the broker does not take it gets with the next connection."""
        before = self._progress.retained(camera)
        news = {topic: text for topic, text in payloads.items() if before.get(topic, "") != text}
        if news:
            self._progress.retain(camera, news)
            self._say(news)

    def _say(self, payloads: Mapping[str, str]) -> None:
        messages = [Published(topic, text.encode(), retain=True) for topic, text in payloads.items()]
        while messages:
            del messages[: self._connection.publish(messages)]

    def _say_all(self) -> None:
        """Also what the broker may still have: it may be another one, or have lost it."""
        if everything := self._progress.retained():
            self._say(everything)

    # ---- Home Assistant

    def _discovery(self, camera: str) -> str:
        return home_assistant.discovery_topic(self._settings.discovery_prefix, self._node, camera)

    def _announce(self) -> None:
        """Zeros for what was never counted, so that the first one is a rise; and the discovery."""
        for camera, rules in self._rules.items():
            retained = self._progress.retained(camera)
            levels = (*home_assistant.total_keys(rules), *home_assistant.occupancies(rules))
            zeros = {self._topics.of(camera, *of): "0" for of in levels}
            self._show(camera, {topic: text for topic, text in zeros.items() if topic not in retained})
            self._announce_properties(camera, rules)
            if self._settings.home_assistant:
                self._show(camera, {self._discovery(camera): self._announcement(camera, rules)})
        if not self._settings.home_assistant:
            self._withdraw()

    def _announce_properties(self, camera: str, rules: CameraRules) -> None:
        """Zeros for ONVIF's counters; the properties of rules that there are no more are emptied."""
        onvif = self._settings.vocabulary == "onvif"
        wanted = self._onvif.properties(camera, rules) if onvif else set()
        before = {topic for topic in self._progress.retained(camera) if self._onvif.owns(topic)}
        now = rfc3339(time.time_ns())
        zeros = self._onvif.zeros(camera, rules, now) if onvif else {}
        new = {topic: text for topic, text in zeros.items() if topic not in before}
        self._show(camera, {**new, **dict.fromkeys(before - wanted, "")})

    def _announcement(self, camera: str, rules: CameraRules) -> str:
        counted = [key.split("/", 4) for key in self._progress.totals(camera)]
        named = {(kind, name) for kind, name, *_ in home_assistant.total_keys(rules)}
        named |= {("line", line.name) for line in rules.lines} | {("zone", zone.name) for zone in rules.zones}
        seen = {(k, n, d, label) for k, n, d, _, label in counted if (k, n) in named}
        totals = sorted({*home_assistant.total_keys(rules), *seen})
        before = self._progress.retained(camera).get(self._discovery(camera), "")
        of = home_assistant.Announcement(self._topics, self._node, camera, commands=self._settings.commands)
        return of.payload(totals, home_assistant.occupancies(rules), before)

    def _withdraw(self) -> None:
        """Of what was announced when the configuration still said so."""
        for camera in self._progress.retained_cameras():
            self._show(camera, {self._discovery(camera): ""})

    # ---- the connection

    def _connect(self) -> None:
        if self._connection.connected:
            return
        subscriptions = [self._topics.commands] if self._settings.commands else []
        subscriptions += [self._home] if self._settings.home_assistant else []
        self._connection.connect(subscriptions)
        try:
            self._say_all()
        except SinkError:
            self._connection.close()
            raise

    def _arrived(self, topic: str, payload: bytes, retained: bool) -> None:
        """On the connection's thread: note it alone."""
        if topic == self._home:
            if payload == b"online" and not retained:
                self._changed.set()
                self._reborn.set()
            return
        if not self._settings.commands:
            return  # the broker keeps our session with what an earlier configuration subscribed to
        camera, order = self._topics.commanded(topic), _ORDERS.get(payload.strip().lower())
        if retained or camera is None or order is None or self._command is None:
            # A retained order would be carried out again with every connection.
            self._ignored += 1
            log.warning("sink %s: an order on %s is passed over: send ON or OFF, not retained",
                        self._settings.name, topic[:200])  # fmt: skip
            return
        self._command(camera, order)


def _time_of(event: StoredEvent) -> str:
    return str(msgspec.json.decode(event.body)["time"])


def _is_problem(fields: Mapping[str, str]) -> bool:
    health = msgspec.json.decode(fields.get("health") or "null") or {}
    return fields["state"] not in WELL or health.get("state", "ok") not in ("ok", "")
