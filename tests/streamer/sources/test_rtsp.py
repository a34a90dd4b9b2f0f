"""RTSP cameras: a real server, real codecs, real passwords, and what happens when it goes away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from streamer.errors import AuthFailed, SourceEnded, SourceError, SourceStalled
from streamer.sources.base import Source, create_source
from streamer.sources.urls import join_credentials
from tests.clips import make_clip, number_of, repeat_clip
from tests.patience import patient
from tests.rtsp_server import RtspServer

pytestmark = pytest.mark.integration

AUDIO_ONLY = "( audiotestsrc is-live=true ! audioconvert ! rtpL16pay name=pay0 pt=96 )"
MJPEG = (
    "( videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=10/1 ! videoconvert ! "
    "video/x-raw,format=I420 ! jpegenc ! "
    "rtpjpegpay name=pay0 )"
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    one = make_clip(folder / "one.mp4", frames=50, options={"bf": "0"})
    hevc = make_clip(folder / "hevc.mp4", codec="libx265", options={"x265-params": "log-level=none"})
    b_frames = make_clip(folder / "b.mp4", frames=50, options={"bf": "2"})
    return {
        "/live": repeat_clip(one, folder / "long.mp4", 15),  # 30 s
        "/hevc": hevc,
        "/b": b_frames,
        "/short": one,
    }


@pytest.fixture(scope="module")
def camera(rtsp_python: str, clips: dict[str, Path]) -> Iterator[RtspServer]:
    with RtspServer(rtsp_python, clips, pipelines={"/audio": AUDIO_ONLY, "/mjpeg": MJPEG}) as server:
        yield server


def play(source: Source, pictures: int) -> None:
    source.open()
    for _ in range(pictures):
        source.read()


def drain(source: Source) -> None:
    for _ in range(200):
        source.read()


@pytest.mark.parametrize(("path", "codec"), [("/live", "h264"), ("/b", "h264"), ("/hevc", "hevc")])
def test_a_camera_gives_every_picture_in_order_at_its_own_pace(
    camera: RtspServer, path: str, codec: str
) -> None:
    source = create_source(camera.url(path))
    begun = time.monotonic()
    info = source.open()
    pictures = [source.read() for _ in range(45)]
    took_s = time.monotonic() - begun
    source.close()
    assert (info.width, info.height, info.fps, info.codec) == (320, 180, 25.0, codec)
    assert [number_of(picture.image(160)) for picture in pictures] == list(range(45))
    assert np.diff([picture.media_ns for picture in pictures]) / 1e6 == pytest.approx(40, abs=1)
    assert 1.5 < took_s < patient(4)  # 45 pictures are 1.8 s, the first may come at once
    assert {picture.clock_source for picture in pictures[2:]} == {"rtp"}
    ages_s = [(picture.captured_ns - time.time_ns()) / 1e9 for picture in pictures]
    assert -5 < min(ages_s) <= max(ages_s) <= 0


def test_the_first_pictures_are_fresh(camera: RtspServer) -> None:
    """No burst of old pictures after an open: it takes what it needs to know the stream, and no more."""
    source = create_source(camera.url("/live"))
    source.open()
    arrivals_ms = [source.read().received_mono_ns / 1e6 for _ in range(12)]
    source.close()
    assert sum(later - earlier < 10 for earlier, later in pairwise(arrivals_ms)) <= 8


def test_motion_jpeg(camera: RtspServer) -> None:
    source = create_source(camera.url("/mjpeg"))
    info = source.open()
    pictures = [source.read() for _ in range(5)]
    source.close()
    assert (info.width, info.height, info.codec) == (320, 240, "mjpeg")
    assert pictures[-1].image().shape == (240, 320, 3)


def test_a_path_that_does_not_exist(camera: RtspServer) -> None:
    with pytest.raises(SourceError, match="404") as raised:
        create_source(camera.url("/nope")).open()
    assert raised.value.state == "unreachable"


def test_a_stream_of_sound_alone(camera: RtspServer) -> None:
    with pytest.raises(SourceError, match="no video"):
        create_source(camera.url("/audio"), open_timeout_s=4).open()


def test_the_end_of_a_stream_is_a_failure_not_an_end(camera: RtspServer) -> None:
    source = create_source(camera.url("/short"), read_timeout_s=2)
    with pytest.raises(SourceError) as raised:
        play(source, 1000)
    source.close()
    assert not isinstance(raised.value, SourceEnded)
    assert raised.value.state in ("unreachable", "stalled")


# ---- credentials

USER = "ad min"
CANARY = "c4nary@:/%?# ü&=+'\"\\"  # every character that has broken somebody's camera URL


@pytest.mark.parametrize("method", ["basic", "digest"])
def test_credentials_of_any_characters_work(rtsp_python: str, clips: dict[str, Path], method: str) -> None:
    password = CANARY.replace('"', "").replace("\\", "")  # quoted strings of RFC 7616 hold neither
    with RtspServer(rtsp_python, clips, auth=(method, USER, password)) as server:
        source = create_source(join_credentials(server.url("/live"), USER, password))
        play(source, 3)
        source.close()
        raw = create_source(server.url("/live", userinfo=f"{USER}:{password}"))  # as a person types it
        play(raw, 3)
        raw.close()


@pytest.mark.parametrize("method", ["basic", "digest"])
@pytest.mark.parametrize("credentials", [(None, None), (USER, "wrong"), ("nobody", "right")])
def test_refused_credentials_are_a_state_of_their_own(
    rtsp_python: str, clips: dict[str, Path], method: str, credentials: tuple[str | None, str | None]
) -> None:
    with RtspServer(rtsp_python, clips, auth=(method, USER, "right")) as server:
        source = create_source(join_credentials(server.url("/live"), *credentials))
        with pytest.raises(AuthFailed, match="user name or password") as raised:
            source.open()
        source.close()
    assert raised.value.state == "auth_failed"


SPY = """
import logging, sys, threading, traceback
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
from streamer.sources.base import create_source
from streamer.errors import SourceError
for url in sys.stdin.read().split("\\n"):
    source = create_source(url, open_timeout_s=1.5, read_timeout_s=1)
    try:
        print(source.open())
        print(source.read(), source.__dict__)
    except SourceError as error:
        print(repr(error), error, error.__cause__, error.__context__)
        traceback.print_exc()
        logging.exception("failed")
    source.close()
    print(repr(source), repr(getattr(source, "_input", None)))
