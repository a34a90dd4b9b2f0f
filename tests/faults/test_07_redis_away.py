"""Faults 7, 8 and 11 for the delivery: Redis away for long, full, or emptied; the ledger full."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.ipc.redis_keys import events_key
from tests.faults.delivery_rig import NODE, Rig
from tests.patience import patient

pytestmark = pytest.mark.integration
BUDGET_BYTES = 2 << 20


@pytest.fixture
def small(short_dir: Path, redis_binary: str) -> Iterator[Rig]:  # noqa: ARG001
    """A ledger that is full after some two thousand events. Redis does not run yet."""
    rig = Rig(short_dir, ledger_max_bytes=BUDGET_BYTES)
    rig.start_delivery()
    rig.resume()
    yield rig
    rig.close()


def ledger_state(rig: Rig) -> str:
    return str(rig.status.get("ledger", {}).get("state", ""))


def test_a_ledger_that_fills_while_redis_is_away_stays_in_its_budget_and_drains_in_order(small: Rig) -> None:
    end_s = time.monotonic() + patient(40)
    while ledger_state(small) != "full":
        small.count("gate", 15)
        small.count("yard", 5)
        small.pump(0.01)
        assert time.monotonic() < end_s, small.status
    small.count("gate", 40)  # what the ledger does not take waits with the sender
    assert small.sequencer.unacknowledged > 0
    assert small.status["sinks"]["redis"]["state"] == "down"
    used = sum(f.stat().st_size for f in small.state_dir.glob("ledger.db*") if not f.name.endswith("-shm"))
    assert used <= BUDGET_BYTES
    assert small.status["ledger"]["pruned"] == 0  # an event that Redis has not got is never pruned
    small.start_redis()
    small.settle()
    for camera in small.cameras:
        assert small.in_redis(camera) == list(range(1, small.sent[camera] + 1))
        assert small.totals(camera)["line/door/in/1/person"] == small.sent[camera]
    small.until(lambda: ledger_state(small) == "ok")


def test_a_redis_without_memory_is_told_and_gets_all_when_it_has_room(small: Rig) -> None:
    small.start_redis()
    admin = small.admin()
    admin.config_set("maxmemory", "1")
    small.count("gate", 50)
    small.until(lambda: small.status.get("sinks", {}).get("redis", {}).get("state") == "full")
    assert "out of memory" in small.status["sinks"]["redis"]["last_error"]
    small.until(lambda: not small.sequencer.unacknowledged)
    admin.config_set("maxmemory", "100mb")
    small.settle()
    small.assert_each_once()
    admin.close()


def test_a_user_whose_rights_were_taken_is_told_and_goes_on_when_they_are_back(small: Rig) -> None:
    small.start_redis()
    small.count("gate", 1)
    small.settle()
    admin = small.admin()
    admin.execute_command("ACL", "SETUSER", "streamer", "-xadd")
    small.count("gate", 1)
    small.until(lambda: small.status["sinks"]["redis"]["state"] == "auth")
    admin.execute_command("ACL", "SETUSER", "streamer", "+xadd")
    small.settle()
    small.assert_each_once()
    admin.close()


def test_a_stream_that_someone_else_overwrote_is_an_alarm_and_holds_up_no_other_camera(small: Rig) -> None:
    small.start_redis()
    admin = small.admin()
    admin.set(events_key(NODE, "gate"), "mine")
    small.count("gate", 2)
    small.count("yard", 2)
    small.until(lambda: small.in_redis("yard") == [1, 2])
    small.until(lambda: "gate" in small.status["sinks"]["redis"]["blocked"])
    assert "holds something else" in small.status["sinks"]["redis"]["blocked"]["gate"]
    assert admin.get(events_key(NODE, "gate")) == b"mine"
    admin.delete(events_key(NODE, "gate"))
    small.settle()
    small.assert_each_once()
    admin.close()
