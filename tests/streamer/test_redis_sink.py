"""What Redis does to us: replies lost, no memory, read-only, no rights, keys of others, trimmed streams."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.errors import Exit, RedisError
from streamer.events.cloudevents import EventId, StoredEvent
from streamer.sinks.base import SinkError
from streamer.sinks.redis import RedisSettings, RedisSink, connect
from tests.patience import patient
from tests.reply_eater import ReplyEater

pytestmark = pytest.mark.integration
LINEAGE = 1_700_000_000_000
EVENTS = "streamer:{n/gate}:events"


def events(first: int, last: int, size: int = 100) -> list[StoredEvent]:
    body = '{"n":"' + "x" * size + '"}'
    return [
        StoredEvent("gate", EventId(LINEAGE, n), "streamer.track.ended.v1", body, "line/a/in/1/car", n)
        for n in range(first, last + 1)
    ]


def listens(path: Path) -> bool:
    """A socket's file is there a moment before anybody listens."""
    with socket.socket(socket.AF_UNIX) as one:
        return one.connect_ex(str(path)) == 0


@pytest.fixture
def start(redis_binary: str, short_dir: Path) -> Iterator[Callable[..., str]]:
    """Start an outside Redis with the given options; returns its URL."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(*options: str) -> str:
        path = short_dir / f"r{len(running)}.sock"
        basic = ["--port", "0", "--save", "", "--unixsocket", str(path), "--dir", str(short_dir)]
        running.append(subprocess.Popen([redis_binary, *basic, *options], stdout=subprocess.DEVNULL))
        until = time.monotonic() + patient(30)
        while not listens(path) and time.monotonic() < until:
            time.sleep(0.01)
        return f"unix://{path}"

    yield begin
    for process in running:
        process.kill()
        process.wait()


def sink_at(address: str, max_events: int) -> RedisSink:
    settings = RedisSettings.model_construct(kind="redis", name="redis", stream_max_len=max_events)
    return RedisSink(settings, "n", address)


def kind_of(action: Callable[[], Any]) -> str:
    with pytest.raises(SinkError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return caught.value.kind


def test_out_of_memory_is_told_and_leaves_a_clean_prefix(start: Callable[..., str]) -> None:
    url = start("--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    sink = sink_at(url, 100_000)
    at: EventId | None = None
    taken = 0
    failure = None
    while failure is None and taken < 10_000:
        try:
            at = sink.write("gate", at, events(taken + 1, taken + 50, size=1000))
            taken += 50
        except SinkError as error:
            failure = error
    assert failure is not None
    assert failure.kind == "full"
    client = connect(url)
    stored = [int(i.split(b"-")[1]) for i, _ in client.xrange(EVENTS)]
    assert stored == list(range(1, len(stored) + 1))
    assert len(stored) >= taken
    assert client.hget("streamer:{n/gate}:totals", "line/a/in/1/car") == str(len(stored)).encode()
    client.config_set("maxmemory", "100mb")
    client.close()
    assert sink.write("gate", at, events(taken + 1, taken + 50)) == EventId(LINEAGE, taken + 50)
    sink.close()


def test_a_read_only_replica_is_told(start: Callable[..., str]) -> None:
    url = start("--replicaof", "127.0.0.1", "1")
    sink = sink_at(url, 1000)
    assert kind_of(lambda: sink.write("gate", None, events(1, 1))) in ("readonly", "down")
    client = connect(url)
    client.config_set("replica-serve-stale-data", "yes")
    client.close()
    assert kind_of(lambda: sink.write("gate", None, events(1, 1))) == "readonly"
    sink.close()


def test_a_missing_and_a_wrong_password_are_told_without_the_password(start: Callable[..., str]) -> None:
    url = start("--requirepass", "right")
    for user in ("", ":canary-5e1f@"):
        sink = sink_at(url.replace("unix://", f"unix://{user}"), 1000)
        with pytest.raises(SinkError) as caught:
            sink.write("gate", None, events(1, 1))
        assert caught.value.kind == "auth"
        assert "canary" not in str(caught.value)
        sink.close()


def test_a_user_without_the_needed_commands_is_told(start: Callable[..., str]) -> None:
    url = start()
    client = connect(url)
    client.execute_command("ACL", "SETUSER", "poor", "on", "nopass", "~*", "+ping", "+xinfo")
    client.close()
    sink = sink_at(url.replace("unix://", "unix://poor:@"), 1000)
    assert kind_of(lambda: sink.write("gate", None, events(1, 1))) == "auth"
    sink.close()


@pytest.mark.parametrize("key", [EVENTS, "streamer:{n/gate}:totals"])
def test_a_key_that_holds_something_else_is_told_before_the_first_write(
    start: Callable[..., str], key: str
) -> None:
    url = start()
    client = connect(url)
    client.set(key, "mine")
    sink = sink_at(url, 1000)
    assert kind_of(lambda: sink.write("gate", None, events(1, 2))) == "wrong_type"
    assert [k.decode() for k in client.keys("*")] == [key]
    assert client.get(key) == b"mine"
    client.close()
    sink.close()


def test_a_redis_that_is_not_there_or_hangs_is_down_within_seconds(short_dir: Path) -> None:
    sink = sink_at(f"unix://{short_dir}/none.sock", 1000)
    assert kind_of(lambda: sink.positions(["gate"])) == "down"
    silent = socket.socket(socket.AF_UNIX)
    silent.bind(str(short_dir / "silent.sock"))
    silent.listen()  # accepts and says nothing
    began_s = time.monotonic()
    sink = sink_at(f"unix://{short_dir}/silent.sock", 1000)
    assert kind_of(lambda: sink.positions(["gate"])) == "down"
    assert time.monotonic() - began_s < patient(8)
    silent.close()


def test_a_url_that_is_none_is_refused_without_being_shown() -> None:
    with pytest.raises(RedisError) as caught:
        sink_at("http://user:canary@host", 1000)
    assert caught.value.exit_code == Exit.REDIS
    assert "canary" not in str(caught.value)


def test_fault_9_a_lost_reply_leaves_exactly_one_entry(start: Callable[..., str], short_dir: Path) -> None:
    url = start()
    eater = ReplyEater(short_dir / "eater.sock", url.removeprefix("unix://"))
    sink = sink_at(f"unix://{short_dir}/eater.sock", 1000)
    at = sink.write("gate", None, events(1, 1))
    eater.eating = True
    assert kind_of(lambda: sink.write("gate", at, events(2, 3))) == "down"
    sink.close()
    eater.eating = False
    assert sink.positions(["gate"]) == {"gate": EventId(LINEAGE, 3)}  # it had arrived
    assert sink.write("gate", at, events(2, 3)) == EventId(LINEAGE, 3)
    client = connect(url)
    assert [int(i.split(b"-")[1]) for i, _ in client.xrange(EVENTS)] == [1, 2, 3]
    client.close()
    sink.close()
    eater.close()


def test_fault_10_a_slow_consumer_sees_how_many_events_were_trimmed(start: Callable[..., str]) -> None:
    url = start("--stream-node-max-entries", "10")
    sink = sink_at(url, 100)
    at = sink.write("gate", None, events(1, 50))
    client = connect(url)
    cursor = client.xread({EVENTS: "0-0"}, count=20)[0][1][-1][0]  # a consumer that stops after 20
    assert cursor == f"{LINEAGE}-20".encode()
    for first in range(51, 1000, 50):
        at = sink.write("gate", at, events(first, first + 49))
    next_id = client.xread({EVENTS: cursor}, count=1)[0][1][0][0]
    missing = EventId.parse(next_id.decode()).seq - EventId.parse(cursor.decode()).seq - 1
    kept = client.xlen(EVENTS)
    assert 100 <= kept <= 120
    assert missing == 1000 - kept - 20
    assert sink.positions(["gate"]) == {"gate": EventId(LINEAGE, 1000)}  # trimming moves no position
    client.close()
    sink.close()
