"""Case 22, the daemon's side: cameras that send garbage, cut NAL units or the header of a monstrous picture:
the daemon lives, memory is capped, and the neighbour in another process goes on."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.clips import make_clip
from tests.daemon import Daemon
from tests.moving import camera
from tests.talking_server import Talk, answer_until_play, rtp, talking

pytestmark = pytest.mark.integration
MAX_MORE_BYTES = 300 << 20  # of a capture process; one picture of 65535 x 65535 would be 6 GB
PACKET_S = 0.01


def garbage(connection: socket.socket, ending: threading.Event) -> None:
    dice = random.Random(22)
    number = 0
    while answer_until_play(connection) and not ending.is_set():
        while not ending.wait(PACKET_S):
            rtp(connection, number, bytes([0x65]) + dice.randbytes(400))
            number += 1


def cut_units(units: list[bytes]) -> Talk:
    """What a real encoder wrote, each unit ending somewhere in it."""

    def talk(connection: socket.socket, ending: threading.Event) -> None:
        dice, number = random.Random(23), 0
        if not answer_until_play(connection):
            return
        while not ending.wait(PACKET_S):
            unit = units[number % len(units)]
            rtp(connection, number, unit[: dice.randint(1, min(len(unit), 1300))])
            number += 1

    return talk


def units_of(folder: Path) -> list[bytes]:
    raw = make_clip(folder / "plain.h264", frames=50).read_bytes()
    return [unit for unit in re.split(rb"\x00\x00\x00?\x01", raw) if unit]


def monstrous(folder: Path) -> Path:
    """Every header of its pictures claims 65535 x 65535."""
    clip = make_clip(folder / "huge.mjpeg", frames=5, codec="mjpeg", pixel_format="yuvj420p")
    data = bytearray(clip.read_bytes())
    for header in re.finditer(rb"\xff\xc0", bytes(data)):
        data[header.start() + 5 : header.start() + 9] = b"\xff" * 4
    clip.write_bytes(data)
    return clip


def row(status: dict[str, Any], name: str) -> dict[str, Any]:
    return next(c for c in status["cameras"] if c["name"] == name)


def capture_bytes(status: dict[str, Any]) -> int:
    """Of the largest; one that has just ended is not there."""
    sizes = [0]
    for pid in [w["pid"] for w in status["workers"] if w["role"] == "capture" and w["pid"]]:
        with contextlib.suppress(psutil.Error):
            sizes.append(psutil.Process(pid).memory_info().rss)
    return max(sizes)


def test_streams_that_are_none_end_in_a_state_and_in_no_memory(
    daemon: Daemon, moving_clip: Path, tmp_path: Path
) -> None:
    settings = daemon.config_dir / "streamer.yaml"
    settings.write_text(settings.read_text() + "capture: {cameras_per_worker: 1}\n")
    times = {"open_timeout_s": 1.5, "read_timeout_s": 1.5}
    with talking(garbage) as noise, talking(cut_units(units_of(tmp_path))) as cut:
        daemon.write_camera(camera("gate", moving_clip, loop=True))
        daemon.write_camera({"name": "noise", "url": noise.url, "source": times})
        daemon.write_camera({"name": "cut", "url": cut.url, "source": times})
        daemon.write_camera(
            {"name": "huge", "url": str(monstrous(tmp_path)), "source": {**times, "loop": True}}
        )
        daemon.start()
        first = daemon.wait_for(lambda s: row(s, "gate")["frames"]["inferred"] > 10, 30, "the good camera")
        largest: list[int] = []

        def tried(status: dict[str, Any]) -> bool:
            largest.append(capture_bytes(status))
            changed = row(status, "cut")["epoch"] >= 3  # cut headers change its size again and again
            return len(noise.attempts_s) >= 2 and changed

        daemon.wait_for(tried, 60, "several tries")
        status = daemon.wait_for(lambda s: "next try" in row(s, "huge")["detail"], 30, "the huge one's state")
        assert row(status, "huge")["frames"]["decoded"] == 0
        daemon.wait_for(
            lambda s: row(s, "gate")["frames"]["inferred"] > row(first, "gate")["frames"]["inferred"] + 25,
            20,
            "the good one to go on",
        )
        assert daemon.openings("gate") == 1
        assert max(largest) - capture_bytes(first) < MAX_MORE_BYTES
        assert "RuntimeWarning" not in daemon.log_path.read_text()
        assert daemon.stop() == 0
