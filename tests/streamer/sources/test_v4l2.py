"""Cameras of the box itself: what is told where there is none that can be read."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import av
import pytest

from streamer.errors import ConfigError, SourceError
from streamer.sources import v4l2
from streamer.sources.base import create_source
from streamer.sources.opening import OpenRequest
from streamer.sources.urls import scheme_of


@pytest.mark.parametrize("url", ["v4l2:/dev/video0", "/dev/video0", "/dev/v4l/by-id/usb-camera-index0"])
def test_a_device_is_known_by_its_path(url: str) -> None:
    assert scheme_of(url) == "v4l2"


@pytest.mark.parametrize("url", ["v4l2:video0", "v4l2:/home/me/clip.mp4", "v4l2:/dev/video0?input=1"])
def test_what_is_no_device_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="v4l2:/dev/ and the device"):
        create_source(url)


@pytest.mark.parametrize("device", ["/dev/video987", "/dev/null", "/dev/../etc/passwd"])
def test_where_there_is_no_camera_the_error_says_how_to_find_one(device: str) -> None:
    with pytest.raises(SourceError, match=r"(no such device|is no camera).*v4l/by-id"):
        create_source(f"v4l2:{device}").open()


def test_a_plain_file_that_is_named_like_a_device_is_not_opened(tmp_path: Path) -> None:
    link = tmp_path / "video0"
    link.write_bytes(b"no device")
    with pytest.raises(SourceError, match="no device of Video4Linux"):
        create_source(f"v4l2:/dev/..{link}").open()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.EBUSY, "in use by another program"),
        (errno.EACCES, "group video"),
        (errno.ENOTTY, "is no camera"),
        (errno.ENODEV, "second device"),
        (errno.EIO, "cannot be opened"),
    ],
)
def test_what_the_driver_refuses_is_told(number: int, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a camera the driver's answer is made up; the way through the source is the real one."""
    driver = av.error.err_check

    def answer(_request: OpenRequest) -> None:
        driver(-number)

    monkeypatch.setattr(v4l2, "open_input", answer)
    monkeypatch.setattr(os, "major", lambda _device: v4l2.MAJOR)
    with pytest.raises(SourceError, match=text):
        create_source("v4l2:/dev/null").open()
