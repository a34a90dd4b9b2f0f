"""Fault 8, by a person's word: what a Redis has lost is sent to it again, and nothing is there twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamer.ipc.messages import ReplayRequest
from streamer.ipc.redis_keys import events_key
from tests.faults.delivery_rig import NODE, Rig
from tests.patience import patient

pytestmark = pytest.mark.integration
EVENTS = 450  # more than two batches


@pytest.fixture
def rig(short_dir: Path, redis_binary: str) -> Iterator[Rig]:  # noqa: ARG001
    rig = Rig(short_dir)
    rig.start_redis()
    rig.start_delivery()
    rig.resume()
    for _ in range(EVENTS // 50):
        rig.count("gate", 50)
        rig.count("yard", 50)
    rig.settle()
    yield rig
    rig.close()


def replayed(rig: Rig, number: int) -> dict[str, Any]:
    def told() -> dict[str, Any]:
        found: dict[str, Any] = rig.status.get("sinks", {}).get("redis", {}).get("replay", {})
        return found

    rig.until(lambda: told().get("finished", 0) >= number)
    return told()


def lose_some(rig: Rig) -> None:
    admin = rig.admin()
    for entry, _ in rig.entries("gate")[100:103]:
        admin.xdel(events_key(NODE, "gate"), str(entry))
    admin.close()


def test_what_redis_has_it_refuses_and_events_go_on_behind_it(rig: Rig) -> None:
    rig.tell(ReplayRequest(1, "redis"))
    rig.count("yard", 50)
    assert replayed(rig, 1)["repeated"] >= 2 * (EVENTS - 200)  # up to the batch that new events are in
    rig.settle()
    rig.assert_each_once()


def test_a_stream_with_holes_is_written_anew_under_the_same_ids(rig: Rig) -> None:
    before = rig.entries("gate")
    lose_some(rig)
    rig.tell(ReplayRequest(1, "redis", ("gate",), 0, True))
    replayed(rig, 1)
    assert rig.entries("gate") == before
    rig.count("gate", 10)
    rig.settle()
    rig.assert_each_once()


def test_a_delivery_that_is_killed_meanwhile_leaves_nothing_out(rig: Rig) -> None:
    """Redis stands still when it is asked to forget, and does so after the kill."""
    os.kill(rig.redis_pid(), signal.SIGSTOP)
    rig.tell(ReplayRequest(1, "redis", (), 0, True))
    rig.until(lambda: rig.status["sinks"]["redis"]["replay"]["waiting"] == 1)
    rig.until(lambda: rig.status["sinks"]["redis"]["state"] == "down")
    rig.kill_delivery()
    os.kill(rig.redis_pid(), signal.SIGCONT)
    rig.start_delivery()
    rig.count("gate", 10)
    rig.settle()
    rig.assert_each_once()


def test_an_empty_redis_is_filled_without_a_daemon_from_a_time_on(rig: Rig, short_dir: Path) -> None:
    assert rig.stop_delivery() == 0
    admin = rig.admin()
    admin.flushall()
    admin.close()
    rig.ledger_path.rename(rig.state_dir / "ledger.sqlite")
    (short_dir / "cfg" / "cameras.d").mkdir(parents=True)
    sinks = [{"kind": "redis", "url": "unix:///not-used"}]
    folders = {"state_dir": str(rig.state_dir), "runtime_dir": str(short_dir / "none"), "sinks": sinks}
    (short_dir / "cfg" / "streamer.yaml").write_text(yaml.safe_dump(folders))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "streamer.cli.main", "--config", str(short_dir / "cfg")),
            *("ledger", "replay", "redis", "--since", "1h", "--timeout", str(patient(20))),
        ],
        env={**os.environ, "STREAMER_REDIS_URL": rig.redis_url},
        capture_output=True,
        text=True,
        timeout=patient(40),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (rig.state_dir / "ledger.sqlite").rename(rig.ledger_path)
    rig.assert_each_once()
