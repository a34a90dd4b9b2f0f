"""An RTMP server for tests, of FFmpeg's own making: it plays one clip to the first who asks."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server

import psutil

from tests.conftest import missing_part
from tests.patience import patient


@contextmanager
def rtmp_server(clip: Path) -> Iterator[int]:
    """Its port, once it listens."""
    with create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    program = shutil.which("ffmpeg") or missing_part("ffmpeg (Debian package ffmpeg)")
    url = f"rtmp://127.0.0.1:{port}/live/cam"
    process = subprocess.Popen(
        [program, "-loglevel", "quiet", "-re", "-i", clip, "-c", "copy", "-f", "flv", "-listen", "1", url]
    )
    try:
        end = time.monotonic() + patient(10)
        while not any(c.status == "LISTEN" for c in psutil.Process(process.pid).net_connections("tcp")):
            assert process.poll() is None, "the server did not start"
            assert time.monotonic() < end, "the server does not listen"
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()
