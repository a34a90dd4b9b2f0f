"""The MQTT sink with `vocabulary: onvif`, through a real delivery worker against a real mosquitto."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamer.ipc.messages import EventRecord
from tests.faults.delivery_rig import NODE, crossing
from tests.mosquitto import Broker, Listener, free_port
from tests.streamer.sinks.test_mqtt import RULES, MqttRig, sink_at

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("mosquitto_binary")]

ROOT = f"streamer/{NODE}/onvif-ej/RuleEngine"
CROSSED = f"{ROOT}/LineDetector/Crossed/&gate/streamer/door"
COUNTER = f"{ROOT}/CountAggregation/Counter/&gate/streamer/door.in"
INSIDE = f"{ROOT}/FieldDetector/ObjectsInside/&gate/streamer/bay"


@dataclass
class Scene:
    rig: MqttRig
    broker: Broker
    listener: Listener

    def data(self, topic: str) -> dict[str, Any]:
        """What the last message of `topic` tells."""
        found: dict[str, Any] = json.loads(self.listener.last(topic) or '{"Data": {}}')["Data"]
        return found

    def send(self, *records: EventRecord) -> None:
        assert self.rig.sequencer.send(list(records))
        self.rig.sent["gate"] += len(records)

    def sink(self, **settings: object) -> None:
        self.rig.sinks = (sink_at(f"mqtt://127.0.0.1:{self.broker.port}", **settings),)


@pytest.fixture
def scene(short_dir: Path, mosquitto_binary: str) -> Iterator[Scene]:
    broker = Broker(mosquitto_binary, short_dir / "broker", free_port()).start()
    listener, rig = Listener(broker.port), MqttRig(short_dir)
    scene = Scene(rig, broker, listener)
    scene.sink(vocabulary="onvif")
    rig.start_delivery()
    rig.resume()
    yield scene
    rig.close()
    listener.close()
    broker.kill()


def occupancy(number: int, count: int) -> EventRecord:
    data = {"zone": "bay", "count": count, "by_class": {"car": count}, "rule_rev": 1}
    kind = "streamer.zone.occupancy.v1"
    return EventRecord("gate", 0, kind, "bay", 1, number, number, time.time_ns(), 3.0, 1, data)


def test_a_crossing_is_told_in_the_words_of_the_specification(scene: Scene) -> None:
    record = msgspec.structs.replace(crossing("gate", 1), captured_ns=1_795_003_200_123_456_789)
    scene.send(record)
    scene.rig.until(lambda: scene.listener.last(CROSSED) is not None)
    (message,) = (m for m in scene.listener.messages if m.topic == CROSSED)
    told = json.loads(message.payload)
    assert told["UtcTime"] == "2026-11-18T12:00:00.123Z"
    assert told["Source"] == {"VideoSource": "gate", "AnalyticsConfiguration": "streamer", "Rule": "door"}
    ident = told["Data"].pop("streamer:EventId")
    assert told["Data"] == {"ObjectId": "1", "ClassTypes": "Human", "streamer:Direction": "in"}
    assert ident.startswith(f"{NODE}/gate/")
    assert (message.qos, message.retain) == (1, False)
    assert scene.listener.of(f"streamer/{NODE}/events") == [], "one vocabulary at a time"


def test_a_counter_begins_at_zero_rises_with_each_crossing_and_is_retained(scene: Scene) -> None:
    scene.rig.until(lambda: scene.data(COUNTER) == {"Count": 0})
    scene.rig.count("gate", 3)
    scene.rig.until(lambda: scene.data(COUNTER) == {"Count": 3})
    scene.rig.until(scene.rig.all_delivered)
    again = Listener(scene.broker.port)
    try:
        again.until(
            lambda: again.last(f"{ROOT}/CountAggregation/Counter/&gate/streamer/door.out") is not None
        )
        assert json.loads(again.last(COUNTER) or "")["Data"] == {"Count": 3}
    finally:
        again.close()


def test_a_zone_says_whether_somebody_is_inside(scene: Scene) -> None:
    scene.send(occupancy(1, 2))
    scene.rig.until(lambda: scene.data(INSIDE) == {"IsInside": True, "streamer:Count": 2})
    scene.send(occupancy(2, 0))
    scene.rig.until(lambda: scene.data(INSIDE) == {"IsInside": False, "streamer:Count": 0})


def test_what_onvif_has_no_word_for_holds_up_nothing(scene: Scene) -> None:
    ended = msgspec.structs.replace(occupancy(1, 0), type="streamer.track.ended.v1", data={"track_id": 1})
    scene.send(ended, crossing("gate", 2), msgspec.structs.replace(ended, frame_id=3))
    scene.rig.until(scene.rig.all_delivered)
    assert len(scene.listener.of(CROSSED)) == 1


def test_a_rule_that_is_removed_takes_its_properties_along(scene: Scene) -> None:
    scene.send(occupancy(1, 2), crossing("gate", 2))
    scene.rig.until(lambda: scene.data(COUNTER) == {"Count": 1} and bool(scene.data(INSIDE)))
    scene.rig.rules = {"gate": {**RULES, "lines": [], "zones": []}, "yard": {}}
    scene.rig.tell(scene.rig.assignment(rev=2, config_rev=2))
    scene.rig.until(lambda: scene.listener.last(COUNTER) == scene.listener.last(INSIDE) == "")


def test_going_back_to_cloudevents_empties_what_was_retained_for_onvif(scene: Scene) -> None:
    scene.rig.count("gate", 1)
    scene.rig.until(lambda: scene.data(COUNTER) == {"Count": 1})
    scene.sink()
    scene.rig.tell(scene.rig.assignment(rev=2, config_rev=2))
    scene.rig.until(lambda: scene.listener.last(COUNTER) == "")
    scene.rig.count("gate", 1)
    scene.rig.until(lambda: len(scene.listener.of(f"streamer/{NODE}/events")) == 1)
    assert len(scene.listener.of(CROSSED)) == 1
