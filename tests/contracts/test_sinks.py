"""The contract of sinks/base.py, clause by clause, over every kind of sink there is."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.daemon import redis_server
from streamer.events.cloudevents import EventId, StoredEvent
from streamer.ipc.redis_keys import events_key, state_key, totals_key
from streamer.sinks import SINKS, open_sink
from streamer.sinks.base import Behind, Sink, SinkError
from streamer.sinks.jsonl import JsonlSettings
from streamer.sinks.kafka import KafkaSettings
from streamer.sinks.mqtt_settings import MqttSettings
from streamer.sinks.redis import RedisSettings, Subscriber, connect
from streamer.sinks.webhook import WebhookSettings
from tests.kafka_cluster import NEEDS_KAFKA, MockCluster
from tests.memory_sink import MemorySink
from tests.mosquitto import Broker, Listener, free_port, mosquitto_path
from tests.webhook_server import webhook

NODE = "n-1"
LINEAGE = 1_700_000_000_000


def event(seq: int, lineage: int = LINEAGE, total: int | None = None) -> StoredEvent:
    key = "line/door/in/1/person" if total is not None else None
    return StoredEvent(
        "gate",
        EventId(lineage, seq),
        "streamer.line.crossed.v1",
        f'{{"specversion":"1.0","id":"{NODE}/gate/{lineage}/{seq}"}}',
        key,
        total,
    )


class MemoryRig:
    """What a test asks of a sink, and how it looks at what the sink holds."""

    def __init__(self) -> None:
        self.sink: Sink = MemorySink()

    def places(self) -> list[EventId]:
        assert isinstance(self.sink, MemorySink)
        return [e.id for e in self.sink.events.get("gate", [])]

    def totals(self) -> dict[str, int]:
        assert isinstance(self.sink, MemorySink)
        return self.sink.totals.get("gate", {})

    def state(self, camera: str) -> dict[str, str]:
        assert isinstance(self.sink, MemorySink)
        return self.sink.states.get(camera, {})

    def close(self) -> None:
        self.sink.close()


class JsonlRig:
    """Keeps events alone."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "events.jsonl"
        settings = JsonlSettings(kind="jsonl", name="jsonl", path=self._path).model_dump_json()
        self.sink = open_sink("jsonl", settings, NODE, "")

    def places(self) -> list[EventId]:
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        return [EventId.parse("-".join(json.loads(line)["id"].split("/")[2:])) for line in lines]

    def close(self) -> None:
        self.sink.close()


class RedisRig:
    def __init__(self, folder: Path) -> None:
        for path in (folder / "run", folder / "state"):
            path.mkdir()
        self.runtime_dir = folder / "run"
        self._process = subprocess.Popen(
            redis_server.command(folder / "run", folder / "state", 256), stdout=subprocess.DEVNULL
        )
        while not redis_server.ping(folder / "run"):
            assert self._process.poll() is None
            time.sleep(0.01)
        settings = RedisSettings(kind="redis", name="redis").model_dump_json()
        address = redis_server.writer_url(folder / "run", folder / "state")
        self.sink = open_sink("redis", settings, NODE, address)
        self._subscriber = Subscriber(redis_server.subscriber_url(folder / "run"))

    def places(self) -> list[EventId]:
        return [EventId.parse(i) for i, _ in self._subscriber.tail(events_key(NODE, "gate"), 1000)]

    def totals(self) -> dict[str, int]:
        known = self._subscriber.totals(totals_key(NODE, "gate"))
        return {key: value for key, value in known.items() if "/" in key}

    def state(self, camera: str) -> dict[str, str]:
        client = connect(redis_server.subscriber_url(self.runtime_dir))
        found = client.hgetall(state_key(NODE, camera))
        client.close()
        return {key.decode(): value.decode() for key, value in found.items()}

    def close(self) -> None:
        self.sink.close()
        self._subscriber.close()
        self._process.terminate()
        self._process.wait()


