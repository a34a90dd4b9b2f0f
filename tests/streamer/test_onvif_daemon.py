"""The whole way of a camera that is found on the network: discovered, added by ONVIF, counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon
from tests.moving import write_moving_clip
from tests.onvif_camera import CameraProfile, OnvifCamera
from tests.rtsp_server import RtspServer

pytestmark = [pytest.mark.integration, pytest.mark.slow]
USER, PASSWORD = "operator", "p@ss:w/rd#%?é"


@pytest.fixture
def stream(rtsp_python: str, tmp_path: Path) -> Iterator[RtspServer]:
    clip = write_moving_clip(tmp_path / "moving.mp4", 60.0)
    with RtspServer(rtsp_python, {"/sub": clip}, auth=("digest", USER, PASSWORD)) as server:
        yield server


@pytest.fixture
def camera(stream: RtspServer) -> Iterator[OnvifCamera]:
    """Its clock is hours off, and it names its main stream first, at an address of another network."""
    main = CameraProfile("main", "rtsp://10.66.66.66/main", size=(2560, 1440), fps=25, codec="H265")
    sub = CameraProfile("sub", f"rtsp://10.66.66.66:{stream.port}/sub", size=(320, 180), fps=25)
    more = {"clock_ahead_s": 9000, "media2": True, "discovery_port": 3702}
    try:
        made = OnvifCamera([main, sub], "token", USER, PASSWORD, **more)  # type: ignore[arg-type]
    except OSError as error:
        pytest.skip(f"no multicast on loopback here: {error}")
    with made:
        yield made


@pytest.fixture
def daemon(short_dir: Path, redis_binary: str) -> Iterator[Daemon]:  # noqa: ARG001 - it runs one
    daemon = Daemon(short_dir, inference={"engine": "motion"}, counts={"bucket_s": 5})
    yield daemon
    daemon.kill()


def is_crossing(event: dict[str, Any]) -> bool:
    return bool(event["type"] == "streamer.line.crossed.v1")


def test_a_camera_is_discovered_added_by_its_onvif_address_and_counted(
    daemon: Daemon, camera: OnvifCamera
) -> None:
    daemon.start()
    look = ("camera", "discover", "--interface", "lo", "--seconds", "4", "--json")
    devices = json.loads(daemon.cli(*look).stdout)["devices"]
    (row,) = [row for row in devices if row["endpoint"] == camera.endpoint]
    credentials = ("--username", USER, "--password-stdin")
    added = daemon.cli("camera", "add", "door", row["url"], *credentials, "--width", "320", input=PASSWORD)
    assert "takes profile sub H264 320x180" in added.stdout
    assert "it is read at 127.0.0.1" in added.stdout
    daemon.cli("line", "add", "door", "middle", "0.5,1", "0.5,0")
    assert any(map(is_crossing, daemon.wait_for_events("door", is_crossing, 40)))
    shown = json.loads(daemon.cli(*look).stdout)["devices"]
    assert [row["cameras"] for row in shown if row["endpoint"] == camera.endpoint] == [["door"]]
    assert PASSWORD not in daemon.log_path.read_text() + added.stdout + added.stderr
    assert daemon.stop() == 0
