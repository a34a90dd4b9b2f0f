"""The bus: typed messages both ways, nothing blocks, and the other end may go and come back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import zmq

from streamer.errors import ConfigError
from streamer.ipc.bus import Bus, Received
from streamer.ipc.messages import Ack, FrameRequest, Hello, Message
from tests.patience import patient


def receive(bus: Bus, count: int = 1, limit_s: float = 5.0) -> list[Received]:
    found: list[Received] = []
    deadline_s = time.monotonic() + patient(limit_s)
    while len(found) < count and time.monotonic() < deadline_s:
        found += bus.poll(0.05)
    return found


def messages(found: list[Received]) -> list[Message]:
    return [received.message for received in found]


def test_a_client_is_known_by_its_name_and_answered(runtime_dir: Path) -> None:
    with Bus(runtime_dir) as here, Bus(runtime_dir) as there:
        server, client = here.serve("infer-0"), there.connect("infer-0", "capture-0")
        assert client.send(Hello("capture-0", 7))
        (received,) = receive(here)
        assert (received.peer, received.message) == ("capture-0", Hello("capture-0", 7))
        assert server.send("capture-0", FrameRequest("door", 3, (1, 2)))
        assert messages(receive(there)) == [FrameRequest("door", 3, (1, 2))]


def test_a_peer_that_is_not_there_is_told_by_false_and_not_by_waiting(runtime_dir: Path) -> None:
    with Bus(runtime_dir) as bus:
        assert not bus.serve("deliver").send("nobody", Ack(1))


def test_messages_wait_for_an_end_that_is_not_up_yet(runtime_dir: Path) -> None:
    with Bus(runtime_dir) as early:
        client = early.connect("deliver", "infer-0")
        for number in range(5):
            assert client.send(Ack(number))
        with Bus(runtime_dir) as late:
            late.serve("deliver")
            assert messages(receive(late, 5)) == [Ack(n) for n in range(5)]


def test_a_server_that_was_replaced_is_found_again(runtime_dir: Path) -> None:
    with Bus(runtime_dir) as there:
        client = there.connect("deliver", "infer-0")
        for _ in range(3):
            with Bus(runtime_dir) as here:
                here.serve("deliver")
                client.send(Ack(1))
                assert receive(here)


def test_a_restarted_worker_takes_over_its_name(runtime_dir: Path) -> None:
    with Bus(runtime_dir) as here:
        server = here.serve("supervisor")
        with Bus(runtime_dir) as first:
            first.connect("supervisor", "infer-0").send(Hello("infer-0", 1))
            receive(here)
            with Bus(runtime_dir) as second:
                second.connect("supervisor", "infer-0").send(Hello("infer-0", 2))
                assert messages(receive(here)) == [Hello("infer-0", 2)]
                assert server.send("infer-0", Ack(5))
                assert messages(receive(second)) == [Ack(5)]


def test_what_is_no_message_is_counted_and_dropped(runtime_dir: Path) -> None:
    with Bus(runtime_dir) as here, zmq.Context() as context:
        here.serve("deliver")
        with context.socket(zmq.DEALER) as stranger:
            stranger.connect(f"ipc://{runtime_dir / 'deliver.ipc'}")
            stranger.send(b"\xc1 nonsense")
            deadline_s = time.monotonic() + patient(5)
            while not here.damaged and time.monotonic() < deadline_s:
                assert list(here.poll(0.05)) == []
        assert here.damaged == 1


def test_the_socket_is_its_owners_alone(runtime_dir: Path) -> None:
    with Bus(runtime_dir) as bus:
        bus.serve("deliver")
        assert (runtime_dir / "deliver.ipc").stat().st_mode & 0o777 == 0o600


def test_a_folder_too_long_for_a_socket_is_refused_with_what_to_do(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    with Bus(deep) as bus, pytest.raises(ConfigError, match="set runtime_dir to a shorter one"):
        bus.connect("deliver", "infer-0")
