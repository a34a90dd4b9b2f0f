"""The broker that librdkafka brings for tests: real sockets on loopback, in this process."""

from __future__ import annotations

import time
from typing import Any

from tests.patience import patient

NEEDS_KAFKA = "needs kafka (make install EXTRAS=kafka)"


class MockCluster:
    """`brokers` is its address."""

    def __init__(self) -> None:
        from confluent_kafka import Producer

        self._holder = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "none", "log_level": 0})
        (broker,) = self._holder.list_topics(timeout=patient(5)).brokers.values()
        self.brokers = f"{broker.host}:{broker.port}"

    def messages(self, topic: str) -> list[Any]:
        """All that there are, in order of their partitions."""
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "t", "log_level": 0})
        known = consumer.list_topics(topic, timeout=patient(5)).topics[topic].partitions
        found: list[Any] = []
        try:
            for number in known:
                low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=patient(5))
                consumer.assign([TopicPartition(topic, number, low)])
                of_it: list[Any] = []
                end_s = time.monotonic() + patient(10)
                while len(of_it) < high - low and time.monotonic() < end_s:
                    message = consumer.poll(0.2)
                    if message is not None and message.error() is None and message.partition() == number:
                        of_it.append(message)
                assert len(of_it) == high - low, "the consumer did not get what is there"
                found += of_it
        finally:
            consumer.close()
        return found

    def close(self) -> None:
        """It ends with its holder."""
        del self._holder
