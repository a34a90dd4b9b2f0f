"""What cameras cost, with real processes: their sum is what the processes have taken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon
from tests.moving import camera, write_moving_clip

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.usefixtures("redis_binary")]

ENOUGH_S = 10.0  # of CPU: what is put down once a second lags by little of that
TOLERANCE = 0.25
PARTS = ("decode", "inference", "rest")


@pytest.fixture
def daemon(short_dir: Path) -> Iterator[Daemon]:
    daemon = Daemon(short_dir, counts={"bucket_s": 5})
    yield daemon
    daemon.kill()


def of_cameras(status: dict[str, Any]) -> float:
    return sum(sum(found["cpu_s"].values()) for found in status["cameras"])


def of_processes(status: dict[str, Any]) -> float:
    return sum(w["cpu_s"] for w in status["workers"] if w["role"] in ("capture", "infer"))


def test_what_cameras_cost_is_what_their_processes_take(daemon: Daemon, tmp_path: Path) -> None:
    clip = write_moving_clip(tmp_path / "moving.mp4", 10.0)
    for name, fps in (("often", 0.0), ("seldom", 2.0)):
        daemon.write_camera(camera(name, clip, loop=True, fps=fps))
    daemon.start()
    before = daemon.wait_for(
        lambda s: all(c["frames"]["inferred"] > 4 and min(c["cpu_s"].values()) > 0 for c in s["cameras"]),
        60,
        "both cameras to be looked at",
    )
    after = daemon.wait_for(
        lambda s: of_processes(s) - of_processes(before) > ENOUGH_S, 120, "some CPU time to be spent"
    )
    spent_s = of_processes(after) - of_processes(before)
    assert of_cameras(after) - of_cameras(before) == pytest.approx(spent_s, rel=TOLERANCE)
    often, seldom = after["cameras"]
    assert often["cpu_s"]["inference"] > 1.5 * seldom["cpu_s"]["inference"], "it has far more frames inferred"
    for found in after["cameras"]:
        assert set(found["cores"]) == set(found["cpu_s"]) == set(PARTS)
        assert all(cores > 0 for cores in found["cores"].values())
    assert "= decode" in daemon.cli("status").stdout
    told = json.loads(daemon.cli("capacity", "--no-measure", "--json").stdout)
    assert [use["name"] for use in told["cameras"]] == ["often", "seldom"]
    assert [use["unlimited"] for use in told["cameras"]] == [True, False]
    assert told["costs"]["analysis_ms"] > 0
    assert {fit["more"] is None for fit in told["fits"]} == {False}
    assert told["box"]["streamer"] > 0
    assert "advice: " in daemon.cli("capacity", "--no-measure").stdout


def test_who_adds_a_camera_to_a_full_box_is_warned_and_it_is_saved(daemon: Daemon, tmp_path: Path) -> None:
    clip = write_moving_clip(tmp_path / "moving.mp4", 4.0)
    daemon.write_camera({**camera("door", clip, loop=True), "model": "motion"})
    daemon.python("import streamer.sources.room as room; room.MAX_LOAD = 1e-6")
    daemon.start()
    daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 20, 30, "frames")
    added = daemon.cli("camera", "add", "second", str(clip), "--loop")
    (warning,) = [line for line in added.stdout.splitlines() if "cores, and keeps up to" in line]
    assert warning.startswith("note: with it the box is at ")
    assert [c["name"] for c in daemon.status()["cameras"]] == ["door", "second"]
    quiet = daemon.cli("camera", "add", "third", str(clip), "--no-realtime")
    assert "cores" not in quiet.stdout, "what is read as fast as it goes fills any box"
