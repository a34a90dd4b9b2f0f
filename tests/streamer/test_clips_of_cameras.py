"""Clips of cameras that rest, go away or are asked for twice at a time, with real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.values import Image
from tests import clip_rig
from tests.clips import make_clip
from tests.daemon import Daemon
from tests.moving import FPS, HEIGHT, LINE, SIDE, WIDTH
from tests.rtsp_server import RtspServer

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("redis_binary")]

COMES_S, PASSES_S, SECONDS = 9.0, 1.6, 40
TILES = np.random.default_rng(1).integers(60, 140, (HEIGHT // 12, WIDTH // 16, 3)).astype(float)
BACKDROP = TILES.repeat(12, axis=0).repeat(16, axis=1)


@pytest.fixture
def daemon(short_dir: Path) -> Iterator[Daemon]:
    daemon = Daemon(short_dir, **clip_rig.settings({"after_s": 16, "before_s": 1}))
    yield daemon
    daemon.kill()


def write_camera(daemon: Daemon, url: str, **source: object) -> None:
    daemon.write_camera({"name": "door", "url": url, "source": source, "rules": {"lines": [LINE]}})


def made(daemon: Daemon, event: str) -> dict[str, Any]:
    """The clip, once it is there."""
    clip: dict[str, Any] = json.loads(daemon.cli("clip", event, "--json").stdout)
    return clip


def draw(number: int, width: int, height: int) -> Image:
    """Somebody comes once, and the place is empty before and after; the picture has a sensor's noise."""
    picture = BACKDROP + np.random.default_rng(number).normal(0, 3, (height, width, 1))
    share = (number / FPS - COMES_S) / PASSES_S
    if 0 <= share < 1:
        x = round(share * (width + SIDE)) - SIDE
        picture[70 : 70 + SIDE, max(0, x) : max(0, x + SIDE)] = (40, 220, 180)
    return np.clip(picture, 0, 255).astype(np.uint8)


def test_a_camera_that_rests_meanwhile_gives_every_picture_of_the_time(
    daemon: Daemon, tmp_path: Path
) -> None:
    film = make_clip(
        tmp_path / "hall.mp4", frames=SECONDS * FPS, width=WIDTH, height=HEIGHT, fps=FPS, draw=draw
    )
    write_camera(daemon, str(film), gate="auto", realtime=True)
    daemon.start()
    event = clip_rig.crossing(daemon)
    clip_rig.begin(daemon, event)
    gated = daemon.camera("door")["frames"]["gated"]
    daemon.wait_for(lambda s: s["cameras"][0]["frames"]["gated"] > gated + FPS, 30, "it to rest")
    assert clip_rig.counts(daemon.status())["making"] == 1, "it rested while the clip was recorded"
    clip = made(daemon, event)
    assert clip["note"] == ""
    length_s = (clip["to_ns"] - clip["from_ns"]) / 1e9
    assert length_s > 16.5
    assert clip_rig.frames(Path(clip["path"])) == pytest.approx(length_s * FPS, abs=3)


def test_a_camera_that_loses_its_power_meanwhile_gives_what_there_is_and_says_so(
    daemon: Daemon, rtsp_python: str, tmp_path: Path
) -> None:
    with RtspServer(rtsp_python, {"/door": clip_rig.write_film(tmp_path)}) as server:
        write_camera(daemon, server.url("/door"), read_timeout_s=2)
        daemon.start()
        event = clip_rig.crossing(daemon)
        assert clip_rig.begin(daemon, event)["state"] == "recording"
        server.stop()
        clip = made(daemon, event)
        assert " s early: the camera went away, or began anew" in clip["note"]
        assert clip_rig.frames(Path(clip["path"])) > FPS


def test_two_events_whose_clips_overlap_get_one_each_and_asking_twice_makes_none_more(
    daemon: Daemon, tmp_path: Path
) -> None:
    write_camera(daemon, str(clip_rig.write_film(tmp_path)), realtime=True)
    daemon.start()
    first = clip_rig.crossing(daemon)
    begun = clip_rig.begin(daemon, first)
    daemon.wait_for(lambda _: clip_rig.crossing(daemon) != first, 20, "the next crossing")
    second = clip_rig.crossing(daemon)
    assert clip_rig.begin(daemon, second)["state"] == "recording"
    assert clip_rig.begin(daemon, first) == begun
    clips = [made(daemon, event) for event in (first, second)]
    assert [clip["event"] for clip in clips] == [first, second]
    assert clips[0]["from_ns"] <= clips[1]["from_ns"] < clips[0]["to_ns"] < clips[1]["to_ns"]
    assert all(clip_rig.frames(Path(clip["path"])) > 16 * FPS for clip in clips)
    daemon.wait_for(lambda s: clip_rig.counts(s)["made"] == 2, 5, "the worker to tell of both")
    kept_mb = daemon.camera("door")["clip_buffer_mb"]
    assert 0 < kept_mb <= 16 * (1 << 20) / 1e6
