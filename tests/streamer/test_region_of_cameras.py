"""A region of interest, with real processes: it counts as the whole picture does, and says where it looks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.region.approach import MIN_TRACKS
from tests.daemon import Daemon
from tests.frame_balance import unaccounted
from tests.moving import LINE, crossings, write_moving_clip

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("redis_binary")]

SECONDS = 8
LONG_S = 32  # in which more squares come by in a lane than are needed to learn from
LANE = LINE | {"points": [[0.5, 0.62], [0.5, 0.38]]}
PART = [0.25, 0.0, 0.75, 1.0]


@pytest.fixture
def daemon(short_dir: Path) -> Iterator[Daemon]:
    daemon = Daemon(short_dir, inference={"engine": "motion"}, counts={"bucket_s": 5})
    yield daemon
    daemon.kill()


def camera(name: str, clip: Path, region: Any, line: dict[str, Any] = LINE) -> dict[str, Any]:
    rules = {"lines": [line], "region": region}
    return {"name": name, "url": str(clip), "source": {"realtime": False}, "rules": rules}


def ended(status: dict[str, Any]) -> bool:
    return all(c["state"] == "ended" and c["frames"]["in_flight"] == 0 for c in status["cameras"])


def counted(daemon: Daemon, name: str) -> list[str]:
    events = daemon.settled_events(name)
    return [e["data"]["direction"] for e in events if e["type"] == "streamer.line.crossed.v1"]


def test_a_camera_with_a_region_counts_what_the_whole_picture_counts(daemon: Daemon, tmp_path: Path) -> None:
    clip = write_moving_clip(tmp_path / "moving.mp4", SECONDS)
    daemon.write_camera(camera("whole", clip, "off"))
    daemon.write_camera(camera("part", clip, PART))
    daemon.start()
    status = daemon.wait_for(ended, 60, "the clips' ends")
    part, whole = (next(c for c in status["cameras"] if c["name"] == name) for name in ("part", "whole"))
    assert unaccounted(part["frames"]) == 0
    assert counted(daemon, "part") == counted(daemon, "whole") == ["right"] * crossings(SECONDS)
    assert whole["region"] is None
    assert part["region"]["box"] == PART
    assert part["region"]["share"] == 0.5
    assert "50% of the picture is inferred" in " ".join(daemon.cli("status").stdout.split())
    shown = json.loads(daemon.cli("camera", "show", "part", "--json").stdout)
    assert shown["rules"]["region"] == PART
    assert shown["running"]["region"]["why"] == "as configured"
    (event, *_) = daemon.settled_events("part")
    explained = daemon.cli("explain", f"part/{event['id'].rpartition('/')[2]}").stdout
    assert "region 0.25,0,0.75,1: nothing outside of it was looked at" in explained


def test_a_region_that_learns_comes_into_force_by_itself_and_goes_on_counting(
    daemon: Daemon, tmp_path: Path
) -> None:
    clip = write_moving_clip(tmp_path / "moving.mp4", LONG_S)
    daemon.write_camera(camera("auto", clip, "auto", LANE))
    daemon.write_camera(camera("whole", clip, "off", LANE))
    daemon.start()
    region = daemon.wait_for(ended, 90, "the clip's end")["cameras"][0]["region"]
    assert region["asked"] == "auto"
    assert region["share"] < 1
    assert region["box"][0] < 0.5 < region["box"][2]
    assert "objects that came by" in region["why"]
    # While the motion detector learns the region's background it sees nobody: a second, once.
    auto, whole = len(counted(daemon, "auto")), len(counted(daemon, "whole"))
    assert whole > MIN_TRACKS
    assert whole - 1 <= auto <= whole


def test_a_region_is_set_and_unset_on_the_command_line_of_a_running_daemon(
    daemon: Daemon, tmp_path: Path
) -> None:
    clip = write_moving_clip(tmp_path / "moving.mp4", 2)
    daemon.write_camera(camera("gate", clip, "off") | {"source": {"loop": True}})
    daemon.start()
    daemon.cli("camera", "set", "gate", "region=0.25,0,0.75,1")
    daemon.wait_for(lambda s: (s["cameras"][0]["region"] or {}).get("box") == PART, 20, "the region")
    assert "region" in (daemon.config_dir / "cameras.d" / "gate.yaml").read_text()
    for wrong, said in (
        ("region=0.75,0,0.25,1", "is reversed"),
        ("region=0,0,640,360", "reaches out of the picture"),
        ("region=0.6,0,0.9,1", "line 'middle' lies outside of the region"),
        ("region=somewhere", "neither off nor auto"),
    ):
        refused = daemon.cli("camera", "set", "gate", wrong, check=False)
        assert refused.returncode != 0
        assert said in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
    daemon.cli("camera", "set", "gate", "region=")
    daemon.wait_for(lambda s: s["cameras"][0]["region"] is None, 20, "the whole picture")
