"""The whole path with real processes: a clip goes in, counts come out of a Redis stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon
from tests.frame_balance import unaccounted
from tests.moving import camera, crossings, write_moving_clip

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("redis_binary")]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_moving_clip(tmp_path_factory.mktemp("clips") / "moving.mp4", 20.0)


@pytest.fixture
def daemon(short_dir: Path) -> Iterator[Daemon]:
    daemon = Daemon(short_dir, inference={"engine": "motion"}, counts={"bucket_s": 5})
    yield daemon
    daemon.kill()


def crossed(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [e for e in events if e["type"] == "streamer.line.crossed.v1"]


def ended(status: dict[str, Any]) -> bool:
    return all(c["state"] == "ended" for c in status["cameras"])


def idle(status: dict[str, Any]) -> bool:
    return all(c["frames"]["in_flight"] == 0 for c in status["cameras"])


def is_end(event: dict[str, Any]) -> bool:
    return bool(event["data"].get("state") == "ended")


def test_a_clip_read_as_fast_as_it_is_inferred_gives_its_counts_and_drops_nothing(
    daemon: Daemon, clip: Path
) -> None:
    daemon.write_camera(camera("door", clip, realtime=False))
    daemon.start()
    status = daemon.wait_for(lambda s: ended(s) and idle(s), 60, "the clip's end")
    frames = status["cameras"][0]["frames"]
    assert unaccounted(frames) == 0
    assert status["cameras"][0]["books"] == frames, "its older name"
    assert frames["in_flight"] == 0
    assert frames["dropped"] == {}
    assert frames["inferred"] == 500
    daemon.wait_for_events("door", is_end, 20)
    events = daemon.settled_events("door")
    assert abs(len(crossed(events)) - crossings(20.0)) <= 1  # the one that is on the line at the first frame
    assert {e["data"]["direction"] for e in crossed(events)} == {"right"}
    assert [e["data"]["seq"] for e in events] == list(range(1, len(events) + 1))
    assert daemon.stop() == 0


def test_live_clips_keep_their_balance_at_every_moment_and_tell_their_states(
    daemon: Daemon, clip: Path
) -> None:
    for name in ("a", "b", "c"):
        daemon.write_camera(camera(name, clip))
    daemon.start()
    for _ in range(40):
        for found in daemon.status()["cameras"]:
            assert unaccounted(found["frames"]) == 0, found["frames"]
            # four slots, one held, one being converted, one sent
            assert 0 <= found["frames"]["in_flight"] <= 7
    # A source has ended before its last frame has been looked at.
    status = daemon.wait_for(lambda s: ended(s) and idle(s), 60, "the clips' end")
    for found in status["cameras"]:
        assert unaccounted(found["frames"]) == 0
        assert found["frames"]["decoded"] == 500
    events = daemon.wait_for_events("a", is_end, 20)
    states = [e["data"]["state"] for e in events if e["type"] == "streamer.camera.state.v1"]
    assert states == ["connecting", "live", "ended"]
    assert daemon.stop() == 0


def test_closed_buckets_say_what_was_counted_and_how_much_of_the_time_was_seen(
    daemon: Daemon, clip: Path
) -> None:
    daemon.write_camera(camera("door", clip))
    daemon.start()
    daemon.wait_for(lambda s: ended(s) and idle(s), 60, "the clip's end")
    assert daemon.stop() == 0
    counted = daemon.cli("counts", "--camera", "door", "--json")
    assert json.loads(counted.stdout)
    events = [
        json.loads(line)
        for line in daemon.cli(*["events", "--camera", "door", "-n", "1000", "--json"]).stdout.splitlines()
    ]
    buckets = [e["data"] for e in events if e["type"] == "streamer.counts.v1"]
    total = sum(n for b in buckets for d in b["lines"].values() for c in d.values() for n in c.values())
    assert total == len(crossed(events))
    for bucket in buckets:
        spent_s = sum(bucket["coverage"].values())
        assert spent_s == pytest.approx((bucket["end_ns"] - bucket["start_ns"]) / 1e9, abs=0.01)
    seen_s = sum(b["coverage"]["seen_s"] for b in buckets)
    assert 10 < seen_s < 21  # of 20: a busy machine begins late and drops frames
    assert "stopped" in buckets[-1]["flags"]
    assert all(bucket["marks"] == bucket["flags"] for bucket in buckets), "its older name"


def test_a_second_daemon_on_the_same_folders_is_refused(daemon: Daemon) -> None:
    daemon.start()
    second = daemon.cli("run", check=False)
    assert second.returncode == 8
    assert "another daemon" in second.stderr
    assert daemon.status()["pid"]


def test_a_change_is_applied_within_two_seconds_and_touches_no_other_camera(
    daemon: Daemon, clip: Path
) -> None:
    daemon.write_camera(camera("a", clip, loop=True))
    daemon.start()
    before = daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 20, 30, "frames")["cameras"][0]
    answer = daemon.cli("camera", "add", "b", str(clip), "--loop")
    assert "config_rev" in answer.stdout + answer.stderr
    daemon.wait_for(
        lambda s: len(s["cameras"]) == 2 and s["cameras"][1]["frames"]["inferred"] > 0, 10, "camera b"
    )
    daemon.cli("line", "add", "a", "second", "0.3,1", "0.3,0")
    daemon.cli("camera", "disable", "b")
    daemon.cli("camera", "enable", "b")
    daemon.cli("camera", "remove", "b")
    after = daemon.camera("a")
    assert daemon.openings("a") == 1
    assert after["worker"] == before["worker"]
    names = {e["subject"] for e in daemon.wait_for_events("a", lambda e: e["subject"] == "second", 10)}
    assert "second" in names


def test_a_fresh_daemon_looks_with_the_detector_of_the_package_and_with_motion_where_told(
    short_dir: Path, clip: Path
) -> None:
    daemon = Daemon(short_dir)
    try:
        daemon.write_camera(camera("a", clip, loop=True))
        daemon.write_camera({**camera("b", clip, loop=True), "model": "motion"})
        daemon.start()
        status = daemon.wait_for(
            lambda s: all(c["frames"]["inferred"] and c["detector"] for c in s["cameras"]), 60, "frames"
        )
        names = {c["name"]: c["detector"]["name"] for c in status["cameras"]}
        assert names == {"a": "default (in the package)", "b": "motion"}
        assert daemon.stop() == 0
    finally:
        daemon.kill()
