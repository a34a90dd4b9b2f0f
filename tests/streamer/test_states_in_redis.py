"""What Redis says of cameras that were removed or disabled, and how old what it says is."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from streamer.events.cloudevents import parse_rfc3339_ns
from streamer.ipc.redis_keys import CAMERAS_KEY, events_key, state_key, totals_key
from tests.daemon import Daemon
from tests.faults.delivery_rig import NODE, Rig
from tests.moving import write_moving_clip

pytestmark = pytest.mark.integration


@pytest.fixture
def rig(short_dir: Path, redis_binary: str) -> Iterator[Rig]:  # noqa: ARG001 - it runs one
    """Both cameras have an event, and Redis says that they are live."""
    rig = Rig(short_dir)
    rig.start_redis()
    rig.start_delivery()
    rig.resume()
    for camera in rig.cameras:
        rig.count(camera)
        rig.publish_state(camera)
    rig.settle()
    yield rig
    rig.close()


@pytest.fixture
def daemon(short_dir: Path, redis_binary: str) -> Iterator[Daemon]:  # noqa: ARG001 - it runs one
    clip = write_moving_clip(short_dir / "moving.mp4", 3.0)
    cameras = [{"name": n, "url": str(clip), "source": {"loop": True}} for n in ("gate", "yard", "hall")]
    daemon = Daemon(short_dir, cameras, inference={"engine": "motion"})
    yield daemon
    daemon.kill()


def remove_yard(rig: Rig) -> None:
    rig.cameras = ("gate",)
    rig.tell(rig.assignment(rev=2))


def assert_yard_is_removed(rig: Rig) -> None:
    rig.until(lambda: rig.state("yard").get("state") == "removed")
    assert set(rig.state("yard")) == {"name", "enabled", "state", "updated"}
    assert rig.state("gate")["state"] == "live"
    assert rig.in_redis("yard") == [1]  # events and totals stay, and can be found
    assert rig.totals("yard")["line/door/in/1/person"] == 1
    client = rig.client()
    assert client.hexists(CAMERAS_KEY, f"{NODE}/yard")
    client.close()


def test_a_removed_camera_is_told_as_removed_and_keeps_its_events(rig: Rig) -> None:
    remove_yard(rig)
    assert_yard_is_removed(rig)


def test_a_camera_removed_while_redis_is_away_is_told_as_removed_when_it_is_back(rig: Rig) -> None:
    rig.kill_redis()
    remove_yard(rig)
    rig.until(lambda: rig.status["sinks"]["redis"]["state"] == "down")
    rig.start_redis()
    assert rig.state("yard")["state"] in ("live", "removed")
    assert_yard_is_removed(rig)


def test_a_camera_removed_while_the_daemon_is_away_is_told_as_removed_at_its_start(rig: Rig) -> None:
    rig.kill_delivery()
    assert rig.state("yard")["state"] == "live"
    rig.cameras = ("gate",)
    rig.start_delivery()
    assert_yard_is_removed(rig)


def test_after_redis_was_emptied_a_removed_camera_is_found_again_as_removed(rig: Rig) -> None:
    remove_yard(rig)
    admin = rig.admin()
    admin.flushall()
    admin.close()
    rig.until(lambda: rig.in_redis("yard") == [1])
    rig.publish_state("gate")
    assert_yard_is_removed(rig)


def test_a_name_that_is_used_again_is_live_again_and_goes_on_in_its_sequence(rig: Rig) -> None:
    remove_yard(rig)
    assert_yard_is_removed(rig)
    rig.cameras = ("gate", "yard")
    rig.tell(rig.assignment(rev=3))
    rig.publish_state("yard")
    rig.until(lambda: rig.state("yard")["state"] == "live")
    rig.count("yard")
    rig.settle()
    rig.assert_each_once()


def test_cameras_of_other_nodes_are_left_alone(rig: Rig) -> None:
    admin = rig.admin()
    admin.hset(CAMERAS_KEY, "other/yard", "{}")
    admin.hset(state_key("other", "yard"), "state", "live")
    remove_yard(rig)
    assert_yard_is_removed(rig)
    assert admin.hget(state_key("other", "yard"), "state") == b"live"
    admin.close()


def test_a_user_that_may_not_list_cameras_still_gets_events(rig: Rig) -> None:
    admin = rig.admin()
    admin.execute_command("ACL", "SETUSER", "streamer", "-hkeys")
    remove_yard(rig)
    rig.count("gate")
    rig.settle()
    admin.close()


def test_a_removed_camera_goes_from_redis_once_the_ledger_keeps_nothing_of_it(
    rig: Rig,
) -> None:
    remove_yard(rig)
    assert_yard_is_removed(rig)
    rig.stop_delivery()
    db = sqlite3.connect(rig.ledger_path)
    minutes, quarters = ("rollups", "coverage"), ("quarters", "quarter_blind", "quarter_counts")
    for table in ("events", "totals", *minutes, *quarters):  # as retention does
        db.execute(f"DELETE FROM {table} WHERE camera=(SELECT id FROM cameras WHERE name='yard')")
    db.commit()
    db.close()
    rig.start_delivery()
    client = rig.client()
    keys = [key(NODE, "yard") for key in (events_key, totals_key, state_key)]
    rig.until(lambda: not client.exists(*keys) and not client.hexists(CAMERAS_KEY, f"{NODE}/yard"))
    client.close()
    assert rig.in_redis("gate") == [1]


def test_a_state_says_when_it_held(rig: Rig) -> None:
    before_ns = time.time_ns()
    rig.publish_state("gate")
    rig.until(lambda: parse_rfc3339_ns(rig.state("gate")["updated"]) >= before_ns)


def test_a_daemon_says_which_cameras_are_disabled_or_removed(daemon: Daemon) -> None:
    node = daemon.start().status()["node"]

    def states(client: redis.Redis) -> dict[str, Any]:
        return {name: client.hget(state_key(node, name), "state") for name in ("gate", "yard", "hall")}

    with daemon.redis() as client:
        daemon.wait_for(lambda _: states(client)["yard"] == "live", 30, "the camera to be live in Redis")
        daemon.cli("camera", "disable", "yard")
        daemon.cli("camera", "remove", "gate")
        daemon.wait_for(
            lambda _: (states(client)["gate"], states(client)["yard"]) == ("removed", "disabled"),
            15,
            "Redis to say so",
        )
        assert daemon.stop() == 0
        (daemon.config_dir / "cameras.d" / "hall.yaml").unlink()
        daemon.start()
        daemon.wait_for(lambda _: states(client)["hall"] == "removed", 15, "Redis to say so")
