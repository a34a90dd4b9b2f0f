"""Case 20: a camera that changes its size, its rate or its pixel format is followed: new ring, new
tracks where the size is another, what was counted stays, and nothing is counted twice."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from tests.clips import make_clip
from tests.daemon import Daemon
from tests.frame_balance import unaccounted
from tests.moving import FPS, camera, draw

pytestmark = pytest.mark.integration
TURN_S = 4.0
CROSSED, ENDED = "streamer.line.crossed.v1", "streamer.track.ended.v1"
NEW_GENERATION_S = 2.0  # of the stream, from its change to a frame of the new generation that was looked at


def part(path: Path, width: int, height: int, fps: int = FPS, pixel_format: str = "yuv420p") -> bytes:
    """A piece of a transport stream, which may be joined to another."""
    frames = int(TURN_S * fps)
    made = make_clip(
        path, frames=frames, width=width, height=height, fps=fps, pixel_format=pixel_format, draw=draw
    )
    return made.read_bytes()


def joined(folder: Path, *parts: bytes) -> Path:
    """The parts, the first of them once more, so that the change back is seen as well."""
    path = folder / "changing.ts"
    path.write_bytes(b"".join((*parts, parts[0])))
    return path


def lines(totals: dict[str, str]) -> int:
    return sum(int(n) for key, n in totals.items() if key.startswith("line/"))


def of(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event["data"] for event in events if event["type"] == kind]


def test_another_size_is_a_new_generation_and_the_totals_go_on(daemon: Daemon, short_dir: Path) -> None:
    small = part(short_dir / "small.ts", 320, 180)
    clip = joined(short_dir, small, part(short_dir / "large.ts", 480, 270))
    daemon.write_camera(camera("gate", clip, realtime=False))
    daemon.write_camera(camera("yard", clip, loop=True, realtime=True))
    daemon.start()
    status = daemon.wait_for(lambda s: s["cameras"][0]["state"] == "ended", 60, "the clip's end")
    gate = status["cameras"][0]
    assert gate["generation"] >= 3  # a ring for each change: small, large, small
    assert gate["opens"] == 3
    assert unaccounted(gate["frames"]) == 0
    events = daemon.settled_events("gate")
    live = [e for e in of(events, "streamer.camera.state.v1") if e["state"] == "live"]
    assert [(e["width"], e["height"]) for e in live] == [(320, 180), (480, 270), (320, 180)]
    crossed = of(events, CROSSED)
    assert {e["epoch"] for e in crossed} == {e["epoch"] for e in live}  # seen before, between and after
    keys = [(e["epoch"], e["track_id"], e["direction"], e["crossed_media_ns"]) for e in crossed]
    assert len(keys) == len(set(keys))
    assert lines(daemon.totals("gate")) == len(crossed)
    # Media time tells how soon: it stands still while nobody looks.
    for before, after in itertools.pairwise(live):
        ended = [e for e in of(events, ENDED) if e["epoch"] == before["epoch"]]
        assert ended, "tracks of the old size are closed"
        begun = [e for e in of(events, ENDED) if e["epoch"] == after["epoch"]]
        gap_ns = min(e["first_media_ns"] for e in begun) - max(e["last_media_ns"] for e in ended)
        assert 0 < gap_ns < NEW_GENERATION_S * 1e9
    assert daemon.stop() == 0


@pytest.mark.parametrize("change", ["rate", "pixel format"])
def test_another_rate_or_pixel_format_loses_no_frame_and_no_total(
    daemon: Daemon, short_dir: Path, change: str
) -> None:
    fps, pixel_format = (10, "yuv420p") if change == "rate" else (FPS, "yuv444p")
    plain = part(short_dir / "plain.ts", 320, 180)
    other = part(short_dir / "other.ts", 320, 180, fps, pixel_format)
    clip = joined(short_dir, plain, other)
    daemon.write_camera(camera("gate", clip, realtime=False))
    daemon.start()
    daemon.wait_for(lambda s: s["cameras"][0]["state"] == "ended", 60, "the clip's end")
    status = daemon.wait_for(lambda s: not s["cameras"][0]["frames"]["in_flight"], 20, "the last frames")
    frames = status["cameras"][0]["frames"]
    wanted = int(TURN_S * (2 * FPS + fps))
    assert (frames["decoded"], frames["inferred"], frames["dropped"]) == (wanted, wanted, {})
    events = daemon.settled_events("gate")
    crossed = of(events, CROSSED)
    assert len(crossed) >= 3 * (int(TURN_S / 2) - 1)  # squares cross in every part
    assert lines(daemon.totals("gate")) == len(crossed)
    media = [e["media_ns"] for e in events if "media_ns" in e]
    assert media == sorted(media)
    assert daemon.stop() == 0
