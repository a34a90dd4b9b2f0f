"""The control socket: one line each way, and no client that can hold up the daemon."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.api import control_socket as control
from streamer.api.control_socket import ControlServer, Request, call
from streamer.errors import ConfigError, ControlError, Exit, RunningError
from tests.fuzzing import examples
from tests.patience import patient

Answer = Callable[[Request], None]


@pytest.fixture
def path(runtime_dir: Path) -> Path:
    return runtime_dir / "control.sock"


def echo(request: Request) -> None:
    request.reply({"op": request.op, **request.args})


@contextmanager
def serving(path: Path, answer: Answer = echo) -> Iterator[ControlServer]:
    """A server polled by a thread, as the supervisor's loop does it."""
    server = ControlServer(path)
    ended = threading.Event()

    def loop() -> None:
        while not ended.is_set():
            select.select(server.filenos(), [], [], 0.05)
            for request in server.poll():
                answer(request)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield server
    finally:
        ended.set()
        thread.join()
        server.close()


def connected(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(5)
    client.connect(str(path))
    return client


def read_answer(client: socket.socket) -> dict[str, object]:
    with client.makefile("rb") as file:
        answer = json.loads(file.readline())
    assert isinstance(answer, dict)
    return answer


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + patient(10)
    while not condition():
        assert time.monotonic() < deadline_s, "it never came"
        time.sleep(0.01)


def test_a_question_gets_its_answer(path: Path) -> None:
    with serving(path):
        assert call(path, "ping", {"text": "ä\n"}) == {"op": "ping", "text": "ä\n"}


def test_a_refusal_brings_its_text_and_exit_code(path: Path) -> None:
    with serving(path, lambda request: request.fail(ConfigError("no such camera"))):
        with pytest.raises(ControlError, match="no such camera") as caught:
            call(path, "change")
        assert caught.value.exit_code is Exit.CONFIG


def test_an_answer_larger_than_the_socket_s_buffer_arrives_whole(path: Path) -> None:
    picture = "x" * 8_000_000
    with serving(path, lambda request: request.reply({"jpeg": picture})):
        assert call(path, "snapshot")["jpeg"] == picture


def test_without_a_daemon_the_caller_is_told_how_to_start_one(path: Path) -> None:
    with pytest.raises(RunningError, match="streamer run"):
        call(path, "ping")


def test_a_socket_left_by_a_killed_daemon_is_no_daemon_and_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(RunningError):
        call(path, "ping")
    with serving(path):
        assert call(path, "ping") == {"op": "ping"}


def test_a_second_daemon_is_refused_and_the_first_goes_on(path: Path) -> None:
    with serving(path):
        with pytest.raises(RunningError, match="another daemon"):
            ControlServer(path)
        assert call(path, "ping") == {"op": "ping"}


def test_the_socket_is_for_owner_and_group_and_goes_with_its_server(path: Path) -> None:
    with serving(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert not path.exists()


def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(ControlError, match="no socket"):
        ControlServer(path)
    assert path.read_text() == "mine"


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="runtime_dir"):
        ControlServer(tmp_path / ("x" * 110))


def test_a_request_may_come_in_pieces_and_be_answered_later(path: Path) -> None:
    kept: list[Request] = []
    with serving(path, kept.append), connected(path) as client:
        for byte in b'{"op": "snapshot"}\n':
            client.send(bytes([byte]))
        until(lambda: bool(kept))
        kept[0].reply({"late": True})
        assert read_answer(client) == {"ok": True, "result": {"late": True}}


def test_several_requests_on_one_connection_are_answered_in_order(path: Path) -> None:
    with serving(path), connected(path) as client:
        client.sendall(b'{"op": "a"}\n{"op": "b"}\n')
        with client.makefile("rb") as file:
            assert [json.loads(file.readline())["result"]["op"] for _ in range(2)] == ["a", "b"]


@pytest.mark.parametrize(
    "line",
    [b"\xff\xfe", b"{", b"[]", b"3", b"null", b'{"op": 3}', b'{"op": "x", "args": []}', b"[" * 100_000, b""],
)
def test_what_is_no_request_is_refused_and_the_next_client_served(path: Path, line: bytes) -> None:
    with serving(path):
        with connected(path) as client:
            client.sendall(line + b"\n")
            answer = read_answer(client)
            assert answer["ok"] is False
            assert client.recv(1) == b"", "the connection ends"
        assert call(path, "ping") == {"op": "ping"}


def test_a_request_without_end_is_cut_off(path: Path) -> None:
    with serving(path) as server, connected(path) as client:
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            client.sendall(b"x" * (control.MAX_REQUEST * 8))
        until(lambda: not server._connections)
        assert call(path, "ping") == {"op": "ping"}


def test_a_client_that_never_reads_holds_up_nobody(path: Path) -> None:
    big = "x" * 4_000_000

    def answer(request: Request) -> None:
        request.reply({"x": big if request.op == "big" else ""})

    with serving(path, answer), connected(path) as lazy:
        lazy.sendall(b'{"op": "big"}\n')
        for _ in range(20):
            assert call(path, "small", timeout_s=2) == {"x": ""}


def test_a_client_that_leaves_before_its_answer_is_forgotten(path: Path) -> None:
    kept: list[Request] = []
    with serving(path, kept.append) as server:
        with connected(path) as client:
            client.sendall(b'{"op": "slow"}\n')
            until(lambda: bool(kept))
        until(lambda: not server._connections)
        kept[0].reply({})


def test_answers_after_the_first_are_ignored(path: Path) -> None:
    def twice(request: Request) -> None:
        request.reply({"n": 1})
        request.reply({"n": 2})

    with serving(path, twice), connected(path) as client:
        for _ in range(2):
            client.sendall(b'{"op": "x"}\n')
            assert read_answer(client)["result"] == {"n": 1}


def test_silent_clients_lose_their_places(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "REQUEST_TIMEOUT_S", 0.2)
    with serving(path):
        clients = [connected(path) for _ in range(control.MAX_CLIENTS)]
        for client in clients:
            assert client.recv(1) == b"", "hung up on"
            client.close()
        assert call(path, "ping") == {"op": "ping"}


def test_more_clients_than_places_are_told_so(path: Path) -> None:
    with serving(path) as server:
        clients = [connected(path) for _ in range(control.MAX_CLIENTS)]
        until(lambda: len(server._connections) == control.MAX_CLIENTS)
        with pytest.raises(ControlError) as caught:
            call(path, "ping")
        assert "too many" in str(caught.value) or "hung up" in str(caught.value)
        for client in clients:
            client.close()
        until(lambda: not server._connections)
        assert call(path, "ping") == {"op": "ping"}


def test_without_descriptors_clients_wait_and_the_loop_does_not_spin(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(control, "PAUSE_S", 0.2)
    server = ControlServer(path)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with connected(path) as client:
        lowest_free = os.dup(client.fileno())
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, before[1]))
        try:
            assert not list(server.poll())
            assert not select.select(server.filenos(), [], [], 0)[0], "the loop may sleep"
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert "Too many open files" in caplog.text
        client.sendall(b'{"op": "ping"}\n')
        until(lambda: [request.op for request in server.poll()] == ["ping"])
    server.close()


