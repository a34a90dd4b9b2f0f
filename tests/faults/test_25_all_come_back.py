"""Case 25: cameras behind one switch that come back at once: their attempts are spread, and grow rare."""

from __future__ import annotations

import socket
import threading
from collections import Counter

import pytest

from streamer.sources.retry import CAP_S, FIRST_S
from tests.daemon import Daemon
from tests.talking_server import talking

pytestmark = pytest.mark.integration
CAMERAS = 24
ROUNDS = 4  # attempts of each camera, after pauses of at most 1, 2, 4 s
BIN_S = 0.25
MAX_SHARE = 0.5  # of the cameras, in one bin, once their pauses have drawn them apart


def hang_up(connection: socket.socket, _ending: threading.Event) -> None:
    connection.recv(1000)


def test_cameras_that_lost_their_switch_do_not_come_back_in_one_breath(daemon: Daemon) -> None:
    settings = daemon.config_dir / "streamer.yaml"
    settings.write_text(settings.read_text() + "capture: {cameras_per_worker: 12}\n")
    with talking(hang_up) as switch:
        for number in range(CAMERAS):
            daemon.write_camera({"name": f"c-{number}", "url": f"{switch.url}/{number}"})
        daemon.start()
        daemon.wait_for(lambda _: len(switch.attempts_s) >= ROUNDS * CAMERAS, 60, "attempts")
        attempts = sorted(switch.attempts_s)
        span_s = attempts[-1] - attempts[0]
        assert span_s > FIRST_S + 2 * FIRST_S  # no camera asks without a pause
        last = attempts[-CAMERAS:]
        bins = Counter(int(at / BIN_S) for at in last)
        assert len(bins) >= 4, bins
        assert max(bins.values()) <= MAX_SHARE * CAMERAS, bins
        details = [c["detail"] for c in daemon.status()["cameras"]]
        pauses_s = [
            int(d.rpartition("next try in ")[2].removesuffix(" s")) for d in details if "next try" in d
        ]
        assert pauses_s
        assert max(pauses_s) <= CAP_S
        assert all(w["restarts"] == 0 for w in daemon.status()["workers"])
        assert daemon.stop() == 0
