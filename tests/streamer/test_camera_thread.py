"""The thread that keeps a camera open: what it says, and how often."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from streamer.ipc.counters import COUNTERS_FILE, FrameCounters
from streamer.ipc.messages import CaptureCamera
from streamer.sources import retry
from streamer.sources.base import create_source
from streamer.workers.capture import camera_thread
from streamer.workers.capture.camera_thread import CameraThread, StateChange
from tests.clips import make_clip
from tests.patience import patient


def test_a_short_clip_that_loops_is_logged_once_and_told_at_every_turn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=5)
    counters = FrameCounters.create(tmp_path / COUNTERS_FILE)
    camera = CaptureCamera("gate", 0, str(clip), "infer-0", 64, 0.0, True, True, 5.0, 5.0)
    told: list[StateChange] = []
    looped = threading.Event()

    def wake() -> None:
        told.extend(thread.changes())
        if len([change for change in told if change.state == "live"]) >= 3:
            looped.set()

    thread = CameraThread(camera, counters.capture(0), wake)
    with caplog.at_level(logging.INFO, "streamer.workers.capture.camera_thread"):
        thread.start()
        assert looped.wait(patient(20))
        thread.stop()
        thread.join(patient(10))
    logged = [record.getMessage() for record in caplog.records]
    assert logged == ["camera gate: connecting", "camera gate: live h264 320x180"]


def test_an_error_that_nobody_foresaw_is_the_camera_s_state_and_it_is_opened_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread died of it in silence, and the camera kept the state that it had."""
    clip = make_clip(tmp_path / "clip.mp4", frames=5)
    tries: list[str] = []

    def create(url: str, **options: object) -> object:
        tries.append(url)
        if len(tries) <= 2:
            raise RuntimeError("no room for rtsp://admin:canary@10.0.0.5/live")
        return create_source(url, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(camera_thread, "create_source", create)
    monkeypatch.setattr(retry, "FIRST_S", 0.01)
    counters = FrameCounters.create(tmp_path / COUNTERS_FILE)
    camera = CaptureCamera("gate", 0, str(clip), "infer-0", 64, 0.0, True, True, 5.0, 5.0)
    told: list[StateChange] = []
    live = threading.Event()

    def wake() -> None:
        told.extend(thread.changes())
        if told and told[-1].state == "live":
            live.set()

    thread = CameraThread(camera, counters.capture(0), wake)
    with caplog.at_level(logging.ERROR, "streamer.workers.capture.camera_thread"):
        thread.start()
        assert live.wait(20)
        thread.stop()
        thread.join(10)
    said = [(change.state, change.detail.split(";")[0]) for change in told[:4]]
    why = "unexpected RuntimeError: no room for rtsp://***@10.0.0.5/live (the log has more)"
    assert said == [("connecting", ""), ("unreachable", why)] * 2
    (logged,) = caplog.records  # once, not at every try
    assert logged.exc_info is not None