def test_a_caller_waits_while_more_wait_than_the_listener_holds(short_dir: Path) -> None:
    """The kernel says so at once, and another moment there is room."""
    path = short_dir / "full.sock"
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as stack:
        listener.bind(str(path))
        listener.listen(1)
        waiting = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2)]
        for client in waiting:
            client.connect(str(path))
        with pytest.raises(ControlError, match=r"no answer within 0\.2 s"):
            control.call(path, "status", timeout_s=0.2)
        answering = threading.Thread(target=_answer_the_last_of, args=(listener, 3))
        with socket.socket(socket.AF_UNIX) as third:
            third.setblocking(False)
            with pytest.raises(BlockingIOError):
                third.connect(str(path))
        threading.Timer(0.2, answering.start).start()
        assert control.call(path, "status", timeout_s=patient(5)) == {"n": 1}
        answering.join()


def _answer_the_last_of(listener: socket.socket, count: int) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(listener.accept()[0])
        connection.recv(1000)
        connection.sendall(b'{"ok":true,"result":{"n":1}}\n')


def test_the_caller_waits_no_longer_than_it_says(path: Path) -> None:
    with serving(path, lambda request: None), pytest.raises(ControlError, match=r"0\.2 s"):  # noqa: ARG005
        call(path, "ping", timeout_s=0.2)


def test_an_answer_that_is_none_of_ours_is_said_so(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(100)
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ControlError, match="not this version"):
            call(path, "ping")
        thread.join()


@pytest.fixture
def server(path: Path) -> Iterator[ControlServer]:
    """One that is polled by the test itself."""
    server = ControlServer(path)
    yield server
    server.close()


def accepted(server: ControlServer, path: Path) -> socket.socket:
    client, before = connected(path), len(server._connections)
    until(lambda: not list(server.poll()) and len(server._connections) > before)
    return client


def answer_one_turn(server: ControlServer) -> list[str]:
    """The operations that one turn of the loop has answered."""
    answered = []
    for request in server.poll():
        echo(request)
        answered.append(request.op)
    return answered


