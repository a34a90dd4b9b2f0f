"""The delivery worker as a real process with a real private Redis, and a sender that follows the protocol."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from redis import ConnectionError as RedisConnectionError

from streamer.daemon import redis_server
from streamer.events.cloudevents import EventId
from streamer.ipc.bus import Bus
from streamer.ipc.messages import (
    Ack,
    CameraStatus,
    DeliverAssignment,
    EventRecord,
    Hello,
    Resume,
    SinkAssignment,
    WorkerStatus,
)
from streamer.ipc.redis_keys import CAMERAS_KEY, events_key, state_key, totals_key
from streamer.ledger import LedgerReader
from streamer.sinks.redis import RedisSettings, connect
from streamer.workers.infer.event_sequencer import EventSequencer
from tests.patience import patient

NODE = "b7a4d7cf-6f0b-4dbb-9a3a-4d4c0a1f7c11"
NO_HEARTBEAT = 99  # what a worker ends in whose heart has paused for longer than it may
WORKER = f"""
import os, sys, time
from pathlib import Path
from streamer.workers.deliver.worker import DeliverWorker
from streamer.workers.loop import run
limit_s, last_s = float(sys.argv[3]), None
def beat():
    global last_s
    before_s, last_s = last_s, time.monotonic()
    if before_s is not None and last_s - before_s > limit_s:
        os._exit({NO_HEARTBEAT})