class WebhookRig:
    """The position is its own; the events are what a server took."""

    def __init__(self, folder: Path) -> None:
        self._server = webhook()
        self._hook = self._server.__enter__()
        settings = WebhookSettings(kind="webhook", name="webhook", url=self._hook.url)
        self.sink = open_sink("webhook", settings.model_dump_json(), NODE, settings.url, folder)

    def places(self) -> list[EventId]:
        return [place_of(request.event) for request in self._hook.taken]

    def close(self) -> None:
        self.sink.close()
        self._server.__exit__(None, None, None)


class MqttRig:
    """As WebhookRig, with a real broker. Its totals and states: tests/streamer/sinks/test_mqtt.py."""

    def __init__(self, folder: Path) -> None:
        self._broker = Broker(mosquitto_path(), folder / "broker", free_port()).start()
        self._listener = Listener(self._broker.port)
        url = f"mqtt://127.0.0.1:{self._broker.port}"
        settings = MqttSettings(kind="mqtt", name="mqtt", url=url)
        self.sink = open_sink("mqtt", settings.model_dump_json(), NODE, url, folder)

    def places(self) -> list[EventId]:
        marks = len(self._listener.of("mark"))
        self._listener.say("mark", "")  # comes behind all that was acknowledged
        self._listener.until(lambda: len(self._listener.of("mark")) > marks)
        return [place_of(json.loads(text)) for text in self._listener.of(f"streamer/{NODE}/events")]

    def close(self) -> None:
        self.sink.close()
        self._listener.close()
        self._broker.kill()


class KafkaRig:
    """With the broker that librdkafka brings for tests."""

    def __init__(self, folder: Path) -> None:
        self._cluster = MockCluster()
        url = f"kafka://{self._cluster.brokers}"
        settings = KafkaSettings(kind="kafka", name="kafka", url=url)
        self.sink = open_sink("kafka", settings.model_dump_json(), NODE, url, folder)

    def places(self) -> list[EventId]:
        return [place_of(json.loads(m.value())) for m in self._cluster.messages("streamer.events")]

    def close(self) -> None:
        self.sink.close()
        self._cluster.close()


def place_of(event: dict[str, Any]) -> EventId:
    return EventId.parse("-".join(event["id"].split("/")[2:]))


RIGS: dict[str, Callable[[Path], Any]] = {
    "memory": lambda _: MemoryRig(),
    "redis": RedisRig,
    "jsonl": JsonlRig,
    "mqtt": MqttRig,
    "webhook": WebhookRig,
    "kafka": KafkaRig,
}
EVENTS_ALONE = {"jsonl", "mqtt", "webhook", "kafka"}  # of these kinds no totals and states can be looked at


def test_every_kind_of_the_table_is_held_to_the_contract() -> None:
    assert RIGS.keys() - {"memory"} == SINKS.keys()


def begin(request: pytest.FixtureRequest, folder: Path) -> Iterator[Any]:
    if request.param == "redis":
        request.getfixturevalue("redis_binary")
    if request.param == "kafka":
        pytest.importorskip("confluent_kafka", reason=NEEDS_KAFKA)
    if request.param == "mqtt":
        request.getfixturevalue("mosquitto_binary")
    rig = RIGS[request.param](folder)
    yield rig
    rig.close()


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest, short_dir: Path) -> Iterator[Any]:
    yield from begin(request, short_dir)


@pytest.fixture(params=sorted(RIGS.keys() - EVENTS_ALONE))
def full_rig(request: pytest.FixtureRequest, short_dir: Path) -> Iterator[Any]:
    """Of a sink that shows totals and states beside events."""
    yield from begin(request, short_dir)


def test_events_are_added_in_order(rig: Any) -> None:
    at = rig.sink.write("gate", None, [event(1, total=1), event(2), event(3, total=2)])
    assert at == EventId(LINEAGE, 3)
    assert rig.places() == [EventId(LINEAGE, n) for n in (1, 2, 3)]
    assert rig.sink.positions(["gate", "yard"]) == {"gate": at, "yard": None}


def test_events_come_with_their_totals(full_rig: Any) -> None:
    full_rig.sink.write("gate", None, [event(1, total=1), event(2), event(3, total=2)])
    assert full_rig.totals() == {"line/door/in/1/person": 2}


