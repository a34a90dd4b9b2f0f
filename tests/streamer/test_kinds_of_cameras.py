"""Cameras that are no RTSP cameras, and a running daemon: they are looked at and counted like any other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import pytest

from pipelines.events import LINE_CROSSED
from tests.clips import write_playlist
from tests.daemon import Daemon
from tests.http_server import Answer, Request, http_server, motion_jpeg
from tests.moving import FPS, HEIGHT, LINE, WIDTH, camera, crossings, draw, write_moving_clip

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.usefixtures("redis_binary")]
SECONDS = 8.0


@pytest.fixture
def daemon(short_dir: Path) -> Iterator[Daemon]:
    daemon = Daemon(short_dir, inference={"engine": "motion"})
    yield daemon
    daemon.kill()


def _picture(number: int) -> bytes:
    _, raw = cv2.imencode(".jpg", draw(number, WIDTH, HEIGHT))
    return raw.tobytes()


def _playlist(clip: Path, folder: Path) -> dict[str, Answer]:
    """An HLS recording of the clip: what each path answers."""
    segments = write_playlist(clip, folder, 2)

    def answer(path: Path, content_type: str) -> Answer:
        return lambda request: request.plain(200, path.read_bytes(), content_type)

    answers = {f"/{path.name}": answer(path, "video/mp2t") for path in segments}
    return {"/a.m3u8": answer(folder / "a.m3u8", "application/vnd.apple.mpegurl"), **answers}


def _is_counted(daemon: Daemon, name: str, least: int, _status: object) -> bool:
    return _counted(daemon, name) >= least


def _counted(daemon: Daemon, name: str) -> int:
    return sum(event["type"] == LINE_CROSSED for event in daemon.events(name))


def test_motion_jpeg_a_playlist_and_a_folder_are_counted(daemon: Daemon, tmp_path: Path) -> None:
    clip = write_moving_clip(tmp_path / "moving.mp4", SECONDS)
    yard, played = tmp_path / "yard", tmp_path / "played"
    yard.mkdir()
    played.mkdir()
    for name in ("1.mp4", "2.mp4"):
        write_moving_clip(yard / name, SECONDS / 2)
    gone = threading.Event()

    def once(request: Request) -> None:
        if gone.is_set():
            request.plain(503)
        else:
            motion_jpeg(round(SECONDS * FPS), every_s=2 / FPS, draw=_picture)(request)
            gone.set()

    with http_server({"/live": once, **_playlist(clip, played)}) as server:
        for name, url in (
            ("jpeg", server.url("/live")),
            ("played", server.url("/a.m3u8")),
            ("yard", f"folder://{yard}"),
        ):
            daemon.write_camera({**camera(name, clip), "url": url})
        daemon.start()
        least = crossings(SECONDS) - 1  # who is on the line as it ends may not have been seen behind it
        for name, expected in (("jpeg", least), ("played", least), ("yard", 2 * crossings(SECONDS / 2) - 2)):
            daemon.wait_for(partial(_is_counted, daemon, name, expected), 60, f"{name} to be counted")
    assert _counted(daemon, "jpeg") <= least + 2


def test_status_says_that_a_device_for_decoding_is_not_there(daemon: Daemon, tmp_path: Path) -> None:
    clip = write_moving_clip(tmp_path / "moving.mp4", 4.0)
    daemon.write_camera({**camera("door", clip, decode="vaapi", loop=True), "rules": {"lines": [LINE]}})
    daemon.start()
    (found,) = daemon.status()["cameras"]
    assert found["state"] == "live"
    assert "vaapi" in found["detail"], found
    assert "vaapi" in daemon.cli("status").stdout
