"""Fault 37, of the network: nothing of a running daemon can be connected to from another machine."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.api_rig import ApiDaemon
from tests.daemon import Daemon
from tests.moving import camera
from tests.rtsp_fake import FakeCamera

pytestmark = pytest.mark.integration


def test_no_process_of_a_daemon_listens_on_a_network(daemon: Daemon, moving_clip: Path) -> None:
    with FakeCamera() as fake:
        daemon.write_camera(camera("a", moving_clip, loop=True))
        daemon.write_camera({"name": "net", "url": fake.url()})
        daemon.start()
        daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 5, 30, "frames")
        daemon.wait_for(lambda _: fake.asked("PLAY"), 20, "a camera of the network to be open")
        assert daemon.process is not None
        root = psutil.Process(daemon.process.pid)
        found = {
            process.pid: process.net_connections("inet") for process in (root, *root.children(recursive=True))
        }
        listening = [c for all_of in found.values() for c in all_of if not c.raddr]
        assert listening == []
        assert any(c.raddr.port == fake.port for all_of in found.values() for c in all_of), "it was looked at"
        assert len(found) >= 5, "supervisor, capture, infer, deliver, Redis"
        assert daemon.stop() == 0


def test_with_the_api_on_its_port_is_the_only_one(short_dir: Path, moving_clip: Path) -> None:
    daemon = ApiDaemon(short_dir, moving_clip)
    try:
        daemon.serve()
        assert daemon.process is not None
        root = psutil.Process(daemon.process.pid)
        listening = [
            (process.pid, connection.laddr)
            for process in (root, *root.children(recursive=True))
            for connection in process.net_connections("inet")
            if not connection.raddr
        ]
        assert listening == [(daemon.worker("api")["pid"], daemon.address)]
        assert daemon.stop() == 0
    finally:
        daemon.kill()
