"""The thread that keeps a camera open: what it says, and how often."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from streamer.ipc.counters import Books
from streamer.ipc.messages import CaptureCamera
from streamer.workers.capture.camera_thread import CameraReader, StateChange
from tests.clips import make_clip
from tests.patience import patient


def test_a_short_clip_that_loops_is_logged_once_and_told_at_every_turn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=5)
    books = Books.create(tmp_path / "books")
    camera = CaptureCamera("gate", 0, str(clip), "infer-0", 64, 0.0, True, True, 5.0, 5.0)
    told: list[StateChange] = []
    looped = threading.Event()

    def wake() -> None:
        told.extend(reader.changes())
        if len([change for change in told if change.state == "live"]) >= 3:
            looped.set()

    reader = CameraReader(camera, books.capture(0), wake)
    with caplog.at_level(logging.INFO, "streamer.workers.capture.camera_thread"):
        reader.start()
        assert looped.wait(patient(20))
        reader.stop()
        reader.join(patient(10))
    logged = [record.getMessage() for record in caplog.records]
    assert logged == ["camera gate: connecting", "camera gate: live h264 320x180"]
