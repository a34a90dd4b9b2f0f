"""What Home Assistant is told of a camera so that it shows it as a device: MQTT device discovery.

https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload (2024.11 and newer). What was
announced before and is no more stays in the payload as a component with nothing but its platform, which has
Home Assistant remove the entity.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import msgspec

from pipelines.camera_rules import CameraRules
from streamer.sinks.mqtt_topics import Topics

_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")
Component = dict[str, Any]


def object_id(node: str, camera: str) -> str:
    return _NOT_IN_IDS.sub("_", f"streamer_{node}_{camera}")


def discovery_topic(prefix: str, node: str, camera: str) -> str:
    return f"{prefix}/device/{object_id(node, camera)}/config"


def total_keys(rules: CameraRules) -> Iterable[tuple[str, str, str, str]]:
    """(kind, name, direction, class) of each total that these rules count, as far as they name classes."""
    for line in rules.lines:
        for direction in (line.left_to_right, line.right_to_left):
            for label in line.classes or rules.classes:
                yield "line", line.name, direction, label
    for zone in rules.zones:
        for direction in ("entered", "exited"):
            for label in zone.classes or rules.classes:
                yield "zone", zone.name, direction, label


def occupancies(rules: CameraRules) -> list[tuple[str, ...]]:
    """The levels behind the camera's of each topic that says how many are inside."""
    behind = [("occupancy", item.name) for item in rules.of("occupancies")]
    return [*behind, *(("zone", zone.name, "occupancy") for zone in rules.zones)]


class Announcement:
    """The discovery of one camera: `totals` are the levels behind the camera's of all topics of totals."""

    def __init__(self, topics: Topics, node: str, camera: str, *, commands: bool) -> None:
        self._topics, self._node, self._camera, self._commands = topics, node, camera, commands

    def payload(
        self, totals: Iterable[tuple[str, ...]], counted: Iterable[tuple[str, ...]], before: str
    ) -> str:
        """JSON text. `counted`: the levels of occupancies; `before`: the payload that this one follows."""
        components = {**self._of_camera(), **self._of_totals(totals), **self._of_occupancies(counted)}
        ident = object_id(self._node, self._camera)
        for name, old in _components(before).items():
            components.setdefault(name, {"platform": old["platform"]})
        document = {
            "device": {
                "identifiers": [ident],
                "name": self._camera,
                "manufacturer": "streamer",
                "model": "counting camera",
                "sw_version": version("streamer"),
            },
            "origin": {"name": "streamer", "sw_version": version("streamer")},
            "components": dict(sorted(components.items())),
        }
        return msgspec.json.encode(document).decode()

    def _component(
        self, platform: str, ident: str, name: str, topic: str, **more: Any
    ) -> dict[str, Component]:
        unique = f"{object_id(self._node, self._camera)}_{_NOT_IN_IDS.sub('_', ident)}"
        return {
            unique: {
                "platform": platform,
                "unique_id": unique,
                "name": name,
                "state_topic": topic,
                "availability_topic": self._topics.status,
                **more,
            }
        }

    def _of_camera(self) -> dict[str, Component]:
        of, diagnostic = self._topics.of, {"entity_category": "diagnostic"}
        state = self._component("sensor", "state", "State", of(self._camera, "state"), **diagnostic)
        problem = {"device_class": "problem", **diagnostic}
        problems = self._component(
            "binary_sensor", "problem", "Problem", of(self._camera, "problem"), **problem
        )
        enabled = of(self._camera, "enabled")
        if self._commands:
            more = {"command_topic": f"{enabled}/set"}
            return state | problems | self._component("switch", "enabled", "Enabled", enabled, **more)
        return (
            state | problems | self._component("binary_sensor", "enabled", "Enabled", enabled, **diagnostic)
        )

    def _of_totals(self, totals: Iterable[tuple[str, ...]]) -> dict[str, Component]:
        found: dict[str, Component] = {}
        for levels in totals:
            _, name, direction, label = levels
            topic = self._topics.of(self._camera, *levels)
            more = {"state_class": "total_increasing", "icon": "mdi:counter"}
            found |= self._component("sensor", "_".join(levels), f"{name} {direction} {label}", topic, **more)
        return found

    def _of_occupancies(self, counted: Iterable[tuple[str, ...]]) -> dict[str, Component]:
        found: dict[str, Component] = {}
        for levels in counted:
            topic, more = self._topics.of(self._camera, *levels), {"state_class": "measurement"}
            found |= self._component("sensor", "_".join(levels), f"{levels[1]} occupancy", topic, **more)
        return found


def _components(payload: str) -> Mapping[str, Component]:
    return msgspec.json.decode(payload)["components"] if payload else {}
