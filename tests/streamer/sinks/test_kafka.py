"""The Kafka sink through a real delivery worker against librdkafka's mock cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from streamer.ipc.messages import SinkAssignment
from streamer.sinks.kafka import KafkaSettings
from tests.faults.delivery_rig import NODE, Rig
from tests.kafka_cluster import NEEDS_KAFKA, MockCluster
from tests.mosquitto import free_port

pytest.importorskip("confluent_kafka", reason=NEEDS_KAFKA)
pytestmark = pytest.mark.integration

TOPIC = "streamer.events"


def sink_at(brokers: str) -> SinkAssignment:
    settings = KafkaSettings(kind="kafka", name="kafka", url=f"kafka://{brokers}")
    return SinkAssignment("kafka", "kafka", settings.model_dump_json(), settings.url)


@pytest.fixture
def cluster() -> Iterator[MockCluster]:
    cluster = MockCluster()
    yield cluster
    cluster.close()


@pytest.fixture
def rig(short_dir: Path) -> Iterator[Rig]:
    rig = Rig(short_dir)
    yield rig
    rig.close()


def all_delivered(rig: Rig) -> bool:
    ledger = rig.status.get("ledger", {})
    return ledger.get("committed") == sum(rig.sent.values()) and ledger.get("undelivered") == 0


def test_a_cameras_events_arrive_once_in_order_in_one_partition(rig: Rig, cluster: MockCluster) -> None:
    rig.sinks = (sink_at(cluster.brokers),)
    rig.start_delivery()
    rig.resume()
    for _ in range(10):
        rig.count("gate", 5)
        rig.count("yard", 1)
    rig.until(lambda: all_delivered(rig))
    messages = cluster.messages(TOPIC)
    for camera in rig.cameras:
        own = [m for m in messages if m.key() == f"{NODE}/{camera}".encode()]
        seqs = [json.loads(m.value())["data"]["seq"] for m in own]
        assert seqs == list(range(1, rig.sent[camera] + 1))
        assert len({m.partition() for m in own}) == 1
    assert dict(messages[0].headers())["content-type"] == b"application/cloudevents+json; charset=utf-8"


def test_a_cluster_that_is_not_there_is_waited_for_and_nothing_is_lost(
    rig: Rig, cluster: MockCluster
) -> None:
    rig.sinks = (sink_at(f"127.0.0.1:{free_port()}"),)
    rig.start_delivery()
    rig.resume()
    rig.count("gate", 3)
    rig.until(lambda: rig.status.get("sinks", {}).get("kafka", {}).get("state") == "down")
    assert "Connection refused" in rig.status["sinks"]["kafka"]["last_error"]
    rig.sinks = (sink_at(cluster.brokers),)
    rig.tell(rig.assignment(rev=2))
    rig.until(lambda: all_delivered(rig))
    assert len(cluster.messages(TOPIC)) == 3


def test_a_worker_that_is_killed_loses_nothing(rig: Rig, cluster: MockCluster) -> None:
    rig.sinks = (sink_at(cluster.brokers),)
    rig.start_delivery()
    rig.resume()
    rig.count("gate", 200)
    rig.until(lambda: rig.status.get("sinks", {}).get("kafka", {}).get("written", 0) > 0)
    rig.count("gate", 200)
    rig.kill_delivery()
    rig.start_delivery()
    rig.until(lambda: all_delivered(rig))
    ids = [json.loads(m.value())["id"] for m in cluster.messages(TOPIC)]
    assert [int(i.rsplit("/", 1)[1]) for i in dict.fromkeys(ids)] == list(range(1, 401))


def test_an_address_that_may_not_be_is_refused() -> None:
    for wrong in ("http://host", "kafka://u:p@host", "kafka://", "kafka://a,,b"):
        with pytest.raises(ValidationError):
            KafkaSettings.model_validate({"kind": "kafka", "url": wrong})
    assert KafkaSettings(kind="kafka", name="k", url="kafka://a:1,b").address == "kafka://a:1,b"
