"""Events in the vocabulary of ONVIF, as its JSON over MQTT (`vocabulary: onvif`).

Topics and payloads: ONVIF Core Specification, chapter "Event broker" (`onvif-ej`); rules and their items:
ONVIF Analytics Service Specification, appendix of rules. The topic of a message is

    TopicPrefix/onvif-ej/TOPIC/&VideoSource/AnalyticsConfiguration/Rule

with the name of the camera as VideoSource and a line's or zone's as Rule. An event is told once; what ONVIF
calls a property is retained, and emptied once there is no such rule. Items of our own in Data have the prefix
`streamer:`, as the specification asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pipelines.camera_rules import CameraRules
from pipelines.class_names import class_key
from pipelines.events import LINE_CROSSED, ZONE_OCCUPANCY
from streamer.events.cloudevents import StoredEvent
from streamer.sinks.mqtt_connection import Published
from streamer.sinks.mqtt_topics import part

CROSSED = "RuleEngine/LineDetector/Crossed"
COUNTER = "RuleEngine/CountAggregation/Counter"  # a property
INSIDE = "RuleEngine/FieldDetector/ObjectsInside"  # a property
CONTENT_TYPE = "application/json"
ENGINE = "streamer"  # AnalyticsConfiguration: there is one
# ONVIF's ObjectType for our groups of classes; what it has no word for keeps its own.
OBJECT_TYPES = {"person": "Human", "bicycle": "Bicycle", "vehicle": "Vehicle", "animal": "Animal"}
_MILLISECONDS = len("2026-11-29T20:44:33.123")


class Onvif:
    """Of one node; `root` is the TopicPrefix, which names the device."""

    def __init__(self, root: str) -> None:
        self._root = f"{root}/onvif-ej"

    def message(self, event: StoredEvent) -> Published | None:
        """A crossing; None for what ONVIF knows no event of."""
        if event.type != LINE_CROSSED:
            return None
        document = msgspec.json.decode(event.body)
        data, found = document["data"], {"ObjectId": str(document["data"]["track_id"])}
        found["ClassTypes"] = _object_type(data)
        own = {"streamer:Direction": data["direction"], "streamer:EventId": document["id"]}
        body = self._payload(document["time"], event.camera, data["line"], {**found, **own})
        return Published(self._topic(CROSSED, event.camera, data["line"]), body.encode(), False, CONTENT_TYPE)

    def counters(self, camera: str, totals: Mapping[str, int], time: str) -> dict[str, str]:
        """Payloads by topic: the count of each direction of a line, over all classes and revisions.

        A rule of ONVIF counts one direction: each of ours is one, LINE.DIRECTION (names have no dot).
        """
        sums: dict[str, int] = {}
        for key, value in totals.items():
            kind, name, direction, _ = key.split("/", 3)
            if kind == "line":
                rule = _way(name, direction)
                sums[rule] = sums.get(rule, 0) + value
        return {
            self._topic(COUNTER, camera, rule): self._payload(time, camera, rule, {"Count": count})
            for rule, count in sums.items()
        }

    def insides(self, camera: str, events: Iterable[StoredEvent]) -> dict[str, str]:
        """Payloads by topic: whether somebody is in each zone of which these events tell."""
        found = {}
        for event in events:
            if event.type == ZONE_OCCUPANCY:
                document = msgspec.json.decode(event.body)
                data, zone = document["data"], document["data"]["zone"]
                inside = {"IsInside": data["count"] > 0, "streamer:Count": data["count"]}
                found[self._topic(INSIDE, camera, zone)] = self._payload(
                    document["time"], camera, zone, inside
                )
        return found

    def zeros(self, camera: str, rules: CameraRules, time: str) -> dict[str, str]:
        """The counters of these rules before anything was counted."""
        ways = [
            _way(line.name, way) for line in rules.lines for way in (line.left_to_right, line.right_to_left)
        ]
        return {
            self._topic(COUNTER, camera, way): self._payload(time, camera, way, {"Count": 0}) for way in ways
        }

    def properties(self, camera: str, rules: CameraRules) -> set[str]:
        """The topics of all properties that these rules have."""
        zones = {self._topic(INSIDE, camera, zone.name) for zone in rules.zones}
        return {*self.zeros(camera, rules, ""), *zones}

    def owns(self, topic: str) -> bool:
        return topic.startswith(f"{self._root}/")

    def _topic(self, topic: str, camera: str, rule: str) -> str:
        return f"{self._root}/{topic}/&{part(camera)}/{ENGINE}/{part(rule)}"

    def _payload(self, time: str, camera: str, rule: str, data: Mapping[str, Any]) -> str:
        """`time`: RFC 3339 in UTC; milliseconds are told, as in the specification's examples."""
        utc = time if len(time) <= _MILLISECONDS else f"{time[:_MILLISECONDS]}Z"
        source = {"VideoSource": camera, "AnalyticsConfiguration": ENGINE, "Rule": rule}
        return msgspec.json.encode({"UtcTime": utc, "Source": source, "Data": data}).decode()


def same(before: str, after: str) -> bool:
    """Whether two payloads of a property tell the same, whenever they were made."""
    if not before or not after:
        return before == after
    old, new = msgspec.json.decode(before), msgspec.json.decode(after)
    return bool((old["Source"], old["Data"]) == (new["Source"], new["Data"]))


def _way(line: str, direction: str) -> str:
    return f"{line}.{direction}"


def _object_type(data: Mapping[str, Any]) -> str:
    own = str(data["class"])
    return OBJECT_TYPES.get(class_key(own)) or OBJECT_TYPES.get(str(data.get("group", "")), own)
