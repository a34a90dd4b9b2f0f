"""A real RTSP camera for tests: GStreamer's server in a process of its own, on a free loopback port."""

from __future__ import annotations

import json
import select
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import av

from tests.patience import patient

SCRIPT = Path(__file__).with_name("rtsp_camera.py")
START_TIMEOUT_S = 20.0
_PAYLOADERS = {
    "h264": "h264parse config-interval=-1 ! rtph264pay",
    "hevc": "h265parse config-interval=-1 ! rtph265pay",
}


class RtspServer:
    """Serves MP4 clips, or GStreamer pipelines, each at its own path, at their own pace.

    `auth` is (method, user, password) with method "basic" or "digest"; `transports` are those offered.
    stop() ends it as a power cut would; start() brings it back on the same port.
    """

    def __init__(
        self,
        python: str,
        clips: Mapping[str, Path],
        *,
        pipelines: Mapping[str, str] | None = None,
        auth: tuple[str, str, str] | None = None,
        transports: Sequence[str] = ("tcp", "udp"),
    ) -> None:
        self._python = python
        self._mounts = {path: _serve(clip) for path, clip in clips.items()} | dict(pipelines or {})
        self._auth = auth
        self._transports = list(transports)
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def url(self, path: str, userinfo: str = "") -> str:
        return f"rtsp://{userinfo + '@' if userinfo else ''}127.0.0.1:{self.port}{path}"

    def start(self) -> None:
        wanted = {
            "mounts": self._mounts,
            "port": self.port,
            "auth": self._auth,
            "transports": self._transports,
        }
        process = subprocess.Popen(
            [self._python, str(SCRIPT), json.dumps(wanted)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._process = process
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], patient(START_TIMEOUT_S))
        line = process.stdout.readline() if readable else ""
        if not line.startswith("port "):
            self.stop()
            raise RuntimeError(f"the RTSP server did not start: {line!r}")
        self.port = int(line.split()[1])

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def __enter__(self) -> RtspServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _serve(clip: Path) -> str:
    with av.open(str(clip)) as source:
        codec = source.streams.video[0].codec_context.name
    return f"( filesrc location={clip} ! qtdemux ! {_PAYLOADERS[codec]} name=pay0 pt=96 )"
