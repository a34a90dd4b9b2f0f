"""Case 21: a camera that comes back with another codec and timestamps from the beginning is opened anew, and
nothing is counted twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.clips import make_clip
from tests.daemon import Daemon
from tests.frame_balance import unaccounted
from tests.moving import FPS, LINE, draw
from tests.rtmp_fake import rtmp_playing
from tests.rtsp_server import RtspServer

pytestmark = pytest.mark.integration
REOPENED_S = 5.0
CROSSED = "streamer.line.crossed.v1"


def test_a_camera_that_changes_its_codec_is_opened_anew_and_counted_once(
    daemon: Daemon, rtsp_python: str, tmp_path: Path
) -> None:
    before = make_clip(tmp_path / "h264.mp4", frames=60 * FPS, draw=draw)
    quiet = {"x265-params": "log-level=none", "preset": "ultrafast"}
    after = make_clip(tmp_path / "hevc.mp4", frames=20 * FPS, draw=draw, codec="libx265", options=quiet)
    with RtspServer(rtsp_python, {"/live": before}) as server:
        times = {"open_timeout_s": 5.0, "read_timeout_s": 2.0}
        url = server.url("/live")
        daemon.write_camera({"name": "gate", "url": url, "source": times, "rules": {"lines": [LINE]}})
        daemon.start()
        daemon.wait_for_events("gate", lambda e: e["type"] == CROSSED, 30)
        first = daemon.camera("gate")
        assert first["codec"] == "h264"
        server.stop()
        changed = RtspServer(rtsp_python, {"/live": after})
        changed.port = server.port
        with changed:
            events = events_in_epoch_after(daemon, first["epoch"], "hevc", REOPENED_S)
    data = [e["data"] for e in events if e["type"] == CROSSED]
    keys = [(d["epoch"], d["track_id"], d["line"], d["direction"], d["crossed_media_ns"]) for d in data]
    assert len(keys) == len(set(keys))
    assert [e["data"]["seq"] for e in events] == list(range(1, len(events) + 1))
    assert unaccounted(daemon.camera("gate")["frames"]) == 0
    assert daemon.stop() == 0


def events_in_epoch_after(daemon: Daemon, before: int, codec: str, within_s: float) -> list[dict[str, Any]]:
    """All events, once something crossed in the other codec's epoch."""
    daemon.wait_for(lambda s: s["cameras"][0]["codec"] == codec, within_s, "the other codec")
    epoch = daemon.camera("gate")["epoch"]
    assert epoch > before
    return daemon.wait_for_events("gate", lambda e: e["type"] == CROSSED and e["data"]["epoch"] == epoch, 30)


def test_a_camera_that_changes_its_codec_while_it_sends_is_opened_anew(
    daemon: Daemon, tmp_path: Path
) -> None:
    before = make_clip(tmp_path / "h264.flv", frames=15 * FPS, draw=draw, options={"bf": "0"})
    after = make_clip(tmp_path / "h263.flv", frames=120 * FPS, draw=draw, codec="flv")
    with rtmp_playing(before, after) as port:
        times = {"open_timeout_s": 3.0, "read_timeout_s": 2.0}
        url = f"rtmp://127.0.0.1:{port}/live/cam"
        daemon.write_camera({"name": "gate", "url": url, "source": times, "rules": {"lines": [LINE]}})
        daemon.start()
        daemon.wait_for_events("gate", lambda e: e["type"] == CROSSED, 30)
        first = daemon.camera("gate")
        assert first["codec"] == "h264"
        events = events_in_epoch_after(daemon, first["epoch"], "flv", 30)
    data = [e["data"] for e in events if e["type"] == CROSSED]
    keys = [(d["epoch"], d["track_id"], d["line"], d["direction"], d["crossed_media_ns"]) for d in data]
    assert len(keys) == len(set(keys))
    assert unaccounted(daemon.camera("gate")["frames"]) == 0
    assert daemon.stop() == 0
