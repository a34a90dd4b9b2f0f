"""What tests of fault 38 do with a Redis of any kind: all that a sink does, and all that a reader does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from streamer.events.cloudevents import EventId, StoredEvent
from streamer.ipc.redis_keys import events_key, totals_key
from streamer.sinks.base import Behind, SinkError
from streamer.sinks.redis import RedisSettings, RedisSink, Subscriber

LINEAGE = 1_700_000_000_000
NODE = "n"
LOOPBACK = "IP:127.0.0.1"  # what a certificate is for


def sink(url: str, key_password: str | None = None, **tls: Path) -> RedisSink:
    """As delivery makes it: `url` may hold a password, which no configuration may."""
    named: dict[str, Any] = {"kind": "redis", "name": "redis", "stream_max_len": 100_000, **tls}
    settings = RedisSettings.model_construct(**named)
    return RedisSink(settings, NODE, settings.completed(url, key_password))


def ended(camera: str, first: int, last: int) -> list[StoredEvent]:
    """Events `first` to `last` of a camera."""
    return [
        StoredEvent(camera, EventId(LINEAGE, n), "streamer.track.ended.v1", "{}", "line/a", n)
        for n in range(first, last + 1)
    ]


def write(target: RedisSink) -> EventId:
    """One event, and the sink is closed."""
    try:
        return target.write("gate", None, ended("gate", 1, 1))
    finally:
        target.close()


def refusal(target: RedisSink) -> SinkError:
    """What writing to it ends with; no secret is in that."""
    with pytest.raises(SinkError) as caught:
        write(target)
    assert str(caught.value).isprintable()
    assert "canary" not in str(caught.value)
    return caught.value


def use_the_sink(
    target: RedisSink, cameras: Sequence[str], meanwhile: Callable[[], None] | None = None
) -> None:
    """Everything that a sink does; `meanwhile` is called while all is there."""
    try:
        assert set(target.positions(cameras)) == set(cameras)
        for camera in cameras:
            assert target.write(camera, None, ended(camera, 1, 3)) == EventId(LINEAGE, 3)
            with pytest.raises(Behind):
                target.write(camera, EventId(LINEAGE, 9), ended(camera, 10, 10))
            target.replace_totals(camera, {"line/a": 3}, EventId(LINEAGE, 3))
        target.publish({camera: {"state": "live"} for camera in cameras})
        assert target.cameras() == set(cameras)
        if meanwhile is not None:
            meanwhile()
        target.retire({camera: {"state": "removed"} for camera in cameras})
        target.forget(cameras)
        assert target.cameras() == set()
    finally:
        target.close()


def read_back(url: str, cameras: Sequence[str], events: int) -> None:
    """Everything that `streamer events` reads, where each camera has so many events."""
    reader = Subscriber(url)
    try:
        assert len(reader.cameras()) == (len(cameras) if events else 0)
        streams = {events_key(NODE, camera): f"{LINEAGE}-1" for camera in cameras}
        assert len(reader.read(streams, 1000 if events else None)) == max(0, events - 1) * len(cameras)
        assert reader.read(dict.fromkeys(streams, f"{LINEAGE}-{events}"), 1) == []
        total = reader.totals(totals_key(NODE, cameras[-1])).get("line/a", 0)
        assert total == events
        tail = [place for place, _ in reader.tail(events_key(NODE, cameras[-1]), 1)]
        assert tail == ([f"{LINEAGE}-{events}"] if events else [])
    finally:
        reader.close()
