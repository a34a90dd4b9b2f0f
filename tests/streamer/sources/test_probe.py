"""A probe says what a source is, what is wrong with it, and what to try."""

from __future__ import annotations

import http.server
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from streamer.errors import ConfigError
from streamer.sources.advice import advise
from streamer.sources.base import SourceInfo
from streamer.sources.limits import SourceLimits
from streamer.sources.probe import probe
from streamer.sources.probe_process import probe_apart
from streamer.sources.report import ProbeReport
from streamer.sources.room import Room
from streamer.sources.urls import join_credentials
from tests.clips import make_clip, repeat_clip
from tests.patience import patient
from tests.rtsp_server import RtspServer


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    usual = make_clip(folder / "a.mp4", frames=50, key_frame_gap=25, options={"sc_threshold": "0"})
    rare = make_clip(
        folder / "rare.mp4",
        frames=200,
        key_frame_gap=200,
        width=1920,
        height=1080,
        fps=20,
        options={"sc_threshold": "0", "preset": "ultrafast"},
    )
    return {"/live": repeat_clip(usual, folder / "long.mp4", 10), "/rare": rare}


@pytest.fixture(scope="module")
def camera(rtsp_python: str, clips: dict[str, Path]) -> Iterator[RtspServer]:
    with RtspServer(rtsp_python, clips) as server:
        yield server


@pytest.mark.integration
def test_a_camera_that_works_is_measured(camera: RtspServer) -> None:
    report = probe(camera.url("/live"))
    assert report.ok
    assert report.state == "live"
    assert [step.name for step in report.steps] == ["reach", "open", "watch"]
    assert report.info is not None
    assert (report.info.codec, report.info.width, report.info.height) == ("h264", 320, 180)
    assert report.fps_measured == pytest.approx(25, rel=0.05)
    assert report.keyframe_gap_s == pytest.approx(1.0, abs=0.05)
    assert not report.keyframe_gap_open
    assert report.bitrate_kbps > 1
    assert 0 < report.decode_cpu_ms < 40
    assert ["substream" in line for line in report.advice] == [True]  # 25 frames a second are many


@pytest.mark.integration
def test_large_pictures_and_rare_key_frames_get_advice(camera: RtspServer) -> None:
    begun = time.monotonic()
    report = probe(camera.url("/rare"), deadline_s=6)
    assert report.ok
    assert time.monotonic() - begun < 6 + patient(2)
    assert report.keyframe_gap_open
    assert report.keyframe_gap_s > 4
    told = " ".join(report.advice)
    assert "1920x1080" in told
    assert "more than" in told
    assert "I-frame interval" in told


@pytest.mark.integration
def test_wrong_credentials_are_told_and_not_shown(rtsp_python: str, clips: dict[str, Path]) -> None:
    with RtspServer(rtsp_python, clips, auth=("digest", "admin", "right")) as server:
        wrong = probe(join_credentials(server.url("/live"), "admin", "c4nary"))
        right = probe(join_credentials(server.url("/live"), "admin", "right"))
    assert right.ok
    assert wrong.state == "auth_failed"
    assert [step.ok for step in wrong.steps] == [True, False]
    assert "lock" in " ".join(wrong.advice)
    assert "c4nary" not in repr(wrong)


@pytest.mark.integration
def test_a_wrong_path_lists_the_common_ones(camera: RtspServer) -> None:
    report = probe(camera.url("/nope"))
    assert "(404)" in report.problem
    assert any("/Streaming/Channels/101" in line for line in report.advice)


def test_a_closed_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    report = probe(f"rtsp://127.0.0.1:{port}/live")
    assert "refuses connections" in report.problem
    assert "554" in " ".join(report.advice)


def test_a_web_server_on_the_port() -> None:
    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Quiet) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        report = probe(f"rtsp://127.0.0.1:{web.server_port}/live")
        web.shutdown()
        thread.join()
    assert "web server" in report.problem
    assert [step.ok for step in report.steps] == [False]


def test_a_silent_server_ends_within_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        begun = time.monotonic()
        report = probe(f"rtsp://127.0.0.1:{listener.getsockname()[1]}/live", deadline_s=3)
        assert time.monotonic() - begun < 3 + patient(1)
    assert report.state == "stalled"
    assert any("ping 127.0.0.1" in line for line in report.advice)


def test_an_unknown_host() -> None:
    report = probe("rtsp://no-such-camera.invalid/live", deadline_s=4)
    assert "no-such-camera.invalid" in report.problem
    assert not report.ok


def test_a_file_is_measured_without_waiting(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=1000)
    begun = time.monotonic()
    report = probe(str(clip))
    assert time.monotonic() - begun < 20  # it lasts 40 s
    assert report.ok
    assert report.fps_measured == pytest.approx(25)
    assert report.advice == []


