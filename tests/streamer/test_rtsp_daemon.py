"""A real RTSP camera through the whole daemon: counted, its states told, found again after a power cut."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon
from tests.moving import crossings, write_moving_clip
from tests.rtsp_server import RtspServer

pytestmark = pytest.mark.integration
USER, PASSWORD = "operator", "p@ss:w/rd#%?é"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_moving_clip(tmp_path_factory.mktemp("clips") / "moving.mp4", 90.0)


@pytest.fixture
def server(rtsp_python: str, clip: Path) -> Iterator[RtspServer]:
    server = RtspServer(rtsp_python, {"/door": clip}, auth=("digest", USER, PASSWORD))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def daemon(short_dir: Path, redis_binary: str) -> Iterator[Daemon]:  # noqa: ARG001 - it runs one
    daemon = Daemon(short_dir, inference={"engine": "motion"}, counts={"bucket_s": 5})
    yield daemon
    daemon.kill()


def is_crossing(event: dict[str, Any]) -> bool:
    return bool(event["type"] == "streamer.line.crossed.v1")


def crossed_s(event: dict[str, Any]) -> float:
    return float(event["data"]["crossed_media_ns"] / 1e9)


def crossing_times(events: list[dict[str, Any]]) -> list[float]:
    """By the stream's own time, in seconds."""
    return [crossed_s(event) for event in events if is_crossing(event)]


def states(daemon: Daemon) -> list[str]:
    return [e["data"]["state"] for e in daemon.events("door") if e["type"] == "streamer.camera.state.v1"]


def test_an_rtsp_camera_is_added_counted_and_found_again_after_a_power_cut(
    daemon: Daemon, server: RtspServer
) -> None:
    daemon.start()
    daemon.cli(
        "camera", "add", "door", server.url("/door"), "--username", USER, "--password-stdin", input=PASSWORD
    )
    daemon.cli("line", "add", "door", "middle", "0.5,1", "0.5,0")
    daemon.wait_for(lambda s: s["cameras"][0]["state"] == "live", 20, "the camera")
    first, *_ = crossing_times(daemon.wait_for_events("door", is_crossing, 20))
    watched_s = 12.0
    times = crossing_times(
        daemon.wait_for_events("door", lambda e: is_crossing(e) and crossed_s(e) > first + watched_s, 40)
    )
    assert abs(sum(t <= first + watched_s for t in times) - crossings(watched_s)) <= 3
    assert daemon.camera("door")["epoch"] == 1

    server.stop()
    daemon.wait_for(lambda s: s["cameras"][0]["state"] not in ("live",), 20, "the loss to be noticed")
    server.start()
    daemon.wait_for(
        lambda s: s["cameras"][0]["state"] == "live" and s["cameras"][0]["epoch"] == 2, 40, "its return"
    )
    daemon.wait_for(lambda _: states(daemon)[-1] == "live", 20, "its return to be told")
    told = states(daemon)
    assert told[:2] == ["connecting", "live"]
    assert any(state in ("stalled", "unreachable") for state in told)
    assert PASSWORD not in daemon.log_path.read_text()
    assert daemon.stop() == 0


def test_a_camera_of_udp_alone_with_blanks_in_its_path_is_added_and_runs(
    daemon: Daemon, rtsp_python: str, clip: Path
) -> None:
    auth = ("digest", USER, PASSWORD)
    with RtspServer(rtsp_python, {"/My%20Door/ch%201": clip}, auth=auth, transports=["udp"]) as server:
        daemon.start()
        url = server.url("/My Door/ch 1", userinfo=f"{USER}:{PASSWORD}")
        added = daemon.cli("camera", "add", "door", url)
        assert "over UDP" in added.stdout
        daemon.wait_for(lambda s: s["cameras"][0]["state"] == "live", 20, "the camera")
        assert PASSWORD not in daemon.log_path.read_text()
        assert daemon.stop() == 0


def test_a_wrong_password_is_auth_failed_and_not_asked_again_soon(daemon: Daemon, server: RtspServer) -> None:
    daemon.start()
    refused = daemon.cli(
        "camera",
        "add",
        "door",
        server.url("/door"),
        "--username",
        USER,
        "--password-stdin",
        input="wrong",
        check=False,
    )
    assert refused.returncode == 4
    daemon.cli(
        *("camera", "add", "door", server.url("/door"), "--username", USER, "--password-stdin", "--no-probe"),
        input="wrong",
    )
    status = daemon.wait_for(lambda s: s["cameras"][0]["state"] == "auth_failed", 20, "the refusal")
    assert "next try in" in status["cameras"][0]["detail"]
    time.sleep(3)
    assert states(daemon).count("connecting") == 1