"""


def test_a_password_appears_nowhere(rtsp_python: str, clips: dict[str, Path]) -> None:
    """In no log, error, traceback or representation, of ours or of FFmpeg, whatever goes wrong."""
    secret = "c4nary-s3cret"
    with (
        RtspServer(rtsp_python, clips, auth=("digest", USER, "other")) as refusing,
        RtspServer(rtsp_python, clips, auth=("basic", USER, secret)) as server,
    ):
        base = [server.url("/live"), server.url("/nope"), refusing.url("/live")]
        base += [
            "rtsp://127.0.0.1:1/live",
            "rtsp://no-such-camera.invalid/live",
            "rtsps://127.0.0.1:1/live",
        ]
        urls = [join_credentials(url, USER, secret) for url in base]
        urls += [f"rtsp://127.0.0.1:1/user=admin&password={secret}&channel=1"]
        ran = subprocess.run(
            [sys.executable, "-c", SPY],
            input="\n".join(urls),
            capture_output=True,
            text=True,
            timeout=patient(60),
        )
    assert "h264" in ran.stdout  # the first one opened
    assert "AuthFailed" in ran.stdout
    assert "connection refused" in ran.stdout
    assert ran.returncode == 0
    for output in (ran.stdout, ran.stderr):
        assert secret not in output
        assert "c4nary" not in output


def test_an_error_keeps_no_password_in_its_chain() -> None:
    source = create_source("rtsp://admin:c4nary@127.0.0.1:1/live")
    with pytest.raises(SourceError) as raised:
        source.open()
    text = "".join(traceback.format_exception(raised.value))
    assert "c4nary" not in text
    assert "c4nary" not in repr(raised.value.__context__)


# ---- going away


def test_closing_ends_a_read_with_the_next_packet(camera: RtspServer) -> None:
    source = create_source(camera.url("/live"), read_timeout_s=patient(5))
    play(source, 3)
    closer = threading.Timer(0.3, source.close)
    closer.start()
    begun = time.monotonic()
    with pytest.raises(SourceError, match="closed"):
        drain(source)
    assert time.monotonic() - begun < patient(1.3)
    closer.join()


def test_a_camera_that_loses_power_is_noticed_and_comes_back(
    rtsp_python: str, clips: dict[str, Path]
) -> None:
    with RtspServer(rtsp_python, clips) as server:
        source = create_source(server.url("/live"), read_timeout_s=2)
        play(source, 5)
        server.stop()
        begun = time.monotonic()
        with pytest.raises(SourceError):
            drain(source)
        assert time.monotonic() - begun < 2 + patient(1)
        source.close()
        with pytest.raises(SourceError, match="connection refused"):
            create_source(server.url("/live")).open()
        server.start()
        again = create_source(server.url("/live"))
        play(again, 5)
        again.close()


def test_a_camera_that_hangs_is_called_stalled_within_the_read_timeout(
    rtsp_python: str, clips: dict[str, Path]
) -> None:
    with RtspServer(rtsp_python, clips) as server:
        source = create_source(server.url("/live"), read_timeout_s=1)
        play(source, 5)
        os.kill(server.pid, signal.SIGSTOP)
        begun = time.monotonic()
        with pytest.raises(SourceStalled, match="within 1 s"):
            drain(source)
        assert time.monotonic() - begun < 1 + patient(1.5)
        source.close()