def test_all_requests_that_wait_are_answered_in_one_turn_up_to_a_limit(
    server: ControlServer, path: Path
) -> None:
    """One a turn took as many turns as there were requests."""
    ops = [str(number) for number in range(control.MAX_REQUESTS_A_TURN + 5)]
    with accepted(server, path) as client, accepted(server, path) as other:
        client.sendall(b"".join(b'{"op": "%s"}\n' % op.encode() for op in ops))
        other.sendall(b'{"op": "other"}\n')
        assert answer_one_turn(server) == [*ops[: control.MAX_REQUESTS_A_TURN], "other"]
        assert answer_one_turn(server) == ops[control.MAX_REQUESTS_A_TURN :]
        with client.makefile("rb") as file:
            assert [json.loads(file.readline())["result"]["op"] for _ in ops] == ops


def test_requests_behind_one_that_is_answered_later_wait_for_it(server: ControlServer, path: Path) -> None:
    with accepted(server, path) as client:
        client.sendall(b'{"op": "slow"}\n{"op": "quick"}\n')
        (slow,) = server.poll()
        assert not list(server.poll())
        echo(slow)
        assert answer_one_turn(server) == ["quick"]


def test_a_client_that_left_has_none_of_its_other_requests_done(server: ControlServer, path: Path) -> None:
    with accepted(server, path) as client:
        client.sendall(b'{"op": "a"}\n{"op": "b"}\n')
        requests = server.poll()
        first = next(requests)
        client.close()
        first.reply({})
        assert not list(requests)


def test_no_descriptor_is_left_open(path: Path) -> None:
    with serving(path):
        call(path, "ping")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with serving(path):
            call(path, "ping")
    assert len(os.listdir("/proc/self/fd")) == before


PIECE = st.binary(max_size=40) | st.sampled_from(
    [
        *(
            b'{"op": "x"}\n',
            b'{"op": 1}\n',
            b"[]\n",
            b"\n",
            b"[" * 5000 + b"\n",
            b"1" * 5000 + b"\n",
            b"NaN\n",
        ),
        *(b'"\\ud800"\n', b'{"op": "\\ud800", "args": {}}\n', b"\xff\xfe{\x00}\x00\n", b"x" * control.CHUNK),
        *(
            b'{"op": "x", "args": {"op": [1e999]}}\n',
            b'{"op": "x", "args": null}\n',
            b"{",
            b'"op"',
            b"\x00\n",
        ),
    ]
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, ControlServer]]:
    path = tmp_path_factory.mktemp("c") / "s"
    if len(str(path)) > control.MAX_PATH:
        pytest.fail(f"{path} is too long for a socket: set a shorter --basetemp")
    with serving(path) as server:
        yield path, server


@examples(150)
@given(st.lists(PIECE, max_size=8), st.booleans())
def test_any_bytes_are_answered_or_closed_and_the_server_lives(
    fuzzed: tuple[Path, ControlServer], pieces: list[bytes], ends: bool
) -> None:
    path, server = fuzzed
    with connected(path) as client:
        try:
            for piece in pieces:
                client.sendall(piece)
            if ends:
                client.sendall(b"\n")
                client.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has refused, and closed
    assert call(path, "alive", {}, timeout_s=patient(5)) == {"op": "alive"}
    until(lambda: not server._connections)


@examples(150)
@given(st.lists(PIECE, min_size=1, max_size=8))
def test_every_whole_line_gets_an_answer_of_one_line_until_the_first_that_is_refused(
    fuzzed: tuple[Path, ControlServer], pieces: list[bytes]
) -> None:
    lines = b"".join(pieces).split(b"\n")
    raw = b"\n".join(line for line in lines if len(line) < control.CHUNK) + b"\n"
    with connected(fuzzed[0]) as client:
        client.settimeout(patient(5))
        client.sendall(raw)
        answers = []
        with client.makefile("rb") as file:
            for _ in range(raw.count(b"\n")):
                answers.append(json.loads(file.readline()))
                if not answers[-1]["ok"]:
                    assert "\n" not in answers[-1]["error"]
                    assert file.readline() == b""
                    return
    assert len(answers) == raw.count(b"\n")


def test_whom_somebody_asks_for_is_told_with_the_request(path: Path) -> None:
    def who(request: Request) -> None:
        request.reply({"name": request.caller.name, "role": request.caller.at_most})

    with serving(path, who):
        told = call(path, "x", behalf=("viewer", "token a\nb"))
        assert told == {"name": "token a\N{REPLACEMENT CHARACTER}b", "role": "viewer"}
        assert call(path, "x")["role"] is None


@pytest.mark.parametrize("behalf", ["root", {}, {"role": "root", "name": "x"}, {"role": "admin"}, 1, []])
def test_an_as_that_is_none_is_refused_and_not_passed_over(path: Path, behalf: object) -> None:
    """Passed over, it would be asked with the rights of the process."""
    with serving(path), connected(path) as client:
        client.sendall(json.dumps({"op": "x", "as": behalf}).encode() + b"\n")
        answer = read_answer(client)
        assert not answer["ok"]
        assert '"as" is' in str(answer["error"])