sys.exit(run(DeliverWorker("deliver", Path(sys.argv[1]), Path(sys.argv[2])), beat))
"""


class Rig:
    """Plays supervisor and inference worker. `count(camera)` makes and sends the camera's next event."""

    def __init__(self, folder: Path, *, cameras: tuple[str, ...] = ("gate", "yard"), **limits: Any) -> None:
        self.runtime_dir, self.state_dir = folder / "run", folder / "state"
        for path in (self.runtime_dir, self.state_dir):
            path.mkdir(mode=0o700, exist_ok=True)
        self.cameras = cameras
        self.sent = dict.fromkeys(cameras, 0)
        self.status: dict[str, Any] = {}
        self.redis_url = redis_server.writer_url(self.runtime_dir, self.state_dir)
        self.limits = {"ledger_max_bytes": 1 << 28, "retention_days": 30.0, **limits}
        self.sinks = (redis_at(self.redis_url),)
        self.ledger_path = self.state_dir / "ledger.db"
        self._redis: subprocess.Popen[bytes] | None = None
        self._delivery: subprocess.Popen[bytes] | None = None
        self._bus = Bus(self.runtime_dir)
        self._server = self._bus.serve("supervisor")
        self._client = self._bus.connect("deliver", "infer-0")
        self.sequencer = EventSequencer("infer-0", self._client, self.runtime_dir)

    # ---- processes

    def start_redis(self, max_memory_mb: int = 256) -> None:
        """The private server as it is, but for one more user who may do everything."""
        command = redis_server.command(self.runtime_dir, self.state_dir, max_memory_mb)
        with open(self.state_dir / "redis" / "users.acl", "a") as users:
            users.write("user admin on nopass ~* &* +@all\n")
        self._redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.until(lambda: redis_server.ping(self.runtime_dir))

    def kill_redis(self) -> None:
        _kill(self._redis)
        self._redis = None

    def start_delivery(
        self, beat_limit_s: float = 1e9, code: Path | None = None, prefix: Sequence[str] = ()
    ) -> None:
        """`code`: the folder of another copy of the program; `prefix`: a command that runs what follows."""
        folders = (str(self.runtime_dir), str(self.state_dir))
        command = [*prefix, sys.executable, "-c", WORKER, *folders, str(beat_limit_s)]
        self._delivery = subprocess.Popen(command, cwd=code)

    def delivery_exit(self) -> int | None:
        """None while it runs."""
        assert self._delivery is not None
        return self._delivery.poll()

    def kill_delivery(self) -> None:
        _kill(self._delivery)
        self._delivery = None

    def stop_delivery(self) -> int:
        """SIGTERM, and the exit status."""
        assert self._delivery is not None
        self._delivery.terminate()
        status = self._delivery.wait(patient(15))
        self._delivery = None
        return status

    def redis_pid(self) -> int:
        assert self._redis is not None
        return self._redis.pid

    def delivery_pid(self) -> int:
        assert self._delivery is not None
        return self._delivery.pid

    def close(self) -> None:
        self.kill_delivery()
        self.kill_redis()
        self.sequencer.close()
        self._bus.close()

    # ---- the supervisor's and the sender's part

    def resume(self) -> None:
        self.sequencer.request_positions(self.cameras)
        self.until(lambda: all(self.sequencer.can_number(camera) for camera in self.cameras))

    def replace_sender(self) -> None:
        """As after a kill: a new connection and a new sequencer over the spool that was left."""
        self.sequencer.close()
        self._bus.disconnect(self._client)
        self._client = self._bus.connect("deliver", "infer-0")
        self.sequencer = EventSequencer("infer-0", self._client, self.runtime_dir)

    def count(self, camera: str, steps: int = 1) -> None:
        """Send `steps` crossings in one batch."""
        records = [crossing(camera, self.sent[camera] + n + 1) for n in range(steps)]
        if self.sequencer.send(records):
            self.sent[camera] += steps

    def pump(self, timeout_s: float = 0.0) -> None:
        for received in self._bus.poll(timeout_s):
            message = received.message
            if isinstance(message, Hello):
                self._server.send(received.peer, self.assignment())
            elif isinstance(message, Ack):
                self.sequencer.on_ack(message)
            elif isinstance(message, Resume):
                self.sequencer.on_resume(message)
            elif isinstance(message, WorkerStatus):
                self.status = message.status
        self.sequencer.tick(time.monotonic())

    def assignment(self, rev: int = 1, config_rev: int = 1) -> DeliverAssignment:
        """`cameras` of the rig are those that are configured."""
        return DeliverAssignment(
            rev=rev,
            config_rev=config_rev,
            sinks=self.sinks,
            ledger_path=str(self.ledger_path),
            node=NODE,
            config_json='{"cameras": []}',
            cameras=self.cameras,
            **self.limits,
        )

    def tell(self, message: DeliverAssignment | CameraStatus) -> None:
        self._server.send("deliver", message)

    def publish_state(self, camera: str) -> None:
        """Wait until the directory of cameras names `camera`."""
        client = self.client()
        self.tell(CameraStatus(camera, {"state": "live"}))
        self.until(lambda: bool(client.hexists(CAMERAS_KEY, f"{NODE}/{camera}")))
        client.close()

    def until(self, true: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Pump until `true()`; AssertionError with the last status when it does not come."""
        end_s = time.monotonic() + patient(timeout_s)
        while not true():
            self.pump(0.01)
            if time.monotonic() > end_s:
                raise AssertionError(f"did not happen in {timeout_s} s; status: {self.status}")

    def settle(self) -> None:
        """Until all is acknowledged and Redis has the last event of each camera."""
        self.until(lambda: not self.sequencer.unacknowledged)
        self.until(lambda: all(self.last_in_redis(c) == self.sent[c] for c in self.cameras))

    def state(self, camera: str) -> dict[str, str]:
        """The camera's state hash; empty while Redis is away."""
        client = self.client()
        try:
            found = client.hgetall(state_key(NODE, camera))
        except RedisConnectionError:
            return {}
        finally:
            client.close()
        return {key.decode(): value.decode() for key, value in found.items()}

    # ---- what came of it

    def admin(self) -> Any:
        return connect(redis_server.subscriber_url(self.runtime_dir).replace("subscriber:", "admin:", 1))

    def client(self) -> Any:
        return connect(redis_server.subscriber_url(self.runtime_dir))

    def entries(self, camera: str) -> list[tuple[EventId, bytes]]:
        """(id, CloudEvent) of every entry of the camera's stream; empty while Redis is away."""
        client = self.client()
        try:
            raw = client.xrange(events_key(NODE, camera))
        except RedisConnectionError:
            return []
        finally:
            client.close()
        return [(EventId.parse(entry_id.decode()), fields[b"event"]) for entry_id, fields in raw]

    def in_redis(self, camera: str) -> list[int]:
        return [place.seq for place, _ in self.entries(camera)]

    def last_in_redis(self, camera: str) -> int:
        """The number of the newest entry of the camera's stream; 0 where there is none, or no Redis."""
        client = self.client()
        try:
            newest = client.xrevrange(events_key(NODE, camera), count=1)
        except RedisConnectionError:
            return 0
        finally:
            client.close()
        return EventId.parse(newest[0][0].decode()).seq if newest else 0

    def totals(self, camera: str) -> dict[str, int]:
        client = self.client()
        raw = client.hgetall(totals_key(NODE, camera))
        client.close()
        return {key.decode(): int(value) for key, value in raw.items()}

    def in_ledger(self, camera: str) -> list[int]:
        reader = LedgerReader(self.ledger_path)
        events = reader.after(camera, None, 1_000_000)
        reader.close()
        return [event.id.seq for event in events]

    def assert_each_once(self) -> None:
        """Every event that was handed over is in the ledger and in Redis exactly once, in order."""
        for camera in self.cameras:
            wanted = list(range(1, self.sent[camera] + 1))
            for place, have in (("ledger", self.in_ledger(camera)), ("Redis", self.in_redis(camera))):
                lost = sorted(set(wanted) - set(have))
                assert (lost, len(have)) == ([], len(wanted)), f"{camera}, {place}: {self.status}"
                assert have == wanted
            if wanted:
                totals = self.totals(camera)
                assert totals["line/door/in/1/person"] == len(wanted)
                assert totals["seq"] == len(wanted)


def redis_at(address: str, name: str = "redis") -> SinkAssignment:
    settings = RedisSettings(kind="redis", name=name, stream_max_len=1_000_000)
    return SinkAssignment("redis", name, settings.model_dump_json(), address)


def crossing(camera: str, number: int) -> EventRecord:
    """The data name the event itself, so that another one in its place would be seen."""
    data = {"line": "door", "direction": "in", "class": "person", "rule_rev": 1, "track_id": number}
    return EventRecord(
        camera=camera,
        seq=0,
        type="streamer.line.crossed.v1",
        subject="door",
        epoch=1,
        frame_id=number,
        media_ns=number * 40_000_000,
        captured_ns=time.time_ns(),
        age_ms=12.5,
        config_rev=1,
        data=data,
    )


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.kill()
        process.wait()
