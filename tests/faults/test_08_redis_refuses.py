"""Case 8: Redis out of memory, read-only, with a changed password, emptied, or failed over to an older copy.

Each is told by its class and never silent; nothing is lost, and what is missing there is sent again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.daemon import redis_server
from streamer.ipc.redis_keys import events_key
from tests.faults.delivery_rig import NODE, Rig

pytestmark = pytest.mark.integration


@pytest.fixture
def rig(short_dir: Path, redis_binary: str) -> Iterator[Rig]:  # noqa: ARG001
    rig = Rig(short_dir)
    rig.start_redis()
    rig.start_delivery()
    rig.resume()
    rig.count("gate", 20)
    rig.count("yard", 20)
    rig.settle()
    yield rig
    rig.close()


def until_told(rig: Rig, kind: str, says: str) -> None:
    rig.until(lambda: rig.status["sinks"]["redis"]["state"] == kind)
    assert says in rig.status["sinks"]["redis"]["last_error"]
    assert rig.status["ledger"]["undelivered"] > 0
    assert rig.status["ledger"]["state"] == "ok"


def goes_on(rig: Rig) -> None:
    """Counting goes on while Redis refuses: what is handed over is acknowledged."""
    rig.count("gate", 30)
    rig.count("yard", 3)
    rig.until(lambda: not rig.sequencer.unacknowledged)


def is_whole_again(rig: Rig) -> None:
    rig.settle()
    rig.assert_each_once()
    rig.until(lambda: rig.status["sinks"]["redis"]["state"] == "up")
    rig.until(lambda: rig.status["ledger"]["undelivered"] == 0)


def test_out_of_memory(rig: Rig) -> None:
    with rig.admin() as admin:
        admin.config_set("maxmemory", "1")
        goes_on(rig)
        until_told(rig, "full", "raise its maxmemory")
        admin.config_set("maxmemory", "100mb")
    is_whole_again(rig)


def test_a_primary_that_became_a_replica(rig: Rig) -> None:
    with rig.admin() as admin:
        admin.execute_command("REPLICAOF", "127.0.0.1", "1")  # nobody is there: it keeps what it has
        goes_on(rig)
        until_told(rig, "readonly", "name the primary")
        admin.execute_command("REPLICAOF", "NO", "ONE")
    is_whole_again(rig)


def test_a_password_that_was_changed(rig: Rig) -> None:
    password = redis_server.writer_url(rig.runtime_dir, rig.state_dir).rpartition("@")[0].rpartition(":")[2]
    with rig.admin() as admin:
        admin.execute_command("ACL", "SETUSER", "streamer", "resetpass", ">another")
        admin.execute_command("CLIENT", "KILL", "USER", "streamer")
        goes_on(rig)
        until_told(rig, "auth", "mend the sink's url or the ACL")
        assert password not in rig.status["sinks"]["redis"]["last_error"]
        admin.execute_command("ACL", "SETUSER", "streamer", "resetpass", f">{password}")
    is_whole_again(rig)


def test_flushall_while_new_events_come(rig: Rig) -> None:
    before = rig.entries("gate")
    with rig.admin() as admin:
        admin.flushall()
    goes_on(rig)
    is_whole_again(rig)
    assert rig.entries("gate")[: len(before)] == before


def test_a_failover_to_an_older_copy(rig: Rig, short_dir: Path) -> None:
    before = rig.entries("gate")
    data, copy = rig.state_dir / "redis", short_dir / "copy"
    shutil.copytree(data, copy)
    goes_on(rig)
    rig.settle()
    rig.kill_redis()
    shutil.rmtree(data)
    shutil.copytree(copy, data)
    rig.count("gate", 5)
    rig.start_redis()
    is_whole_again(rig)
    assert rig.entries("gate")[: len(before)] == before
    assert rig.status["sinks"]["redis"]["resyncs"] > 0


def test_a_copy_that_is_ahead_is_an_alarm_and_not_taken_for_delivered(rig: Rig) -> None:
    """Another ledger has written there: what it holds is not ours to overwrite, nor to count as sent."""
    with rig.admin() as admin:
        admin.xadd(events_key(NODE, "gate"), {"type": "x", "event": "{}"}, id="9999999999999-1")
        rig.count("gate", 1)
        rig.count("yard", 1)
        rig.until(lambda: "gate" in rig.status["sinks"]["redis"]["blocked"])
        assert "new-incarnation" in rig.status["sinks"]["redis"]["blocked"]["gate"]
        rig.until(lambda: rig.in_redis("yard")[-1:] == [21])  # the others go on
        rig.until(lambda: rig.status["ledger"]["cameras"]["gate"]["undelivered"] > 0)
        admin.delete(events_key(NODE, "gate"))
    is_whole_again(rig)