def test_a_file_that_is_none() -> None:
    report = probe("/no/such/clip.mp4")
    assert "no such file" in report.problem
    assert report.advice == []


def test_a_url_of_another_kind_is_refused_at_the_door() -> None:
    with pytest.raises(ConfigError, match="ftp"):
        probe("ftp://127.0.0.1/")


def test_a_good_substream_needs_no_advice() -> None:
    report = ProbeReport("rtsp://cam/sub", fps_measured=12, keyframe_gap_s=1, keyframe_gap_open=False)
    report.info = SourceInfo(640, 360, 12, "h264", "rtp")
    report.bitrate_kbps = 700
    assert advise(report) == []


def test_the_substream_beside_a_known_main_stream_is_named() -> None:
    report = ProbeReport("rtsp://cam:554/Streaming/Channels/101", fps_measured=25, decode_cpu_ms=4)
    report.info = SourceInfo(1920, 1080, 25, "h264", "rtp")
    told = " ".join(advise(report))
    assert "0.10 of a core" in told
    assert "takes about 0.01 of a core" in told  # a ninth of the pixels, 15 of 25 frames
    assert "/Streaming/Channels/102" in told


def test_a_source_that_opens_slowly_is_not_well_before_a_picture_was_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(monotonic=itertools.count(0.0, 20.0).__next__, thread_time_ns=time.thread_time_ns)
    monkeypatch.setattr("streamer.sources.probe.time", clock)
    report = probe("synthetic:street?seconds=1&width=128&height=72&fps=5", deadline_s=1.0)
    assert (report.ok, report.frames) == (True, 1)


def test_a_look_in_a_process_of_its_own_warns_of_a_full_box_too() -> None:
    url, full = "synthetic:street?seconds=2&width=128&height=72&fps=5", Room(2, 1.9, 5, 40)
    report = probe_apart(url, SourceLimits(), None, "auto", False, full)
    assert [line for line in report["advice"] if "keeps up to 1.8" in line]
    report = probe_apart(url, SourceLimits(), None, "auto", False)
    assert [line for line in report["advice"] if "keeps up to" in line] == []


def main_stream() -> ProbeReport:
    report = ProbeReport("rtsp://cam:554/Streaming/Channels/101", fps_measured=25, decode_cpu_ms=8, frames=75)
    report.keyframe_gap_s, report.keyframe_gap_open = 1, False
    report.info = SourceInfo(1920, 1080, 25, "h264", "rtp")
    return report


def test_a_camera_that_fills_the_box_is_told_so_once_with_what_would_help() -> None:
    (line,) = advise(main_stream(), Room(cores=2, used=1.5, analysed_fps=5, analysis_ms=40))
    assert "the box is at 1.9 of 2 cores, and keeps up to 1.8" in line
    assert "takes 0.20, analysing 5 of them 0.20" in line
    assert "/Streaming/Channels/102" in line


def test_where_there_is_room_the_advice_is_as_ever() -> None:
    report = main_stream()
    assert advise(report, Room(cores=8, used=1.5, analysed_fps=5, analysis_ms=40)) == advise(report)


def test_a_substream_that_fills_the_box_is_not_sent_to_its_substream() -> None:
    report = ProbeReport("rtsp://cam/sub", fps_measured=12, keyframe_gap_s=1, keyframe_gap_open=False)
    report.info, report.frames = SourceInfo(640, 360, 12, "h264", "rtp"), 36
    (line,) = advise(report, Room(cores=2, used=1.79, analysed_fps=5, analysis_ms=40))
    assert "source.gate=auto" in line
    (line,) = advise(report, Room(cores=2, used=1.9, analysed_fps=5, analysis_ms=None))
    assert "analysing them is not measured yet" in line


@pytest.mark.parametrize(
    ("codec", "fps", "stated", "kbps", "word"),
    [
        ("hevc", 12, 12, 700, "H.265"),
        ("mjpeg", 12, 12, 700, "JPEG"),
        ("h264", 12, 25, 700, "says 25"),
        ("h264", 3, 3, 700, "few"),
        ("h264", 12, 12, 20_000, "20 Mbit/s"),
    ],
)
def test_what_could_be_better_is_said(codec: str, fps: float, stated: float, kbps: float, word: str) -> None:
    report = ProbeReport("rtsp://cam/x", fps_measured=fps, keyframe_gap_s=1, bitrate_kbps=kbps)
    report.info = SourceInfo(640, 360, stated, codec, "rtp")
    assert [word in line for line in advise(report)] == [True]
