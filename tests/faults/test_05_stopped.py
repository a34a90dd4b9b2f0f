"""Case 5: SIGSTOP of each kind of worker. Its heartbeat fails, it is killed and replaced; others go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.moving import camera
from tests.patience import patient

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SHORT_LIMIT_S = patient(0.75)  # in the place of 10 s; a busy box must not hold a healthy one for hung


@pytest.fixture
def daemon(short_dir: Path, redis_binary: str, moving_clip: Path) -> Iterator[Daemon]:  # noqa: ARG001
    daemon = Daemon(
        short_dir,
        [camera("a", moving_clip, loop=True)],
        inference={"engine": "motion"},
        counts={"bucket_s": 5},
    )
    daemon.python(
        f"from streamer.daemon import process_manager; process_manager.BEAT_LIMIT_S = {SHORT_LIMIT_S}"
    )
    daemon.start()
    daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 5, 40, "the camera")
    yield daemon
    daemon.kill()


def test_workers_that_are_stopped_are_killed_and_replaced(daemon: Daemon) -> None:
    for role in ("capture-0", "infer-0", "deliver"):
        pid = daemon.kill_worker(role, signal.SIGSTOP)
        daemon.wait_for(
            lambda s, r=role, p=pid: next(w for w in s["workers"] if w["name"] == r)["pid"] not in (None, p),
            20,
            f"a successor of {role}",
        )
        daemon.wait_until_gone(pid, 5)
        status = daemon.status()
        before = status["cameras"][0]["frames"]["inferred"]
        ended = next(w for w in status["workers"] if w["name"] == role)
        assert ended["last_exit"]["reason"] == "no heartbeat"
        daemon.wait_for(
            lambda s, b=before: s["cameras"][0]["frames"]["inferred"] > b + 5, 30, f"frames after {role}"
        )
    restarts = {w["name"]: w["restarts"] for w in daemon.status()["workers"]}
    assert restarts == {"redis": 0, "capture-0": 1, "infer-0": 1, "deliver": 1}
    events = daemon.events("a")
    assert [e["data"]["seq"] for e in events] == list(range(1, len(events) + 1))
    assert daemon.stop() == 0


def test_a_redis_that_is_stopped_holds_up_no_count_and_gets_all_afterwards(daemon: Daemon) -> None:
    pid = daemon.worker("redis")["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        daemon.wait_for(lambda s: s["sinks"]["redis"]["state"] == "down", 20, "it to be told")
        before = daemon.status()
        daemon.wait_for(
            lambda s: s["ledger"]["committed"] > before["ledger"]["committed"], 20, "a commit meanwhile"
        )
    finally:
        os.kill(pid, signal.SIGCONT)
    daemon.wait_for(lambda s: s["ledger"]["undelivered"] == 0, 20, "all to be delivered")
    assert daemon.stop() == 0