def test_a_repeat_is_skipped(rig: Any) -> None:
    rig.sink.write("gate", None, [event(1), event(2), event(3)])
    assert rig.sink.write("gate", None, [event(2), event(3), event(4)]) == EventId(LINEAGE, 4)
    assert rig.sink.write("gate", None, [event(1)]) == EventId(LINEAGE, 4)
    assert [place.seq for place in rig.places()] == [1, 2, 3, 4]


def test_a_repeat_takes_no_total_back(full_rig: Any) -> None:
    rig = full_rig
    rig.sink.write("gate", None, [event(1, total=1), event(2, total=2), event(3, total=3)])
    at = rig.sink.write("gate", None, [event(2, total=2), event(3, total=3), event(4, total=4)])
    assert at == EventId(LINEAGE, 4)
    assert [place.seq for place in rig.places()] == [1, 2, 3, 4]
    assert rig.totals() == {"line/door/in/1/person": 4}
    assert rig.sink.write("gate", None, [event(1, total=1)]) == EventId(LINEAGE, 4)
    assert rig.totals() == {"line/door/in/1/person": 4}


def test_a_sink_that_lost_events_says_where_it_stands_and_takes_nothing(rig: Any) -> None:
    with pytest.raises(Behind) as empty:
        rig.sink.write("gate", EventId(LINEAGE, 5), [event(6)])
    assert empty.value.at is None
    rig.sink.write("gate", None, [event(1)])
    with pytest.raises(Behind) as short:
        rig.sink.write("gate", EventId(LINEAGE, 5), [event(6)])
    assert short.value.at == EventId(LINEAGE, 1)
    assert [place.seq for place in rig.places()] == [1]


def test_a_later_lineage_goes_on_after_an_earlier_one(rig: Any) -> None:
    rig.sink.write("gate", None, [event(8), event(9)])
    at = rig.sink.write("gate", EventId(LINEAGE, 9), [event(5, LINEAGE + 1), event(6, LINEAGE + 1)])
    assert at == EventId(LINEAGE + 1, 6)
    assert [place.seq for place in rig.places()] == [8, 9, 5, 6]


def test_an_earlier_lineage_is_an_alarm_and_never_a_skip(rig: Any) -> None:
    rig.sink.write("gate", None, [event(1)])
    with pytest.raises(SinkError) as alarm:
        rig.sink.write("gate", None, [event(2, LINEAGE - 1)])
    assert alarm.value.kind == "ahead"
    assert [place.seq for place in rig.places()] == [1]


def test_totals_become_exactly_what_is_given(full_rig: Any) -> None:
    rig = full_rig
    rig.sink.write("gate", None, [event(1, total=1)])
    rig.sink.replace_totals("gate", {"line/door/out/1/car": 7}, EventId(LINEAGE, 1))
    assert rig.totals() == {"line/door/out/1/car": 7}
    rig.sink.write("gate", EventId(LINEAGE, 1), [event(2, total=8)])
    assert rig.totals() == {"line/door/out/1/car": 7, "line/door/in/1/person": 8}


def test_a_sink_that_was_closed_serves_again(rig: Any) -> None:
    rig.sink.write("gate", None, [event(1)])
    rig.sink.close()
    assert rig.sink.positions(["gate"]) == {"gate": EventId(LINEAGE, 1)}


def test_a_removed_camera_says_only_that_and_keeps_its_events_until_it_is_forgotten(
    full_rig: Any,
) -> None:
    rig = full_rig
    rig.sink.publish({"gate": {"state": "live", "detail": "x"}, "yard": {"state": "live"}})
    rig.sink.write("gate", None, [event(1, total=1)])
    rig.sink.close()
    assert rig.sink.cameras() == {"gate", "yard"}
    for _ in range(2):
        rig.sink.retire({"gate": {"state": "removed"}})
        assert rig.state("gate") == {"state": "removed"}
    assert (rig.places(), rig.totals()) == ([EventId(LINEAGE, 1)], {"line/door/in/1/person": 1})
    rig.sink.forget(["gate", "never-there"])
    assert (rig.state("gate"), rig.places(), rig.totals()) == ({}, [], {})
    assert (rig.sink.cameras(), rig.state("yard")) == ({"yard"}, {"state": "live"})
