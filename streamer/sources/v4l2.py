"""Cameras of this box, by Video4Linux2: v4l2:/dev/video0, or the device's path as it is."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import av
from av.container import InputContainer

from streamer.errors import SourceError
from streamer.sources.base import ReadOptions
from streamer.sources.live import LiveSource
from streamer.sources.opening import OpenRequest, open_input

MAJOR = 81  # of all devices of Video4Linux (Documentation/admin-guide/devices.txt)
_WHICH = "`ls -l /dev/v4l/by-id` lists those of this box"
_MEANINGS = {
    errno.EBUSY: "is in use by another program: end it, since a camera is read by one at a time",
    errno.EACCES: "may not be opened: add the daemon's user to the group video (usermod -aG video USER)",
    errno.EPERM: "may not be opened: add the daemon's user to the group video, and allow the device in the "
    "service (DeviceAllow=char-video4linux rw)",
    errno.ENOTTY: f"is no camera: it takes no picture; {_WHICH}",
    errno.EINVAL: f"is no camera: it takes no picture; {_WHICH}",
    errno.ENODEV: f"takes no pictures (many cameras have a second device for their data): {_WHICH}",
    errno.ENXIO: "is not there any more: is it plugged in?",
}


def create(url: str, options: ReadOptions) -> V4l2Source:
    return V4l2Source(url, options)


def device_of(url: str) -> Path:
    """The path that v4l2:PATH or a bare path names."""
    return Path(url.partition(":")[2] if url.lower().startswith("v4l2:") else url)


class V4l2Source(LiveSource):
    """One capture device."""

    def __init__(self, url: str, options: ReadOptions) -> None:
        self._device = device_of(url)
        request = OpenRequest(
            url=str(self._device),
            shown=str(self._device),
            format="video4linux2,v4l2",
            options={"fpsprobesize": "0"},
            read_timeout_s=options.read_timeout_s,
            opener=self._open_device,
        )
        super().__init__(request, options)

    def _open_device(self, request: OpenRequest) -> InputContainer:
        self._check_device()
        try:
            return open_input(request)
        except (av.error.OSError, OSError) as error:
            raise self._explained(error.errno or 0, error.strerror or "") from None

    def _explained(self, number: int, reason: str) -> SourceError:
        return SourceError(f"{self._device}: {_MEANINGS.get(number, f'cannot be opened ({reason})')}")

    def _check_device(self) -> None:
        """What FFmpeg would say less clearly, or open although it is another thing."""
        try:
            status = os.stat(self._device)
        except FileNotFoundError:
            raise SourceError(f"{self._device}: no such device: is it plugged in? {_WHICH}") from None
        except OSError as error:
            raise self._explained(error.errno or 0, error.strerror or "") from None
        if not stat.S_ISCHR(status.st_mode) or os.major(status.st_rdev) != MAJOR:
            raise SourceError(f"{self._device}: is no camera: it is no device of Video4Linux; {_WHICH}")
