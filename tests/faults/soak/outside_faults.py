"""Faults around the daemon: the office's Redis, full disks, a camera that misbehaves, configurations."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from streamer.daemon.shared_memory import SHARED_ROOT
from tests.faults.soak.box import OFFICE, STRUCK, Box, Status
from tests.faults.soak.fault import Fault, Struck


def _kill_office(box: Box, _chance: random.Random) -> Struck:
    box.kill_office()
    return Struck(lift=box.start_office)


def _wipe_office(box: Box, _chance: random.Random) -> Struck:
    """All that it had is to be sent again, which shows in how much the sink has written."""
    with box.office() as client:
        had = sum(client.xlen(key) for key in client.scan_iter("streamer:*:events"))
        client.flushall()

    def again(_status: Status) -> bool:
        with box.office() as client:
            has = sum(client.xlen(key) for key in client.scan_iter("streamer:*:events"))
        return bool(has >= had)

    return Struck(also=again)


def _read_only_office(box: Box, _chance: random.Random) -> Struck:
    """As after a failover: it answers, and takes nothing. It keeps what it has: its master never answers."""
    with box.office() as client:
        client.replicaof("127.0.0.1", 1)

    def lift() -> None:
        with box.office() as client:
            client.replicaof("NO", "ONE")

    return Struck(lift)


def _starve_office(box: Box, _chance: random.Random) -> Struck:
    with box.office() as client:
        client.config_set("maxmemory", "1")

    def lift() -> None:
        with box.office() as client:
            client.config_set("maxmemory", "0")

    return Struck(lift)


def _full(folder: Callable[[Box], Path]) -> Callable[[Box, random.Random], Struck]:
    def strike(box: Box, _chance: random.Random) -> Struck:
        return Struck(lift=box.fill(folder(box)).unlink)

    return strike


def _show(scene: str) -> Callable[[Box, random.Random], Struck]:
    def strike(box: Box, _chance: random.Random) -> Struck:
        box.show(scene)
        return Struck(lift=lambda: box.show("moving"))

    return strike


def _good_reload(box: Box, chance: random.Random) -> Struck:
    """Another name of the box."""
    rev = box.daemon.status()["config_rev"]
    text = box.settings.read_text().partition("\ndisplay_name:")[0].rstrip("\n")
    box.settings.write_text(f"{text}\ndisplay_name: box {chance.randrange(10**6)}\n")
    box.reload()
    return Struck(also=lambda status: status["config_rev"] > rev)


def _bad_reload(box: Box, _chance: random.Random) -> Struck:
    """The one in force goes on, and the reason is shown until the file is mended."""
    good, rev = box.settings.read_text(), box.daemon.status()["config_rev"]
    box.settings.write_text(good + "inference: {workers: [\n")
    box.reload()
    box.daemon.wait_for(lambda s: _refused(s) and s["config_rev"] == rev, 10, "the refusal to be shown")

    def lift() -> None:
        box.settings.write_text(good)
        box.reload()

    return Struck(lift, also=lambda status: not _refused(status))


def _refused(status: Status) -> bool:
    return any("streamer.yaml" in warning for warning in status["warnings"])


def _come_and_go(box: Box, chance: random.Random) -> Struck:
    """A camera is switched off and on again."""
    name = chance.choice(("yard", STRUCK))
    box.daemon.cli("camera", "disable", name)
    return Struck(lift=lambda: _enable(box, name))


def _enable(box: Box, name: str) -> None:
    box.daemon.cli("camera", "enable", name)


OUTSIDE_FAULTS = (
    Fault(f"{OFFICE} killed", _kill_office, 35.0, hold_s=5.0),
    Fault(f"{OFFICE} wiped", _wipe_office, 35.0),
    Fault(f"{OFFICE} read-only", _read_only_office, 35.0, hold_s=5.0),
    Fault(f"{OFFICE} without memory", _starve_office, 35.0, hold_s=5.0),
    Fault("disk full", _full(lambda box: box.daemon.state_dir), 35.0, hold_s=5.0, needs_disks=True),
    Fault("shared memory full", _full(lambda _: SHARED_ROOT), 5.0, hold_s=5.0, needs_disks=True),
    Fault("camera gone", _show(""), 35.0, hold_s=10.0),
    Fault("camera frozen", _show("frozen"), 35.0, hold_s=15.0),
    Fault("camera of another size", _show("larger"), 10.0, hold_s=8.0),
    Fault("camera off and on", _come_and_go, 5.0, hold_s=2.0),
    Fault("reload", _good_reload, 5.0),
    Fault("bad reload", _bad_reload, 5.0, hold_s=2.0),
)
